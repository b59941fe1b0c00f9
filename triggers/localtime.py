"""Wall-clock times to instants: the rules for the daylight-saving gap and fold. Pure.

Instants are naive datetimes in UTC here, wall times naive datetimes in the zone: comparing aware datetimes of
one zone ignores `fold` (PEP 495), and following such a comparison can loop for ever.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from attrs import field, frozen

from detent.triggers.errors import TriggerError

__all__ = ["ClockChange", "LocalRule", "WallTimes", "clock_changes", "load_zone"]

_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
# Farther than any clock change moves a wall time: since 1970 the greatest is a whole day (Apia, Kwajalein).
_REACH = timedelta(days=2)


class WallTimes(Protocol):
    """A set of wall-clock times, which knows nothing of zones."""

    def next_wall(self, after: datetime) -> datetime | None:
        """Return the first of them strictly later than `after`, or None."""

    def count_walls(self, after: datetime, until: datetime) -> int:
        """Return how many lie in after < time <= until; 0 when the span is empty or reversed."""


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
        """Whether the walls from `old_wall` to `new_wall` never come; otherwise those from new to old come twice."""
        return self.after > self.before


def load_zone(timezone: str | tzinfo) -> ZoneInfo:
    """Return the zone of an IANA name; a zone without a name is refused, because it could not be written down."""
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


def _offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    return zone.fromutc(instant.replace(tzinfo=zone)).replace(tzinfo=None) - instant


def clock_changes(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[ClockChange]:
    """Yield the changes with after < at <= until.

    Probes once a day and then bisects. Two changes that cancel each other within a day would be missed; since
    1970 no two changes of any zone are closer than six days.
    """
    begin, before = after, _offset_at(zone, after)
    while begin < until:
        end = min(begin + _DAY, until)
        offset = _offset_at(zone, end)
        if offset != before:
            yield ClockChange(_bisect(zone, begin, end, before), before, offset)
        begin, before = end, offset


def _bisect(zone: ZoneInfo, begin: datetime, end: datetime, before: timedelta) -> datetime:
    """Return the instant in (begin, end] from which the offset is no longer `before`: changes fall on whole seconds."""
    begin, end = begin.replace(microsecond=0), end.replace(microsecond=0)
    while end - begin > _SECOND:
        middle = (begin + (end - begin) / 2).replace(microsecond=0)
        if _offset_at(zone, middle) == before:
            begin = middle
        else:
            end = middle
    return end


@lru_cache(maxsize=8192)
def _calm_offset(zone: ZoneInfo, span: int) -> timedelta | None:
    """Return the offset in the 8 days numbered `span`, or None when it changes in or within a day of them.

    This is what makes a zone with daylight saving as fast as UTC: nearly all fires fall into calm days.
    """
    # Two days on either side: the probes are at wall times, which differ from UTC by less than one.
    start = datetime.fromordinal(span * 8) - _REACH
    offset = zone.utcoffset(start)
    return offset if all(zone.utcoffset(start + timedelta(days=day)) == offset for day in range(1, 13)) else None


@frozen
class LocalRule:
    """How a schedule of wall times meets a zone's clock changes.

    `catch_up`: wall times lost in a gap fire once, all together, at the instant of the change.
    `repeats`: wall times that come twice fire twice; otherwise in the first pass only.
    """

    zone: ZoneInfo
    catch_up: bool
    repeats: bool
    _fixed: timedelta | None = field(init=False, repr=False)

    @_fixed.default
    def _find_fixed_offset(self) -> timedelta | None:
        return self.zone.utcoffset(None)  # only a zone without clock changes can answer without a time

    def next_instant(self, times: WallTimes, prev: datetime) -> datetime | None:
        """Return the first instant strictly later than `prev` at which `times` fire in the zone, or None."""
        if self._fixed is not None:
            wall = times.next_wall(prev + self._fixed)
            return None if wall is None else wall - self._fixed
        zone = self.zone
        offset = _calm_offset(zone, prev.toordinal() >> 3)
        if offset is None:
            return self._walk(times, prev)
        wall = times.next_wall(prev + offset)
        if wall is None:
            return None
        # Nothing of the schedule lies between the two walls, so changes between them do not matter,
        # only changes near either end: and both are calm.
        instant = wall - offset
        landing = _calm_offset(zone, instant.toordinal() >> 3)
        if landing == offset:
            return instant
        if landing is not None:
            instant = wall - landing
            if _calm_offset(zone, instant.toordinal() >> 3) == landing:
                return instant
        return self._walk(times, prev)

    def count_instants(self, times: WallTimes, after: datetime, until: datetime) -> int:
        """Return how many instants with after < instant <= until fire, without visiting them."""
        if until <= after:
            return 0
        total, wall = 0, self._first_wall(after)
        for change in clock_changes(self.zone, after, until):
            total += times.count_walls(wall, change.old_wall - _TICK)
            wall = self._wall_after(change)
            if self._catches_up(times, change) and times.next_wall(wall) != change.new_wall:
                total += 1
        return total + times.count_walls(wall, until + _offset_at(self.zone, until))

    def _walk(self, times: WallTimes, prev: datetime) -> datetime | None:
        """Go from one stretch of constant offset to the next; the way that is right next to a change, too."""
        begin, after = prev, self._first_wall(prev)
        while True:
            offset = _offset_at(self.zone, begin)
            change = next(clock_changes(self.zone, begin, begin + _REACH), None)
            end = change.at if change else begin + _REACH
            wall = times.next_wall(after)
            if wall is not None and wall - offset < end:
                return wall - offset
            if change is not None:
                if self._catches_up(times, change):
                    return change.at
                begin, after = change.at, self._wall_after(change)
            elif wall is not None:
                # Jump: nothing of the schedule lies between here and the neighbourhood of that wall time.
                begin = max(end, wall - _REACH)
                after = begin + _offset_at(self.zone, begin) - _TICK
            else:
                return None

    def _first_wall(self, instant: datetime) -> datetime:
        """Return the wall time after which to search when everything up to `instant` is past."""
        wall = instant + _offset_at(self.zone, instant)
        if not self.repeats:
            for change in clock_changes(self.zone, instant - _REACH, instant):
                if not change.is_gap:
                    wall = max(wall, change.old_wall - _TICK)
        return wall

    def _wall_after(self, change: ClockChange) -> datetime:
        """Return the wall time after which to search when everything before `change` is past."""
        first = change.new_wall if change.is_gap or self.repeats else change.old_wall
        return first - _TICK

    def _catches_up(self, times: WallTimes, change: ClockChange) -> bool:
        if not (self.catch_up and change.is_gap):
            return False
        lost = times.next_wall(change.old_wall - _TICK)
        return lost is not None and lost < change.new_wall
