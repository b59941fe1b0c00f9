"""The lease of a run, and how long this node may trust it."""

from collections.abc import Callable

from duly.jobs import Task
from duly.stores import Held


class RunLease:
    """One lease; the heartbeat's thread extends it, the event loop's and the job's threads read it.

    Up to `trusted_until` (monotonic seconds) this node may believe that it holds the lease. This is counted from just
    before the request for the lease or its extension was *sent*, less a margin, because the store may count from then.
    """

    __slots__ = ("_listener", "held", "is_lost", "locked", "trusted_until")

    def __init__(self, task: Task, *, locked: float, trusted_until: float) -> None:
        """Begin with the lease that the lock of `task` gave.

        `locked` and `trusted_until` are monotonic seconds; `locked` is when the lock request was sent.
        """
        self.held: Held = Held(task.slug, task.lease_id or "", task.etag)
        """The lease as the store knows it."""
        self.locked: float = locked
        self.trusted_until: float = trusted_until
        self.is_lost: bool = False
        """Whether another node has it, or it was not extended in time; a lost lease never comes back."""
        self._listener: Callable[[], None] | None = None

    def is_trusted(self, now: float) -> bool:
        """Tell whether this node may still trust the lease at `now` (monotonic seconds)."""
        return not self.is_lost and now < self.trusted_until

    def extend(self, held: Held, trusted_until: float) -> None:
        """Note an extension by the store; `trusted_until` never moves back."""
        self.held, self.trusted_until = held, max(self.trusted_until, trusted_until)
        self._tell()

    def lose(self) -> bool:
        """Note that the lease is lost; return whether that is new."""
        if self.is_lost:
            return False
        self.is_lost = True
        self._tell()
        return True

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call `listener`, in whatever thread, when the trust changes; None: stop calling.

        A child process that works for the run learns of its lease in this way.
        """
        self._listener = listener

    def _tell(self) -> None:
        if (listener := self._listener) is not None:
            listener()
