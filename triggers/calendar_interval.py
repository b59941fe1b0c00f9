"""`CalendarIntervalTrigger`: every so many years, months, weeks or days.

It counts as people do, and fires at a wall-clock time.
"""

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, get_args
from zoneinfo import ZoneInfo

from attrs import field, frozen

from duly.triggers.base import CountsFrom, LooksBack
from duly.triggers.errors import TriggerError, require_choice
from duly.triggers.instants import TICK, require_aware
from duly.triggers.interval.interval import Interval, format_interval, plain_interval, require_forward
from duly.triggers.localtime import DstFold, DstGap, LocalRule, local_rule
from duly.triggers.options import write_options, zone_options
from duly.triggers.search import bisect_fires, fire_times
from duly.triggers.zones import load_zone

__all__ = ["CalendarIntervalTrigger"]

_MIDNIGHT = time()
_LAST_YEAR = 9990  # short of the calendar's end, so that a zone's offset never leads out of it
_DAY = timedelta(days=1)
_DAY_TICKS = _DAY // TICK
_MONTH = 146_097 * _DAY_TICKS // 4_800
"""Microseconds of the average month of the Gregorian calendar, whose 400 years have 146,097 days."""


@frozen
class CalendarTimes:
    """The wall times start, start + interval, start + 2 intervals and so on, each counted from the start.

    Written in UTC.

    So a 31st that falls on the 28th of February is the 31st again in March.
    """

    start: datetime
    interval: Interval

    def next_wall(self, after: datetime) -> datetime | None:
        """Return the first of these times strictly later than `after`, or None beyond the calendar."""
        return self._wall(self._first_after(after))

    def count_walls(self, after: datetime, until: datetime) -> int:
        """Return how many of these times lie in after < time <= until."""
        return max(0, self._first_after(until) - self._first_after(after))

    def _first_after(self, wall: datetime) -> int:
        """Return the number of the first time later than `wall`: near the one that the average month says."""
        average = self.interval.months * _MONTH + self.interval.days * _DAY_TICKS + self.interval.time // TICK
        low = high = max(0, (wall - self.start) // TICK // average)
        reach = 1
        while low and self._is_after(low, wall):
            low, reach = max(0, low - reach), reach * 2
        reach = 1
        while not self._is_after(high, wall):
            high, reach = high + reach, reach * 2
        return low + bisect_left(range(low, high), True, key=lambda number: self._is_after(number, wall))  # noqa: FBT003 - the key's answer

    def _is_after(self, number: int, wall: datetime) -> bool:
        found = self._wall(number)
        return found is None or found > wall

    def _wall(self, number: int) -> datetime | None:
        try:
            found = self.interval.times_after(self.start, number)
        except OverflowError:
            return None
        return found if found.year <= _LAST_YEAR else None


def _interval(value: Interval | str) -> Interval:
    interval = plain_interval(value)
    require_forward(interval, shortest=_DAY)
    if interval.is_exact:
        expected = "years, months, weeks or days; for exact time a SimpleTrigger"
        raise TriggerError("counts no calendar", field="interval", value=format_interval(interval), expected=expected)
    return interval


def _read_start(start: date | datetime | None, at: time | None, zone: ZoneInfo) -> tuple[date | None, time | None]:
    """Return the date to count from and the time of day: with a start there are both."""
    if at is not None and (not isinstance(at, time) or at.tzinfo is not None):
        raise TriggerError(
            "is no time of day", field="at", value=repr(at), expected="a datetime.time without a time zone: that is `timezone`"
        )
    if isinstance(start, datetime):
        wall = _wall_of(require_aware(start, "start"), zone)
        if at is not None:
            raise TriggerError("is said twice", field="at", value=at.isoformat(), expected="a date as start, or no time of day beside it")
        return wall.date(), wall.time().replace(fold=0)
    if start is not None and not isinstance(start, date):
        raise TriggerError("is no date", field="start", value=repr(start), expected="a date, or an aware datetime")
    return start, at if start is None else at or _MIDNIGHT


def _wall_of(start: datetime, zone: ZoneInfo) -> datetime:
    try:
        return start.astimezone(zone)
    except OverflowError as error:
        raise TriggerError("lies outside the calendar of its zone", field="start", value=str(start), expected="years 1 to 9999") from error


@frozen(init=False)
class CalendarIntervalTrigger(LooksBack):
    """Fires every `interval` of years, months, weeks or days, at a wall-clock time in a zone.

    `interval` is an `Interval` or its text (`1 month`), of a day or more whatever the month; a part of it that counts hours or
    less counts on the wall clock, too.
    With `start`, a date, the fire times are start, start + interval, start + 2 intervals and so on, each at the time of
    day `at` (default midnight) and each counted from the start: every month from 31 January is 31 January, 28 (or 29)
    February, 31 March. An aware datetime as `start` says date and time of day in one. Without `start` each fire is
    counted from the one before, from its date and at `at`, or else at its own time of day: a 31st that once became a 28th
    then stays one, and so, without `at`, does a time of day that the clocks once left out.

    `timezone` is an IANA name or `ZoneInfo`. `dst_gap` and `dst_fold` say what becomes of a time of day that the clocks
    leave out or show twice, as in `CronTrigger`.

    A frozen value: equal, hashable, picklable, to be shared between threads. Raises `TriggerError` for an interval that does
    not move forward in every month, and for what is not understood.
    """

    interval: Interval
    """Years, months, weeks or days from one fire to the next; at least a day."""
    timezone: ZoneInfo = field(eq=lambda zone: zone.key)
    """Zone of the dates and of the time of day; UTC unless one is given."""
    at: time | None
    """Time of day, without a zone; None: that of the fire before."""
    start: date | None
    """Date of the first fire, from which all others are counted; None: each is counted from the fire before."""
    dst_gap: DstGap
    """What becomes of a time of day that the clocks leave out: `run_after` (right after the gap) or `skip`."""
    dst_fold: DstFold
    """What becomes of a time of day that comes twice: `once` (the first) or `both`."""
    _rule: LocalRule = field(eq=False, repr=False)

    def __init__(
        self,
        interval: Interval | str,
        timezone: str | tzinfo = "UTC",
        *,
        at: time | None = None,
        start: date | datetime | None = None,
        dst_gap: DstGap = "run_after",
        dst_fold: DstFold = "once",
    ) -> None:
        require_choice("dst_gap", dst_gap, get_args(DstGap))
        require_choice("dst_fold", dst_fold, get_args(DstFold))
        zone = load_zone(timezone)
        day, clock = _read_start(start, at, zone)
        rule = local_rule(zone, catch_up=dst_gap == "run_after", repeats=dst_fold == "both")
        self.__attrs_init__(_interval(interval), zone, clock, day, dst_gap, dst_fold, rule)

    @property
    def counts_from(self) -> CountsFrom:
        """Nothing with a start: then it is a timetable. Without one, the fire before."""
        return CountsFrom.FIRE if self.start is None else CountsFrom.TIMETABLE

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first fire time strictly later than `prev`, in UTC; None beyond the calendar."""
        return self._rule.next_fire_time(self._times(prev), prev)

    def count_fires(self, after: datetime, until: datetime) -> int | None:
        """Return how many fire times f there are with after < f <= until.

        None without a start, where each is counted from the last.
        """
        return None if self.start is None else self._rule.count_fires(self._times(after), after, until)

    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times in UTC, or None when there is none."""
        if self.start is not None:
            return bisect_fires(self, after, until)
        last = None
        for fire in fire_times(self, after, until):
            last = fire
        return last

    def to_text(self) -> str:
        """Return `@every 1mon`, after the options that differ from their defaults."""
        options = zone_options(self.timezone, self.dst_gap, self.dst_fold)
        if self.start is not None:
            options["START"] = self.start.isoformat()
        if self.at is not None and (self.start is None or self.at != _MIDNIGHT):
            options["AT"] = self.at.isoformat()
        return write_options(options, f"@every {format_interval(self.interval)}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: what is remembered of the zone belongs to the process."""
        return _rebuild, (self.interval, self.timezone.key, self.at, self.start, self.dst_gap, self.dst_fold)

    def _times(self, prev: datetime) -> CalendarTimes:
        """Return the wall times, which without a start begin at the fire before."""
        if self.start is not None:
            return CalendarTimes(datetime.combine(self.start, self.at or _MIDNIGHT, UTC), self.interval)
        if self.at is None:
            return CalendarTimes(self._rule.wall_at(prev), self.interval)
        return CalendarTimes(datetime.combine(self._rule.day_of(prev), self.at, UTC), self.interval)


def _rebuild(*arguments: Any) -> CalendarIntervalTrigger:  # noqa: ANN401 - as they were given
    interval, timezone, at, start, dst_gap, dst_fold = arguments
    return CalendarIntervalTrigger(interval, timezone, at=at, start=start, dst_gap=dst_gap, dst_fold=dst_fold)
