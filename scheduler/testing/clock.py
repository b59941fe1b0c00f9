"""A clock that a test moves."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from duly.jobs.validators import require_span
from duly.scheduler.clock import Clock
from duly.triggers import require_aware


class _Timer:
    """A callback that is due at an instant of the clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.callback: Callable[[], None] = callback
        self.is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def ring(self) -> None:
        if not self.is_cancelled:
            self.callback()


class ManualClock(Clock):
    """Stands still until a test moves it; for one event loop. Its monotonic time moves with it."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        """Stand at `start`, which must have a time zone."""
        self._start = self._now = require_aware(start, "start")
        self._timers: list[tuple[datetime, int, _Timer]] = []
        self._numbers = count()

    @property
    def runs(self) -> bool:
        """Always False: time does not pass by itself."""
        return False

    def now(self) -> datetime:
        """Return the instant at which it stands, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return by how many seconds it was moved so far."""
        return (self._now - self._start).total_seconds()

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> _Timer:
        """Call back once the clock was moved by `delay`; a `delay` of zero or less calls back soon."""
        timer = _Timer(asyncio.get_running_loop(), callback)
        if delay <= timedelta(0):
            timer.loop.call_soon(timer.ring)
        else:
            heappush(self._timers, (self._now + delay, next(self._numbers), timer))
        return timer

    @property
    def next_timer(self) -> datetime | None:
        """When the next callback is due; None if there is none."""
        while self._timers and self._timers[0][2].is_cancelled:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def move_to(self, instant: datetime) -> None:
        """Move forward to `instant`; the event loop then calls every callback that is due by it, in order.

        Raises:
            ValueError: `instant` is before the clock's time.

        """
        instant = require_aware(instant, "instant")
        if instant < self._now:
            raise ValueError(f"a clock that stands at {self._now.isoformat()} cannot be moved back to {instant.isoformat()}")
        self._now = instant
        while (due := self.next_timer) is not None and due <= instant:
            timer = heappop(self._timers)[2]
            timer.loop.call_soon(timer.ring)

    def advance(self, span: timedelta) -> None:
        """Move forward by `span`, as `move_to` does.

        Raises:
            InvalidValue: `span` is not a timedelta. ValueError: it is negative.

        """
        require_span("span", span)
        self.move_to(self._now + span)
