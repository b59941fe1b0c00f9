"""Two tenants of one database, each with a scheduler whose loops are turned by the test.

Every name that one uses, the other uses too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from attrs import frozen

from duly.jobs import Fail, JobContext, JobRegistry, PayloadKeys, Task
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock
from duly.stores import JobStore, MemoryStore
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.postgres import PostgresStore
from support.driven import NOON

MakeStore = Callable[[str], JobStore]
"""Returns a store bound to a namespace of one database, not yet open; any `now` suits it."""

STORES = ("memory", pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("firestore", marks=pytest.mark.firestore))


def stores_of(name: str, request: pytest.FixtureRequest) -> MakeStore:
    """Return how to make stores on one fresh database of the kind named."""
    if name == "postgres":
        url, run = request.getfixturevalue("postgres_url"), uuid4().hex
        return lambda namespace: PostgresStore(url, namespace=f"{namespace} {run}", schema="tenants", skew_limit=None, pool_size=2)
    if name == "firestore":
        target = Target(project=request.getfixturevalue("firestore_project"))
        return lambda namespace: FirestoreStore(target, namespace=namespace, skew_limit=None, listening=False)
    return MemoryStore().tenant


class Seen(JobRegistry):
    """The jobs of one tenant, which note slug and payload of what they are run for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bytes]] = []
        self.fires: list[datetime] = []
        self.gate = asyncio.Event()
        self.job("note")(self.note)
        self.job("gated", global_limit=1)(self.gated)
        self.job("parent")(self.parent)

    async def note(self, ctx: JobContext, task: Task) -> None:
        """Note it, and fail for good where the payload says so."""
        self.seen.append((ctx.slug, bytes(task.payload)))
        self.fires.append(ctx.fire_time)
        if task.payload == b"fail":
            raise Fail("as it was told")

    async def gated(self, ctx: JobContext, task: Task) -> None:
        """Note it, and end once the gate is open."""
        self.seen.append((ctx.slug, bytes(task.payload)))
        await ctx.sleep(timedelta(0))
        await self.gate.wait()

    async def parent(self, ctx: JobContext, task: Task) -> None:
        """Have a child with the same payload."""
        ctx.spawn("child", "note", payload=bytes(task.payload))


@frozen
class Tenant:
    """A scheduler on a namespace, and what its jobs have seen."""

    scheduler: StdScheduler
    jobs: Seen
    clock: ManualClock


@asynccontextmanager
async def a_tenant(store: JobStore, clock: ManualClock, keys: PayloadKeys | None = None) -> AsyncIterator[Tenant]:
    """Start a node that is called `n`, whatever the tenant is called."""
    jobs = Seen()
    async with StdScheduler(store, jobs=jobs, clock=clock, node="n", keys=keys, keep_runs=None) as scheduler:
        try:
            yield Tenant(scheduler, jobs, clock)
        finally:
            jobs.gate.set()


@asynccontextmanager
async def two_tenants(make_store: MakeStore, keys: PayloadKeys | None = None) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """Start both, on one clock, which stands at noon."""
    clock = ManualClock(NOON)
    async with a_tenant(make_store("mine"), clock, keys) as mine, a_tenant(make_store("theirs"), clock, keys) as theirs:
        yield mine, theirs
