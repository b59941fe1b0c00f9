"""One run: the job called with its context, bounded by its time limit, and how it ended."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import frozen

from detent.jobs import InvalidResult, JobContext, Task, TimeLimitExceeded
from detent.jobs.base import is_async
from detent.jobs.logs import running
from detent.jobs.payload import check_payload
from detent.jobs.registry import RegisteredJob
from detent.scheduler import waiting
from detent.scheduler.clock import Clock
from detent.scheduler.endings import Ending, Interrupted, Raised, Returned, describe, ending_of
from detent.scheduler.executors import CoroutineExecutor, ThreadExecutor
from detent.scheduler.live import LiveRun, LiveRuns

T = TypeVar("T")


@frozen
class _Waiting:
    """The waits of one run, on the scheduler's clock; a test that drives the clock is told when a job falls asleep."""

    clock: Clock
    run: LiveRun
    runs: LiveRuns

    async def sleep(self, delay: timedelta) -> None:
        """Sleep, and count as asleep until the clock's callback comes: the job is at work again before it knows it."""
        wake, is_asleep = waiting.Wake(self.clock), True
        self.run.sleepers += 1
        self.runs.changed.ring()

        def end() -> None:
            nonlocal is_asleep
            self.run.sleepers -= is_asleep
            is_asleep = False
            wake.ring()

        timer = self.clock.call_later(delay, end)
        try:
            await wake.wait(None)
        finally:
            timer.cancel()
            end()

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        return await waiting.within(self.clock, limit, work)


class Runner:
    """Runs jobs on this node, in the event loop or in threads."""

    def __init__(self, clock: Clock, runs: LiveRuns, *, node: str, payload_limit: int) -> None:
        """Make a runner for one scheduler."""
        self._clock, self.runs, self._node, self._payload_limit = clock, runs, node, payload_limit
        self._in_loop = CoroutineExecutor()
        self._in_threads = ThreadExecutor(f"detent-job-{node}")

    @property
    def abandoned(self) -> int:
        """Jobs that were given up but still work in their threads; they take up room."""
        return self._in_threads.abandoned

    def abandoned_of(self, kind: str) -> int:
        """Return how many of them are of one kind."""
        return self._in_threads.abandoned_of(kind)

    async def run(self, live: LiveRun, registered: RegisteredJob, fire_time: datetime) -> Ending:
        """Run the job to its end, and say how it ended; raises only when the event loop itself is shut down.

        A run whose lease cannot be trusted any more, because the event loop was busy for so long, does not start.
        """
        if not self.runs.is_trusted(live):
            return Interrupted("its lease ended before it could start")
        job, task = registered.job, live.task
        live.is_in_thread = not is_async(job)
        live.begin(self._clock)
        executor = self._in_threads if live.is_in_thread else self._in_loop
        ctx = self._context(live, fire_time)
        try:
            with running(ctx.facts):
                returned = await waiting.within(self._clock, task.options.time_limit, executor.execute(job, ctx, task))
            return Returned(self._checked(task, returned))
        except TimeLimitExceeded as error:
            live.stop.set(str(error))
            note = "; its thread cannot be killed and may still be at work" if live.is_in_thread else ""
            return Raised(describe(error) + note)
        except asyncio.CancelledError as cancelled:
            return self._cut_short(live, cancelled)
        except Exception as error:  # noqa: BLE001 - whatever the job raises belongs to its run
            return ending_of(error)

    def _cut_short(self, live: LiveRun, cancelled: asyncio.CancelledError) -> Ending:
        if live.cut_short is None:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise cancelled
            return Raised(describe(cancelled))  # the job cancelled itself
        if live.is_in_thread:
            return type(live.cut_short)(f"{live.cut_short.reason}; its thread cannot be killed and may still be at work")
        return live.cut_short

    def _context(self, live: LiveRun, fire_time: datetime) -> JobContext:
        return JobContext(
            slug=live.task.slug,
            kind=live.task.kind,
            node=self._node,
            fire_time=fire_time,
            attempt=live.task.attempt,
            run_id=live.lease_id,
            waiting=_Waiting(self._clock, live, self.runs),
            stop=live.stop,
            lease_valid=lambda: self.runs.is_trusted(live),
        )

    def _checked(self, task: Task, returned: Task | None) -> Task | None:
        if returned is not None:
            if returned.slug != task.slug:
                raise InvalidResult(task.kind, returned)
            check_payload(returned.payload, self._payload_limit)
        return returned

    def close(self) -> None:
        """Take no more runs."""
        self._in_loop.close()
        self._in_threads.close()
