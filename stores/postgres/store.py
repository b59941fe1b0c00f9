"""Tasks in PostgreSQL: for a fleet of nodes, and for schedules that outlive every one of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Self, cast

from attrs import evolve, frozen

from duly.jobs import Task
from duly.jobs.validators import check_name
from duly.stores.base import JobStore
from duly.stores.errors import StoreClosed
from duly.stores.postgres import leases as holding
from duly.stores.postgres import nodes as node_rows
from duly.stores.postgres import runs as history
from duly.stores.postgres import tasks as keeping
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
    Refused,
    Run,
)

SKEW_LIMIT: Final = timedelta(seconds=5)
_SIBLINGS_POOL: Final = 2


@frozen(kw_only=True)
class Settings:
    """How a store was made, and its siblings are."""

    address: Address
    namespace: str
    pool_size: int
    timeout: timedelta
    skew_limit: timedelta | None


class PostgresStore(JobStore):
    """A store in a PostgreSQL database (tested on 15 and 18; encoding UTF8), in a schema of its own which `open` creates and migrates.

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
        pool_size: int = 4,
        timeout: timedelta = timedelta(seconds=10),
        skew_limit: timedelta | None = SKEW_LIMIT,
    ) -> None:
        """Connect to nothing yet.

        Raises:
            InvalidStoreURL: `conninfo` or `schema` cannot be.

        """
        check_name("namespace", namespace)
        address = parse_address(conninfo, schema)
        self._bind(Settings(address=address, namespace=namespace, pool_size=pool_size, timeout=timeout, skew_limit=skew_limit))

    def _bind(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Session | None = None
        self._opening = asyncio.Lock()

    def sibling(self) -> Self:
        """Return a store on the same tasks, not yet open, with one or two connections of its own."""
        other = type(self).__new__(type(self))
        other._bind(evolve(self._settings, pool_size=_SIBLINGS_POOL))  # noqa: SLF001 - of the same class
        return other

    @property
    def namespace(self) -> str:
        """The tenant whose tasks this object sees."""
        return self._settings.namespace

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
            namespace=settings.namespace,
            skew_limit=settings.skew_limit,
        )

    async def close(self) -> None:
        """Wait for the calls under way, each within its bounds, and disconnect."""
        async with self._opening:
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened.connections.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

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

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished and lock what is due: one round trip, one commit."""
        return await holding.exchange(self._session, now, outcomes, request)

    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock due tasks."""
        return await holding.lock(self._session, now, request)

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write outcomes."""
        return (await holding.exchange(self._session, now, outcomes, None)).refused

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend leases."""
        return await holding.extend(self._session, now, held, lease)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant."""
        return await holding.next_run(self._session, kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold slots of a kind."""
        return await node_rows.slots(self._session, now, node, kind, (want, total), lease)

    @asynccontextmanager
    async def _listen(self) -> AsyncIterator[AsyncIterator[None]]:
        listener = Listener(self._session, self._settings.address, self._settings.timeout)
        async with listener.listening() as rings:
            yield rings

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield after a write by anybody, committed, that may make something due within about a minute."""
        return self._listen()

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks."""
        return await keeping.create(self._session, now, tasks, if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        return await keeping.get(self._session, slug)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs in order."""
        return await keeping.get_slugs(self._session, prefix, limit, after)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        return await keeping.search(self._session, query)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match, as of one instant."""
        return await keeping.count(self._session, query)

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit; a row that somebody else's transaction holds is waited for, for half the timeout."""
        return await keeping.update(self._session, now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        await keeping.delete(self._session, slug, version)

    async def clear(self) -> int:
        """Delete every task of the namespace."""
        return await keeping.clear(self._session)

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match."""
        return await history.runs(self._session, query)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs."""
        return await history.prune(self._session, before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        await node_rows.announce(self._session, node)

    async def nodes(self) -> list[Node]:
        """Return the announced nodes."""
        return await node_rows.nodes(self._session)
