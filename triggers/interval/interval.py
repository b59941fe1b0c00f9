"""`Interval`: a length of time in months, days and exact time; and its text. Pure.

It counts as PostgreSQL's type `interval` does.

One reader for all stores: what a text means does not depend on whether a database stands behind it.
"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

from attrs import frozen

from duly.triggers.errors import TriggerError
from duly.triggers.interval.text import read_interval
from duly.triggers.interval.units import INT32, INT64

__all__ = ["Interval", "format_interval", "parse_interval", "plain_interval", "require_forward"]

_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)
_DAY_MICROSECONDS = _DAY // _MICROSECOND
# The Gregorian calendar repeats after so many years, which are so many days.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_LAST_DAY = date.max.toordinal()
# From 24 November 4714 BC to 31 December 294276, as ordinals of `date`.
_POSTGRES_DAYS = range(-1_721_425, 107_482_103)
# The fewest and the most days that so many months have, clamped at a month's end as `after` does.
_FEWEST_DAYS = (0, 28, 59, 89, 120, 150, 181, 212, 242, 273, 303, 334)
_MOST_DAYS = (0, 31, 62, 92, 123, 153, 184, 215, 245, 276, 306, 337)
_PLAIN = "units behind their numbers, such as 1 hour 20 minutes, 1h20m or 01:20:00; for a time of day AT= before @every"
# Signs and words that stand for something else, a range, and a number beside others that has no unit.
_MISREAD = re.compile(
    r"""
      [^-+.:@\sA-Za-z0-9] | \b(?:at|on)\b | [0-9]-[0-9]
    | [A-Za-z] \s* [-+]? \s* [0-9.]+ \s* $
    | (?:^|\s) [0-9.]+ \s+ [-+]? [0-9.]+ (?![0-9.:])
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_TIME_UNITS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}


@frozen(kw_only=True)
class Interval:
    """A length of time in three parts: `months`, `days` and exact `time`.

    The parts do not convert into each other.

    A month is as long as the calendar makes it and a day lasts until the same time of the next day. Each part has a sign
    of its own. Values are equal when all three parts are: 24 hours are not a day, and 30 days are not a month.

    The ranges are PostgreSQL's: 32 bits for months and for days, 64 bits for the microseconds of `time` (some 292,000
    years). Raises `TriggerError` beyond them, and for the two values with which PostgreSQL 17 and later mean infinity.
    """

    months: int = 0
    """Months of the calendar; a year is 12. May be negative."""
    days: int = 0
    """Days of the calendar; a week is 7. May be negative."""
    time: timedelta = timedelta(0)
    """Exact time, to the microsecond. May be negative."""

    def __attrs_post_init__(self) -> None:
        """Refuse what PostgreSQL has no value for."""
        if not isinstance(self.time, timedelta):
            raise TriggerError("is not a length of time", field="time", value=repr(self.time), expected="a timedelta")
        _require_range("months", self.months, INT32)
        _require_range("days", self.days, INT32)
        _require_range("time", self.time // _MICROSECOND, INT64)
        if (self.months, self.days, self.time // _MICROSECOND) in ((INT32[0], INT32[0], INT64[0]), (INT32[1], INT32[1], INT64[1])):
            raise TriggerError("has no end", field="interval", value=repr(self), expected="a length shorter than infinity")

    @property
    def is_exact(self) -> bool:
        """True without months and days: the length then is `time`, whatever the calendar says."""
        return self.months == 0 and self.days == 0

    def after(self, moment: datetime) -> datetime:
        """Return `moment` + this interval, computed like PostgreSQL's `timestamp + interval`.

        First the months, where a day that the month does not have becomes its last; then the days; then the time. `moment`
        is naive (the time on some wall) or in `datetime.UTC`; in another zone a time may be missing or come twice, which
        is for the caller to settle, so that raises `TriggerError`. Raises `OverflowError` when the result is not within the
        years 1 to 9999, or a step on the way not within PostgreSQL's calendar (4713 BC to 294276 AD).
        """
        if moment.tzinfo not in (None, UTC):
            raise TriggerError("is in a time zone", field="moment", value=str(moment), expected="a naive datetime, or one in datetime.UTC")
        months_on = _add_months(moment, self.months)
        if months_on not in _POSTGRES_DAYS or months_on + self.days not in _POSTGRES_DAYS:
            raise _beyond(moment, self)
        return self.times_after(moment, 1)

    def times_after(self, moment: datetime, number: int) -> datetime:
        """Return `moment` + `number` times this interval.

        Each part is multiplied, so that the month's end is met only once.

        As `after`, but a step on the way may lie anywhere: only the result has to be within the years 1 to 9999.
        """
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        more_days, clock = divmod((moment - midnight) // _MICROSECOND + self.time // _MICROSECOND * number, _DAY_MICROSECONDS)
        last = _add_months(moment, self.months * number) + self.days * number + more_days
        if not 1 <= last <= _LAST_DAY:
            raise _beyond(moment, self)
        return datetime.combine(date.fromordinal(last), datetime.min.time(), moment.tzinfo) + clock * _MICROSECOND


def parse_interval(text: str) -> Interval:
    """Read what PostgreSQL 18 accepts for its type `interval`, as the same value.

    Zero and negative intervals too.

    The forms are PostgreSQL's own (`1 year 2 months -3 days`, `1h20m`, `@ 1.5 weeks ago`; a number alone is seconds), the
    clock's (`3 4:05:06`; `1-2` is a year and two months) and ISO 8601 (`P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`), with the
    rules of `IntervalStyle` `postgres`. A part of a month counts 30 days to the month and a part of a day 24 hours.

    Raises `TriggerError` for what PostgreSQL refuses, and also for `infinity` and for texts of more than 200 characters.
    """
    if not isinstance(text, str):
        raise TriggerError("is not text", field="interval", value=repr(text), expected="text such as 1h20m or 1 month")
    total = read_interval(text)
    try:
        return Interval(months=total.total_months, days=total.days, time=timedelta(microseconds=total.microseconds))
    except TriggerError as error:
        raise TriggerError(error.problem, field="interval", value=text, expected=error.expected) from None


def format_interval(interval: Interval | timedelta) -> str:
    """Write an interval compactly, such as `1y2mon3d4h5m6s` or `1h -30m`.

    `parse_interval` and PostgreSQL read the same interval from it.

    A timedelta is exact time and written from hours down (`24h`), because `1d` would be a day of the calendar. Zero is
    `0s`. Raises `TriggerError` for a timedelta longer than PostgreSQL's 64 bits of microseconds.
    """
    if isinstance(interval, timedelta):
        interval = Interval(time=interval)
    years, months = _divide(interval.months, 12)
    parts = [(years, "y"), (months, "mon"), (interval.days, "d"), *_time_parts(interval.time)]
    # A number with a minus needs a blank before it: PostgreSQL does not read `1y-2mon`.
    written = "".join(f"{number}{unit}" if number > 0 else f" {number}{unit}" for number, unit in parts if number)
    return written.strip() or "0s"


def plain_interval(value: Interval | timedelta | str) -> Interval:
    """Return the interval of a schedule, from whatever it is given as; a timedelta is exact time.

    Of the texts that PostgreSQL accepts those are refused here, as `TriggerError`, that people write for something else and
    that it would read as a length all the same: `1 day at 09:30` (33.5 hours), `1,5 hours` (a day and five hours), `5-10
    minutes` (five years and ten months), `*/5 * * * *` (five seconds). A number has its unit behind it, or stands alone.
    """
    if isinstance(value, timedelta):
        return Interval(time=value)
    if isinstance(value, Interval):
        return value
    if not isinstance(value, str):
        raise TriggerError("is no interval", field="interval", value=repr(value), expected="an Interval, a timedelta, or the text of one")
    interval = parse_interval(value)
    if not value.startswith("P") and (found := _MISREAD.search(value)):
        raise TriggerError(f"would be misread at {found[0].strip()!r}", field="interval", value=value, expected=_PLAIN)
    return interval


def require_forward(interval: Interval, shortest: timedelta = _MICROSECOND) -> None:
    """Refuse, as `TriggerError`, an interval that from some date on is shorter than `shortest`.

    Zero or negative, it would loop.
    """
    years, months = divmod(abs(interval.months), 12)
    days = years * 365 + _FEWEST_DAYS[months] if interval.months > 0 else -years * 366 - _MOST_DAYS[months]
    length = (days + interval.days) * _DAY_MICROSECONDS + interval.time // _MICROSECOND
    if length <= 0:
        expected = "a length that is longer than zero whatever the month"
        raise TriggerError("does not move forward", field="interval", value=format_interval(interval), expected=expected)
    if length < shortest // _MICROSECOND:
        raise TriggerError(
            "is too short", field="interval", value=format_interval(interval), expected=f"{format_interval(shortest)} or more"
        )


def _add_months(day: date, months: int) -> int:
    """Return the ordinal of the same day so many months on, or of the last that the month has.

    Also outside Python's calendar.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    cycles, year = divmod(year, _CYCLE_YEARS)
    year, month = year + _CYCLE_YEARS, month + 1  # the same year of the second cycle, because `date` has no year 0
    moved = date(year, month, min(day.day, monthrange(year, month)[1]))
    return moved.toordinal() + (cycles - 1) * _CYCLE_DAYS


def _time_parts(time: timedelta) -> list[tuple[int, str]]:
    rest, parts = time // _MICROSECOND, []
    for unit, length in _TIME_UNITS.items():
        number, rest = _divide(rest, length)
        parts.append((number, unit))
    # Never both: PostgreSQL reads `1s500us`, but nothing that follows `ms` without a blank.
    thousands, below = _divide(rest, 1000)
    return [*parts, (rest, "us") if below else (thousands, "ms")]


def _divide(number: int, by: int) -> tuple[int, int]:
    """Divide towards zero, so that both parts have the sign of the whole."""
    quotient, rest = divmod(abs(number), by)
    return (quotient, rest) if number >= 0 else (-quotient, -rest)


def _beyond(moment: datetime, interval: Interval) -> OverflowError:
    return OverflowError(f"{moment} + {format_interval(interval)} is beyond the calendar")


def _require_range(part: str, value: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if type(value) is not int or not low <= value <= high:
        raise TriggerError("is out of range", field=part, value=str(value), expected=f"{low} to {high}")
