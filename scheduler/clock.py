"""Time: the one place of the library that reads a clock, and the two clocks that a running scheduler lives by.

`SystemClock` is the machine's. `StoreClock` follows the store's, because that is the cluster's: a node whose wall clock
is an hour off fires on time all the same. `duly.scheduler.testing.ManualClock` is moved by hand.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from attrs import frozen

_SAMPLES = 16
"""Replies of the store that are weighed; the one with the shortest round trip is believed."""

_COUNTS_SUSPEND = getattr(time, "CLOCK_BOOTTIME", None)


class Timer(Protocol):
    """A callback that is still to come."""

    def cancel(self) -> None:
        """See to it that the callback does not come; without effect once it has."""


class Clock(Protocol):
    """What time it is, and how to be called when it is later; safe to read from any thread."""

    @property
    def runs(self) -> bool:
        """Whether time passes by itself; if not, somebody moves the clock, and drives the scheduler too."""

    def now(self) -> datetime:
        """Return the instant, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only grow, the time in suspend included where the system can tell."""
        ...

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call `callback` in the running event loop after `delay`; at once, but not from here, when that is not positive."""
        ...


class SystemClock(Clock):
    """The clock of this machine."""

    @property
    def runs(self) -> bool:
        """Time passes."""
        return True

    def now(self) -> datetime:
        """Return the instant that this machine believes it is."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since the machine started: `CLOCK_BOOTTIME` where there is one, because a lease ends in suspend too."""
        return time.monotonic() if _COUNTS_SUSPEND is None else time.clock_gettime(_COUNTS_SUSPEND)

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call back by the event loop's own timer; it does not count suspend, which is why every wait has an upper bound."""
        return asyncio.get_running_loop().call_later(max(0.0, delay.total_seconds()), callback)


@frozen
class _Sample:
    round_trip: float
    at: float
    """Middle of the round trip, monotonic: when the store most probably read its clock."""
    store_now: datetime


class StoreClock(Clock):
    """The store's time, followed: monotonic time, anchored to the store's clock as replies bring it.

    An anchor is wrong by at most half its round trip, so that of the last replies the quickest counts. Until the first
    one, and with a store that has no clock, it is the clock that it was made from.
    """

    def __init__(self, local: Clock, *, follows: bool = True) -> None:
        """Follow the store by the monotonic time and the timers of `local`.

        Without `follows`, as where `local` is moved by hand, it is the local clock until a store refuses that time.
        """
        self._local, self._follows = local, follows
        self._samples: tuple[_Sample, ...] = ()
        self._anchor: _Sample | None = None

    @property
    def runs(self) -> bool:
        """Whether the local clock does."""
        return self._local.runs

    def now(self) -> datetime:
        """Return the store's time, as well as it is known here."""
        anchor = self._anchor
        if anchor is None:
            return self._local.now()
        return anchor.store_now + timedelta(seconds=self._local.monotonic() - anchor.at)

    def monotonic(self) -> float:
        """Return the local clock's seconds."""
        return self._local.monotonic()

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call back by the local clock: over a span of time the two do not differ."""
        return self._local.call_later(delay, callback)

    def observe(self, store_now: datetime | None, *, sent: float, received: float) -> None:
        """Learn from a reply that carried the store's time; `sent` and `received` are monotonic, around the call.

        Replies come in the heartbeat's thread too: each makes new values, and of two at once one may be forgotten.
        """
        if store_now is not None and self._follows:
            self._note(_Sample(received - sent, (sent + received) / 2, store_now))

    def start_over(self, store_now: datetime, *, sent: float, received: float) -> None:
        """Forget every reply but this one: the store's clock, or this machine's, was set."""
        self._samples = ()
        self._note(_Sample(received - sent, (sent + received) / 2, store_now))

    def _note(self, sample: _Sample) -> None:
        samples = (*self._samples, sample)[-_SAMPLES:]
        self._samples, self._anchor = samples, min(samples, key=lambda each: each.round_trip)

    @property
    def skew(self) -> timedelta:
        """How far the store's clock is ahead of this machine's; zero until it is known."""
        return self.now() - self._local.now() if self._anchor else timedelta(0)
