"""The scheduler that discards: what a program has where scheduling is turned off."""

from datetime import timedelta
from typing import Unpack

from duly.jobs import JobRegistry
from duly.scheduler.clock import Clock
from duly.scheduler.config import Settings
from duly.scheduler.errors import SchedulerClosed
from duly.scheduler.executors.fetched.fetch import Fetching
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.std import StdScheduler
from duly.stores import JobStore, NopStore


class NopScheduler(StdScheduler):
    """The same face as `StdScheduler`; what is scheduled is checked as there, answered as if it were written, and discarded.

    Queries answer that there is nothing, a slug is never found (`JobNotFound`), nothing is run and no event is told. It
    needs no start, but to fetch, which waits until it is drained or closed; `run` waits for a signal as ever. For a program
    without asyncio, `BlockingScheduler(NopStore())` does the same.
    """

    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        jobs: JobRegistry | None = None,
        clock: Clock | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Take the arguments of `StdScheduler`; the store is not looked at, so that a program need not have one."""
        del store
        super().__init__(NopStore(), jobs=jobs, clock=clock, **settings)
        self._is_started = False

    async def start(self) -> None:
        """Check what the registry declares, and discard it.

        Raises:
            DulyError: what the start of a `StdScheduler` refuses of its jobs.

        """
        await self._declare()
        self._is_started = True

    def fetch(self, kind: str, *, max_in_flight: int = 10) -> Fetching:
        """Return a stream without tasks, which ends when this is drained or closed.

        Raises:
            SchedulerClosed: it is not started, or was drained.
            JobAlreadyRegistered, InvalidValue: as of a `StdScheduler`.

        """
        if not self._is_started:
            raise SchedulerClosed
        subscription = self._subscriptions.open(kind, max_in_flight, LiveRuns(self._services.clock), lambda: None)
        return Fetching(subscription, self.config.payload_limit)

    async def drain(self, grace: timedelta | None = None) -> None:
        """End what is fetched; nothing runs."""
        del grace
        self._is_started = False
        self._subscriptions.clear()
