"""The clocks of a scheduler; no other file of the library reads a clock.

`SystemClock` is the clock of this machine. `StoreClock` follows the store's clock, which is the time of the whole
cluster: so a node whose wall clock is an hour wrong still fires on time. `duly.scheduler.testing.ManualClock` moves
only when a test moves it.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from attrs import frozen

_SAMPLES = 16
"""How many replies of the store are compared; the one with the shortest round trip is used."""

_STEP = timedelta(seconds=1)
"""How far the store's clock may be from where it should be before it counts as set; slower drifts are followed."""

_COUNTS_SUSPEND = getattr(time, "CLOCK_BOOTTIME", None)


class Timer(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Cancel the callback; no effect after it was called."""


class Clock(Protocol):
    """Tells the time, and calls back later; safe to read from any thread."""

    @property
    def runs(self) -> bool:
        """Whether time passes by itself; False: somebody moves the clock, and turns the scheduler's loops."""

    def now(self) -> datetime:
        """Return the current instant, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; they include suspend where the system supports it."""
        ...

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call `callback` in the running event loop after `delay`.

        A `delay` of zero or less calls it soon, but never inside this call.
        """
        ...


class SystemClock(Clock):
    """The clock of this machine."""

    @property
    def runs(self) -> bool:
        """Always True: time passes."""
        return True

    def now(self) -> datetime:
        """Return the wall-clock time of this machine, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since the machine started.

        They are read from `CLOCK_BOOTTIME` where it exists, because a lease also ends during suspend.
        """
        return time.monotonic() if _COUNTS_SUSPEND is None else time.clock_gettime(_COUNTS_SUSPEND)

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call back by the event loop's own timer.

        It does not count suspend; for this reason every wait has an upper bound.
        """
        return asyncio.get_running_loop().call_later(max(0.0, delay.total_seconds()), callback)


def processor_time() -> float:
    """Return the seconds of processor time that this process has used, in all of its threads."""
    return time.process_time()


@frozen
class _Sample:
    round_trip: float
    at: float
    """The middle of the round trip, in monotonic seconds: the likeliest instant of the store's reading."""
    store_now: datetime


class StoreClock(Clock):
    """The store's clock as this node knows it: monotonic time, anchored to the store's replies.

    The error of an anchor is at most half of its round trip; so the fastest of the last replies counts. Before the first
    reply, and with a store that has no clock, this clock is the local one.
    """

    def __init__(self, local: Clock, *, follows: bool = True, on_step: Callable[[timedelta], None] = lambda _: None) -> None:
        """Follow the store's clock by the monotonic time and timers of `local`.

        With `follows=False`, as for a `local` that a test moves, it is the local clock until a store refuses that time.
        `on_step` is called, in whatever thread, when the store's clock was set: by how much it went ahead, or back (negative).
        """
        self._local, self._follows, self._on_step = local, follows, on_step
        self.stepped_ahead_at: float = float("-inf")
        """When (monotonic) the last reply came that showed the store's clock set ahead; leases ended by that which had not run out."""
        self._samples: tuple[_Sample, ...] = ()
        self._anchor: _Sample | None = None

    @property
    def runs(self) -> bool:
        """Whether the local clock runs."""
        return self._local.runs

    def now(self) -> datetime:
        """Return the store's current time, in UTC, as exactly as this node knows it."""
        anchor = self._anchor
        if anchor is None:
            return self._local.now()
        return anchor.store_now + timedelta(seconds=self._local.monotonic() - anchor.at)

    def monotonic(self) -> float:
        """Return the local clock's seconds."""
        return self._local.monotonic()

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> Timer:
        """Call back by the local clock; for a length of time both clocks agree."""
        return self._local.call_later(delay, callback)

    def observe(self, store_now: datetime | None, *, sent: float, received: float) -> None:
        """Learn from a reply that carried the store's time; None: it carried none.

        `sent` and `received` are monotonic seconds just before and after the call. The heartbeat's thread calls this, too:
        every reply creates new values, so of two at the same moment one may be forgotten.
        """
        if store_now is None or not self._follows:
            return
        sample = _Sample(received - sent, (sent + received) / 2, store_now)
        if abs(step := self._step(sample)) > _STEP:
            self._samples = ()
            if step > timedelta(0):
                self.stepped_ahead_at = received
        self._note(sample)
        if abs(step) > _STEP:
            self._on_step(step)

    def _step(self, sample: _Sample) -> timedelta:
        """Return how far the store's clock is off, beyond what round trips can explain."""
        anchor = self._anchor
        if anchor is None:
            return timedelta(0)
        ahead = sample.store_now - anchor.store_now - timedelta(seconds=sample.at - anchor.at)
        doubt = timedelta(seconds=(sample.round_trip + anchor.round_trip) / 2)
        return ahead - doubt if ahead > doubt else min(timedelta(0), ahead + doubt)

    def start_over(self, store_now: datetime, *, sent: float, received: float) -> None:
        """Forget all replies but this one, because the store's clock or this machine's was set."""
        self._samples = ()
        self._note(_Sample(received - sent, (sent + received) / 2, store_now))

    def _note(self, sample: _Sample) -> None:
        samples = (*self._samples, sample)[-_SAMPLES:]
        self._samples, self._anchor = samples, min(samples, key=lambda each: each.round_trip)

    @property
    def skew(self) -> timedelta:
        """How far the store's clock is ahead of this machine's; zero before the first reply."""
        return self.now() - self._local.now() if self._anchor else timedelta(0)
