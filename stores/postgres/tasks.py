"""What people and programs do with tasks: create, read, edit and delete them."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

import psycopg

from duly.jobs import Task
from duly.stores.errors import Conflict, JobAlreadyScheduled, JobNotFound, StoreError
from duly.stores.matching import check_batch
from duly.stores.postgres.portions import portions
from duly.stores.postgres.rows import batch, definition, edited, read_task, task_cell
from duly.stores.postgres.session import Session
from duly.stores.postgres.slug_range import slug_range
from duly.stores.queries import Page, TaskQuery, task_cursor
from duly.stores.reading import sorted_out
from duly.stores.records import IfExists
from duly.stores.rules.definitions import replace
from duly.stores.rules.transitions import gives_way

_CLEARED_AT_ONCE: Final = 5000


async def create(session: Session, now: datetime, tasks: Sequence[Task], if_exists: IfExists) -> list[str]:
    """Write new tasks as `if_exists` says."""
    check_batch(tasks)
    with session.doubts.about("create", now, *(task.slug for task in tasks)) as repeated:
        ours = await _written_at(session, now, tasks) if repeated else set()
        rest = [task for task in tasks if task.slug not in ours]  # what was written may have failed by now, and would give way
        if if_exists == "error":
            if not ours:  # or all were, by the first attempt
                await _create_all(session, now, tasks)
            return [task.slug for task in tasks]
        written = await (_replace if if_exists == "replace" else _create_missing)(session, now, rest)
    return [task.slug for task in tasks if task.slug in written | ours]


async def _create_all(session: Session, now: datetime, tasks: Sequence[Task]) -> None:
    """Write all or, if any slug exists, none: also those of several statements are one transaction."""
    in_order = sorted(tasks, key=lambda task: task.slug)
    steps = [
        session.step(session.sql.create, {"tasks": batch([definition(task) for task in portion]), "now": now})
        for portion in portions(in_order, _size)
    ]
    while True:
        try:
            await session.connections.run(session.enter(now), *steps)
        except StoreError as error:
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            taken = {slug for slug, row in (await _existing(session, tasks)).items() if row is None or not gives_way(row)}
            if taken:
                raise JobAlreadyScheduled(tuple(task.slug for task in tasks if task.slug in taken)) from None
            # Whoever was in the way is gone by now, or gives way.
        else:
            return


async def _written_at(session: Session, now: datetime, tasks: Sequence[Task]) -> set[str]:
    """Return the slugs of what was created or changed at the very instant of a call.

    That is the call's own work, if its answer was lost.
    """
    rows = await _existing(session, tasks)
    return {slug for slug, row in rows.items() if row is not None and now in (row.created_at, row.updated_at)}


async def _create_missing(session: Session, now: datetime, tasks: Sequence[Task]) -> set[str]:
    """Write what does not exist yet, and return the slugs of that."""
    written: set[str] = set()
    for portion in portions(sorted(tasks, key=lambda task: task.slug), _size):
        values = {"tasks": batch([definition(task) for task in portion]), "now": now}
        steps = (session.hold_aside(task.slug for task in portion), session.step(session.sql.create_missing, values))
        *_, rows = await session.connections.run(session.enter(now), *steps)
        written.update(slug for (slug,) in rows)
    return written


async def _replace(session: Session, now: datetime, tasks: Sequence[Task]) -> set[str]:
    """Change the definitions of what exists and create the rest.

    Nothing is locked between reading and writing: what somebody else changed in the meantime is read and decided again. What this
    version cannot read is left as it is.
    """
    written: set[str] = set()
    undecided = {task.slug: task for task in tasks}
    while undecided:
        there = await _existing(session, tuple(undecided.values()))
        rows = {slug: row for slug, row in there.items() if row is not None}
        missing = [task for slug, task in undecided.items() if slug not in there]
        changed = {slug: task for slug, row in rows.items() if (task := replace(row, undecided[slug], now=now)) is not None}
        done = await _create_missing(session, now, missing)
        done |= await _edit(session, now, [(task, rows[slug].version) for slug, task in changed.items()])
        written |= done
        undecided = {slug: undecided[slug] for slug in (*changed, *(task.slug for task in missing)) if slug not in done}
    return written


async def _existing(session: Session, tasks: Sequence[Task]) -> dict[str, Task | None]:
    """Return those that exist by slug; None for one that this version cannot read."""
    found: dict[str, Task | None] = {}
    for portion in portions(tasks, _size):
        rows = await session.ask(session.sql.get, slugs=[task.slug for task in portion])
        readable, unreadable = sorted_out(rows, lambda row: read_task(row, session.namespace))
        found |= {task.slug: task for task in readable}
        found |= {each.slug: None for _, each in unreadable}
    return found


async def _edit(session: Session, now: datetime, edits: Sequence[tuple[Task, int]]) -> set[str]:
    """Write edits of the versions given with them, and return the slugs of those that were the newest."""
    done: set[str] = set()
    for portion in portions(sorted(edits, key=lambda edit: edit[0].slug), lambda edit: _size(edit[0])):
        rows = await session.ask_at(now, session.sql.edit, tasks=batch([edited(*edit) for edit in portion]))
        done.update(task_cell(row, "slug") for row in rows)
    return done


async def update(session: Session, now: datetime, task: Task) -> Task:
    """Write an edit of the newest version."""
    with session.doubts.about("update", now, task.slug, task.version) as repeated:
        while True:
            rows = await session.ask_at(now, session.sql.edit, tasks=batch([edited(task, task.version)]))
            if rows:
                return read_task(rows[0], session.namespace)
            row = await get(session, task.slug)
            if repeated and (row.version, row.updated_at) == (task.version + 1, now):
                return row
            if row.version != task.version:
                raise Conflict(task.slug, task.version)
            # A heartbeat came in between, which is no change: once more.


async def get(session: Session, slug: str) -> Task:
    """Return the task."""
    rows = await session.ask(session.sql.get, slugs=[slug])
    if not rows:
        raise JobNotFound(slug, session.namespace)
    return read_task(rows[0], session.namespace)


async def get_slugs(session: Session, prefix: str, limit: int, after: str | None) -> list[str]:
    """Return slugs in order."""
    first, end = slug_range(prefix, after)
    return [slug for (slug,) in await session.ask(session.sql.get_slugs, first=first, end=end, limit=limit)]


async def search(session: Session, query: TaskQuery) -> Page[Task]:
    """Return the tasks that match."""
    rows = await session.ask_by_values(session.sql.search, search_values(query))
    items, unreadable = sorted_out(rows[: query.limit], lambda row: read_task(row, session.namespace))
    following = task_cursor(task_cell(rows[query.limit - 1], "slug")) if len(rows) > query.limit else None
    return Page(items, following, tuple(each for _, each in unreadable))


def search_values(query: TaskQuery) -> dict[str, object]:
    """Return the values of `search.sql`, for a page and the first task beyond it."""
    first, end = slug_range(query.prefix, query.after)
    return {"first": first, "end": end, **_conditions(query), "limit": query.limit + 1}


async def count(session: Session, query: TaskQuery) -> int:
    """Return how many tasks match."""
    ((found,),) = await session.ask_by_values(session.sql.count, count_values(query))
    return cast("int", found)


def count_values(query: TaskQuery) -> dict[str, object]:
    """Return the values of `count.sql`."""
    first, end = slug_range(query.prefix, None)
    return {"first": first, "end": end, **_conditions(query)}


def _conditions(query: TaskQuery) -> dict[str, object]:
    return {
        "kinds": None if query.kinds is None else list(query.kinds),
        "states": None if query.states is None else [state.value for state in query.states],
        "paused": query.paused,
        "contains": query.contains,
        "metadata": json.dumps(dict(query.metadata)) if query.metadata else None,
        "due_from": query.due_from,
        "due_until": query.due_until,
    }


async def delete(session: Session, slug: str, version: int | None) -> None:
    """Delete the task."""
    with session.doubts.about("delete", slug, version) as repeated:
        ((deleted, found),) = await session.ask(session.sql.delete, slug=slug, version=version)
        if deleted or (repeated and not found):
            return
        if version is None or not found:
            raise JobNotFound(slug, session.namespace)
        raise Conflict(slug, version)


async def clear(session: Session) -> int:
    """Delete every task, so many at a time that no statement takes long."""
    total = 0
    while True:
        ((found, deleted),) = await session.ask(session.sql.clear, limit=_CLEARED_AT_ONCE)
        total += cast("int", deleted)
        if not found:
            return total


def _size(task: Task) -> int:
    return len(task.payload)
