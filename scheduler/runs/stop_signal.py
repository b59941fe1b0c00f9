"""The signal by which a run hears, in whatever thread it works, that it should end."""

import threading
from collections.abc import Callable
from datetime import timedelta

from duly.jobs.validators import require_span


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
