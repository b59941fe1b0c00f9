"""The signal that asks a run to end, in whatever thread its job works."""

import threading
from collections.abc import Callable
from datetime import timedelta

from duly.jobs.validators import require_span


class StopSignal:
    """Asks a run to end, and says why, in whatever thread its job works; the first reason stays."""

    __slots__ = ("_event", "_listener", "_reason")
    _lock = threading.Lock()

    def __init__(self) -> None:
        """Begin unset. The event is made when the first thread waits, because most runs need none."""
        self._event: threading.Event | None = None
        self._reason: str | None = None
        self._listener: Callable[[], None] | None = None

    @property
    def reason(self) -> str | None:
        """Why the run should end; None: it should not."""
        return self._reason

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Block this thread until the run should end; return whether it should.

        `timeout` is the longest wait, in real time; None: no limit.
        """
        if timeout is not None:
            require_span("timeout", timeout)
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
            if self._reason is not None:
                self._event.set()
        return self._event.wait(None if timeout is None else timeout.total_seconds())

    def set(self, reason: str) -> None:
        """Ask the run to end because of `reason`."""
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
        """Call `listener` when the run should end, in the thread that asks; at once if it should already.

        None: stop calling.
        """
        with self._lock:
            self._listener = listener
            is_late = self._reason is not None
        if listener is not None and is_late:
            listener()
