"""Wall-clock times to instants: the rules for the daylight-saving gap and fold. Pure.

Instants and wall times are both datetimes in UTC, as in `duly.triggers.zones`.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from attrs import field, frozen

from duly.triggers.instants import BEGIN_OF_TIME, END_OF_TIME, TICK, require_aware
from duly.triggers.zones import ClockChange, block_of, clock_changes, fixed_offset, offset_at, start_of_block

__all__ = ["DstFold", "DstGap", "LocalRule", "WallTimes", "local_rule"]

DstGap = Literal["run_after", "skip"]
"""Wall times that are lost where the clocks go forward: fire once, right after the gap, or not at all."""
DstFold = Literal["once", "both"]
"""Wall times that come twice where the clocks go back: fire the first time only, or both times."""

_ZERO = timedelta(0)
# Two offsets differ by less than this: Python allows none of a day or more. So instants that are farther apart than this
# are in the order of their wall times, whatever the clocks did between them. (No change ever moved them by more than a day.)
_REACH = timedelta(days=2)
# A little short of the calendar's ends, so that a zone's offset never leads out of it.
_EARLIEST, _LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9991, 1, 1, tzinfo=UTC)


class WallTimes(Protocol):
    """A set of wall-clock times, which knows nothing of zones."""

    def next_wall(self, after: datetime) -> datetime | None:
        """Return the first of them strictly later than the wall time `after`, or None."""

    def count_walls(self, after: datetime, until: datetime) -> int:
        """Return how many lie in after < time <= until; 0 when the span is empty or reversed."""


def _clamp(instant: datetime) -> datetime:
    return instant if _EARLIEST < instant < _LATEST else max(_EARLIEST, min(instant, _LATEST))


class _Calm(NamedTuple):
    """The instants begin <= t < end, with one offset and far from every clock change.

    Far is at least `_REACH`.
    """

    begin: datetime
    end: datetime
    offset: timedelta


_NEVER = _Calm(END_OF_TIME, BEGIN_OF_TIME, _ZERO)


@lru_cache(maxsize=8192)
def _calm_stretches(zone: ZoneInfo, block: int) -> tuple[_Calm, ...]:
    """Return what of a block is calm."""
    begin, until = start_of_block(block), start_of_block(block + 1)
    found, offset = list[_Calm](), offset_at(zone, begin)
    for change in clock_changes(zone, begin - _REACH, until + _REACH):
        found.append(_Calm(begin, min(change.at - _REACH, until), change.before))
        begin, offset = change.at + _REACH, change.after
    found.append(_Calm(begin, until, offset))
    return tuple(calm for calm in found if calm.begin < calm.end)


def _calm_at(zone: ZoneInfo, instant: datetime) -> _Calm | None:
    """Return the calm stretch that an instant lies in, or None near a change."""
    for calm in _calm_stretches(zone, block_of(instant)):
        if calm.begin <= instant < calm.end:
            return calm
    return None


@lru_cache(maxsize=1024)
def local_rule(zone: ZoneInfo, *, catch_up: bool, repeats: bool) -> "LocalRule":
    """Return the one `LocalRule` for these choices.

    All triggers of a zone share what it remembers.
    """
    return LocalRule(zone, catch_up=catch_up, repeats=repeats)


@frozen
class LocalRule:
    """How a schedule of wall times meets a zone's clock changes.

    `catch_up`: wall times lost in a gap fire once, all together, at the instant of the change.
    `repeats`: wall times that come twice fire twice; otherwise in the first pass only.
    """

    zone: ZoneInfo
    catch_up: bool
    repeats: bool
    _memory: list[_Calm] = field(init=False, repr=False, eq=False)

    @_memory.default
    def _first_memory(self) -> list[_Calm]:
        fixed = fixed_offset(self.zone)
        return [_NEVER if fixed is None else _Calm(BEGIN_OF_TIME, END_OF_TIME, fixed)]

    def next_fire_time(self, times: WallTimes, prev: datetime) -> datetime | None:
        """Return the first instant later than `prev` at which `times` fire in the zone; None: none.

        `prev` is aware; the answer is in UTC, and never `prev` itself.

        The calm stretch of the last question is remembered: nearly all fires fall into the same one as the fire before
        them, and cost as much in a zone with daylight saving as in UTC.
        """
        prev = _clamp(require_aware(prev, "prev"))
        if prev == _LATEST:
            return None
        # A cache: whose stretch it holds decides how fast the answer comes, never what it is. One reference is read and
        # written, so that threads may overwrite each other's, but never see half of one.
        begin, end, offset = self._memory[0]
        if not begin <= prev < end:
            calm = _calm_at(self.zone, prev)
            if calm is None:
                return self._walk(times, prev)
            self._memory[0] = calm
            begin, end, offset = calm
        wall = times.next_wall(prev + offset)
        if wall is None:
            return None
        instant = wall - offset
        return instant if instant < end else self._land(times, prev, wall, instant)

    def _land(self, times: WallTimes, prev: datetime, wall: datetime, near: datetime) -> datetime | None:
        """Return the first fire later than `prev`, a calm instant.

        `wall` is the first wall time after its own, at about `near`.

        Where the landing is calm, too, changes on the way do not matter. What lies between the two instants, the wall
        times lost in a gap included, reads between their wall times, where nothing of the schedule is: within `_REACH`
        of either end because no change is there, beyond it because the order of instants is that of their wall times.
        """
        calm = _calm_at(self.zone, near)
        if calm is not None:
            instant = wall - calm.offset
            if calm.begin <= instant < calm.end:
                return instant
        return self._walk(times, prev)

    def wall_at(self, instant: datetime) -> datetime:
        """Return what the zone's clock reads at an instant (aware)."""
        instant = _clamp(require_aware(instant, "prev"))
        return instant + offset_at(self.zone, instant)

    def day_of(self, fire: datetime) -> datetime:
        """Return the day of the wall time that fired at an instant; its time of day means nothing.

        A fire that was caught up belongs to the day that was lost.
        """
        fire = _clamp(require_aware(fire, "prev"))
        change = next(clock_changes(self.zone, fire - TICK, fire), None)
        return change.old_wall if change is not None and change.is_gap and self.catch_up else self.wall_at(fire)

    def count_fires(self, times: WallTimes, after: datetime, until: datetime) -> int:
        """Return how many instants with after < instant <= until (aware) fire, without visiting them."""
        after, until = _clamp(require_aware(after, "after")), _clamp(require_aware(until, "until"))
        if until <= after:
            return 0
        total, wall = 0, self._first_wall(after)
        for change in clock_changes(self.zone, after, until):
            total += times.count_walls(wall, change.old_wall - TICK)
            wall = self._wall_after(change)
            if self._catches_up(times, change) and times.next_wall(wall) != change.new_wall:
                total += 1
        return total + times.count_walls(wall, until + offset_at(self.zone, until))

    def _walk(self, times: WallTimes, prev: datetime) -> datetime | None:
        """Go from one stretch of constant offset to the next; the way that is right next to a change, too."""
        begin, after = prev, self._first_wall(prev)
        while True:
            offset = offset_at(self.zone, begin)
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
                after = begin + offset_at(self.zone, begin) - TICK
            else:
                return None

    def _first_wall(self, instant: datetime) -> datetime:
        """Return the wall time after which to search when everything up to `instant` is past."""
        wall = instant + offset_at(self.zone, instant)
        if not self.repeats:
            for change in clock_changes(self.zone, instant - _REACH, instant):
                if not change.is_gap:
                    wall = max(wall, change.old_wall - TICK)
        return wall

    def _wall_after(self, change: ClockChange) -> datetime:
        """Return the wall time after which to search when everything before `change` is past."""
        first = change.new_wall if change.is_gap or self.repeats else change.old_wall
        return first - TICK

    def _catches_up(self, times: WallTimes, change: ClockChange) -> bool:
        if not (self.catch_up and change.is_gap):
            return False
        lost = times.next_wall(change.old_wall - TICK)
        return lost is not None and lost < change.new_wall
