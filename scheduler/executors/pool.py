"""Jobs in an executor of the user's own: a pool of threads or processes, Dask, whatever has the interface of `concurrent.futures`.

It stays the user's: it is never shut down here. In a `ThreadPoolExecutor` the job has its run's context. Anywhere else it has a
copy, to which there is no line: `ctx.stop_reason` stays None, and `ctx.lease_valid()` is True only until the instant up to which the
lease was trusted when the job was submitted, by the wall clock of the machine on which it works; later heartbeats do not reach it.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from attrs import evolve

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.validators import require_span
from duly.scheduler.clock import Clock, SystemClock
from duly.scheduler.errors import ExecutorFailed
from duly.scheduler.executors.base import Remains
from duly.scheduler.executors.remote import Answer, Form, OwnWaiting, answer_of, call, form_of, sent
from duly.scheduler.runs.live_run import LiveRun, StopSignal
from duly.scheduler.runs.spawns import Spawns

AT_WORK = Remains("abandoned: its executor cannot kill it, and it may still be at work: a possible double", is_at_work=True)

Submitted = concurrent.futures.Future[Answer]


class NoLine(StopSignal):
    """The stop signal of a job that nobody can reach: it never comes."""

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait so long, in vain.

        Raises:
            ValueError: no `timeout`, which would be for ever.

        """
        if timeout is None:
            raise ValueError("the node has no line to this process: stop.wait() needs a timeout here, or would wait for ever")
        require_span("timeout", timeout)
        return Event().wait(timeout.total_seconds())


def call_here(job: Job, task: Task, form: Form, valid_until: datetime) -> Answer:
    """Call a job in whatever process an executor has brought it to."""
    stop, spawns = NoLine(), Spawns()

    def lease_valid() -> bool:
        return SystemClock().now() < valid_until

    ctx = JobContext(**form, waiting=OwnWaiting(), stop=stop, lease_valid=lease_valid, spawning=spawns)
    return answer_of(partial(call, job, ctx, task, stop), spawns)


def call_in_thread(job: Job, task: Task, ctx: JobContext, stop: StopSignal) -> Answer:
    """Call a job in a thread of this process, with its run's own context."""
    return answer_of(partial(call, job, evolve(ctx, waiting=OwnWaiting()), task, stop))


class PoolExecutor:
    """Submits jobs to the users' executors.

    What has begun there cannot be killed. A run that is cancelled is *abandoned*: it counts in `abandoned` until its future is done, so
    that the scheduler starts no more than it has room for.
    """

    def __init__(self, clock: Clock, on_room: Callable[[], None]) -> None:
        """`clock` is the one by which leases are trusted; `on_room` is called when an abandoned run has ended."""
        self._clock, self._on_room = clock, on_room
        self._abandoned = dict[str, str]()
        """The kind of each job that was given up but may still work, by the id of its run."""
        self._given_up = set[str]()

    @property
    def abandoned(self) -> int:
        """How many runs were given up whose futures are not done."""
        return len(self._abandoned)

    def abandoned_of(self, kind: str) -> int:
        """Return how many of them are of one kind; safe from any thread."""
        return list(self._abandoned.values()).count(kind)

    async def execute(self, job: Job, live: LiveRun, ctx: JobContext, executor: concurrent.futures.Executor) -> Task | Then | None:
        """Run the job of `live` in `executor`, and return what it returned, checked.

        Raises:
            ExecutorFailed: the executor did not run it, or lost it.
            JobEnding, CancelledRemotely, RemoteError: what the job raised; see `Answer`.

        """
        try:
            future = self._submit(job, live, ctx, executor)
        except Exception as error:
            raise ExecutorFailed(live.task.kind, executor, error) from error
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell(_: Submitted) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle, done, live.lease_id)

        future.add_done_callback(tell)
        try:
            await done
        except asyncio.CancelledError:
            if done.cancelled():
                self._give_up(future, live, is_told_truly=_is_exact(executor))
            raise
        return self._result(future, live, ctx, executor)

    def _submit(self, job: Job, live: LiveRun, ctx: JobContext, executor: concurrent.futures.Executor) -> Submitted:
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            return executor.submit(copy_context().run, call_in_thread, job, live.task, ctx, live.stop)
        left = timedelta(seconds=live.trusted_until - self._clock.monotonic())
        return executor.submit(call_here, job, sent(live.task), form_of(ctx), SystemClock().now() + left)

    def _settle(self, done: "asyncio.Future[None]", run_id: str) -> None:
        if not done.done():
            done.set_result(None)
        elif run_id in self._abandoned:
            del self._abandoned[run_id]
            self._on_room()

    def _give_up(self, future: Submitted, live: LiveRun, *, is_told_truly: bool) -> None:
        """Cancel it; what had begun goes on. Some executors (Dask's) say that it is cancelled when they merely were asked."""
        is_cancelled = future.cancel()
        if not is_cancelled and future.done():
            return  # its end came in this very turn of the loop
        if not is_cancelled:
            self._abandoned[live.lease_id] = live.task.kind
        if not (is_cancelled and is_told_truly):
            self._given_up.add(live.lease_id)

    def _result(self, future: Submitted, live: LiveRun, ctx: JobContext, executor: concurrent.futures.Executor) -> Task | Then | None:
        try:
            answer = future.result(timeout=0)
        except Exception as error:
            raise ExecutorFailed(live.task.kind, executor, error) from error
        return answer.result(ctx)

    def remains(self, run_id: str) -> Remains | None:
        """Say what became of a run that was given up, once."""
        if run_id not in self._given_up:
            return None
        self._given_up.remove(run_id)
        return AT_WORK


def _is_exact(executor: concurrent.futures.Executor) -> bool:
    """Tell whether a future that says that it was cancelled never began."""
    return isinstance(executor, concurrent.futures.ThreadPoolExecutor | concurrent.futures.ProcessPoolExecutor)
