"""Tasks and runs are looked for: by queries as far as an index goes, the rest of the conditions here."""

from collections.abc import Sequence
from typing import Self

from attrs import evolve, frozen
from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.jobs import Task
from duly.jobs.validators import NAME_LIMIT
from duly.stores.errors import Unsupported
from duly.stores.firestore.documents import TASK_FIELDS, load_run
from duly.stores.firestore.tenant import Tenant
from duly.stores.matching import matches_run, matches_task
from duly.stores.queries import Page, RunQuery, TaskQuery, parse_run_cursor, run_cursor
from duly.stores.records import Run

DISJUNCTIONS = 30
"""Most combinations of values that one query may name."""

PAGE = 100
"""Fewest documents that are asked for at a time, where some of them will not match."""

READ = 1000
"""Most documents that are asked for at a time: a call has five seconds."""

SCAN = 5000
"""Most documents that one call reads: a search that finds too little among these returns a short page, with a next."""

_COMPARED = tuple(name for name in TASK_FIELDS if name not in {"payload", "result", "last_error"})
"""What a task is told by, without what may be long and no condition asks for."""


@frozen
class _Asked:
    """What is asked of the server, and whether that is every condition."""

    query: AsyncQuery
    is_whole: bool = True
    room: int = DISJUNCTIONS

    def where(self, field: str, operator: str, value: object) -> Self:
        """Ask for a condition, if there is a value for it."""
        return self if value is None else evolve(self, query=self.query.where(filter=FieldFilter(field, operator, value)))

    def one_of(self, field: str, values: Sequence[str] | None) -> Self:
        """Name the values, of which there are some, in the query if there is room for so many."""
        if values is None:
            return self
        named = list(dict.fromkeys(map(str, values)))
        if len(named) > self.room:
            return evolve(self, is_whole=False)
        return evolve(self.where(field, "in", named), room=self.room // len(named))

    def size(self, limit: int) -> int:
        """Return how many documents to ask for at a time, to find a page of `limit` and the first beyond it."""
        return min(READ, limit + 1 if self.is_whole else max(PAGE, limit + 1))


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


async def search(tenant: Tenant, query: TaskQuery) -> Page[Task]:
    """Return the tasks that match, in slug order. Kinds, states and pause are asked of the server; metadata and due range are not.

    Raises:
        Unsupported: by a text that slugs contain.

    """
    _check(query)
    if () in {query.kinds, query.states}:
        return Page([], None)
    asked = _asked_tasks(tenant, query)
    size = asked.size(query.limit)
    found: list[Task] = []
    after, scanned = query.after, 0
    while scanned < SCAN:
        page = await tenant.connection.query(_in_slug_order(asked.query, query.prefix, after).limit(size))
        tasks = [tenant.load(each.row) for each in page]
        found += [task for task in tasks if matches_task(query, task)]
        if len(found) > query.limit:
            return Page(found[: query.limit], found[query.limit - 1].slug)
        if len(page) < size:
            return Page(found, None)
        after, scanned = tasks[-1].slug, scanned + size
    return Page(found, after)


async def count(tenant: Tenant, query: TaskQuery) -> int:
    """Return how many tasks match. The server counts if it can be asked every condition; else all that may match are read, to the end.

    Raises:
        Unsupported: by a text that slugs contain.

    """
    _check(query)
    if () in {query.kinds, query.states}:
        return 0
    asked = _asked_tasks(tenant, query)
    if asked.is_whole:
        return await tenant.connection.count(_in_slug_order(asked.query, query.prefix, None))
    found, after = 0, None
    while True:
        page = await tenant.connection.query(_in_slug_order(asked.query, query.prefix, after).select(_COMPARED).limit(READ))
        tasks = [tenant.load(each.row) for each in page]
        found += sum(matches_task(query, task) for task in tasks)
        if len(page) < READ:
            return found
        after = tasks[-1].slug


def _check(query: TaskQuery) -> None:
    if query.contains:
        raise Unsupported("FirestoreStore", "search for a text that slugs contain", "search by prefix, kinds or metadata")


def _asked_tasks(tenant: Tenant, query: TaskQuery) -> _Asked:
    asked = _Asked(tenant.tasks).one_of("kind", query.kinds).one_of("state", query.states).where("paused", "==", query.paused)
    is_compared = bool(query.metadata or query.due_from or query.due_until)
    return evolve(asked, is_whole=asked.is_whole and not is_compared)


async def runs(tenant: Tenant, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first. The prefix of the slug is compared here: what is in order of time is in no other."""
    if () in {query.kinds, query.statuses}:
        return Page([], None)
    asked = _asked_runs(tenant, query)
    in_order = asked.query.order_by("finished_at", direction="DESCENDING").order_by("__name__", direction="DESCENDING")
    size = asked.size(query.limit)
    found: list[Run] = []
    after, scanned = query.after, 0
    while scanned < SCAN:
        page = await tenant.connection.query(_below(tenant, in_order, after).limit(size))
        read = [load_run(each.row.fields, tenant.namespace) for each in page]
        found += [run for run in read if matches_run(query, run)]
        if len(found) > query.limit:
            return Page(found[: query.limit], run_cursor(found[query.limit - 1]))
        if len(page) < size:
            return Page(found, None)
        after, scanned = run_cursor(read[-1]), scanned + size
    return Page(found, after)


def _asked_runs(tenant: Tenant, query: RunQuery) -> _Asked:
    asked = _Asked(tenant.runs).where("slug", "==", query.slug).where("node", "==", query.node)
    asked = asked.one_of("kind", query.kinds).one_of("status", query.statuses)
    asked = asked.where("finished_at", ">=", query.since).where("finished_at", "<", query.until)
    return evolve(asked, is_whole=asked.is_whole and not query.prefix)


def _below(tenant: Tenant, query: AsyncQuery, after: str | None) -> AsyncQuery:
    if after is None:
        return query
    finished_at, run_id = parse_run_cursor(after)
    return query.start_after({"finished_at": finished_at, "__name__": tenant.run_at(run_id)})
