"""Following a trigger's fire times, forwards one by one and backwards by bisection. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from detent.triggers.base import Trigger, next_fire_after
from detent.triggers.instants import require_aware

__all__ = ["fire_times", "last_fire_time"]

_NARROWEST = timedelta(seconds=1)
# Bisecting the whole calendar down to a microsecond takes about 60 steps; an irregular trigger may take a few more.
_MOST_STEPS = 200


def fire_times(trigger: Trigger, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Yield the fire times later than `after`, up to and including `until`: without it, possibly for ever."""
    end = None if until is None else require_aware(until, "until")
    found = next_fire_after(trigger, after)
    while found is not None and (end is None or found <= end):
        yield found
        found = next_fire_after(trigger, found)


def last_fire_time(trigger: Trigger, after: datetime, until: datetime) -> datetime | None:
    """Return the latest fire time f with after < f <= until, or None, asking the trigger some dozens of times at most.

    Exact for every trigger whose fire times are one timetable, whatever `prev` is. For one that counts from `prev`
    the answer is a fire time that it could have, after which it would fire later than `until`.
    """
    after, until = require_aware(after, "after"), require_aware(until, "until")
    low = next_fire_after(trigger, after)
    if low is None or low > until:
        return None
    low, high = _narrow(trigger, low, until)
    for _ in range(_MOST_STEPS):
        following = next_fire_after(trigger, low)
        if following is None or following > until:
            break
        low = following
        if following < high:
            middle = following + (high - following) / 2
            found = next_fire_after(trigger, middle)
            if found is not None and found <= until:
                low = found
            else:
                high = middle
    return low


def _narrow(trigger: Trigger, first: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Return a fire time up to `until` and an instant with none between it and `until`: the window doubles backwards."""
    high, window = until, _NARROWEST
    while until - first > window:
        found = next_fire_after(trigger, until - window)
        if found is not None and found <= until:
            return found, high
        high, window = until - window, window * 2
    return first, high
