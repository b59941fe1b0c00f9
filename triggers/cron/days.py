"""Which days of a month a cron expression means. Pure.

Knows Quartz' day words, and how the two day fields combine.

Weekdays count from Sunday = 0. A month is known by its `Shape` alone: there are only 28 of them, so every rule is
worked out once per shape and kept as a bit mask (bit d = day d).
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from attrs import frozen

__all__ = ["DayRule", "DayRules", "Shape", "last_day", "last_weekday", "month_shape", "nearest_working_day", "nth_weekday"]

_SUNDAY, _SATURDAY = 0, 6
_WEEK = 7


class Shape(NamedTuple):
    """What the days of a month depend on: the weekday of its first day, and its length in days."""

    first: int
    length: int

    def weekday(self, day: int) -> int:
        """Return the weekday of a day of this month."""
        return (self.first + day - 1) % _WEEK


DayRule = Callable[[Shape], int]
"""A day word such as `L-3` or `MON#1`: the mask of its days in a month of that shape, 0 where it has none."""


@lru_cache(maxsize=4096)
def month_shape(year: int, month: int) -> Shape:
    """Return the shape of a month of the Gregorian calendar."""
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    return Shape(first.isoweekday() % _WEEK, (following - first).days)


def last_day(before: int, *, working: bool) -> DayRule:
    """`L`, `L-n` (n days `before` the last), and `LW`, `L-nW`: the working day nearest to it."""

    def days(shape: Shape) -> int:
        day = shape.length - before
        if day < 1:
            return 0
        return 1 << (_nearest_working_day(shape, day) if working else day)

    return days


def nearest_working_day(day: int) -> DayRule:
    """`15W`: the Monday-to-Friday day nearest to it, within the month.

    In a shorter month, to its last day.
    """
    return lambda shape: 1 << _nearest_working_day(shape, min(day, shape.length))


def _nearest_working_day(shape: Shape, day: int) -> int:
    if shape.weekday(day) == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if shape.weekday(day) == _SUNDAY:
        return day + 1 if day < shape.length else day - 2
    return day


def nth_weekday(weekday: int, nth: int) -> DayRule:
    """`MON#2`: the second Monday; none in a month that has no fifth."""

    def days(shape: Shape) -> int:
        day = 1 + (weekday - shape.first) % _WEEK + _WEEK * (nth - 1)
        return 1 << day if day <= shape.length else 0

    return days


def last_weekday(weekday: int) -> DayRule:
    """`FRIL`: the last Friday."""
    return lambda shape: 1 << shape.length - (shape.weekday(shape.length) - weekday) % _WEEK


@frozen(eq=False)
class DayRules:
    """Both day fields of an expression.

    `days` is the mask of plain days of the month, `weekdays` of plain weekdays. `intersect`: a day must satisfy
    both fields, because one of them begins with `*` or `?`; otherwise it must satisfy one of them (cronie's rule).
    """

    days: int
    day_rules: tuple[DayRule, ...]
    weekdays: int
    weekday_rules: tuple[DayRule, ...]
    intersect: bool

    def in_month(self, shape: Shape) -> int:
        """Return the mask of the days meant in a month of that shape."""
        by_day = self.days & (2 << shape.length) - 2
        by_weekday = sum(1 << day for day in range(1, shape.length + 1) if self.weekdays >> shape.weekday(day) & 1)
        for rule in self.day_rules:
            by_day |= rule(shape)
        for rule in self.weekday_rules:
            by_weekday |= rule(shape)
        return by_day & by_weekday if self.intersect else by_day | by_weekday
