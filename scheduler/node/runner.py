"""One run: the job called with its context, bounded by its time limit, and how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import evolve, frozen

from duly.jobs import InvalidResult, JobContext, Task, Then, TimeLimitExceeded
from duly.jobs.base import is_async
from duly.jobs.logs import running
from duly.jobs.payload import check_payload
from duly.jobs.registered import KnownJobs, RegisteredJob
from duly.jobs.retry import class_names
from duly.scheduler import waiting
from duly.scheduler.clock import Clock
from duly.scheduler.events.events import Event, RunAbandoned
from duly.scheduler.executors import CoroutineExecutor, PoolExecutor, ProcessExecutor, ThreadExecutor
from duly.scheduler.executors.fetched.delivery_queue import DeliveryQueue
from duly.scheduler.executors.remote import OwnLoop
from duly.scheduler.rules.endings import Cancelled, CancelledRemotely, Ending, Interrupted, Raised, Returned, describe, ending_of
from duly.scheduler.rules.new_task import NewTask, to_task
from duly.scheduler.runs.live_run import LiveRun, LiveRuns
from duly.scheduler.runs.spawns import Spawns
from duly.triggers import TICK

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
    """Runs jobs on this node: each where its registration says."""

    def __init__(  # noqa: PLR0913 - what a node is made of comes together here
        self,
        clock: Clock,
        runs: LiveRuns,
        jobs: KnownJobs,
        *,
        node: str,
        payload_limit: int,
        publish: Callable[[Event], None] = lambda _: None,
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Make a runner for one scheduler, in its event loop.

        Tasks of `jobs` may be spawned, `publish` tells its events, and every job runs inside `surroundings()`.
        """
        self._clock, self.runs, self._jobs, self._node = clock, runs, jobs, node
        self._payload_limit, self._publish, self._surroundings = payload_limit, publish, surroundings
        self._in_loop = CoroutineExecutor()
        self._in_threads = ThreadExecutor(f"duly-job-{node}", self._have_room)
        self._in_processes = ProcessExecutor(clock)
        self._elsewhere = PoolExecutor(clock, self._have_room)
        self.on_room: Callable[[], None] = lambda: None
        """Called when a run that was abandoned has ended, and takes up no room any more."""

    @property
    def abandoned(self) -> int:
        """Runs that were given up but whose jobs still work, in threads or in users' executors; they take up room."""
        return self._in_threads.abandoned + self._elsewhere.abandoned

    def abandoned_of(self, kind: str) -> int:
        """Return how many of these are of one kind; safe from any thread."""
        return self._in_threads.abandoned_of(kind) + self._elsewhere.abandoned_of(kind)

    def _have_room(self) -> None:
        self.on_room()

    async def run(self, live: LiveRun, registered: RegisteredJob, fire_time: datetime) -> Ending:
        """Run the job to its end, and say how it ended; raises only when the event loop itself is shut down.

        A run whose lease cannot be trusted any more, because the event loop was busy for so long, does not start.
        """
        if not self.runs.is_trusted(live):
            return Interrupted("its lease ended before it could start")
        task, live.fire_time = live.task, fire_time
        spawns = Spawns(self._taken)
        ctx = self._context(live, fire_time, spawns)
        try:
            with running(ctx.facts), self._surroundings():
                returned = await self._returned(live, registered, ctx)
            return Returned(self._checked(task, returned), tuple(self._spawned(new, live) for new in spawns.asked))
        except TimeLimitExceeded as error:
            return Raised("; ".join((describe(error), *self._remains(live, str(error)))), class_names(type(error)))
        except asyncio.CancelledError as cancelled:
            return self._cut_short(live, cancelled)
        except CancelledRemotely as cancelled:
            return live.cut_short or Raised(str(cancelled))
        except Exception as error:  # noqa: BLE001 - whatever the job raises belongs to its run
            return self._failed(live, ending_of(error))

    async def _returned(self, live: LiveRun, registered: RegisteredJob, ctx: JobContext) -> Task | Then | None:
        if isinstance(registered.job, DeliveryQueue):
            return await registered.job.deliver(live, ctx)  # it begins, and its time limit with it, when a subscriber reads it
        work = self._work(live, registered, ctx)
        live.begin(self._clock)
        return await waiting.within(self._clock, live.task.options.time_limit, work, on_limit=live.note_limit)

    def _failed(self, live: LiveRun, ending: Raised | Cancelled) -> Ending:
        """Say how a run ended that raised: one that was asked to end early, and then failed, spends no attempt by that."""
        if live.cut_short is None:
            return ending
        told = ending.error if isinstance(ending, Raised) else ending.reason
        return evolve(live.cut_short, reason=f"{live.cut_short.reason}; on being told so, the job failed: {told}")

    def _work(self, live: LiveRun, registered: RegisteredJob, ctx: JobContext) -> Awaitable[Task | Then | None]:
        """Give the job to the executor that its registration names."""
        job, task, place = registered.job, live.task, registered.executor
        if place == "process":
            return self._in_processes.execute(job, ctx, task, live)
        is_coroutine = is_async(job)
        live.can_be_cancelled = place == "auto" and is_coroutine
        if place == "auto":
            return (self._in_loop if is_coroutine else self._in_threads).execute(job, ctx, task)
        if place == "thread":
            return self._in_threads.execute(OwnLoop(job.kind, job, live.stop) if is_coroutine else job, ctx, task)
        return self._elsewhere.execute(job, live, ctx, place)

    def _cut_short(self, live: LiveRun, cancelled: asyncio.CancelledError) -> Ending:
        if live.cut_short is None:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise cancelled
            return Raised(describe(cancelled))  # the job cancelled itself
        reason = "; ".join((live.cut_short.reason, *self._remains(live, live.cut_short.reason)))
        return evolve(live.cut_short, reason=reason)

    def _remains(self, live: LiveRun, reason: str) -> list[str]:
        """Say what is left of a run that was given up; publish it if that may still be at work."""
        for executor in (self._in_threads, self._in_processes, self._elsewhere):
            if (remains := executor.remains(live.lease_id)) is not None:
                if remains.is_at_work:
                    task, count = live.task, self.abandoned
                    event = RunAbandoned(node=self._node, slug=task.slug, run_id=live.lease_id, reason=reason, abandoned=count)
                    self._publish(event)
                return [remains.note]
        return []

    def _context(self, live: LiveRun, fire_time: datetime, spawns: Spawns) -> JobContext:
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
            spawning=spawns,
        )

    def _taken(self, new: NewTask) -> NewTask:
        """Check a task that a job asks for, and keep it as it is now, whatever the job makes of its objects later."""
        task = self._to_task(new)
        return evolve(new, payload=task.payload, payload_version=task.payload_version, metadata=task.metadata)

    def _spawned(self, new: NewTask, parent: LiveRun) -> Task:
        task, fired = self._to_task(new), parent.fire_time
        if task.slug != parent.task.slug or fired is None or task.run_at > fired:
            return task
        return evolve(task, run_at=fired + TICK)  # a fire of its own, also on a clock that stands still: its key is another

    def _to_task(self, new: NewTask) -> Task:
        return to_task(new, self._jobs, now=self._clock.now(), payload_limit=self._payload_limit)

    def _checked(self, task: Task, returned: Task | Then | None) -> Task | Then | None:
        if returned is not None:
            if returned.slug != task.slug:
                raise InvalidResult(task.kind, returned, f"task {returned.slug!r} in a run of {task.slug!r}")
            if returned.payload != task.payload:  # one that is kept may be larger than this node lets it become
                check_payload(returned.payload, self._payload_limit)
        return returned

    def close(self) -> None:
        """Take no more runs; those in child processes are killed, those in threads left to themselves, as are the users' executors."""
        self._in_loop.close()
        self._in_threads.close()
        self._in_processes.close()

    async def wait_closed(self) -> None:
        """Return when no child process is left."""
        await self._in_processes.wait_closed()
