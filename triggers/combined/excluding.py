"""`Except`: a trigger without the fires of certain days, or of another trigger.

An example of such days are company holidays.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeGuard
from zoneinfo import ZoneInfo

from attrs import field, frozen

from duly.triggers.base import CountsFrom, Trigger, bounded_search, next_fire_after
from duly.triggers.combined.nesting import require_jumpable, require_timetable, shown, write_parts, zones_of
from duly.triggers.errors import TriggerError
from duly.triggers.options import write_options
from duly.triggers.search import fires_at, first_fire_from
from duly.triggers.zones import begin_of_day, clock_changes, date_at, load_zone

__all__ = ["DateRange", "Except", "Excluded"]

DateRange = tuple[date, date]
"""From one date to another, both included."""

Excluded = date | DateRange | str | Trigger
"""What is left out: a date, a range, a weekday's name or the text of any of these (`SAT`, `2026-12-24/2027-01-02`); a trigger."""

_BUDGET = 30_000
"""After so many excluded fires in a row the search gives up: eight hours of every second fit."""
_PRICE_OF_A_DAY = 10
"""Leaving an excluded day counts as so many fires: it costs more, and few schedules meet 3,000 of them in a row."""

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_DAY = timedelta(days=1)
_EXPECTED = "a date, a pair of dates, a weekday such as SAT, 2026-12-25, 2026-12-24/2027-01-02, or a trigger"


@frozen
class Days:
    """A set of days: ascending ranges that neither overlap nor touch, and weekdays (0 = Monday)."""

    ranges: tuple[DateRange, ...]
    weekdays: tuple[int, ...]

    def first_without(self, day: date) -> date | None:
        """Return the first day from `day` on that is not in the set; None when the calendar ends before."""
        try:
            while True:
                end = next((last for first, last in self.ranges if first <= day <= last), None)
                if end is not None:
                    day = end + _DAY
                elif day.weekday() in self.weekdays:
                    day += _DAY
                else:
                    return day
        except OverflowError:
            return None

    def words(self) -> list[str]:
        """Write the set as words: weekdays, then dates and ranges."""
        spans = (first.isoformat() if first == last else f"{first}/{last}" for first, last in self.ranges)
        return [*(_WEEKDAYS[weekday] for weekday in self.weekdays), *spans]


@frozen(init=False, repr=False)
class Except(Trigger):
    """Fires as `trigger` does, but not on excluded days or at an excluded trigger's fires.

    Dates and weekdays are those of `timezone` (an IANA name or `ZoneInfo`; default: the zone of `trigger`, else UTC). To
    leave out whole hours or days by a trigger, let it fire at each instant of them: `* 0-7 * * *`, `* * 25 12 *`.
    Where `trigger` counts from the fire before, excluded fires count, so that it goes on as it would have; a fixed delay
    that would end on a day off begins anew after it.

    Raises `TriggerError` for what is not understood, without anything excluded, when every weekday is, when the days are
    those of several zones, and for a trigger that would have to be followed fire by fire through the days off.
    """

    trigger: Trigger
    """The trigger whose fires are left, unless they are excluded."""
    days: Days
    """The excluded dates and weekdays, in `timezone`."""
    triggers: tuple[Trigger, ...]
    """Triggers at whose fire times nothing fires."""
    timezone: ZoneInfo = field(eq=lambda zone: zone.key)
    """Zone of the excluded dates and weekdays."""

    def __init__(self, trigger: Trigger, *excluded: Excluded, timezone: str | tzinfo | None = None) -> None:
        inner = require_jumpable(trigger, "Except")
        others = tuple(require_timetable(each, "Except") for each in excluded if isinstance(each, Trigger))
        days = _read_days(each for each in excluded if not isinstance(each, Trigger))
        if not (others or days.ranges or days.weekdays):
            raise TriggerError("excludes nothing", text=shown(inner), expected=_EXPECTED)
        if len(days.weekdays) == len(_WEEKDAYS):
            raise TriggerError("excludes every day", text=shown(inner), expected="a weekday that is left")
        if timezone is None and (days.ranges or days.weekdays) and len(zones_of(inner)) > 1:
            zones = ", ".join(sorted(zones_of(inner)))
            raise TriggerError(
                "follows several time zones", text=shown(inner), field="timezone", value=zones, expected="timezone=, whose days are meant"
            )
        self.__attrs_init__(inner, days, others, load_zone(_zone_of(inner) if timezone is None else timezone))

    def __repr__(self) -> str:
        excluded = [*self.days.words(), *self.triggers]
        return f"Except({self.trigger!r}, {', '.join(map(repr, excluded))}, timezone={self.timezone.key!r})"

    @property
    def counts_from(self) -> CountsFrom:
        """As its trigger."""
        return self.trigger.counts_from

    @bounded_search()
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the trigger's first fire time strictly later than `prev` that is not excluded, or None.

        Days in a row that are excluded are left in one step. The search is bounded: raises `TriggerError` after 30,000 fires
        in a row that were excluded, or 3,000 such steps.
        """
        found, budget = next_fire_after(self.trigger, prev), _BUDGET
        while found is not None and budget > 0:
            day = date_at(self.timezone, found)
            allowed = self.days.first_without(day)
            if allowed is None:
                return None
            if allowed != day:
                found = first_fire_from(self.trigger, found, self._end_of_days_off(found, allowed))
                budget -= _PRICE_OF_A_DAY
            elif any(fires_at(other, found) for other in self.triggers):
                found = next_fire_after(self.trigger, found)
                budget -= 1
            else:
                return found
        if found is None:
            return None
        raise TriggerError(
            "excludes every fire, as it seems",
            text=shown(self),
            field="fire time",
            value=str(found),
            expected=f"one that is not excluded, sooner after {prev}",
        )

    def to_text(self) -> str | None:
        """Return `@except (…) SAT 2026-12-24/2027-01-02 (…)`; None when a trigger in it has no text."""
        parts = [write_parts([self.trigger]), *self.days.words(), *(write_parts([other]) for other in self.triggers)]
        known = [part for part in parts if part is not None]
        is_implied = len(zones_of(self.trigger)) <= 1 and self.timezone.key == _zone_of(self.trigger)
        options = {} if is_implied else {"CRON_TZ": self.timezone.key}
        return write_options(options, f"@except {' '.join(known)}") if len(known) == len(parts) else None

    def _end_of_days_off(self, after: datetime, allowed: date) -> datetime:
        """Return when the days off that `after` lies in end.

        `allowed` is the first day that is none.
        """
        end = begin_of_day(self.timezone, allowed)
        for change in clock_changes(self.timezone, after, end):
            # Clocks that go back over midnight return to a day that may be none, as in St John's until 2011.
            day = change.new_wall.date()
            if day < change.old_wall.date() and self.days.first_without(day) == day:
                return change.at
        return end


def _zone_of(trigger: Trigger) -> str:
    zones = zones_of(trigger)
    return zones.pop() if len(zones) == 1 else "UTC"


def _read_days(excluded: Iterable[object]) -> Days:
    ranges: list[DateRange] = []
    weekdays: set[int] = set()
    for each in excluded:
        if isinstance(each, str) and each.upper() in _WEEKDAYS:
            weekdays.add(_WEEKDAYS.index(each.upper()))
        else:
            ranges.append(_read_range(each))
    return Days(_merged(ranges), tuple(sorted(weekdays)))


def _read_range(value: object) -> DateRange:
    first, last = _ends(value)
    if last < first:
        raise TriggerError("runs backwards", field="excluded", value=f"{first}/{last}", expected="the earlier date first")
    return first, last


def _ends(value: object) -> DateRange:
    if isinstance(value, str):
        first, slash, last = value.partition("/")
        return _read_date(first, value), _read_date(last if slash else first, value)
    if _is_date(value):
        return value, value
    if isinstance(value, tuple) and len(value) == 2:  # noqa: PLR2004 - a pair
        first, last = value
        if _is_date(first) and _is_date(last):
            return first, last
    raise TriggerError("is not understood", field="excluded", value=str(value), expected=_EXPECTED)


def _is_date(value: object) -> TypeGuard[date]:
    return isinstance(value, date) and not isinstance(value, datetime)


def _read_date(text: str, whole: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TriggerError(f"is not understood ({error})", field="excluded", value=whole, expected=_EXPECTED) from error


def _merged(ranges: list[DateRange]) -> tuple[DateRange, ...]:
    merged: list[DateRange] = []
    for first, last in sorted(ranges):
        if merged and first <= (merged[-1][1] + _DAY if merged[-1][1] < date.max else date.max):
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return tuple(merged)
