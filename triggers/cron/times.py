"""The wall-clock times that a cron expression means: a set of bit masks, searched and counted. Pure.

A wall time is written as a datetime in UTC: it is a reading, and the zone whose clock shows it is the caller's affair.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache

from attrs import Factory, field, frozen

from duly.triggers.cron.days import DayRules, Shape, month_shape

__all__ = ["FIRST_YEAR", "CronTimes"]

FIRST_YEAR = 1970
"""Bit 0 of a mask of years."""

_LAST_YEAR = 9990  # short of the calendar's end, so that a zone's offset never leads out of it
_MONTHS = 12
_FEBRUARY = 2
_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CYCLE = 400  # years, after which the Gregorian calendar repeats, weekdays included


def _calendar_of(year: int) -> int:
    """Return the number of a year's calendar, of which there are 14.

    They differ in the weekdays of the first day and the last.

    The numbers lie 16 apart, so that adding the month makes the number of a month in a calendar.
    """
    return 16 * (7 * date(year, 1, 1).weekday() + date(year, 12, 31).weekday())


_CALENDARS = tuple(_calendar_of(_CYCLE + year) for year in range(_CYCLE))


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


@lru_cache(maxsize=1024)
def _later_values(mask: int, size: int) -> tuple[int | None, ...]:
    """Return a table in which entry n, 0 <= n < size, is the lowest value of the mask above n, or None."""
    table, found = list[int | None](), None
    for value in reversed(range(size)):
        table.append(found)
        found = value if mask >> value & 1 else found
    return tuple(reversed(table))


@frozen(eq=False, kw_only=True)
class CronTimes:
    """The compiled fields: bit n of a mask is value n; `years` is None where every year is meant."""

    seconds: int
    minutes: int
    hours: int
    days: DayRules
    months: int
    years: int | None
    _day_masks: dict[int, int] = field(init=False, repr=False, default=Factory(dict))
    _first_time: tuple[int, int, int] = field(init=False, repr=False)
    _per_day: int = field(init=False, repr=False)
    _later_seconds: tuple[int | None, ...] = field(init=False, repr=False)
    _later_minutes: tuple[int | None, ...] = field(init=False, repr=False)
    _later_hours: tuple[int | None, ...] = field(init=False, repr=False)

    @_first_time.default
    def _find_first_time(self) -> tuple[int, int, int]:
        return _lowest(self.hours), _lowest(self.minutes), _lowest(self.seconds)

    @_per_day.default
    def _count_per_day(self) -> int:
        return self.hours.bit_count() * self.minutes.bit_count() * self.seconds.bit_count()

    @_later_seconds.default
    def _tabulate_seconds(self) -> tuple[int | None, ...]:
        return _later_values(self.seconds, 60)

    @_later_minutes.default
    def _tabulate_minutes(self) -> tuple[int | None, ...]:
        return _later_values(self.minutes, 60)

    @_later_hours.default
    def _tabulate_hours(self) -> tuple[int | None, ...]:
        return _later_values(self.hours, 24)

    def ever(self) -> bool:
        """Whether there is any such time: exact, because the calendar has only 28 shapes of month.

        Without listed years every shape that a month can have does come up, within 40 years.
        """
        if self.years is not None:
            return any(self._days_of(year, month) for year in self._listed_years() for month in range(1, _MONTHS + 1))
        return any(self.days.in_month(shape) for shape in self._possible_shapes())

    def next_wall(self, after: datetime) -> datetime | None:
        """Return the first of these times strictly later than `after`, or None after the last year."""
        year, month, day = after.year, after.month, after.day
        days = self._days_of(year, month)
        if days >> day & 1:
            # Written out, not in a helper for each unit: most searches end here.
            hour = after.hour
            if self.hours >> hour & 1:
                minute = after.minute
                if self.minutes >> minute & 1:
                    second = self._later_seconds[after.second]
                    if second is not None:
                        return datetime(year, month, day, hour, minute, second, 0, UTC)
                later_minute = self._later_minutes[minute]
                if later_minute is not None:
                    return datetime(year, month, day, hour, later_minute, self._first_time[2], 0, UTC)
            later_hour = self._later_hours[hour]
            if later_hour is not None:
                return datetime(year, month, day, later_hour, self._first_time[1], self._first_time[2], 0, UTC)
        later_days = days >> day + 1
        if later_days:
            return self._first_on(year, month, day + 1 + _lowest(later_days))
        return self._in_later_month(year, month)

    def _first_on(self, year: int, month: int, day: int) -> datetime:
        hour, minute, second = self._first_time
        return datetime(year, month, day, hour, minute, second, 0, UTC)

    def count_walls(self, after: datetime, until: datetime) -> int:
        """Return how many of these times lie in after < time <= until, month by month."""
        if until <= after:
            return 0
        days = sum(mask.bit_count() for mask in self._days_between(after, until))
        return days * self._per_day - self._count_in_day(after) + self._count_in_day(until)

    def _days_between(self, after: datetime, until: datetime) -> Iterator[int]:
        """Yield each month's mask, from the day of `after` to the day before `until`."""
        for index in range(after.year * _MONTHS + after.month - 1, until.year * _MONTHS + until.month):
            year, month = index // _MONTHS, index % _MONTHS + 1
            mask = self._days_of(year, month)
            if (year, month) == (until.year, until.month):
                mask &= (1 << until.day) - 1
            if (year, month) == (after.year, after.month):
                mask = mask >> after.day << after.day
            yield mask

    def _count_in_day(self, wall: datetime) -> int:
        """Return how many times there are on this day up to and including `wall`."""
        if not self._days_of(wall.year, wall.month) >> wall.day & 1:
            return 0
        seconds, minutes = self.seconds.bit_count(), self.minutes.bit_count()
        count = (self.hours & (1 << wall.hour) - 1).bit_count() * minutes * seconds
        if self.hours >> wall.hour & 1:
            count += (self.minutes & (1 << wall.minute) - 1).bit_count() * seconds
            if self.minutes >> wall.minute & 1:
                count += (self.seconds & (2 << wall.second) - 1).bit_count()
        return count

    def _in_later_month(self, year: int, month: int) -> datetime | None:
        while year <= _LAST_YEAR:
            months = self.months >> month + 1
            if not months:
                year, month = self._next_year(year), 0
                continue
            month += 1 + _lowest(months)
            days = self._days_of(year, month)
            if days:
                return self._first_on(year, month, _lowest(days))
        return None

    def _next_year(self, year: int) -> int:
        if self.years is None:
            return year + 1
        later = self.years >> max(year + 1 - FIRST_YEAR, 0)
        return max(year + 1, FIRST_YEAR) + _lowest(later) if later else _LAST_YEAR + 1

    def _days_of(self, year: int, month: int) -> int:
        """Return the mask of the days of a month that are meant: bit d is day d."""
        if self.years is not None and (year < FIRST_YEAR or not self.years >> year - FIRST_YEAR & 1):
            return 0
        # The day fields see nothing of a year but its calendar.
        number = _CALENDARS[year % _CYCLE] + month
        days = self._day_masks.get(number)
        if days is None:
            # Threads may work out the same mask twice; both write the same value.
            days = self._day_masks[number] = self.days.in_month(month_shape(year, month)) if self.months >> month & 1 else 0
        return days

    def _listed_years(self) -> Iterator[int]:
        years = self.years or 0
        return (FIRST_YEAR + bit for bit in range(years.bit_length()) if years >> bit & 1)

    def _possible_shapes(self) -> Iterator[Shape]:
        lengths = {_LENGTHS[month] for month in range(1, _MONTHS + 1) if self.months >> month & 1}
        if self.months >> _FEBRUARY & 1:
            lengths.add(28)
        return (Shape(first, length) for length in sorted(lengths, reverse=True) for first in range(7))
