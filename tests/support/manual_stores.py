"""Stores that leave the time to the clock of a test, although their servers have clocks of their own."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve

from detent.stores import Exchange, Extended, Held, JobStore, LockRequest, Outcome
from detent.stores.firestore import FirestoreStore
from detent.stores.postgres import PostgresStore


class _Clockless(JobStore):
    """Says nothing of its server's time, which a node would follow."""

    async def now(self) -> datetime | None:
        """Return nothing."""
        return None

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Do it, and keep the time to itself."""
        return evolve(await super().exchange(now, outcomes, request), store_now=None)  # type: ignore[safe-super]  # a store comes next

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Do it, and keep the time to itself."""
        return evolve(await super().extend(now, held, lease), store_now=None)  # type: ignore[safe-super]  # a store comes next


class ManualPostgresStore(_Clockless, PostgresStore):
    """A store in PostgreSQL for a scheduler on a manual clock."""


class ManualFirestoreStore(_Clockless, FirestoreStore):
    """A store in Firestore for a scheduler on a manual clock."""
