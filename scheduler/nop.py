"""The scheduler that discards: what a program has where scheduling is turned off."""

from typing import Unpack

from detent.jobs import JobRegistry
from detent.scheduler.clock import Clock
from detent.scheduler.config import Settings
from detent.scheduler.std import StdScheduler
from detent.stores import JobStore, NopStore


class NopScheduler(StdScheduler):
    """The same face as `StdScheduler`; what is scheduled is checked as there, answered as if it were written, and discarded.

    Queries answer that there is nothing, a slug is never found (`JobNotFound`), nothing is run and no event is told. It
    needs no start, and `run` waits for a signal as ever. For a program without asyncio,
    `BlockingScheduler(NopStore())` does the same.
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

    async def start(self) -> None:
        """Check what the registry declares, and discard it.

        Raises:
            DetentError: what the start of a `StdScheduler` refuses of its jobs.

        """
        await self._declare()
