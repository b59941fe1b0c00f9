"""What happened, as typed values, and the one seam through which they are told.

Logging subscribes to it.

An event is told in the thread and at the moment in which it happened. A subscriber is quick and does not raise; one that
does is logged and not asked to leave.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Lock

from attrs import frozen

from duly.jobs import Task
from duly.scheduler.wording import counted
from duly.stores import LockLost, Run

logger: logging.Logger = logging.getLogger("duly")


@frozen(kw_only=True)
class Event:
    """Something happened on a node."""

    node: str
    """Name of the node."""

    @property
    def level(self) -> int:
        """How loud, as `logging` counts."""
        return logging.INFO

    @property
    def slug(self) -> str | None:
        """The task it is about; None where it is about the node."""
        return None


@frozen(kw_only=True)
class NodeStarted(Event):
    """A node began to lock tasks of these kinds."""

    kinds: tuple[str, ...]
    """Kinds that the node runs."""

    def __str__(self) -> str:
        return f"started, for {counted(len(self.kinds), 'kind')}{': ' if self.kinds else ''}{', '.join(self.kinds)}"


@frozen(kw_only=True)
class NodeStopped(Event):
    """A node came to rest: drained, or closed."""

    cut_short: int
    """Runs that were still going at the end of the grace, and were cut short."""
    left: int
    """Tasks that it still held, because their ends could not be written: others take them over when their leases end."""

    @property
    def level(self) -> int:
        """A run that did not come to its end is worth a warning."""
        return logging.WARNING if self.cut_short or self.left else logging.INFO

    def __str__(self) -> str:
        return f"stopped; {counted(self.cut_short, 'run')} cut short, {counted(self.left, 'task')} left to the leases"


@frozen(kw_only=True)
class RunStarted(Event):
    """A job began to work on a fire."""

    task: Task
    """The task, as it was locked."""
    fire_time: datetime
    """Nominal instant of the fire, in UTC."""

    @property
    def level(self) -> int:
        """Quiet."""
        return logging.DEBUG

    @property
    def slug(self) -> str:
        """The task."""
        return self.task.slug

    def __str__(self) -> str:
        return f"task {self.task.slug!r} ({self.task.kind}) runs for {self.fire_time.isoformat()}, attempt {self.task.attempt}"


@frozen(kw_only=True)
class RunEnded(Event):
    """What became of a run is written; `removed` tells whether its task went with it."""

    run: Run
    """The run as it stands in the history."""
    removed: bool
    """Whether its task was removed with it."""
    warning: str = ""
    """What is worth a look although the run was written; empty: nothing."""

    @property
    def level(self) -> int:
        """A run that was not done is worth a warning."""
        return logging.INFO if self.run.status == "done" and not self.warning else logging.WARNING

    @property
    def slug(self) -> str:
        """The task."""
        return self.run.slug

    def __str__(self) -> str:
        what = f"task {self.run.slug!r} ({self.run.kind}) {self.run.status} for {self.run.fire_time.isoformat()}"
        count = f", {self.run.count} fires" if self.run.count > 1 else ""
        last_line = self.run.error.rstrip().rpartition("\n")[2] if self.run.error else ""
        return f"{what}, attempt {self.run.attempt}{count}{last_line and ': ' + last_line}{self.warning and ' - ' + self.warning}"


@frozen(kw_only=True)
class LeaseLost(Event):
    """A task that this node was working on is no longer its own.

    The run is stopped, and its outcome is not written.
    """

    error: LockLost
    """Names the task and the lease."""
    reason: str
    """How the node knows."""

    @property
    def level(self) -> int:
        """The task may run twice."""
        return logging.WARNING

    @property
    def slug(self) -> str:
        """The task."""
        return self.error.slug

    def __str__(self) -> str:
        return f"{self.error}: {self.reason}"


@frozen(kw_only=True)
class RunLost(Event):
    """A task that this node locked had lost a run.

    Its former node died, or let its lease end for another reason.

    Told once by each node that locks the task while it is at that fire.
    """

    slug: str
    """The task."""
    kind: str
    """Kind of the task."""
    crashes: int
    """How many runs of this fire were lost by now."""
    lease_ended_at: datetime | None
    """When the lease of the lost run ended; if the task failed on another node since, when that run did."""

    @property
    def level(self) -> int:
        """A node died, or a job killed it."""
        return logging.WARNING

    def __str__(self) -> str:
        when = "" if self.lease_ended_at is None else f"; its lease ended at {self.lease_ended_at.isoformat()}"
        return f"task {self.slug!r} ({self.kind}) lost {counted(self.crashes, 'run')} of its fire with the node{when}"


@frozen(kw_only=True)
class RunReturned(Event):
    """A task was locked and given back unrun, its attempt refunded."""

    slug: str
    """The task."""
    reason: str
    """Why it was not run."""

    @property
    def level(self) -> int:
        """Somebody should know why it does not run."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} handed back unrun: {self.reason}"


@frozen(kw_only=True)
class TaskUnreadable(Event):
    """A due task cannot be read by this version of duly, and was left to other nodes.

    Told at each try; they are at most 15 minutes apart.
    """

    slug: str
    """The task."""
    reason: str
    """What cannot be read, and why."""

    @property
    def level(self) -> int:
        """It does not run here."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} put off, because this version of duly cannot read it: {self.reason}"


@frozen(kw_only=True)
class RunAbandoned(Event):
    """A run was given up while its job may still be at work, which nobody here can end.

    What it goes on to do may be done twice.
    """

    slug: str
    """The task."""
    run_id: str
    """Id of the run in the history."""
    reason: str
    """Why it was given up."""
    abandoned: int
    """How many such runs take up room on this node until they end, as far as it can see."""

    @property
    def level(self) -> int:
        """A possible double, and one place less."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} given up at work: {self.reason} ({self.abandoned} of these take up room here)"


@frozen(kw_only=True)
class LoopFailed(Event):
    """A loop's turn failed; it goes on after a pause."""

    loop: str
    """Name of the loop."""
    error: BaseException
    """What was raised."""

    @property
    def level(self) -> int:
        """Every one of these is an outage or a fault."""
        return logging.ERROR

    def __str__(self) -> str:
        return f"{self.loop}: {type(self.error).__name__}: {self.error}"


@frozen(kw_only=True)
class EventsDropped(Event):
    """In an event stream only: so many events were dropped here, because its reader was too slow."""

    count: int
    """How many were dropped."""

    @property
    def level(self) -> int:
        """Somebody does not see all that happens."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"{counted(self.count, 'event')} dropped: the reader was too slow"


Subscriber = Callable[[Event], None]


def log_event(event: Event) -> None:
    """Tell an event to the logger `duly`, at its level."""
    if logger.isEnabledFor(event.level):
        error = event.error if isinstance(event, LoopFailed) and not getattr(event.error, "retryable", False) else None
        logger.log(event.level, "%s: %s", event.node, event, exc_info=error)


class Events:
    """The subscribers of one scheduler; safe from any thread."""

    def __init__(self) -> None:
        """Begin with the logger alone."""
        self._subscribers: tuple[Subscriber, ...] = (log_event,)
        self._changing = Lock()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` everything from now on, until the callable that is returned is called."""
        with self._changing:
            self._subscribers = (*self._subscribers, subscriber)

        def leave() -> None:
            with self._changing:
                self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)

        return leave

    def publish(self, event: Event) -> None:
        """Tell everybody."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                logger.exception("subscriber %r failed on %r", subscriber, event)
