"""What the store's calls share: the lines, the statements, and whose tasks they are about."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from duly.stores.postgres.connections import Connections
from duly.stores.postgres.rows import Row
from duly.stores.postgres.statements import Statements, Step, statements
from duly.stores.postgres.unanswered import Unanswered


@frozen(kw_only=True)
class Session:
    """One namespace of one schema, over open connections."""

    connections: Connections
    schema: str
    namespace: str
    skew_limit: timedelta | None
    doubts: Unanswered = field(factory=Unanswered)
    sql: Statements = field(init=False)
    channel: str = field(init=False)
    """Where the hints of this namespace are heard: a name of fixed length, because a namespace may be longer than a channel."""

    @sql.default
    def _sql(self) -> Statements:
        return statements(self.schema)

    @channel.default
    def _channel(self) -> str:
        return "duly_" + hashlib.sha256(f"{self.schema}\0{self.namespace}".encode()).hexdigest()[:32]

    def step(self, query: bytes, values: Mapping[str, object] | None = None) -> Step:
        """Return a statement with its values, those of the session included."""
        return Step(query, {"namespace": self.namespace, "channel": self.channel, **(values or {})})

    def enter(self, now: datetime, *, key: tuple[str, ...] = (), lock_wait: timedelta | None = None) -> Step:
        """Return the first statement of a call that brings its time.

        Calls with the same `key` wait for each other; those after it wait for other locks no longer than `lock_wait`.
        """
        name = " ".join((self.schema, self.namespace, *key)) if key else None
        return Step(self.sql.enter, {"now": now, "skew_limit": self.skew_limit, "key": name, "lock_wait": lock_wait})

    def hold_aside(self, slugs: Iterable[str]) -> Step:
        """Return the statement that goes before one by which tasks that were set aside give way."""
        return self.step(self.sql.hold_aside, {"slugs": list(slugs)})

    async def ask(self, query: bytes, **values: object) -> list[Row]:
        """Run one statement that depends on no time."""
        (rows,) = await self.connections.run(self.step(query, values))
        return rows

    async def ask_afresh(self, query: bytes, **values: object) -> list[Row]:
        """Run one statement that depends on no time, with a plan of its own.

        This is for one that may choose among indexes.
        """
        (rows,) = await self.connections.run(self.step(query, values)._replace(prepare=False))
        return rows

    async def ask_by_values(self, query: bytes, values: Mapping[str, object]) -> list[Row]:
        """Run one statement that depends on no time, planned for these very values.

        What is best depends on which are given.
        """
        _, rows = await self.connections.run(*self.by_values(query, values))
        return rows

    def by_values(self, query: bytes, values: Mapping[str, object]) -> tuple[Step, Step]:
        """Return the steps of `ask_by_values`."""
        return Step(self.sql.by_values, {}), self.step(query, values)._replace(prepare=False)

    async def ask_at(self, now: datetime, query: bytes, **values: object) -> list[Row]:
        """Run one statement at the caller's time."""
        _, rows = await self.connections.run(self.enter(now), self.step(query, {"now": now, **values}))
        return rows
