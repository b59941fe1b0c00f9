"""The scheduler that discards tasks: for a program in which scheduling is turned off."""

from datetime import timedelta
from typing import Unpack

from duly.jobs import JobRegistry
from duly.jobs.keywords import explicit
from duly.scheduler.clock import Clock
from duly.scheduler.config import SchedulerConfig, Settings
from duly.scheduler.errors import SchedulerClosed
from duly.scheduler.executors.fetched.fetch import Fetching
from duly.scheduler.rules.new_task import NewTask
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.std import StdScheduler
from duly.stores import JobStore, NopStore


class NopScheduler(StdScheduler):
    """A `StdScheduler` that checks what is scheduled, answers as if it were written, and discards it.

    Queries find nothing, and every slug raises `JobNotFound`. It runs nothing and publishes no event. Only `fetch` needs
    `start`: its stream has no tasks, and ends when the scheduler is drained or closed. `run` waits for a signal as usual.
    A program without asyncio uses `BlockingScheduler(NopStore())`.
    """

    @explicit(Settings, SchedulerConfig)
    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        jobs: JobRegistry | None = None,
        clock: Clock | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Take the arguments of `StdScheduler`; `store` is ignored, so that none is needed."""
        del store
        super().__init__(NopStore(), jobs=jobs, clock=clock, **settings)
        self._is_started = False

    async def start(self) -> None:
        """Check the declared tasks, and discard them.

        Raises:
            DulyError: the start of a `StdScheduler` would refuse its jobs.

        """
        await self._declare()
        self._is_started = True

    def _tell_of(self, new: NewTask) -> None:
        """Publish nothing."""

    def fetch(self, kind: str, *, max_in_flight: int = 10) -> Fetching:
        """Return a stream without tasks; it ends when the scheduler is drained or closed.

        Raises:
            SchedulerClosed: the scheduler is not started, or was drained.
            JobAlreadyRegistered, InvalidValue: as in `StdScheduler.fetch`.

        """
        if not self._is_started:
            raise SchedulerClosed
        subscription = self._subscriptions.open(kind, max_in_flight, LiveRuns(self._services.clock), lambda: None)
        return Fetching(subscription, self.config.payload_limit)

    async def drain(self, grace: timedelta | None = None) -> None:
        """End every fetched stream; nothing runs, so it does not wait, and `grace` is ignored."""
        del grace
        self._is_started = False
        self._subscriptions.clear()
