"""The store in Firestore, for nodes on any number of machines.

`docs/firestore.md` says what it costs and what it cannot do.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

from duly.jobs import Task
from duly.stores.base import BaseStore
from duly.stores.errors import JobNotFound, StoreClosed
from duly.stores.firestore import leases, listener
from duly.stores.firestore import nodes as kept_nodes
from duly.stores.firestore import runs as kept_runs
from duly.stores.firestore import tasks as kept_tasks
from duly.stores.firestore.connection import Target, connect
from duly.stores.firestore.creating import Creator
from duly.stores.firestore.locking import Locker, Taken
from duly.stores.firestore.tenant import Tenant
from duly.stores.matching import check_batch
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import (
    Exchange,
    Extended,
    Held,
    IfExists,
    LockRequest,
    Node,
    Outcome,
    Run,
)
from duly.stores.rules.refusals import taken_over

SKEW_LIMIT = timedelta(seconds=5)
"""How far a caller's `now` may be ahead of the server's clock."""


class _Opened:
    """What an open store works with; bound to the event loop in which it was opened."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.locker = Locker(tenant)
        self.creator = Creator(tenant)


class FirestoreStore(BaseStore):
    """A store in a Firestore database (native mode).

    Where `FIRESTORE_EMULATOR_HOST` names Google's emulator, it is there.

    Every change of a task is one conditional write, and there are no transactions. Each object has a client and a
    connection of its own, made in the event loop in which it is opened. Do not carry an open one across a fork.
    """

    def __init__(
        self, target: Target, *, namespace: str = "default", skew_limit: timedelta | None = SKEW_LIMIT, listening: bool = True
    ) -> None:
        """Connect to nothing yet.

        `skew_limit` bounds how far a `now` may be ahead of the server's clock; None allows any, as a manual clock needs.
        Without `listening` nobody is woken by other nodes' writes, which then cost no reads: nodes poll.
        """
        super().__init__(namespace)
        self._target, self._skew_limit, self._listening = target, skew_limit, listening
        self._opened: _Opened | None = None

    def sibling(self) -> Self:
        """Return a store on the same tasks, for another event loop."""
        return type(self)(self._target, namespace=self._namespace, skew_limit=self._skew_limit, listening=self._listening)

    async def open(self) -> None:
        """Connect, and ask the server for its time: one billed read.

        Raises:
            StoreUnavailable: nobody answers within a few seconds.
            StoreError: there are no credentials, or they are refused, or the database does not exist.

        """
        if self._opened is not None:
            return
        connection = await connect(self._target)
        tenant = Tenant(connection, self._namespace, self._skew_limit)
        try:
            await tenant.server_now()
        except BaseException:
            await connection.close()
            raise
        if not self._adopt(tenant):
            await connection.close()

    def _adopt(self, tenant: Tenant) -> bool:
        if self._opened is not None:
            return False  # two opened it at once, and the other one was faster
        self._opened = _Opened(tenant)
        return True

    async def close(self) -> None:
        """Close the connection; calls that are under way fail."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.tenant.connection.close()

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise StoreClosed("FirestoreStore")
        return self._opened

    async def _open_at(self, now: datetime) -> _Opened:
        opened = self._open
        await opened.tenant.check(now)
        return opened

    async def now(self) -> datetime | None:
        """Return the server's time: one billed read. Replies to holders carry it for nothing."""
        return await self._open.tenant.server_now()

    # -- what a node lives on

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished, then lock what is due: Firestore has no way to do both in one round trip."""
        opened = await self._open_at(now)
        clock = opened.tenant.connection.clock
        mark = clock.mark
        refused = await leases.reschedule(opened.tenant, now, outcomes)
        taken = await opened.locker.take(now, request) if request else Taken()
        return Exchange(
            tasks=taken.tasks,
            refused=taken_over(refused, taken.tasks),
            next_run=taken.next_run,
            store_now=clock.since(mark),
            unreadable=taken.unreadable,
        )

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend leases: one write each."""
        tenant = (await self._open_at(now)).tenant
        mark = tenant.connection.clock.mark
        kept, lost, busy = await leases.extend(tenant, held, now + lease)
        return Extended(kept=kept, lost=lost, busy=busy, store_now=tenant.connection.clock.since(mark))

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant."""
        return await self._open.locker.next_run(kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold slots of a kind."""
        return await kept_nodes.slots((await self._open_at(now)).tenant, kept_nodes.Wish(node, kind, want, total), now, now + lease)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield after every write by anybody that may make something due sooner.

        Yields nothing if the store was made without `listening`.
        """
        tenant = self._open.tenant
        if self._listening:
            async with listener.listen(tenant) as rings:
                yield rings
        else:
            yield listener.rings(asyncio.Event())

    # -- what people and programs do with tasks

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks.

        With `error` the call is one atomic commit as long as the tasks take less than about 4 MiB (2,700 small ones). A
        larger one is checked first and then written in parts; if another program creates one of the slugs at that very
        moment, the parts already written are taken back, but a node may have locked some of them by then.
        """
        check_batch(tasks)
        return await (await self._open_at(now)).creator.create(now, tasks, if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        tenant = self._open.tenant
        row = await tenant.connection.row(tenant.task_at(slug))
        if row is None:
            raise JobNotFound(slug, self._namespace)
        return tenant.load(row)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs in order."""
        return await kept_tasks.slugs(self._open.tenant, prefix, limit, after)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match. A page may be short, and still have a next, where few of many tasks do."""
        return await kept_tasks.search(self._open.tenant, query)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match.

        The server counts; by metadata or due range it costs a read for each task that may match.
        """
        return await kept_tasks.count(self._open.tenant, query)

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit."""
        return await kept_tasks.update((await self._open_at(now)).tenant, now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        await kept_tasks.delete(self._open.tenant, slug, version)

    async def clear(self) -> int:
        """Delete every task of the namespace."""
        return await kept_tasks.clear(self._open.tenant)

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match. A page may be short, and still have a next, where few of many runs do."""
        return await kept_runs.runs(self._open.tenant, query)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs: oldest first by age, task by task by count, which reads the whole history."""
        return await kept_runs.prune(self._open.tenant, before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        await kept_nodes.announce(self._open.tenant, node)

    async def nodes(self) -> list[Node]:
        """Return the announced nodes."""
        return await kept_nodes.nodes(self._open.tenant)
