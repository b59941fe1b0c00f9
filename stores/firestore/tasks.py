"""Finds, edits and deletes tasks: what people and programs do with those that exist."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from attrs import evolve
from google.cloud.firestore import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.jobs import Task
from duly.jobs.validators import NAME_LIMIT
from duly.stores.errors import Conflict, JobNotFound, UnreadableTask, Unsupported
from duly.stores.firestore import searching
from duly.stores.firestore.documents import TASK_FIELDS, Row, dump_task
from duly.stores.firestore.searching import Asked
from duly.stores.firestore.tenant import BATCH, Settled, Tenant, Write
from duly.stores.matching import matches_task
from duly.stores.queries import Page, TaskQuery, task_cursor
from duly.stores.records import Unreadable
from duly.stores.rules import transitions

_COMPARED = tuple(name for name in TASK_FIELDS if name not in {"payload", "result", "last_error"})
"""What a task is told by, without what may be long and no condition asks for."""


async def update(tenant: Tenant, now: datetime, task: Task) -> Task:
    """Write an edit of the version in `task`.

    It costs one read and one write, and more only when a heartbeat comes in between.
    """

    async def decide(row: Row | None, _unsure: bool) -> Settled[Task] | Write[Task]:  # noqa: FBT001 - a Decide
        if row is None:
            raise JobNotFound(task.slug, tenant.namespace)
        there = tenant.load(row)
        if _is_written(there, task, now):
            return Settled(there)
        if there.version != task.version:
            raise Conflict(task.slug, task.version)
        edited = transitions.edit(there, task, now=now)
        return Write(lambda batch: tenant.put(batch, row, edited, edited=True), lambda written: tagged(edited, written))

    return await tenant.change_task(task.slug, decide)


def _is_written(there: Task, task: Task, now: datetime) -> bool:
    """Tell whether this very edit was written before, its answer lost.

    Made again on what is there, it changes nothing.
    """
    if (there.version, there.updated_at) != (task.version + 1, now):
        return False
    return transitions.edit(evolve(there, version=task.version), task, now=now) == there


def tagged(task: Task, written: datetime) -> Task:
    """Return a task that was just written, with its row as the etag."""
    return evolve(task, etag=Row(dump_task(task), written))


async def delete(tenant: Tenant, slug: str, version: int | None) -> None:
    """Delete a task, and its lease with it: one read and one delete."""

    async def decide(row: Row | None, unsure: bool) -> Settled[None] | Write[None]:  # noqa: FBT001 - a Decide
        if row is None and unsure:
            return Settled(None)
        if row is None:
            raise JobNotFound(slug, tenant.namespace)
        if version is not None and row.fields.get("version") != version:
            raise Conflict(slug, version)
        return Write(lambda batch: tenant.drop(batch, slug, row), lambda _written: None)

    await tenant.change_task(slug, decide)


async def clear(tenant: Tenant) -> int:
    """Delete every task, a batch at a time: one read and one delete for each.

    What is created meanwhile goes too, or stays.
    """
    seen: set[str] = set()
    while found := await tenant.connection.query(tenant.tasks.select([]).limit(BATCH)):
        seen.update(each.id for each in found)
        await tenant.delete_all(tenant.tasks.document(each.id) for each in found)
    return len(seen)


# -- found


async def slugs(tenant: Tenant, prefix: str, limit: int, after: str | None) -> list[str]:
    """Return slugs in order; a billed read for each."""
    query = _in_slug_order(AsyncQuery(tenant.tasks), prefix, after).select(["slug"]).limit(limit)
    return [found.row.fields["slug"] for found in await tenant.connection.query(query)]


def _in_slug_order(query: AsyncQuery, prefix: str, after: str | None) -> AsyncQuery:
    query = query.where(filter=FieldFilter("slug", ">=", prefix))  # also without one: what is no text is no slug
    if prefix:
        last = prefix + "\U0010ffff" * (NAME_LIMIT - len(prefix))
        query = query.where(filter=FieldFilter("slug", "<=", last))
    ordered = query.order_by("slug")
    return ordered if after is None or after < prefix else ordered.start_after({"slug": after})


async def search(tenant: Tenant, query: TaskQuery) -> Page[Task]:
    """Return the tasks that match, in slug order.

    Kinds, states and pause are asked of the server; metadata and due range are not.

    Raises:
        Unsupported: by a text that slugs contain.

    """
    _check(query)
    if () in {query.kinds, query.states}:
        return Page([], None)
    asked = _asked_tasks(tenant, query)
    size = asked.size(query.limit)
    found: list[tuple[Task | Unreadable, str]] = []
    after, scanned = query.after, 0
    while scanned < searching.SCAN:
        page = await tenant.connection.query(_in_slug_order(asked.query, query.prefix, after).limit(size))
        found += _looked_at(tenant, query, (each.row for each in page))
        if len(found) > query.limit:
            return _page(found[: query.limit], task_cursor(found[query.limit - 1][1]))
        if len(page) < size:
            return _page(found, None)
        after, scanned = page[-1].row.fields["slug"], scanned + size
    return _page(found, None if after is None else task_cursor(after))


def _looked_at(tenant: Tenant, query: TaskQuery, rows: Iterable[Row]) -> Iterator[tuple[Task | Unreadable, str]]:
    """Yield what matches, each with where it stands in slug order.

    What cannot be read matches all that the server was asked, and nothing that is compared here.
    """
    for row in rows:
        try:
            task = tenant.load(row)
        except UnreadableTask as error:
            if not _is_compared(query):
                yield Unreadable(error.slug, error.reason), row.fields["slug"]
        else:
            if matches_task(query, task):
                yield task, task.slug


def _page(found: Sequence[tuple[Task | Unreadable, str]], following: str | None) -> Page[Task]:
    unreadable = tuple(each for each, _ in found if isinstance(each, Unreadable))
    return Page([each for each, _ in found if isinstance(each, Task)], following, unreadable)


async def count(tenant: Tenant, query: TaskQuery) -> int:
    """Return how many tasks match.

    The server counts if it can be asked every condition; else all that may match are read, to the end.

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
        page = await tenant.connection.query(_in_slug_order(asked.query, query.prefix, after).select(_COMPARED).limit(searching.READ))
        found += sum(1 for _ in _looked_at(tenant, query, (each.row for each in page)))
        if len(page) < searching.READ:
            return found
        after = page[-1].row.fields["slug"]


def _check(query: TaskQuery) -> None:
    if query.contains:
        raise Unsupported("FirestoreStore", "search for a text that slugs contain", "search by prefix, kinds or metadata")


def _asked_tasks(tenant: Tenant, query: TaskQuery) -> Asked:
    asked = Asked(AsyncQuery(tenant.tasks)).one_of("kind", query.kinds).one_of("state", query.states).where("paused", "==", query.paused)
    return evolve(asked, is_whole=asked.is_whole and not _is_compared(query))


def _is_compared(query: TaskQuery) -> bool:
    return bool(query.metadata or query.due_from or query.due_until)
