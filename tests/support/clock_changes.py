"""The clock changes of every time zone that this machine knows, found by asking `zoneinfo` alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from attrs import frozen

__all__ = ["SINCE", "UNTIL", "Change", "clock_changes", "distinct_zones", "offset_at"]

SINCE, UNTIL = datetime(2012, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
"""The span that is swept."""

# Since 1970 no two changes of a zone are closer than six days.
_STRIDE = timedelta(hours=12)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


@frozen
class Change:
    """The first instant (UTC) at which the clocks are `after`, and no longer `before`, ahead of UTC."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def shift(self) -> timedelta:
        """How far the clocks move, whichever way."""
        return abs(self.after - self.before)

    @property
    def is_gap(self) -> bool:
        """Whether wall times are lost; otherwise they come twice."""
        return self.after > self.before

    @property
    def low(self) -> datetime:
        """The first wall time (naive) that is lost, or that comes twice."""
        return self.at.replace(tzinfo=None) + min(self.before, self.after)

    @property
    def high(self) -> datetime:
        """The first one later than `low` that comes once, as usual."""
        return self.low + self.shift

    @property
    def on_the_minute(self) -> bool:
        """Whether the wall clock is on the minute when UTC is, before and after, and changes there."""
        return not (self.at.second or self.before % _MINUTE or self.after % _MINUTE)


@cache
def clock_changes(zone: ZoneInfo, since: datetime = SINCE, until: datetime = UNTIL) -> tuple[Change, ...]:
    """Return the zone's changes in since < at <= until, in order."""
    instants = list(_strides(since, until))
    offsets = [offset_at(zone, instant) for instant in instants]
    return tuple(
        Change(_first_instant(zone, early, late), before, after)
        for (early, late), (before, after) in zip(pairwise(instants), pairwise(offsets), strict=True)
        if before != after
    )


def distinct_zones() -> list[str]:
    """Return one zone of each history from `SINCE` to `UNTIL`.

    The alphabetically first of those that never differ there.
    """
    found: dict[object, str] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        found.setdefault((offset_at(zone, SINCE), clock_changes(zone)), name)
    return list(found.values())


def _strides(since: datetime, until: datetime) -> Iterator[datetime]:
    instant = since
    while instant < until:
        yield instant
        instant += _STRIDE
    yield until


def _first_instant(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """Halve the span until the second is found at which the offset is no longer that of `early`."""
    offset = offset_at(zone, early)
    while late - early > _SECOND:
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if offset_at(zone, middle) == offset:
            early = middle
        else:
            late = middle
    return late


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return how far the zone's clocks are ahead of UTC."""
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
