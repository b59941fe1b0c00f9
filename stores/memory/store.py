"""Tasks in this process's memory: for unit tests, and for schedules that need not outlive the process.

Everything the other stores do, under one lock that is held for microseconds, so that schedulers in several event loops
and threads may share it. What it cannot do: survive the process, or be seen from another one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from heapq import nlargest, nsmallest
from threading import Lock
from typing import Self

from duly.jobs import Task
from duly.jobs.validators import check_name
from duly.stores.base import JobStore
from duly.stores.errors import StoreClosed
from duly.stores.matching import check_batch, matches_run, matches_task
from duly.stores.memory.tenant import Tenant
from duly.stores.queries import Page, RunQuery, TaskQuery, parse_run_cursor, run_cursor
from duly.stores.records import (
    Exchange,
    Extended,
    Held,
    IfExists,
    LockRequest,
    Node,
    Outcome,
    Refused,
    Run,
)
from duly.stores.rules.transitions import taken_over


class _World:
    """What all the store objects on the same tasks share."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.tenants: dict[str, Tenant] = {}

    def tenant(self, namespace: str) -> Tenant:
        with self.lock:
            return self.tenants.setdefault(namespace, Tenant(namespace))


class MemoryStore(JobStore):
    """A store that forgets everything when its last object is gone; safe to share between threads and event loops.

    It has no clock of its own: the time of whoever calls it counts.
    """

    def __init__(self, *, namespace: str = "default") -> None:
        """Make an empty store; `sibling` and `tenant` make further objects on the same tasks."""
        check_name("namespace", namespace)
        self._bind(_World(), namespace)

    def _bind(self, world: _World, namespace: str) -> None:
        self._world, self._namespace = world, namespace
        self._kept = world.tenant(namespace)
        self._is_open = False

    def tenant(self, namespace: str) -> Self:
        """Return a store on the tasks of another namespace of this one, not yet open."""
        check_name("namespace", namespace)
        other = type(self).__new__(type(self))
        other._bind(self._world, namespace)  # noqa: SLF001 - of the same class
        return other

    def sibling(self) -> Self:
        """Return a store on the same tasks, for another event loop."""
        return self.tenant(self._namespace)

    @property
    def namespace(self) -> str:
        """The tenant whose tasks this object sees."""
        return self._namespace

    async def open(self) -> None:
        """Allow calls."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse calls from now on; the tasks stay for the other objects."""
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

    @property
    def _tenant(self) -> Tenant:
        if not self._is_open:
            raise StoreClosed("MemoryStore")
        return self._kept

    async def now(self) -> datetime | None:
        """Return None: memory has no clock."""
        _ = self._tenant
        return None

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished, then lock what is due."""
        tenant = self._tenant
        with self._world.lock:
            refused = tenant.reschedule(now, outcomes)
            tasks = tenant.lock(now, request) if request else []
            next_run = tenant.next_run(request.rooms) if request else None
        return Exchange(tasks=tasks, refused=taken_over(refused, tasks), next_run=next_run, store_now=None)

    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock due tasks."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.lock(now, request)

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write outcomes."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.reschedule(now, outcomes)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend leases."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.extend(now, held, lease)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.next_run(kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold slots of a kind."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.slots(now, node, kind, want, total, now + lease)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield after every write by anybody that may make something due sooner."""
        tenant, heard, loop = self._tenant, asyncio.Event(), asyncio.get_running_loop()

        def ring() -> None:
            with suppress(RuntimeError):  # the loop was closed inside the context: nobody listens there any more
                loop.call_soon_threadsafe(heard.set)

        with self._world.lock:
            tenant.bells.add(ring)
        try:
            yield _rings(heard)
        finally:
            with self._world.lock:
                tenant.bells.discard(ring)

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks."""
        tenant = self._tenant
        check_batch(tasks)
        with self._world.lock:
            return tenant.create(now, tasks, if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.task(slug)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs in order."""
        tenant = self._tenant
        with self._world.lock:
            found = [slug for slug in tenant.tasks if slug.startswith(prefix) and (after is None or slug > after)]
        return nsmallest(limit, found)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        tenant = self._tenant
        with self._world.lock:
            found = [
                task for task in tenant.tasks.values() if (query.after is None or task.slug > query.after) and matches_task(query, task)
            ]
        page = nsmallest(query.limit + 1, found, key=lambda task: task.slug)
        items = page[: query.limit]
        return Page(items, items[-1].slug if len(page) > query.limit else None)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match."""
        tenant = self._tenant
        with self._world.lock:
            return sum(matches_task(query, task) for task in tenant.tasks.values())

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.update(now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        tenant = self._tenant
        with self._world.lock:
            del tenant.tasks[tenant.task(slug, version).slug]

    async def clear(self) -> int:
        """Delete every task of the namespace."""
        tenant = self._tenant
        with self._world.lock:
            count = len(tenant.tasks)
            tenant.tasks.clear()
        return count

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match."""
        tenant = self._tenant
        below = None if query.after is None else parse_run_cursor(query.after)
        with self._world.lock:
            found = [
                run for run in tenant.runs.values() if (below is None or (run.finished_at, run.id) < below) and matches_run(query, run)
            ]
        page = nlargest(query.limit + 1, found, key=lambda run: (run.finished_at, run.id))
        items = page[: query.limit]
        return Page(items, run_cursor(items[-1]) if len(page) > query.limit else None)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs."""
        tenant = self._tenant
        with self._world.lock:
            return tenant.prune(before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        tenant = self._tenant
        with self._world.lock:
            if node.until > node.seen_at:
                tenant.nodes[node.name] = node
            else:
                tenant.nodes.pop(node.name, None)

    async def nodes(self) -> list[Node]:
        """Return the announced nodes."""
        tenant = self._tenant
        with self._world.lock:
            return [tenant.nodes[name] for name in sorted(tenant.nodes)]


async def _rings(heard: asyncio.Event) -> AsyncIterator[None]:
    while True:
        await heard.wait()
        heard.clear()
        yield
