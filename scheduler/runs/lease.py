"""The lease of a run, as far as this node may trust it."""

from collections.abc import Callable

from duly.jobs import Task
from duly.stores import Held


class RunLease:
    """One lease; the heartbeat's thread extends it, the event loop's thread and the job's read it.

    `trusted_until` (seconds, monotonic) is how long this node may believe that the lease is its own. It is counted from just
    before the request that got or extended the lease was *sent*, less a margin, because the store may have counted from then.
    """

    __slots__ = ("_listener", "held", "is_lost", "locked", "trusted_until")

    def __init__(self, task: Task, *, locked: float, trusted_until: float) -> None:
        """Begin with the lease that the lock of `task` gave; `locked` (monotonic) is when the lock was asked for."""
        self.held = Held(task.slug, task.lease_id or "", task.etag)
        """The lease as the store knows it."""
        self.locked, self.trusted_until = locked, trusted_until
        self.is_lost = False
        """Whether it is another node's, or could not be extended in time. It never comes back."""
        self._listener: Callable[[], None] | None = None

    def is_trusted(self, now: float) -> bool:
        """Tell whether this node may still believe in it at `now` (monotonic)."""
        return not self.is_lost and now < self.trusted_until

    def extend(self, held: Held, trusted_until: float) -> None:
        """Note that the store extended it; trust never moves back."""
        self.held, self.trusted_until = held, max(self.trusted_until, trusted_until)
        self._tell()

    def lose(self) -> bool:
        """Note that it is lost, and return whether that is news."""
        if self.is_lost:
            return False
        self.is_lost = True
        self._tell()
        return True

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call `listener`, in whatever thread, when the trust changes; None = no more.

        A process that works for the run hears of its lease in this way.
        """
        self._listener = listener

    def _tell(self) -> None:
        if (listener := self._listener) is not None:
            listener()
