"""A scheduler's life.

Work that ends when it is let go, and what must be left of a scheduler that was closed.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import StdScheduler
from support.schedulers import tasks_of_the_library, threads_of
from support.waiting import wait_until_async

QUICK = timedelta(seconds=1)
"""What should take no time, takes less than this on a slow machine."""


class Work:
    """A registry whose job `work` ends once it is let go, and whose job `thread` does so in a thread."""

    def __init__(self) -> None:
        self.registry = JobRegistry()
        self.began: list[tuple[str, int]] = []
        self.gate, self.thread_gate = asyncio.Event(), threading.Event()
        self.registry.job("work")(self._work)
        self.registry.job("thread")(self._thread)

    async def _work(self, ctx: JobContext) -> None:
        self.began.append((ctx.slug, ctx.attempt))
        await self.gate.wait()

    def _thread(self, ctx: JobContext) -> None:
        self.began.append((ctx.slug, ctx.attempt))
        assert self.thread_gate.wait(30)


async def nothing_is_left_of(scheduler: StdScheduler) -> None:
    """Assert that no task of the library is left in this loop, and soon no thread of this node."""
    assert not tasks_of_the_library()
    await wait_until_async(lambda: not threads_of(scheduler.node))


@asynccontextmanager
async def takes_less_than(limit: timedelta) -> AsyncIterator[None]:
    """Assert how long the body takes."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < limit.total_seconds()
