"""The history: found by its conditions, and cut back by age or by count."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from attrs import evolve
from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.stores.errors import UnreadableTask
from duly.stores.firestore import searching
from duly.stores.firestore.connection import Found
from duly.stores.firestore.documents import EARLIEST, document_id, load_run, utc
from duly.stores.firestore.searching import Asked
from duly.stores.firestore.tenant import BATCH, Tenant
from duly.stores.matching import matches_run
from duly.stores.queries import Page, RunQuery, parse_run_cursor, run_cursor_at
from duly.stores.records import Run, Unreadable


async def runs(tenant: Tenant, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first.

    The prefix of the slug is compared here: what is in order of time is in no other.
    """
    if () in {query.kinds, query.statuses}:
        return Page([], None)
    asked = _asked_runs(tenant, query)
    in_order = asked.query.order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    size = asked.size(query.limit)
    found: list[tuple[Run | Unreadable, str]] = []
    after, scanned = query.after, 0
    while scanned < searching.SCAN:
        page = await tenant.connection.query(_below(tenant, in_order, after).limit(size))
        found += _looked_at(tenant, query, page)
        if len(found) > query.limit:
            return _page(found[: query.limit], found[query.limit - 1][1])
        if len(page) < size:
            return _page(found, None)
        after, scanned = _cursor(page[-1]), scanned + size
    return _page(found, after)


def _looked_at(tenant: Tenant, query: RunQuery, page: Sequence[Found]) -> Iterator[tuple[Run | Unreadable, str]]:
    """Yield what matches, each with where it stands in the history.

    What cannot be read matches all that the server was asked.
    """
    for each in page:
        try:
            run = load_run(each.row.fields, tenant.namespace)
        except UnreadableTask as error:
            if error.slug.startswith(query.prefix):
                yield Unreadable(error.slug, error.reason), _cursor(each)
        else:
            if matches_run(query, run):
                yield run, _cursor(each)


def _cursor(found: Found) -> str:
    fields = found.row.fields
    name = fields.get("id")
    is_own = isinstance(name, str) and document_id(name) == found.id
    return run_cursor_at(utc(fields["finished_at"]), str(name) if is_own else found.id)


def _page(found: Sequence[tuple[Run | Unreadable, str]], following: str | None) -> Page[Run]:
    unreadable = tuple(each for each, _ in found if isinstance(each, Unreadable))
    return Page([each for each, _ in found if isinstance(each, Run)], following, unreadable)


def _asked_runs(tenant: Tenant, query: RunQuery) -> Asked:
    asked = Asked(AsyncQuery(tenant.runs)).where("slug", "==", query.slug).where("node", "==", query.node)
    asked = asked.one_of("kind", query.kinds).one_of("status", query.statuses)
    # An instant at least: what is none has no place in the order of time.
    asked = asked.where("finished_at", ">=", query.since or EARLIEST).where("finished_at", "<", query.until)
    return evolve(asked, is_whole=asked.is_whole and not query.prefix)


def _below(tenant: Tenant, query: AsyncQuery, after: str | None) -> AsyncQuery:
    if after is None:
        return query
    finished_at, run_id = parse_run_cursor(after)
    return query.start_after({"finished_at": finished_at, "__name__": tenant.run_at(run_id)})


async def prune(tenant: Tenant, before: datetime | None, keep: int | None, limit: int) -> int:
    """Delete old runs.

    By age it costs one read and one delete for each; by count one read for every run that there is.
    """
    doomed: list[str] = []
    if before is not None:
        query = tenant.runs.where(filter=FieldFilter("finished_at", "<", before)).order_by("finished_at").select([]).limit(limit)
        doomed = [found.id for found in await tenant.connection.query(query)]
    if keep is not None and len(doomed) < limit:
        doomed += await _beyond(tenant, keep, limit - len(doomed), set(doomed))
    await tenant.delete_all(tenant.runs.document(each) for each in doomed)
    return len(doomed)


async def _beyond(tenant: Tenant, keep: int, limit: int, doomed: set[str]) -> list[str]:
    """Return up to `limit` runs that are older than the `keep` newest of their task, task by task.

    Firestore cannot rank.
    """
    found: list[str] = []
    query = tenant.runs.order_by("slug").order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    query = query.select(["slug", "finished_at"]).limit(BATCH)
    asked, slug, seen = query, None, 0
    while page := await tenant.connection.query(asked):
        for each in page:
            seen = seen + 1 if each.row.fields["slug"] == slug else 1
            slug = each.row.fields["slug"]
            if seen > keep and each.id not in doomed:
                found.append(each.id)
            if len(found) == limit:
                return found
        last = page[-1]
        asked = query.start_after({**last.row.fields, "__name__": tenant.runs.document(last.id)})
    return found
