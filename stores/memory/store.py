"""Tasks in this process's memory: for unit tests, and for schedules that need not outlive the process.

Everything the other stores do, under one lock that is held for microseconds, so that schedulers in several event loops
and threads may share it. What it cannot do: survive the process, or be seen from another one.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from datetime import datetime, timedelta
from threading import Lock
from typing import Self

from duly.jobs import Task
from duly.stores.base import BaseStore
from duly.stores.errors import StoreClosed
from duly.stores.matching import check_batch
from duly.stores.memory import leases
from duly.stores.memory import nodes as kept_nodes
from duly.stores.memory import runs as kept_runs
from duly.stores.memory import tasks as kept_tasks
from duly.stores.memory.listener import listening
from duly.stores.memory.tenant import Tenant
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import Exchange, Extended, Held, IfExists, LockRequest, Node, Outcome, Run
from duly.stores.rules.refusals import taken_over


class _World:
    """What all the store objects on the same tasks share."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.tenants: dict[str, Tenant] = {}

    def tenant(self, namespace: str) -> Tenant:
        with self.lock:
            return self.tenants.setdefault(namespace, Tenant(namespace))


class MemoryStore(BaseStore):
    """A store that forgets everything when its last object is gone.

    It may be shared between threads and event loops.

    It has no clock of its own: the time of whoever calls it counts.
    """

    def __init__(self, *, namespace: str = "default") -> None:
        """Make an empty store; `sibling` and `tenant` make further objects on the same tasks."""
        super().__init__(namespace)
        self._bind(_World())

    def _bind(self, world: _World) -> None:
        self._world, self._kept = world, world.tenant(self._namespace)
        self._is_open = False

    def tenant(self, namespace: str) -> Self:
        """Return a store on the tasks of another namespace of this one, not yet open."""
        other = copy(self)
        BaseStore.__init__(other, namespace)
        other._bind(self._world)  # noqa: SLF001 - of the same class
        return other

    def sibling(self) -> Self:
        """Return a store on the same tasks, for another event loop."""
        return self.tenant(self._namespace)

    async def open(self) -> None:
        """Allow calls."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse calls from now on; the tasks stay for the other objects."""
        self._is_open = False

    @property
    def _tenant(self) -> Tenant:
        if not self._is_open:
            raise StoreClosed("MemoryStore")
        return self._kept

    @contextmanager
    def _step(self) -> Iterator[Tenant]:
        """Yield the namespace, under the lock."""
        tenant = self._tenant
        with self._world.lock:
            yield tenant

    async def now(self) -> datetime | None:
        """Return None: memory has no clock."""
        _ = self._tenant
        return None

    # -- what a node lives on

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished, then lock what is due."""
        with self._step() as tenant:
            refused = leases.reschedule(tenant, now, outcomes)
            tasks = leases.lock(tenant, now, request) if request else []
            next_run = leases.next_run(tenant, request.rooms) if request else None
        return Exchange(tasks=tasks, refused=taken_over(refused, tasks), next_run=next_run, store_now=None)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend leases."""
        with self._step() as tenant:
            return leases.extend(tenant, now, held, lease)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant; None: there is none."""
        with self._step() as tenant:
            return leases.next_run(tenant, kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold slots of a kind."""
        with self._step() as tenant:
            return kept_nodes.slots(tenant, now, node, kind, (want, total), now + lease)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield after every write by anybody that may make something due sooner."""
        with listening(self._tenant, self._world.lock) as rings:
            yield rings

    # -- what people and programs do with tasks

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks."""
        with self._step() as tenant:
            check_batch(tasks)
            return kept_tasks.create(tenant, now, tasks, if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        with self._step() as tenant:
            return tenant.task(slug)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs in order."""
        with self._step() as tenant:
            return kept_tasks.get_slugs(tenant, prefix, limit, after)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        with self._step() as tenant:
            return kept_tasks.search(tenant, query)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match."""
        with self._step() as tenant:
            return kept_tasks.count(tenant, query)

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit."""
        with self._step() as tenant:
            return kept_tasks.update(tenant, now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        with self._step() as tenant:
            del tenant.tasks[tenant.task(slug, version).slug]

    async def clear(self) -> int:
        """Delete every task of the namespace."""
        with self._step() as tenant:
            return kept_tasks.clear(tenant)

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match."""
        with self._step() as tenant:
            return kept_runs.runs(tenant, query)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs."""
        with self._step() as tenant:
            return kept_runs.prune(tenant, before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        with self._step() as tenant:
            kept_nodes.announce(tenant, node)

    async def nodes(self) -> list[Node]:
        """Return the announced nodes."""
        with self._step() as tenant:
            return kept_nodes.nodes(tenant)
