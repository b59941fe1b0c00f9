"""What happened, as typed values, and the one seam through which they are told; logging subscribes to it.

An event is told in the thread and at the moment in which it happened. A subscriber is quick and does not raise; one that
does is logged and not asked to leave.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Lock

from attrs import frozen

from detent.jobs import Task
from detent.stores import LockLost, Run

logger = logging.getLogger("detent")


@frozen(kw_only=True)
class Event:
    """Something happened on a node."""

    node: str

    @property
    def level(self) -> int:
        """How loud, as `logging` counts."""
        return logging.INFO


@frozen(kw_only=True)
class RunStarted(Event):
    """A job began to work on a fire."""

    task: Task
    fire_time: datetime

    @property
    def level(self) -> int:
        """Quiet."""
        return logging.DEBUG

    def __str__(self) -> str:
        return f"task {self.task.slug!r} ({self.task.kind}) runs for {self.fire_time.isoformat()}, attempt {self.task.attempt}"


@frozen(kw_only=True)
class RunEnded(Event):
    """What became of a run is written; `removed` tells whether its task went with it."""

    run: Run
    removed: bool
    warning: str = ""

    @property
    def level(self) -> int:
        """A run that was not done is worth a warning."""
        return logging.INFO if self.run.status == "done" and not self.warning else logging.WARNING

    def __str__(self) -> str:
        what = f"task {self.run.slug!r} ({self.run.kind}) {self.run.status} for {self.run.fire_time.isoformat()}"
        count = f", {self.run.count} fires" if self.run.count > 1 else ""
        last_line = self.run.error.rstrip().rpartition("\n")[2] if self.run.error else ""
        return f"{what}, attempt {self.run.attempt}{count}{last_line and ': ' + last_line}{self.warning and ' - ' + self.warning}"


@frozen(kw_only=True)
class LeaseLost(Event):
    """A task that this node was working on is no longer its own: the run is stopped, its outcome is not written."""

    error: LockLost
    reason: str

    @property
    def level(self) -> int:
        """The task may run twice."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"{self.error}: {self.reason}"


@frozen(kw_only=True)
class HandedBack(Event):
    """A task was locked and given back unrun, its attempt refunded."""

    slug: str
    reason: str

    @property
    def level(self) -> int:
        """Somebody should know why it does not run."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} handed back unrun: {self.reason}"


@frozen(kw_only=True)
class LoopFailed(Event):
    """A loop's turn failed; it goes on after a pause."""

    loop: str
    error: BaseException

    @property
    def level(self) -> int:
        """Every one of these is an outage or a fault."""
        return logging.ERROR

    def __str__(self) -> str:
        return f"{self.loop}: {type(self.error).__name__}: {self.error}"


Subscriber = Callable[[Event], None]


def log_event(event: Event) -> None:
    """Tell an event to the logger `detent`, at its level."""
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
