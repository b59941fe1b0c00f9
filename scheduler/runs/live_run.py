r"""One run on this node: its state, from the lock of its task to its written outcome.

::

    LOCKED -- begin --> WORKING -- end --> ENDED -- settle --> WRITTEN
      |                 ^    \                 ^      \-----------> LOST
      wait              |     acknowledge      |
      \--> WAITING -----/      \--> ACKNOWLEDGED

A run that is handed back unrun goes directly from LOCKED or WAITING to ENDED.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from attrs import frozen

from duly.jobs import RegisteredJob, RunFacts, Task, TimeLimitExceeded
from duly.scheduler.clock import Clock, Timer
from duly.scheduler.rules.endings import EndedRun, Ending, Interrupted, Stopped
from duly.scheduler.rules.firing import NEXT_FIRE, Fire
from duly.scheduler.runs.lease import RunLease
from duly.scheduler.runs.stop_signal import StopSignal
from duly.scheduler.waiting import within

T = TypeVar("T")


class RunState(Enum):
    """How far a run has come; only `LiveRun` changes it."""

    LOCKED = "its job has not begun"
    WAITING = "a task of a fetched kind that nobody has read yet"
    WORKING = "its job is at work"
    ACKNOWLEDGED = "its subscriber said how it ends: nothing cuts it short any more"
    ENDED = "its outcome is decided on and waits to be written"
    WRITTEN = "the store has its outcome"
    LOST = "its outcome is not for this node to write any more"


_OVER = frozenset({RunState.ENDED, RunState.WRITTEN, RunState.LOST})


@frozen(kw_only=True)
class Manner:
    """How an executor treats a run, as far as the run must know."""

    is_cancellable: bool = True
    """Whether cancelling the run ends its job, as for a coroutine or a process; a thread is only told."""
    leases_to_begin: int = 1
    """For how many leases the lease of a run is extended although its job has not begun."""


class LiveRun:
    """A locked task on this node, until its outcome is written.

    The heartbeat's thread may read its fields; its methods are for the scheduler's event loop only.
    """

    def __init__(  # noqa: PLR0913 - all that is known of a run when it begins to live
        self,
        task: Task,
        lease: RunLease,
        clock: Clock,
        *,
        registered: RegisteredJob | None = None,
        fire: Fire | None = None,
        manner: Manner | None = None,
        on_begin: Callable[["LiveRun"], None] = lambda _: None,
    ) -> None:
        """Begin as LOCKED, under `lease`; `on_begin` is called when the job begins."""
        self.task: Task = task
        self.lease: RunLease = lease
        self._clock, self._on_begin = clock, on_begin
        self.registered: RegisteredJob | None = registered
        """Its job, as registered when the task was locked: the kind may be deregistered during the run."""
        self.fire: Fire | None = fire
        """The fire that it is for; None if the task is handed back unrun."""
        self.manner: Manner = manner or Manner()
        self.state: RunState = RunState.LOCKED
        self.stop: StopSignal = StopSignal()
        self.started_at: datetime | None = None
        """When the job began; None: it has not."""
        self.started: float | None = None
        """The same in monotonic seconds."""
        self.sleepers: int = 0
        """How many waits on the scheduler's clock the job is in."""
        self.cut_short: Interrupted | Stopped | None = None
        """How the run counts because it was asked to end early; None: it was not."""
        self.amend: Callable[[Task, datetime], Task] = _as_it_is
        """An edit of the row that is written with the outcome; it gets the row and the end of the run."""
        self.working: asyncio.Task[Ending] | None = None
        self.job_task: asyncio.Task[object] | None = None
        """The asyncio task in which its job is awaited, if that is in the scheduler's event loop."""
        self._timer: Timer | None = None
        self._settled: asyncio.Future[RunState] | None = None

    @property
    def lease_id(self) -> str:
        """The lease id, which is also the run's id."""
        return self.lease.held.lease_id

    @property
    def fire_time(self) -> datetime:
        """The nominal instant of the fire."""
        return self.task.run_at if self.fire is None else self.fire.fire_time

    @property
    def facts(self) -> RunFacts:
        """Which run it is, as its log lines carry it."""
        task = self.task
        return RunFacts(slug=task.slug, kind=task.kind, attempt=task.attempt, fire_time=self.fire_time, run_id=self.lease_id)

    @property
    def has_begun(self) -> bool:
        """Whether the job has begun."""
        return self.started_at is not None

    @property
    def has_ended(self) -> bool:
        """Whether only its outcome is left to be written."""
        return self.state in _OVER

    @property
    def is_trusted(self) -> bool:
        """Whether its lease may still be trusted; safe from any thread."""
        return self.lease.is_trusted(self._clock.monotonic())

    # -- state changes

    def start(self, work: Coroutine[Any, Any, Ending], on_end: Callable[["LiveRun", "asyncio.Task[Ending]"], None]) -> None:
        """Run `work` in an asyncio task, and call `on_end` when it is done.

        If `fire.cancel_at` is set, the next fire cuts the run short at that instant.
        """
        if self.fire is not None and self.fire.cancel_at is not None:
            self._timer = self._clock.call_later(self.fire.cancel_at - self._clock.now(), lambda: self.end_early(Stopped(NEXT_FIRE)))
        self.working = asyncio.create_task(work, name=f"duly {self.task.slug}")
        self.working.add_done_callback(lambda working: on_end(self, working))

    def wait(self) -> None:
        """Wait until a subscriber reads the task."""
        self.state = RunState.WAITING

    def begin(self) -> None:
        """Note that the job begins."""
        self.started_at, self.started, self.state = self._clock.now(), self._clock.monotonic(), RunState.WORKING
        self._on_begin(self)

    async def work(self, job: Awaitable[T]) -> T:
        """Begin, and await `job` within the task's time limit, as `bounded` does."""
        self.begin()
        return await self.bounded(job)

    async def bounded(self, job: Awaitable[T]) -> T:
        """Await `job` within the task's time limit.

        Raises:
            TimeLimitExceeded: the limit passed, and `job` was cancelled.

        """
        return await within(self._clock, self.task.options.time_limit, job, on_limit=self._note_limit)

    def _note_limit(self, limit: TimeLimitExceeded) -> None:
        self.stop.set(str(limit))

    def acknowledge(self, amend: Callable[[Task, datetime], Task]) -> None:
        """Note that the subscriber acknowledged the run: from now on nothing cuts it short.

        `amend` changes the row in the same write.
        """
        self.state, self.amend = RunState.ACKNOWLEDGED, amend

    def ended_with(self, ending: Ending) -> EndedRun:
        """Return the run as ended now with `ending`; a fire that must not run ended at `fire.at`."""
        if self.fire is not None and self.fire.instead is not None:
            started_at = ended_at = self.fire.at
        else:
            now = self._clock.now()
            started_at = self.started_at or now
            ended_at = max(now, started_at)
        return EndedRun(task=self.task, fire_time=self.fire_time, started_at=started_at, ended_at=ended_at, ending=ending)

    def end(self) -> None:
        """Note that only the outcome is left to be written."""
        self.state = RunState.ENDED
        if self._timer is not None:
            self._timer.cancel()

    def settle(self, *, is_written: bool) -> None:
        """Note that the outcome is written, or is not this node's to write any more."""
        self.state = RunState.WRITTEN if is_written else RunState.LOST
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(self.state)

    async def settled(self) -> RunState:
        """Wait for WRITTEN or LOST, and return it; any number of callers may wait, and may be cancelled."""
        if self.state in (RunState.WRITTEN, RunState.LOST):
            return self.state
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._settled)

    # -- ending early

    def end_early(self, ending: Interrupted | Stopped) -> None:
        """Ask the run to end: set the stop signal of its context, and cancel its task if that can end it."""
        if self.cut_short is None and self.state is not RunState.ACKNOWLEDGED:
            self.cut_short = ending
            self.stop.set(ending.reason)
            if self.manner.is_cancellable or not self.has_begun:
                self.abandon()

    def abandon(self) -> None:
        """Cancel the asyncio task of the run; its job may still be working."""
        if self.working is not None and not self.has_ended:
            self.working.cancel()


def _as_it_is(row: Task, _: datetime) -> Task:
    return row
