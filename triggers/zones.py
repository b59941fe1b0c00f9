"""Time zones: their offsets from UTC, and the instants at which these change. Pure.

Instants are datetimes in UTC, and so are wall times, which are only what the zone's clock reads: `wall = instant +
offset`. Nothing is ever in the zone itself: comparing aware datetimes of one zone ignores `fold` (PEP 495), and
following such a comparison can loop for ever.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from attrs import frozen

from duly.triggers.errors import TriggerError
from duly.triggers.instants import TICK

__all__ = [
    "ClockChange",
    "begin_of_day",
    "block_of",
    "clock_changes",
    "date_at",
    "fixed_offset",
    "load_zone",
    "offset_at",
    "start_of_block",
]

_ZERO = timedelta(0)
_SECOND = timedelta(seconds=1)
# Two changes within one such step could cancel each other and be missed. The closest that the tz database knows are four
# days less twenty minutes apart (Freetown, 1939), and since 1970 seven days less an hour.
_STEP = timedelta(days=2)
_BLOCK_BITS = 6  # changes are looked for and kept in blocks of 64 days, counted from the calendar's beginning


@frozen
class ClockChange:
    """An instant at which the zone's offset from UTC changes."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def old_wall(self) -> datetime:
        """The wall time that the clocks would have shown without the change."""
        return self.at + self.before

    @property
    def new_wall(self) -> datetime:
        """The wall time that they show instead."""
        return self.at + self.after

    @property
    def is_gap(self) -> bool:
        """Whether the walls from `old_wall` to `new_wall` never come.

        Otherwise those from new to old come twice.
        """
        return self.after > self.before


def load_zone(timezone: str | tzinfo) -> ZoneInfo:
    """Return the zone of an IANA name.

    A zone without a name is refused, because it could not be written down.
    """
    expected = "an IANA name such as Europe/Paris, or a ZoneInfo made from one"
    if timezone is UTC:
        return ZoneInfo("UTC")
    if isinstance(timezone, ZoneInfo) and timezone.key:
        return timezone
    if not isinstance(timezone, str):
        raise TriggerError("has no name", field="timezone", value=repr(timezone), expected=expected)
    try:
        return ZoneInfo(timezone)
    except (ValueError, OSError, LookupError) as error:  # not found, not a name, or the name of a folder
        raise TriggerError("is unknown", field="timezone", value=timezone, expected=expected) from error


def clock_changes(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[ClockChange]:
    """Yield the changes with after < at <= until, in their order."""
    if fixed_offset(zone) is not None:
        return
    for block in range(block_of(after), block_of(until) + 1):
        for change in _changes_in(zone, block):
            if after < change.at <= until:
                yield change


def fixed_offset(zone: ZoneInfo) -> timedelta | None:
    """Return the offset of a zone without clock changes; None for any other."""
    return zone.utcoffset(None)  # only a zone without clock changes can answer without a time


def block_of(instant: datetime) -> int:
    """Return the number of the block that an instant lies in."""
    return instant.toordinal() >> _BLOCK_BITS


def start_of_block(block: int) -> datetime:
    """Return the first instant of a block."""
    return datetime.fromordinal(block << _BLOCK_BITS).replace(tzinfo=UTC)


@lru_cache(maxsize=8192)
def _changes_in(zone: ZoneInfo, block: int) -> tuple[ClockChange, ...]:
    """Return the changes after the beginning of a block, up to and including its end."""
    found = list[ClockChange]()
    begin, until = start_of_block(block), start_of_block(block + 1)
    before = offset_at(zone, begin)
    while begin < until:
        end = begin + _STEP
        offset = offset_at(zone, end)
        if offset != before:
            found.append(ClockChange(_first_instant_off(before, zone, begin), before, offset))
        begin, before = end, offset
    return tuple(found)


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return the offset of a zone from UTC at an instant."""
    # A ZoneInfo knows its offset at every time; the type allows None for a tzinfo that does not.
    return instant.astimezone(zone).utcoffset() or _ZERO


def _first_instant_off(offset: timedelta, zone: ZoneInfo, begin: datetime) -> datetime:
    """Return the first instant within a step of `begin` at which the offset is another.

    It is a whole second, as all changes are.
    """
    changed = bisect_left(range(_STEP // _SECOND), True, key=lambda second: offset_at(zone, begin + second * _SECOND) != offset)  # noqa: FBT003
    return begin + changed * _SECOND


def begin_of_day(zone: ZoneInfo, day: date) -> datetime:
    """Return the first instant of a date in a zone.

    That is the clock change where midnight is left out, and the first midnight where it comes twice.
    """
    midnights = (datetime.combine(day, time(fold=fold), zone) for fold in (0, 1))
    try:
        early, late = sorted(midnight.astimezone(UTC) for midnight in midnights)
    except OverflowError:  # at an end of the calendar, where the zone's offset leads out of it
        return datetime.combine(day, time(), UTC)
    return next((change.at for change in clock_changes(zone, early - TICK, late) if change.is_gap), early)


def date_at(zone: ZoneInfo, instant: datetime) -> date:
    """Return the date that a zone's calendar shows at an instant in UTC.

    At the ends of the calendar, UTC's.
    """
    try:
        return instant.astimezone(zone).date()
    except OverflowError:
        return instant.date()
