"""Jobs in child processes: they can be killed, and their crash does not harm the node.

A child serves one job at a time and is kept for the next: starting a child takes half a second (an interpreter and its
imports), asking a running one a few milliseconds. A child that was killed or died is not used again.
"""

import asyncio
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import cast

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.executor_choice import pickled
from duly.scheduler.clock import Clock, SystemClock
from duly.scheduler.errors import ProcessDied
from duly.scheduler.executors.base import Executor, Remains
from duly.scheduler.executors.process.child import Child
from duly.scheduler.executors.process.messages import News, Work
from duly.scheduler.executors.remote import Answer, form_of, sent
from duly.scheduler.runs.live_run import LiveRun

GRACE = timedelta(seconds=1)
"""How long a job may take to end after it was asked, before its process is killed.

It is shorter than the wait at the end of a shutdown.
"""

KILLED = Remains("its process was killed", is_at_work=False)


class ProcessExecutor(Executor):
    """Runs jobs in child processes, one for each current run; POSIX only.

    If a run is cancelled, its job is asked to end: `ctx.stop` is set, and an `async def` is cancelled. Its process, with
    every process that this started, is killed after `GRACE`, or at once if the run is cancelled again. An answer of the job
    before that still counts.
    """

    def __init__(self, clock: Clock) -> None:
        """Start no child yet; trust leases by `clock`."""
        self._clock = clock
        self._children = set[Child]()
        self._idle: list[Child] = []
        self._most_idle = os.cpu_count() or 1
        self._killed = set[str]()
        self._is_closed = False

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Run the job in a child, and return what it returned, checked.

        Raises:
            TimeLimitExceeded: it took longer than the task's options allow.
            JobNotPicklable: the job cannot be sent to another process.
            ProcessDied: the child ended before the job did.
            JobEnding, CancelledRemotely, RemoteError: what the job raised; see `Answer`.

        """
        return await run.work(self._executed(run, job, ctx))

    async def _executed(self, run: LiveRun, job: Job, ctx: JobContext) -> Task | Then | None:
        task = run.task
        call = pickled(task.kind, (job, sent(task), form_of(ctx)))
        child = self._take()
        asked = child.ask(Work(kind=task.kind, call=call, news=self._news(run)))
        with self._following(run, child):
            try:
                await asyncio.wait((asked,))
            except asyncio.CancelledError:
                await self._wind_up(child, asked, run)
                if (answer := self._answer(child, asked)) is None or answer.is_cancelled:
                    raise
                return answer.result(ctx)
        answer = self._answer(child, asked)
        if answer is None:
            raise ProcessDied(child.pid, await child.gone)
        return answer.result(ctx)

    def _take(self) -> Child:
        if self._idle:
            return self._idle.pop()
        child = Child(self._forget)
        self._children.add(child)
        return child

    def _forget(self, child: Child) -> None:
        self._children.discard(child)
        with suppress(ValueError):
            self._idle.remove(child)

    def _answer(self, child: Child, asked: "asyncio.Future[bytes | None]") -> Answer | None:
        """Return the child's answer, or None; after an answer keep the child for the next job."""
        data = asked.result() if asked.done() else None
        if data is None:
            return None
        if self._is_closed or len(self._idle) >= self._most_idle or child.gone.done():
            child.tell(None)
        else:
            self._idle.append(child)
        return cast("Answer", pickle.loads(data))  # noqa: S301 - from a child of this process

    async def _wind_up(self, child: Child, asked: "asyncio.Future[bytes | None]", run: LiveRun) -> None:
        """Ask the job to end; return when it has answered or its process is gone."""
        run.stop.set("its run was cancelled")  # no effect if another reason was set before
        try:
            await asyncio.wait((asked,), timeout=GRACE.total_seconds())
        except asyncio.CancelledError:
            self._kill(child, run)
            raise
        if not asked.done():
            self._kill(child, run)
            await asyncio.wait((child.gone,))

    def _kill(self, child: Child, run: LiveRun) -> None:
        child.kill()
        self._killed.add(run.lease_id)

    @contextmanager
    def _following(self, run: LiveRun, child: Child) -> Iterator[None]:
        """Send the child every change of the stop signal and of the trust in the lease, inside the body."""
        loop = asyncio.get_running_loop()

        is_following = True

        def tell() -> None:
            if is_following:
                child.tell(self._news(run))

        def follow() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell)

        run.lease.listen(follow)
        run.stop.listen(follow)
        try:
            yield
        finally:
            is_following = False
            run.lease.listen(None)
            run.stop.listen(None)

    def _news(self, run: LiveRun) -> News:
        """Return the state of a run, its trust by a clock that the child has, too."""
        if run.lease.is_lost:
            until = float("-inf")
        elif not self._clock.runs:
            until = float("inf")  # a clock that a test moves means nothing in another process
        else:
            until = SystemClock().monotonic() + run.lease.trusted_until - self._clock.monotonic()
        return News(stop=run.stop.reason, trusted_until=until)

    def remains(self, run_id: str) -> Remains | None:
        """Return what is left of a run that was given up, once per run."""
        if run_id not in self._killed:
            return None
        self._killed.remove(run_id)
        return KILLED

    def close(self) -> None:
        """Take no more runs; idle children end, the others are killed."""
        self._is_closed = True
        for child in list(self._children):
            if child in self._idle:
                child.tell(None)
            else:
                child.kill()
        self._idle.clear()

    async def wait_closed(self) -> None:
        """Return when no child is left; a child that does not end within `GRACE` is killed."""
        gone = [child.gone for child in self._children]
        if gone:
            await asyncio.wait(gone, timeout=GRACE.total_seconds())
        for child in list(self._children):
            child.kill()
            await asyncio.wait((child.gone,))
