"""Jobs in a user's executor: any `concurrent.futures.Executor`, such as a pool or Dask's.

The executor stays the user's: duly never shuts it down. In a `ThreadPoolExecutor` the job has its run's own context.
In any other executor it has a copy without a connection to the node. There `ctx.stop_reason` stays None.
`ctx.lease_valid()` is True until the instant up to which the lease was trusted when the job was submitted, by the wall
clock of the machine where the job runs; later extensions do not reach it.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import cast

from attrs import evolve

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.validators import require_span
from duly.scheduler.clock import Clock, SystemClock
from duly.scheduler.errors import ExecutorFailed
from duly.scheduler.executors.base import Abandoned, Executor, Remains
from duly.scheduler.executors.remote import Answer, Form, OwnWaiting, answer_of, call, form_of, sent
from duly.scheduler.runs.live_run import LiveRun, Manner
from duly.scheduler.runs.spawns import Spawns
from duly.scheduler.runs.stop_signal import StopSignal

AT_WORK = Remains("abandoned: its executor cannot kill it, and it may still be at work: a possible double", is_at_work=True)

Submitted = concurrent.futures.Future[Answer]


class NoLine(StopSignal):
    """The stop signal of a job without a connection to its node: it is never set."""

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block for `timeout`, and return False.

        Raises:
            ValueError: no `timeout` is given; the call would block for ever.

        """
        if timeout is None:
            raise ValueError("the node has no line to this process: stop.wait() needs a timeout here, or would wait for ever")
        require_span("timeout", timeout)
        return Event().wait(timeout.total_seconds())


def call_here(job: Job, task: Task, form: Form, valid_until: datetime) -> Answer:
    """Call a job in the process to which an executor brought it; return how it ended.

    `valid_until` is the instant up to which its lease is trusted.
    """
    stop, spawns = NoLine(), Spawns()

    def lease_valid() -> bool:
        return SystemClock().now() < valid_until

    ctx = JobContext(**form, waiting=OwnWaiting(), stop=stop, lease_valid=lease_valid, spawning=spawns)
    return answer_of(partial(call, job, ctx, task, stop), spawns)


def call_in_thread(job: Job, task: Task, ctx: JobContext, stop: StopSignal) -> Answer:
    """Call a job in a thread of this process, with its run's own context; return how it ended."""
    return answer_of(partial(call, job, evolve(ctx, waiting=OwnWaiting()), task, stop))


class PoolExecutor(Executor):
    """Submits jobs to users' executors.

    A job that has begun there cannot be killed. If its run is cancelled, the run counts as *abandoned* and takes room until
    its future is done.
    """

    manner: Manner = Manner(is_cancellable=False)

    def __init__(self, clock: Clock, on_room: Callable[[], None]) -> None:
        """Trust leases by `clock`; call `on_room` when the job of an abandoned run has ended."""
        self._clock = clock
        self._abandoned = Abandoned(AT_WORK, on_room)

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Run the job in the executor that it is registered with; return what it returned, checked.

        Raises:
            TimeLimitExceeded: it took longer than the task's options allow.
            ExecutorFailed: the executor did not run it, or lost it.
            JobEnding, CancelledRemotely, RemoteError: what the job raised; see `Answer`.

        """
        assert run.registered is not None  # noqa: S101 - the table led here by it
        executor = cast("concurrent.futures.Executor", run.registered.executor)
        return await run.work(self._executed(run, job, ctx, executor))

    async def _executed(self, run: LiveRun, job: Job, ctx: JobContext, executor: concurrent.futures.Executor) -> Task | Then | None:
        try:
            future = self._submit(job, run, ctx, executor)
        except Exception as error:
            raise ExecutorFailed(run.task.kind, executor, error) from error
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell(_: Submitted) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._settle, done, run.lease_id)

        future.add_done_callback(tell)
        try:
            await done
        except asyncio.CancelledError:
            if done.cancelled():
                self._give_up(future, run, is_told_truly=_is_exact(executor))
            raise
        return self._result(future, run, ctx, executor)

    def _submit(self, job: Job, run: LiveRun, ctx: JobContext, executor: concurrent.futures.Executor) -> Submitted:
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            return executor.submit(copy_context().run, call_in_thread, job, run.task, ctx, run.stop)
        left = timedelta(seconds=run.lease.trusted_until - self._clock.monotonic())
        return executor.submit(call_here, job, sent(run.task), form_of(ctx), SystemClock().now() + left)

    def _settle(self, done: "asyncio.Future[None]", run_id: str) -> None:
        if not done.done():
            done.set_result(None)
        else:
            self._abandoned.ended(run_id)

    def _give_up(self, future: Submitted, run: LiveRun, *, is_told_truly: bool) -> None:
        """Cancel the future; a job that has begun goes on.

        Some executors, such as Dask's, report that a future is cancelled as soon as they are asked. `is_told_truly` is False
        for these.
        """
        is_cancelled = future.cancel()
        if not is_cancelled and future.done():
            return  # it ended in this turn of the loop
        if not is_cancelled:
            self._abandoned.add(run.lease_id, run.task.kind)
        elif not is_told_truly:
            self._abandoned.note(run.lease_id)

    def _result(self, future: Submitted, run: LiveRun, ctx: JobContext, executor: concurrent.futures.Executor) -> Task | Then | None:
        try:
            answer = future.result(timeout=0)
        except Exception as error:
            raise ExecutorFailed(run.task.kind, executor, error) from error
        return answer.result(ctx)

    def remains(self, run_id: str) -> Remains | None:
        """Return what is left of a run that was given up, once per run."""
        return self._abandoned.remains(run_id)

    def abandoned_of(self, kind: str | None = None) -> int:
        """Return how many runs were given up whose futures are not done; safe from any thread."""
        return self._abandoned.of(kind)


def _is_exact(executor: concurrent.futures.Executor) -> bool:
    """Tell whether a cancelled future of this executor certainly never began."""
    return isinstance(executor, concurrent.futures.ThreadPoolExecutor | concurrent.futures.ProcessPoolExecutor)
