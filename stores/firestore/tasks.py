"""What people and programs do with a task that is there: edits of the version they read, and deletions."""

from datetime import datetime

from attrs import evolve

from duly.jobs import Task
from duly.stores.errors import Conflict, JobNotFound
from duly.stores.firestore.documents import Row, dump_task
from duly.stores.firestore.tenant import BATCH, Settled, Tenant, Write
from duly.stores.rules import transitions


async def update(tenant: Tenant, now: datetime, task: Task) -> Task:
    """Write an edit of the version in `task`: one read and one write, more only when a heartbeat comes in between."""

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
    """Tell whether this very edit was written before, its answer lost: made again on what is there, it changes nothing."""
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
    """Delete every task, a batch at a time: one read and one delete for each. What is created meanwhile goes too, or stays."""
    seen: set[str] = set()
    while found := await tenant.connection.query(tenant.tasks.select([]).limit(BATCH)):
        seen.update(each.id for each in found)
        await tenant.delete_all(tenant.tasks.document(each.id) for each in found)
    return len(seen)
