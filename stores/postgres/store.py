"""Tasks in PostgreSQL: for a fleet of nodes, and for schedules that outlive every one of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import Final, Self, cast

from attrs import evolve, frozen

from duly.jobs import Task
from duly.stores.base import BaseStore
from duly.stores.errors import StoreClosed
from duly.stores.postgres import leases
from duly.stores.postgres import nodes as kept_nodes
from duly.stores.postgres import runs as kept_runs
from duly.stores.postgres import tasks as kept_tasks
from duly.stores.postgres.address import Address, parse_address
from duly.stores.postgres.connections import Connections
from duly.stores.postgres.listener import Listener
from duly.stores.postgres.migrate import migrate
from duly.stores.postgres.session import Session
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

SKEW_LIMIT: Final = timedelta(seconds=5)
POOL_SIZE: Final = 4
TIMEOUT: Final = timedelta(seconds=10)
_SIBLINGS_POOL: Final = 2


@frozen(kw_only=True)
class Settings:
    """How a store was made, and its siblings are."""

    address: Address
    pool_size: int
    timeout: timedelta
    skew_limit: timedelta | None


class PostgresStore(BaseStore):
    """A store in a PostgreSQL database, in a schema of its own which `open` creates and migrates.

    Tested on PostgreSQL 15 and 18; the database's encoding must be UTF8.

    `conninfo` is a URL or a connection string of libpq; `schema` counts more than a `schema=` in the URL's query. `timeout` bounds
    how long a statement may take and how long anything is waited for. `skew_limit` is how far a caller's `now` may be ahead of the
    server's clock; None, for manual clocks, allows any. Up to `pool_size` connections are made when needed, and one more for each
    `listen`.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        namespace: str = "default",
        schema: str | None = None,
        pool_size: int = POOL_SIZE,
        timeout: timedelta = TIMEOUT,
        skew_limit: timedelta | None = SKEW_LIMIT,
    ) -> None:
        """Connect to nothing yet.

        Raises:
            InvalidStoreURL: `conninfo` or `schema` cannot be.

        """
        super().__init__(namespace)
        address = parse_address(conninfo, schema)
        self._bind(Settings(address=address, pool_size=pool_size, timeout=timeout, skew_limit=skew_limit))

    def _bind(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Session | None = None
        self._opening = asyncio.Lock()

    def sibling(self) -> Self:
        """Return a store on the same tasks, not yet open, with one or two connections of its own."""
        other = copy(self)
        other._bind(evolve(self._settings, pool_size=_SIBLINGS_POOL))  # noqa: SLF001 - of the same class
        return other

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        Raises:
            StoreUnavailable: no connection; one line says where and why, without the password.
            SchemaMismatch: the schema is newer than this version can serve.
            StoreError: the database is not fit for it, or the user may not create the schema.

        """
        async with self._opening:
            if self._opened is None:
                self._opened = await self._connect()

    async def _connect(self) -> Session:
        settings = self._settings
        connections = Connections(settings.address, size=settings.pool_size, timeout=settings.timeout)
        try:
            async with connections.borrow() as connection:
                await migrate(connection, settings.address.schema)
        except BaseException:
            await connections.close()
            raise
        return Session(
            connections=connections,
            schema=settings.address.schema,
            namespace=self._namespace,
            skew_limit=settings.skew_limit,
        )

    async def close(self) -> None:
        """Wait for the calls under way, each within its bounds, and disconnect."""
        async with self._opening:
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened.connections.close()

    @property
    def _session(self) -> Session:
        if self._opened is None:
            raise StoreClosed("PostgresStore")
        return self._opened

    async def now(self) -> datetime | None:
        """Return the server's clock."""
        session = self._session
        ((now,),) = await session.ask(session.sql.now)
        return cast("datetime", now)

    # -- what a node lives on

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished and lock what is due: one round trip, one commit."""
        return await leases.exchange(self._session, now, outcomes, request)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend leases."""
        return await leases.extend(self._session, now, held, lease)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant."""
        return await leases.next_run(self._session, kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold slots of a kind."""
        return await kept_nodes.slots(self._session, now, node, kind, (want, total), lease)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield after a write by anybody, committed, that may make something due within about a minute."""
        listener = Listener(self._session, self._settings.address, self._settings.timeout)
        async with listener.listening() as rings:
            yield rings

    # -- what people and programs do with tasks

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks."""
        return await kept_tasks.create(self._session, now, tasks, if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        return await kept_tasks.get(self._session, slug)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs in order."""
        return await kept_tasks.get_slugs(self._session, prefix, limit, after)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        return await kept_tasks.search(self._session, query)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match, as of one instant."""
        return await kept_tasks.count(self._session, query)

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit; a row that somebody else's transaction holds is waited for, for half the timeout."""
        return await kept_tasks.update(self._session, now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        await kept_tasks.delete(self._session, slug, version)

    async def clear(self) -> int:
        """Delete every task of the namespace."""
        return await kept_tasks.clear(self._session)

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match."""
        return await kept_runs.runs(self._session, query)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs."""
        return await kept_runs.prune(self._session, before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        await kept_nodes.announce(self._session, node)

    async def nodes(self) -> list[Node]:
        """Return the announced nodes."""
        return await kept_nodes.nodes(self._session)
