"""Triggers without a calendar.

Every so long, once at an instant, and once so long after the scheduling.
"""

from datetime import datetime, timedelta

from attrs import field, frozen

from duly.triggers.base import CountsFrom, LooksBack
from duly.triggers.errors import TriggerError, require_count
from duly.triggers.instants import format_instant, require_aware
from duly.triggers.interval.interval import Interval, format_interval, plain_interval, require_forward
from duly.triggers.options import write_options

__all__ = ["AfterTrigger", "OnceTrigger", "SimpleTrigger"]


def _aware_start(value: datetime | None) -> datetime | None:
    return None if value is None else require_aware(value, "start")


def _aware_at(value: datetime) -> datetime:
    return require_aware(value, "at")


@frozen
class SimpleTrigger(LooksBack):
    """Fires at a fixed rate: every `interval` of elapsed time, whatever the clocks on the wall do.

    With `start` the fire times are start, start + interval, start + 2 intervals and so on, whatever `prev` is;
    and `times` ends them after so many. Without `start` the next fire is `prev + interval`. Either way nothing
    drifts: `prev` is a fire time, not the time at which a run ended.

    With `fixed_delay` the interval lies between the end of one run, its retries included, and the next fire: `prev`
    is then the end of the run. No fire passes while a run goes on; `start` is the first fire.

    Raises `TriggerError` for an interval that is zero or negative, and for `times` without a `start` to count from or
    with a fixed delay, whose fires depend on how long the runs take.
    """

    interval: timedelta
    """Time from one fire to the next; longer than zero. With `fixed_delay`, from the end of a run to the next fire."""
    start: datetime | None = field(default=None, kw_only=True, converter=_aware_start)
    """First fire time, from which all others are counted, in UTC; None: each is counted from the fire before."""
    times: int | None = field(default=None, kw_only=True)
    """Most fires, counted from `start`; None: no end."""
    fixed_delay: bool = field(default=False, kw_only=True)
    """Whether the interval begins when a run ends, instead of at its fire time."""

    def __attrs_post_init__(self) -> None:
        expected = "a timedelta longer than zero"
        if not isinstance(self.interval, timedelta):
            raise TriggerError("is not a length of time", field="interval", value=repr(self.interval), expected=expected)
        if self.interval <= timedelta(0):
            raise TriggerError("does not move forward", field="interval", value=str(self.interval), expected=expected)
        Interval(time=self.interval)  # refuses what no text could say
        if type(self.fixed_delay) is not bool:
            raise TriggerError("is not a choice", field="fixed_delay", value=repr(self.fixed_delay), expected="True or False")
        if self.times is None:
            return
        require_count("times", self.times)
        if self.start is None:
            raise TriggerError("cannot be counted", field="times", value=str(self.times), expected="a start to count from")
        if self.fixed_delay:
            raise TriggerError("cannot be counted", field="times", value=str(self.times), expected="a fixed rate, not a fixed delay")

    @property
    def counts_from(self) -> CountsFrom:
        """The end of a run with a fixed delay, the fire before without a start; else a timetable."""
        if self.fixed_delay:
            return CountsFrom.END
        return CountsFrom.FIRE if self.start is None else CountsFrom.TIMETABLE

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first fire time strictly later than `prev`.

        None after `times` fires, or beyond the calendar.
        """
        prev = require_aware(prev, "prev")
        if self.start is None:
            return _add(prev, self.interval)
        if self.fixed_delay:
            return self.start if prev < self.start else _add(prev, self.interval)
        return self._fire(self.start, self._last_index(self.start, prev) + 1)

    def count_fires(self, after: datetime, until: datetime) -> int:
        """Return how many fire times f there are with after < f <= until.

        With a fixed delay at most the one that waits for a run.
        """
        after, until = require_aware(after, "after"), require_aware(until, "until")
        if self.fixed_delay:
            waiting = self.next_fire_time(after)
            return int(waiting is not None and waiting <= until)
        if self.start is None:
            return max(0, (until - after) // self.interval)
        return max(0, self._last_index(self.start, until) - self._last_index(self.start, after))

    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times, or None when there is none."""
        after, until = require_aware(after, "after"), require_aware(until, "until")
        count = self.count_fires(after, until)
        if count == 0:
            return None
        if self.fixed_delay:
            return self.next_fire_time(after)
        if self.start is None:
            return after + self.interval * count
        return self._fire(self.start, self._last_index(self.start, until))

    def to_text(self) -> str:
        """Return `@every 1h20m`, after `START=`, `TIMES=` and `FIXED_DELAY=yes` where they are set."""
        options = {}
        if self.start is not None:
            options["START"] = format_instant(self.start)
        if self.times is not None:
            options["TIMES"] = str(self.times)
        if self.fixed_delay:
            options["FIXED_DELAY"] = "yes"
        return write_options(options, f"@every {format_interval(self.interval)}")

    def _last_index(self, start: datetime, instant: datetime) -> int:
        """Return the number, from 0, of the last fire at or before `instant`; -1 before the first."""
        index = max(-1, (instant - start) // self.interval)
        return index if self.times is None else min(index, self.times - 1)

    def _fire(self, start: datetime, index: int) -> datetime | None:
        if self.times is not None and index >= self.times:
            return None
        return _add(start, self.interval, index)


class _FiresOnce(LooksBack):
    """What triggers with a single fire share."""

    __slots__ = ()

    def count_fires(self, after: datetime, until: datetime) -> int:
        """Return 1 when the fire f lies in after < f <= until, else 0."""
        return 1 if self.last_fire_time(after, until) else 0

    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the fire f when after < f <= until, else None."""
        until, fire = require_aware(until, "until"), self.next_fire_time(after)
        return fire if fire is not None and fire <= until else None


@frozen
class OnceTrigger(_FiresOnce):
    """Fires once, at the instant `at` (aware; kept in UTC)."""

    at: datetime = field(converter=_aware_at)
    """The one fire time, in UTC."""

    @property
    def counts_from(self) -> CountsFrom:
        """Nothing: it is one instant."""
        return CountsFrom.TIMETABLE

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return `at` when it is strictly later than `prev`, else None."""
        return self.at if require_aware(prev, "prev") < self.at else None

    def to_text(self) -> str:
        """Return `@at` and the instant in UTC."""
        return f"@at {format_instant(self.at)}"


@frozen
class AfterTrigger(_FiresOnce):
    """Fires once, `interval` after it was scheduled.

    The scheduler makes a one-off of it, with that as its fire time.

    `interval` is an `Interval`, a `timedelta` or the text of one; its months and days count on the calendar in UTC.
    Raises `TriggerError` for one that does not move forward.
    """

    interval: Interval = field(converter=plain_interval)
    """Time from the scheduling to the fire, such as `1 week` or `timedelta(hours=6)`."""

    def __attrs_post_init__(self) -> None:
        require_forward(self.interval)

    @property
    def counts_from(self) -> CountsFrom:
        """The moment of scheduling."""
        return CountsFrom.SCHEDULING

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the fire of what is scheduled at `prev`; None beyond the calendar."""
        prev = require_aware(prev, "prev")
        try:
            return self.interval.after(prev)
        except OverflowError:
            return None

    def to_text(self) -> str:
        """Return `@after` and the interval."""
        return f"@after {format_interval(self.interval)}"


def _add(instant: datetime, interval: timedelta, times: int = 1) -> datetime | None:
    try:
        return instant + interval * times
    except OverflowError:
        return None
