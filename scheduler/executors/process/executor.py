"""Jobs in child processes: what a thread cannot be, killed, and what a crash must not be, the node's.

A child serves one job at a time and is kept for the next, because starting one takes half a second (an interpreter,
and the imports) and asking one that is there a few milliseconds; one that was killed, or died, is not used again.
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
from duly.scheduler.executors.base import Remains
from duly.scheduler.executors.process.child import Child
from duly.scheduler.executors.process.messages import News, Work
from duly.scheduler.executors.remote import Answer, form_of, sent
from duly.scheduler.runs.live_run import LiveRun

GRACE = timedelta(seconds=1)
"""How long a job that was asked to end may take, before its process is killed; shorter than what a shutdown waits at its end."""

KILLED = Remains("its process was killed", is_at_work=False)


class ProcessExecutor:
    """Runs jobs in child processes, as many as there are runs at once; POSIX only.

    A run that is cancelled asks its job to end (`ctx.stop` is set; an `async def` is cancelled), and kills its process with everything
    that this started when that takes longer than `GRACE`, or when the run is cancelled again. What the job still answers counts.
    """

    def __init__(self, clock: Clock) -> None:
        """Start no child yet; `clock` is the one by which leases are trusted."""
        self._clock = clock
        self._children = set[Child]()
        self._idle: list[Child] = []
        self._most_idle = os.cpu_count() or 1
        self._killed = set[str]()
        self._is_closed = False

    async def execute(self, job: Job, ctx: JobContext, task: Task, live: LiveRun) -> Task | Then | None:
        """Run the job in a child, and return what it returned, checked.

        Raises:
            JobNotPicklable: the job cannot be sent to another process.
            ProcessDied: the child ended before the job did.
            JobEnding, CancelledRemotely, RemoteError: what the job raised; see `Answer`.

        """
        call = pickled(task.kind, (job, sent(task), form_of(ctx)))
        child = self._take()
        asked = child.ask(Work(kind=task.kind, call=call, news=self._news(live)))
        with self._following(live, child):
            try:
                await asyncio.wait((asked,))
            except asyncio.CancelledError:
                await self._wind_up(child, asked, live)
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
        """Return the answer, if the child gave one, and keep the child for the next job."""
        data = asked.result() if asked.done() else None
        if data is None:
            return None
        if self._is_closed or len(self._idle) >= self._most_idle or child.gone.done():
            child.tell(None)
        else:
            self._idle.append(child)
        return cast("Answer", pickle.loads(data))  # noqa: S301 - from a child of this very process

    async def _wind_up(self, child: Child, asked: "asyncio.Future[bytes | None]", live: LiveRun) -> None:
        """Return when the job that was asked to end has answered, or its process is gone."""
        live.stop.set("its run was cancelled")  # unless it was told why before
        try:
            await asyncio.wait((asked,), timeout=GRACE.total_seconds())
        except asyncio.CancelledError:
            self._kill(child, live)
            raise
        if not asked.done():
            self._kill(child, live)
            await asyncio.wait((child.gone,))

    def _kill(self, child: Child, live: LiveRun) -> None:
        child.kill()
        self._killed.add(live.lease_id)

    @contextmanager
    def _following(self, live: LiveRun, child: Child) -> Iterator[None]:
        """Tell the child when its run should end, and how long its lease may be believed in."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            if live.follower is follow:
                child.tell(self._news(live))

        def follow() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell)

        live.follower = follow
        live.stop.listen(follow)
        try:
            yield
        finally:
            live.follower = None
            live.stop.listen(None)

    def _news(self, live: LiveRun) -> News:
        """Say what is known of a run, its trust by the clock that the child has too."""
        if live.is_lost:
            until = float("-inf")
        elif not self._clock.runs:
            until = float("inf")  # a clock that a test moves tells nothing to another process
        else:
            until = SystemClock().monotonic() + live.trusted_until - self._clock.monotonic()
        return News(stop=live.stop.reason, trusted_until=until)

    def remains(self, run_id: str) -> Remains | None:
        """Say what became of a run that was given up, once."""
        if run_id not in self._killed:
            return None
        self._killed.remove(run_id)
        return KILLED

    def close(self) -> None:
        """Take no more work; the children that are idle end, the others are killed."""
        self._is_closed = True
        for child in list(self._children):
            if child in self._idle:
                child.tell(None)
            else:
                child.kill()
        self._idle.clear()

    async def wait_closed(self) -> None:
        """Return when no child is left; what does not end by itself is killed."""
        gone = [child.gone for child in self._children]
        if gone:
            await asyncio.wait(gone, timeout=GRACE.total_seconds())
        for child in list(self._children):
            child.kill()
            await asyncio.wait((child.gone,))
