"""Contexts for jobs that run without a scheduler.

One on real time, one whose time limits a test lets pass.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TypeVar

from duly.jobs import JobContext, Task, TimeLimitExceeded
from duly.jobs.context import Waiting
from duly.scheduler.runs.spawns import Spawns

T = TypeVar("T")

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class RealWaiting:
    """Waits as long as it says."""

    async def sleep(self, delay: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(delay.total_seconds())

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Bound `work` by `limit`."""
        try:
            async with asyncio.timeout(None if limit is None else limit.total_seconds()) as bound:
                return await work
        except TimeoutError as error:
            if bound.expired():
                raise TimeLimitExceeded(limit) from error
            raise


class ManualWaiting:
    """Waits until the test says that the time has passed, and never else."""

    def __init__(self) -> None:
        self._waits: list[tuple[timedelta, asyncio.Event]] = []

    @property
    def pending(self) -> list[timedelta]:
        """The times being waited for, oldest first."""
        return [delay for delay, _ in self._waits]

    def elapse(self, delay: timedelta) -> None:
        """Let the oldest wait for exactly `delay` end now; raise ValueError if there is none."""
        self._waits[self.pending.index(delay)][1].set()

    async def sleep(self, delay: timedelta) -> None:
        """Wait until `delay` is made to elapse."""
        wait = (delay, asyncio.Event())
        self._waits.append(wait)
        try:
            await wait[1].wait()
        finally:
            self._waits.remove(wait)

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Bound `work` until `limit` is made to elapse."""
        if limit is None:
            return await work
        working, over = asyncio.ensure_future(work), asyncio.ensure_future(self.sleep(limit))
        try:
            await asyncio.wait((working, over), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise TimeLimitExceeded(limit)
        finally:
            await _cancelled(working)
            await _cancelled(over)


class Stop:
    """A stop signal that a test may give."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._given = Event()

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block until it is given."""
        return self._given.wait(None if timeout is None else timeout.total_seconds())


def context(task: Task, *, waiting: Waiting | None = None, stop: Stop | None = None) -> JobContext:
    """The context of the first run of `task`'s fire at its `run_at`.

    On real time unless `waiting` says otherwise.
    """
    return JobContext(
        slug=task.slug,
        kind=task.kind,
        node="node",
        fire_time=task.run_at,
        attempt=1,
        run_id="run-1",
        waiting=RealWaiting() if waiting is None else waiting,
        stop=Stop() if stop is None else stop,
        lease_valid=lambda: True,
        spawning=Spawns(),
    )


def task_with(payload: bytes = b"", *, slug: str = "task", kind: str = "kind") -> Task:
    """A one-off task, due at noon."""
    return Task(slug=slug, kind=kind, run_at=NOON, anchor=NOON, payload=payload)


async def _cancelled(future: "asyncio.Future[T]") -> None:
    if not future.done():
        future.cancel()
        with suppress(asyncio.CancelledError):
            await future
