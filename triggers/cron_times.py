"""The wall-clock times that a cron expression means: a set of bit masks, searched and counted. Pure."""

from collections.abc import Iterator
from datetime import datetime

from attrs import Factory, field, frozen

from detent.triggers.cron_days import DayRules, Shape, month_shape

__all__ = ["FIRST_YEAR", "CronTimes"]

FIRST_YEAR = 1970
"""Bit 0 of a mask of years."""

_LAST_YEAR = 9990  # short of the calendar's end, so that a zone's offset never leads out of it
_MONTHS = 12
_FEBRUARY = 2
_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


@frozen(eq=False, kw_only=True)
class CronTimes:
    """The compiled fields: bit n of a mask is value n; `years` is None where every year is meant."""

    seconds: int
    minutes: int
    hours: int
    days: DayRules
    months: int
    years: int | None
    _day_masks: dict[Shape, int] = field(init=False, repr=False, default=Factory(dict))
    _first_time: tuple[int, int, int] = field(init=False, repr=False)
    _per_day: int = field(init=False, repr=False)

    @_first_time.default
    def _find_first_time(self) -> tuple[int, int, int]:
        return _lowest(self.hours), _lowest(self.minutes), _lowest(self.seconds)

    @_per_day.default
    def _count_per_day(self) -> int:
        return self.hours.bit_count() * self.minutes.bit_count() * self.seconds.bit_count()

    def ever(self) -> bool:
        """Whether there is any such time: exact, because the calendar has only 28 shapes of month.

        Without listed years every shape that a month can have does come up, within 40 years.
        """
        if self.years is not None:
            return any(self._days_of(year, month) for year in self._listed_years() for month in range(1, _MONTHS + 1))
        return any(self._days_in(shape) for shape in self._possible_shapes())

    def next_wall(self, after: datetime) -> datetime | None:
        """Return the first of these times strictly later than `after` (naive), or None after the last year."""
        year, month, day = after.year, after.month, after.day
        days = self._days_of(year, month)
        if days >> day & 1:
            time = self._time_from(after.hour, after.minute, after.second + 1)
            if time is not None:
                return datetime(year, month, day, *time)  # noqa: DTZ001 - a wall time: the zone is the caller's
        later = days >> day + 1
        if later:
            return datetime(year, month, day + 1 + _lowest(later), *self._first_time)  # noqa: DTZ001 - as above
        return self._in_later_month(year, month)

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

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """Return the first time of day at or after this one; `second` may be 60."""
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1:
                seconds = self.seconds >> second
                if seconds:
                    return hour, minute, second + _lowest(seconds)
            minutes = self.minutes >> minute + 1
            if minutes:
                return hour, minute + 1 + _lowest(minutes), self._first_time[2]
        hours = self.hours >> hour + 1
        if hours:
            return hour + 1 + _lowest(hours), self._first_time[1], self._first_time[2]
        return None

    def _in_later_month(self, year: int, month: int) -> datetime | None:
        while year <= _LAST_YEAR:
            months = self.months >> month + 1
            if not months:
                year, month = self._next_year(year), 0
                continue
            month += 1 + _lowest(months)
            days = self._days_of(year, month)
            if days:
                return datetime(year, month, _lowest(days), *self._first_time)  # noqa: DTZ001 - as above
        return None

    def _next_year(self, year: int) -> int:
        if self.years is None:
            return year + 1
        later = self.years >> max(year + 1 - FIRST_YEAR, 0)
        return max(year + 1, FIRST_YEAR) + _lowest(later) if later else _LAST_YEAR + 1

    def _days_of(self, year: int, month: int) -> int:
        if not self.months >> month & 1:
            return 0
        if self.years is not None and (year < FIRST_YEAR or not self.years >> year - FIRST_YEAR & 1):
            return 0
        return self._days_in(month_shape(year, month))

    def _days_in(self, shape: Shape) -> int:
        # Threads may work out the same mask twice; both write the same value.
        mask = self._day_masks.get(shape)
        if mask is None:
            mask = self._day_masks[shape] = self.days.in_month(shape)
        return mask

    def _listed_years(self) -> Iterator[int]:
        years = self.years or 0
        return (FIRST_YEAR + bit for bit in range(years.bit_length()) if years >> bit & 1)

    def _possible_shapes(self) -> Iterator[Shape]:
        lengths = {_LENGTHS[month] for month in range(1, _MONTHS + 1) if self.months >> month & 1}
        if self.months >> _FEBRUARY & 1:
            lengths.add(28)
        return (Shape(first, length) for length in sorted(lengths, reverse=True) for first in range(7))
