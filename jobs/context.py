"""What a job is told about the run it is in."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, Unpack

from attrs import field, frozen

from duly.jobs.keywords import explicit
from duly.jobs.kinds import KindOrJob
from duly.jobs.logs import RunFacts, RunLogger
from duly.jobs.spawning import Spawning, When
from duly.jobs.validators import require_span

T = TypeVar("T")


class Waiting(Protocol):
    """How a job waits: through the scheduler's clock, so that a test with a manual clock need not."""

    async def sleep(self, delay: timedelta) -> None:
        """Return after `delay`."""

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Return what `work` returns.

        Cancel it and raise `TimeLimitExceeded` when that takes longer than `limit`.
        """
        ...


class StopSignal(Protocol):
    """Tells a job, from any thread, that its run should end."""

    @property
    def reason(self) -> str | None:
        """Why the run should end, or None while it may go on."""

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block the calling thread until the run should end, at most `timeout` of real time.

        Tell whether it should.

        Raises:
            InvalidValue: `timeout` is neither a timedelta nor None.

        """
        ...


@frozen(kw_only=True)
class JobContext:
    """One run of one fire; safe to use from the job's thread or coroutine, and worthless after the run."""

    slug: str
    """Slug of the task."""
    kind: str
    """Kind of the task."""
    node: str
    """Name of the node that runs it."""
    fire_time: datetime
    """Nominal instant of the fire, in UTC; the same in every attempt at it."""
    attempt: int
    """From 1; a run after a crash or a failure counts on."""
    run_id: str
    """The run's id in the history, and its lease id: a fencing token, new at every attempt."""
    _waiting: Waiting = field(repr=False, eq=False)
    _stop: StopSignal = field(repr=False, eq=False)
    _lease_valid: Callable[[], bool] = field(repr=False, eq=False)
    _spawning: Spawning = field(repr=False, eq=False)

    @property
    def facts(self) -> RunFacts:
        """Which run this is, as a plain value: what its log lines carry."""
        return RunFacts(slug=self.slug, kind=self.kind, attempt=self.attempt, fire_time=self.fire_time, run_id=self.run_id)

    @property
    def log(self) -> RunLogger:
        """The logger `duly.job.<kind>` of this run.

        Its messages begin with the run, and its records carry the run as attributes.
        """
        return RunLogger(self.facts)

    @property
    def run_key(self) -> str:
        """A key for this fire, the same in every attempt.

        Send it as an idempotency key to a service that can drop a repeated request.
        """
        return f"{self.slug}@{self.fire_time.isoformat()}"

    @property
    def stop_reason(self) -> str | None:
        """Why this run should end early (stopped, lease lost, time limit, shutdown), or None."""
        return self._stop.reason

    @property
    def stop(self) -> StopSignal:
        """The signal itself, for a thread that wants to wait on it; a coroutine is cancelled instead."""
        return self._stop

    def lease_valid(self) -> bool:
        """Tell whether this node still holds the task, as far as it knows without asking the store.

        Check it before a side effect.
        """
        return self._lease_valid()

    @explicit(When)
    def spawn(self, slug: str, job: KindOrJob, **when: Unpack[When]) -> None:
        """Have a task created in the very write that records this run as done: with it, or not at all.

        A run that raises, is stopped, cut short or lost creates nothing; its next attempt asks anew. A slug that exists then is kept
        as it is, unless its task was set aside, and of one that is asked for twice the first counts. `when` are the keywords of
        `schedule_job`; `delay`, and a trigger without a first fire of its own, count from the end of this run; all else is kept as
        it is at the call.

        Raises:
            DulyError: what `schedule_job` refuses, before anything is kept. A job in another process is told of a wrong keyword
                or a job without a kind only; the rest is checked when it has returned, and fails its run.

        """
        self._spawning(slug, job, **when)

    async def sleep(self, delay: timedelta) -> None:
        """Wait `delay` on the scheduler's clock.

        Raises:
            InvalidValue: it is no timedelta.

        """
        require_span("delay", delay)
        await self._waiting.sleep(delay)

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Return what `work` returns, bounded by `limit` on the scheduler's clock.

        Raises:
            TimeLimitExceeded: `limit` passed first; `work` was cancelled and awaited.
            InvalidValue: `limit` is neither a timedelta nor None.

        """
        if limit is not None:
            require_span("limit", limit)
        return await self._waiting.within(limit, work)
