"""The runs that are under way on this node: shared by the loop that starts them and the heartbeat that keeps their leases."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from duly.jobs import RegisteredJob, Task, TimeLimitExceeded
from duly.jobs.validators import require_span
from duly.scheduler.clock import Clock, Timer
from duly.scheduler.rules.endings import Ending, Interrupted, Stopped
from duly.scheduler.waiting import Wake
from duly.stores import Held

_STIRRING = 20
"""Turns of the event loop, and more than enough, that a timer's end or a cancelling takes to reach a job that sleeps."""


class StopSignal:
    """Tells a run, in whatever thread it works, that it should end, and why; the first reason stands."""

    __slots__ = ("_event", "_listener", "_reason")
    _lock = threading.Lock()

    def __init__(self) -> None:
        """Nothing asks the run to end; the event is made for the first thread that waits, because hardly any does."""
        self._event: threading.Event | None = None
        self._reason: str | None = None
        self._listener: Callable[[], None] | None = None

    @property
    def reason(self) -> str | None:
        """Why the run should end, or None."""
        return self._reason

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block this thread until the run should end, at most `timeout` of real time."""
        if timeout is not None:
            require_span("timeout", timeout)
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
            if self._reason is not None:
                self._event.set()
        return self._event.wait(None if timeout is None else timeout.total_seconds())

    def set(self, reason: str) -> None:
        """Ask the run to end."""
        with self._lock:
            is_new = self._reason is None
            if is_new:
                self._reason = reason
            if self._event is not None:
                self._event.set()
            listener = self._listener if is_new else None
        if listener is not None:
            listener()

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call `listener`, in the thread that asks, when the run should end, or now if it should already; None = no more."""
        with self._lock:
            self._listener = listener
            is_late = self._reason is not None
        if listener is not None and is_late:
            listener()


class LiveRun:
    """A locked task from its lock to the written outcome; its fields are read by the heartbeat's thread too.

    `trusted_until` (seconds, monotonic) is how long this node may believe that the lease is its own: counted from just
    before the request that got or extended it was *sent*, less a margin, because the store may have counted from then.
    """

    def __init__(self, task: Task, *, locked: float, trusted_until: float, registered: RegisteredJob | None = None) -> None:
        """Begin with the lease that the lock gave; `locked` is when it was asked for (monotonic)."""
        self.task = task
        self.registered = registered
        """Its job, as it was registered when the task was locked: the kind may be deregistered while the run goes on."""
        self.held = Held(task.slug, task.lease_id or "", task.etag)
        self.locked, self.trusted_until = locked, trusted_until
        self.stop = StopSignal()
        self.fire_time: datetime | None = None
        self.started_at: datetime | None = None
        self.started: float | None = None
        """When the job began to work, monotonic; None = it has not."""
        self.has_ended = False
        self.sleepers = 0
        """Waits on the scheduler's clock that the job is in."""
        self.is_lost = False
        self.cut_short: Interrupted | Stopped | None = None
        """Set when somebody asked for the run to end early: what it then counts as."""
        self.working: asyncio.Task[Ending] | None = None
        self.timer: Timer | None = None
        """Ends the run when the next fire is to take its place."""
        self.can_be_cancelled = True
        """Whether its job ends when the run is cancelled, as a coroutine and a process do. A thread can only be told."""
        self.follower: Callable[[], None] | None = None
        """Called, in whatever thread, when the trust in its lease changed: how a process that works for the run hears of it."""

        self.leases_to_begin = 1
        """For how many leases it is kept though its job has not begun to work."""
        self.on_begin: Callable[[], None] | None = None
        """Called when a job that does not begin at once begins."""
        self.is_decided = False
        """Whether somebody has said how it ends: from then on nothing cuts it short."""
        self.amend: Callable[[Task, datetime], Task] | None = None
        """An edit of the row, as of the end of the run, that is written together with how it ended."""
        self.is_written = False
        self.on_removed: Callable[[], None] | None = None
        """Called when its outcome is written, or is no longer its own to write."""

    @property
    def is_unread(self) -> bool:
        """Whether its job begins only when somebody reads the task, and nobody has."""
        return self.on_begin is not None and self.started is None

    def begin(self, clock: Clock) -> None:
        """Note that the job begins to work."""
        self.started_at, self.started = clock.now(), clock.monotonic()
        if self.on_begin is not None:
            self.on_begin()

    def end(self) -> None:
        """Note that nothing is left to do but to write how it ended."""
        self.has_ended = True
        if self.timer is not None:
            self.timer.cancel()

    @property
    def lease_id(self) -> str:
        """The lease under which it runs."""
        return self.held.lease_id

    def end_early(self, ending: Interrupted | Stopped) -> None:
        """Ask the run to end: its context says so, and what can be cancelled is. From the event loop's thread only."""
        if self.cut_short is None and not self.is_decided:
            self.cut_short = ending
            self.stop.set(ending.reason)
            if self.can_be_cancelled:
                self.abandon()

    def note_limit(self, limit: TimeLimitExceeded) -> None:
        """Tell the job that its time limit has passed."""
        self.stop.set(str(limit))

    def trust_changed(self) -> None:
        """Tell whoever works for the run elsewhere that `trusted_until` or `is_lost` changed; from any thread."""
        if self.follower is not None:
            self.follower()

    def abandon(self) -> None:
        """Wait for the run no longer, whatever it does."""
        if self.working is not None and not self.has_ended:
            self.working.cancel()


class LiveRuns:
    """All of a node's live runs; iterating and changing them is safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._runs: dict[str, LiveRun] = {}
        self.changed = Wake(clock)
        """Rung when a run ended, was written, or fell asleep."""

    def add(self, run: LiveRun) -> None:
        """Take a run in."""
        self._runs[run.lease_id] = run

    def remove(self, run: LiveRun) -> None:
        """Let a run go: its outcome is written, or no longer its own to write."""
        self._runs.pop(run.lease_id, None)
        if run.on_removed is not None:
            run.on_removed()
        self.changed.ring()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def is_trusted(self, run: LiveRun) -> bool:
        """Tell whether a run's lease may still be believed in."""
        return not run.is_lost and self._clock.monotonic() < run.trusted_until

    async def rest(self) -> None:
        """Return when no run is at work: each has ended, or sleeps on the clock."""
        for _ in range(_STIRRING if self._runs else 0):
            await asyncio.sleep(0)
        while any(not run.has_ended and not run.sleepers for run in self):
            self.changed.clear()
            await self.changed.wait(None)
