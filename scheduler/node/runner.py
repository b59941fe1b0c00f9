"""Runs one job with its context in the executor that its registration names; returns how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TypeVar

from attrs import evolve, frozen

from duly.jobs import InvalidResult, JobContext, RegisteredJob, Task, Then, TimeLimitExceeded
from duly.jobs.base import is_async
from duly.jobs.logs import running
from duly.jobs.payload import check_payload
from duly.jobs.retry import class_names
from duly.scheduler import waiting
from duly.scheduler.clock import Clock
from duly.scheduler.events.runs import RunAbandoned
from duly.scheduler.executors import CoroutineExecutor, Executor, FetchedExecutor, PoolExecutor, ProcessExecutor, ThreadExecutor
from duly.scheduler.executors.base import as_error
from duly.scheduler.rules.endings import Cancelled, CancelledRemotely, Ending, Interrupted, Raised, Returned, describe, ending_of
from duly.scheduler.rules.new_task import NewTask, first_fire, own_trigger, to_task
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.runs.spawns import Spawns
from duly.scheduler.services import Services
from duly.scheduler.wording import one_line
from duly.triggers import TICK

T = TypeVar("T")


@frozen
class _Waiting:
    """The waits of one run, by the scheduler's clock; a test that moves the clock learns which jobs sleep."""

    clock: Clock
    run: LiveRun
    runs: LiveRuns

    async def sleep(self, delay: timedelta) -> None:
        """Sleep, and count as a sleeper until the clock calls back.

        The count falls before the job wakes, so that a test never takes a job that is about to work for a sleeping one.
        """
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
    """Runs jobs on this node; used in the scheduler's event loop only."""

    def __init__(
        self,
        services: Services,
        runs: LiveRuns,
        on_room: Callable[[], None] = lambda: None,
        surroundings: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Make a runner for the node of `services`; every job runs inside `surroundings()`.

        `on_room` is called when an abandoned run has ended and takes no room any more.
        """
        self.runs: LiveRuns = runs
        self._services, self._clock, self._surroundings = services, services.clock, surroundings
        self._pool = PoolExecutor(services.clock, on_room)
        self._executors: dict[str, Executor] = {
            "loop": CoroutineExecutor(),
            "thread": ThreadExecutor(f"duly-job-{services.node}", on_room),
            "process": ProcessExecutor(services.clock),
            "fetched": FetchedExecutor(),
        }

    def executor_of(self, registered: RegisteredJob) -> Executor:
        """Return the executor of a job: one of ours by its name, or the pool executor for a user's executor."""
        choice = registered.executor
        if not isinstance(choice, str):
            return self._pool
        by_job = "loop" if is_async(registered.job) else "thread"
        return self._executors[by_job if choice == "auto" else choice]

    @property
    def _all(self) -> tuple[Executor, ...]:
        return (*self._executors.values(), self._pool)

    def abandoned_of(self, kind: str | None = None) -> int:
        """Return how many runs were given up while their jobs still work; of `kind`, or (None) of all.

        They still take room. Safe from any thread.
        """
        return sum(executor.abandoned_of(kind) for executor in self._all)

    async def run(self, run: LiveRun, registered: RegisteredJob, executor: Executor | None = None) -> Ending:
        """Run the job to its end in `executor` (None: that of its registration), and return how it ended.

        It raises only if the event loop shuts down. A run whose lease cannot be trusted any more, because the event loop was
        busy for so long, does not start.
        """
        if not run.is_trusted:
            return Interrupted("its lease ended before it could start")
        spawns = Spawns(self._taken)
        ctx = self._context(run, spawns)
        try:
            with running(ctx.facts), self._surroundings():
                returned = await (executor or self.executor_of(registered)).execute(run, registered.job, ctx)
            return Returned(self._checked(run.task, returned), tuple(self._spawned(new, run) for new in spawns.asked))
        except TimeLimitExceeded as error:
            return Raised("; ".join((describe(error), *self._remains(run, str(error)))), class_names(type(error)))
        except asyncio.CancelledError as cancelled:
            return self._cut_short(run, cancelled)
        except CancelledRemotely as cancelled:
            return run.cut_short or Raised(str(cancelled))
        except GeneratorExit as raised:  # by the job; or the event loop discards this coroutine, and nobody hears what it returns
            return _failed(run, ending_of(as_error(raised)))
        except Exception as error:  # noqa: BLE001 - every error of the job belongs to its run
            return _failed(run, ending_of(error))

    def _cut_short(self, run: LiveRun, cancelled: asyncio.CancelledError) -> Ending:
        if run.cut_short is None:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise cancelled
            return Raised(describe(cancelled))  # the job cancelled itself
        reason = "; ".join((run.cut_short.reason, *self._remains(run, run.cut_short.reason)))
        return evolve(run.cut_short, reason=reason)

    def _remains(self, run: LiveRun, reason: str) -> list[str]:
        """Return notes on a run that was given up; publish `RunAbandoned` if its job may still be working."""
        remains = next((left for executor in self._all if (left := executor.remains(run.lease_id)) is not None), None)
        if remains is None:
            return []
        if remains.is_at_work:
            facts, count = run.facts, self.abandoned_of()
            node, kind = self._services.node, run.task.kind
            self._services.publish(
                RunAbandoned(node=node, slug=facts.slug, kind=kind, run_id=facts.run_id, reason=reason, abandoned=count, facts=facts)
            )
        return [remains.note]

    def _context(self, run: LiveRun, spawns: Spawns) -> JobContext:
        return JobContext(
            slug=run.task.slug,
            kind=run.task.kind,
            node=self._services.node,
            fire_time=run.fire_time,
            attempt=run.task.attempt,
            run_id=run.lease_id,
            waiting=_Waiting(self._clock, run, self.runs),
            stop=run.stop,
            lease_valid=lambda: run.is_trusted,
            spawning=spawns,
        )

    def _taken(self, new: NewTask) -> NewTask:
        """Check a task that a job spawns, and copy its values: later changes by the job have no effect."""
        task = self._to_task(new)
        return evolve(new, payload=task.payload, payload_version=task.payload_version, metadata=task.metadata)

    def _spawned(self, new: NewTask, parent: LiveRun) -> Task:
        task, fired = self._to_task(new), parent.fire_time
        if task.slug != parent.task.slug or task.run_at > fired:
            return task
        return evolve(task, run_at=fired + TICK)  # a separate fire with its own key, even on a clock that stands still

    def _to_task(self, new: NewTask) -> Task:
        limit = self._services.config.payload_limit
        return to_task(new, self._services.registry, now=self._clock.now(), payload_limit=limit)

    def _checked(self, task: Task, returned: Task | Then | None) -> Task | Then | None:
        if returned is not None:
            if returned.slug != task.slug:
                raise InvalidResult(task.kind, returned, f"task {returned.slug!r} in a run of {task.slug!r}")
            if returned.payload != task.payload:  # an unchanged payload may be larger than this node's limit
                check_payload(returned.payload, self._services.config.payload_limit)
        if isinstance(returned, Task) and returned.trigger not in (task.trigger, None):
            first_fire(own_trigger(returned.trigger, task.slug)[0], task.slug, self._clock.now())  # or this run has failed
        return returned

    def close(self) -> None:
        """Take no more runs.

        Jobs in child processes are killed. Jobs in threads and in users' executors go on.
        """
        for executor in self._all:
            executor.close()

    async def wait_closed(self) -> None:
        """Return when no child process is left."""
        for executor in self._all:
            await executor.wait_closed()


def _failed(run: LiveRun, ending: Raised | Cancelled) -> Ending:
    """Return how a run that raised has ended; if it was cut short first, the error costs no attempt."""
    if run.cut_short is None:
        return ending
    told = ending.error if isinstance(ending, Raised) else ending.reason
    reason = f"{run.cut_short.reason}; on being told so, the job failed: {one_line(told)}"
    return evolve(run.cut_short, reason=reason if "\n" not in told else f"{reason}\n{told}")


def result_of(working: "asyncio.Task[Ending]") -> Ending:
    """Return how a run has ended, also if `Runner.run` itself failed: every run that began ends."""
    error = working.exception()
    return working.result() if error is None else ending_of(as_error(error))
