"""What people and programs do with tasks in memory: create, find, edit and delete them."""

from collections.abc import Sequence
from datetime import datetime
from heapq import nsmallest

from duly.jobs import Task
from duly.stores.errors import JobAlreadyScheduled
from duly.stores.matching import matches_task
from duly.stores.memory.tenant import Tenant
from duly.stores.queries import Page, TaskQuery
from duly.stores.records import IfExists
from duly.stores.rules import definitions, transitions


def create(tenant: Tenant, now: datetime, tasks: Sequence[Task], if_exists: IfExists) -> list[str]:
    """Write new tasks as `if_exists` says; all or none."""
    taken = tuple(task.slug for task in tasks if (row := tenant.tasks.get(task.slug)) is not None and not transitions.gives_way(row))
    if taken and if_exists == "error":
        raise JobAlreadyScheduled(taken)
    written = [task for each in tasks if (task := _created(tenant, now, each, if_exists)) is not None]
    for task in written:
        tenant.put(task)
    if written:
        tenant.ring()
    return [task.slug for task in written]


def _created(tenant: Tenant, now: datetime, task: Task, if_exists: IfExists) -> Task | None:
    row = tenant.tasks.get(task.slug)
    if row is not None and if_exists == "replace":
        return definitions.replace(row, task, now=now)
    if row is not None and not transitions.gives_way(row):
        return None
    return transitions.create(task, namespace=tenant.namespace, now=now, former=row)


def update(tenant: Tenant, now: datetime, task: Task) -> Task:
    """Write an edit of the newest version."""
    edited = transitions.edit(tenant.task(task.slug, task.version), task, now=now)
    tenant.put(edited)
    tenant.ring()
    return edited


def get_slugs(tenant: Tenant, prefix: str, limit: int, after: str | None) -> list[str]:
    """Return slugs in order."""
    return nsmallest(limit, (slug for slug in tenant.tasks if slug.startswith(prefix) and (after is None or slug > after)))


def search(tenant: Tenant, query: TaskQuery) -> Page[Task]:
    """Return the tasks that match."""
    found = (task for task in tenant.tasks.values() if (query.after is None or task.slug > query.after) and matches_task(query, task))
    page = nsmallest(query.limit + 1, found, key=lambda task: task.slug)
    items = page[: query.limit]
    return Page(items, items[-1].slug if len(page) > query.limit else None)


def count(tenant: Tenant, query: TaskQuery) -> int:
    """Return how many tasks match."""
    return sum(matches_task(query, task) for task in tenant.tasks.values())


def clear(tenant: Tenant) -> int:
    """Delete every task; return how many there were."""
    there = len(tenant.tasks)
    tenant.tasks.clear()
    return there
