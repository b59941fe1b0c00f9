"""The history: found by its conditions, and cut back by age or by count."""

from datetime import datetime

from attrs import evolve
from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.stores.firestore import searching
from duly.stores.firestore.documents import load_run
from duly.stores.firestore.searching import Asked
from duly.stores.firestore.tenant import BATCH, Tenant
from duly.stores.matching import matches_run
from duly.stores.queries import Page, RunQuery, parse_run_cursor, run_cursor
from duly.stores.records import Run


async def runs(tenant: Tenant, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first.

    The prefix of the slug is compared here: what is in order of time is in no other.
    """
    if () in {query.kinds, query.statuses}:
        return Page([], None)
    asked = _asked_runs(tenant, query)
    in_order = asked.query.order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    size = asked.size(query.limit)
    found: list[Run] = []
    after, scanned = query.after, 0
    while scanned < searching.SCAN:
        page = await tenant.connection.query(_below(tenant, in_order, after).limit(size))
        read = [load_run(each.row.fields, tenant.namespace) for each in page]
        found += [run for run in read if matches_run(query, run)]
        if len(found) > query.limit:
            return Page(found[: query.limit], run_cursor(found[query.limit - 1]))
        if len(page) < size:
            return Page(found, None)
        after, scanned = run_cursor(read[-1]), scanned + size
    return Page(found, after)


def _asked_runs(tenant: Tenant, query: RunQuery) -> Asked:
    asked = Asked(AsyncQuery(tenant.runs)).where("slug", "==", query.slug).where("node", "==", query.node)
    asked = asked.one_of("kind", query.kinds).one_of("status", query.statuses)
    asked = asked.where("finished_at", ">=", query.since).where("finished_at", "<", query.until)
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
