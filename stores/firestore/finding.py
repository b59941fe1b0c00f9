"""Tasks and runs are looked for: by queries as far as an index goes, the rest of the conditions here."""

from collections.abc import Sequence

from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from detent.jobs import Task
from detent.jobs.validators import NAME_LIMIT
from detent.stores.firestore.documents import load_run
from detent.stores.firestore.tenant import Tenant
from detent.stores.matching import matches_run, matches_task, parse_run_cursor, run_cursor
from detent.stores.records import Page, Run, RunQuery, TaskQuery

DISJUNCTIONS = 30
"""Most combinations of values that one query may name."""

PAGE = 100
"""How many documents are asked for at a time, where some of them will not match."""

SCAN = 5000
"""Most documents that one call reads: a search that finds too little among these returns a short page, with a next."""


async def slugs(tenant: Tenant, prefix: str, limit: int, after: str | None) -> list[str]:
    """Return slugs in order; a billed read for each."""
    query = _in_slug_order(tenant.tasks, prefix, after).select(["slug"]).limit(limit)
    return [found.row.fields["slug"] for found in await tenant.connection.query(query)]


def _in_slug_order(query: AsyncQuery, prefix: str, after: str | None) -> AsyncQuery:
    if prefix:
        last = prefix + "\U0010ffff" * (NAME_LIMIT - len(prefix))
        query = query.where(filter=FieldFilter("slug", ">=", prefix)).where(filter=FieldFilter("slug", "<=", last))
    ordered = query.order_by("slug")
    return ordered if after is None or after < prefix else ordered.start_after({"slug": after})


def _one_of(query: AsyncQuery, field: str, values: Sequence[str] | None, room: int) -> tuple[AsyncQuery, int]:
    """Name the values in the query if there is room for so many; return what room is left."""
    if values is None or len(values) > room:
        return query, room
    return query.where(filter=FieldFilter(field, "in", list(map(str, values)))), room // len(values)


async def search(tenant: Tenant, query: TaskQuery) -> Page[Task]:
    """Return the tasks that match, in slug order. Kinds, states and pause are asked of the server; metadata and due range are not."""
    if query.kinds == () or query.states == ():
        return Page([], None)
    asked, room = _one_of(tenant.tasks, "kind", query.kinds, DISJUNCTIONS)
    asked, _ = _one_of(asked, "state", query.states, room)
    if query.paused is not None:
        asked = asked.where(filter=FieldFilter("paused", "==", query.paused))
    found: list[Task] = []
    after, scanned = query.after, 0
    while scanned < SCAN:
        size = max(PAGE, query.limit + 1) if query.metadata or query.due_from or query.due_until else query.limit + 1
        page = await tenant.connection.query(_in_slug_order(asked, query.prefix, after).limit(size))
        tasks = [tenant.load(each.row) for each in page]
        found += [task for task in tasks if matches_task(query, task)]
        if len(found) > query.limit:
            return Page(found[: query.limit], found[query.limit - 1].slug)
        if len(page) < size:
            return Page(found, None)
        after, scanned = tasks[-1].slug, scanned + size
    return Page(found, after)


async def runs(tenant: Tenant, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first; every condition is asked of the server, as long as there are not too many values."""
    if query.kinds == () or query.statuses == ():
        return Page([], None)
    asked, room = _one_of(tenant.runs, "slug", None if query.slug is None else (query.slug,), DISJUNCTIONS)
    asked, room = _one_of(asked, "kind", query.kinds, room)
    asked, _ = _one_of(asked, "status", query.statuses, room)
    if query.since is not None:
        asked = asked.where(filter=FieldFilter("finished_at", ">=", query.since))
    if query.until is not None:
        asked = asked.where(filter=FieldFilter("finished_at", "<", query.until))
    asked = asked.order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    found: list[Run] = []
    after, scanned = query.after, 0
    while scanned < SCAN:
        size = query.limit + 1
        page = await tenant.connection.query(_below(tenant, asked, after).limit(size))
        read = [load_run(each.row.fields, tenant.namespace) for each in page]
        found += [run for run in read if matches_run(query, run)]
        if len(found) > query.limit:
            return Page(found[: query.limit], run_cursor(found[query.limit - 1]))
        if len(page) < size:
            return Page(found, None)
        after, scanned = run_cursor(read[-1]), scanned + size
    return Page(found, after)


def _below(tenant: Tenant, query: AsyncQuery, after: str | None) -> AsyncQuery:
    if after is None:
        return query
    finished_at, run_id = parse_run_cursor(after)
    return query.start_after({"finished_at": finished_at, "__name__": tenant.run_at(run_id)})
