"""A scheduler whose loops are turned by the test, and jobs that note that they ran."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from attrs import frozen

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import Event, StdScheduler
from duly.scheduler.node.dispatcher import Dispatcher
from duly.scheduler.testing import ManualClock
from duly.stores import RunQuery, RunStatus
from support.schedulers import Answer, ScriptedStore, heard

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Noting(JobRegistry):
    """A registry with the kind `note`, whose job notes the slug that it is run for."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []
        self.job("note")(self.note)

    async def note(self, ctx: JobContext) -> None:
        """Note the slug."""
        self.noted.append(ctx.slug)

    def gated(self) -> asyncio.Event:
        """Register the kind `gated`, whose job ends once the gate is open; return the gate."""
        gate = asyncio.Event()

        @self.job("gated")
        async def gated(ctx: JobContext) -> None:
            self.noted.append(ctx.slug)
            await ctx.sleep(timedelta(0))
            await gate.wait()

        return gate


@frozen
class Driven:
    """A scheduler whose loops are turned by the test."""

    scheduler: StdScheduler
    store: ScriptedStore
    clock: ManualClock
    events: list[Event]

    @property
    def dispatcher(self) -> Dispatcher:
        """Its dispatcher."""
        return self.scheduler.running_node.dispatcher

    async def turn(self, times: int = 1) -> None:
        """Exchange, and let every job come to rest."""
        for _ in range(times):
            await self.dispatcher.run_once()
            await self.scheduler.running_node.runs.rest()

    async def statuses(self) -> list[RunStatus]:
        """Return how the runs in the history ended, oldest first."""
        return [run.status for run in reversed((await self.scheduler.runs(RunQuery())).items)]

    def of(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def driven(
    jobs: JobRegistry, *answers: Answer, concurrency: int = 100, beside: Driven | None = None, store: ScriptedStore | None = None
) -> AsyncIterator[Driven]:
    """Start a scheduler on a clock that stands at noon.

    Its store is `store`, or one that gives `answers` first. With `beside` it has the clock of that other scheduler, and a
    sibling of its store.
    """
    clock = ManualClock(NOON) if beside is None else beside.clock
    store = store or (ScriptedStore(*answers) if beside is None else beside.store.sibling())
    async with StdScheduler(store, jobs=jobs, clock=clock, concurrency=concurrency, keep_runs=None) as scheduler:
        yield Driven(scheduler, store, clock, heard(scheduler))
