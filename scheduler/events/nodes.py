"""What happens to a node."""

import logging
from datetime import timedelta

from attrs import frozen

from duly.scheduler.events.events import Event
from duly.scheduler.wording import counted


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
class NodeStalled(Event):
    """The node did not run for a while.

    Its leases may have ended meanwhile. It asks the store which of them it still has.
    """

    seconds: float
    """For how long, in seconds."""
    is_interpreter_held: bool
    """True: a job kept the interpreter busy, as C code does that holds the global lock. False: the process or the machine slept."""

    @property
    def level(self) -> int:
        """Tasks may have gone to other nodes."""
        return logging.WARNING

    def __str__(self) -> str:
        if self.is_interpreter_held:
            return f"a job kept the interpreter for {self.seconds:.1f} s: no lease was extended meanwhile"
        slept = f"this process did not run for {self.seconds:.1f} s, as when it is stopped or its machine sleeps"
        return f"{slept}: no lease was extended meanwhile"


@frozen(kw_only=True)
class ClockStepped(Event):
    """The store's clock was set; after a step ahead this node takes no task over for one lease."""

    seconds: float
    """By how much it went ahead, or back (negative), in seconds."""

    @property
    def level(self) -> int:
        """Leases and schedules depend on it."""
        return logging.WARNING

    def __str__(self) -> str:
        if self.seconds > 0:
            return f"the store's clock went ahead by {self.seconds:.1f} s: this node takes no task over for one lease"
        return f"the store's clock went back by {-self.seconds:.1f} s"


def stepped(step: timedelta, node: str) -> ClockStepped:
    """Return the event of a step of the store's clock, as `StoreClock` tells it."""
    return ClockStepped(node=node, seconds=step.total_seconds())
