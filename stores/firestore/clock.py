"""The store's clock, as its answers tell it.

Each carries the server's time, so that following it costs nothing.
"""

from collections.abc import Callable
from datetime import datetime, timedelta


class ServerClock:
    """The newest server time that was heard, carried on by a monotonic timer.

    The timer is the event loop's. It stands still while the machine sleeps, and an answer takes its time to arrive, so
    `estimate` is never ahead of the server by more than the timer's own drift; behind it may be by any amount.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        """Count with `timer`, in seconds from anywhere."""
        self._timer = timer
        self._heard_at = 0.0
        self._newest: datetime | None = None
        self._count = 0

    def hear(self, server_time: datetime) -> None:
        """Note the time in an answer that has just arrived."""
        self._count += 1
        if self._newest is None or server_time > self._newest:
            self._newest, self._heard_at = server_time, self._timer()

    def estimate(self) -> datetime | None:
        """Return the server's time now, or somewhat less; None before the first answer."""
        if self._newest is None:
            return None
        return self._newest + timedelta(seconds=self._timer() - self._heard_at)

    @property
    def mark(self) -> int:
        """How many answers were heard so far, for `since`."""
        return self._count

    def since(self, mark: int) -> datetime | None:
        """Return the newest server time if any answer came after `mark`.

        A time that was heard before is none of this call's.
        """
        return self._newest if self._count > mark else None
