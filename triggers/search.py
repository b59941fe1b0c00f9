"""Following a trigger's fire times, forwards one by one and backwards by bisection. Pure."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from duly.triggers.base import CountsFrom, LooksBack, Trigger, bounded_search, next_fire_after, require_trigger
from duly.triggers.errors import TriggerError
from duly.triggers.instants import TICK, require_aware

__all__ = ["bisect_fires", "fire_times", "fires_at", "first_delay", "first_fire_from", "last_fire_time", "latest_fires"]

_MOST_FOLLOWED = 10_000
_FEW = 100
"""Fires that are sooner walked than jumped over."""
_NARROWEST = timedelta(seconds=1)
# Bisecting the whole calendar down to a microsecond takes about 60 steps; an irregular trigger may take a few more.
_MOST_HALVINGS = 200


def fire_times(trigger: Trigger, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Yield the fire times later than `after`, up to and including `until`: without it, possibly for ever.

    Runs take no time here: with a fixed delay each fire follows the one before.
    """
    require_trigger(trigger, "trigger")
    end = None if until is None else require_aware(until, "until")
    found = next_fire_after(trigger, after)
    while found is not None and (end is None or found <= end):
        yield found
        found = None if trigger.counts_from is CountsFrom.SCHEDULING else next_fire_after(trigger, found)


def first_delay(trigger: Trigger, now: datetime) -> timedelta:
    """Return the time from `now` (aware) to the first fire later than it.

    Raises `TriggerError` when there is none any more.
    """
    require_trigger(trigger, "trigger")
    first = next_fire_after(trigger, now)
    if first is None:
        raise TriggerError("does not fire any more", text=trigger.to_text() or repr(trigger), field="now", value=str(now))
    return first - now


def fires_at(trigger: Trigger, instant: datetime) -> bool:
    """Whether a trigger that is a timetable fires at this very instant."""
    return next_fire_after(trigger, instant - TICK) == instant


def first_fire_from(trigger: Trigger, prev: datetime, instant: datetime) -> datetime | None:
    """Return the first fire time at or after `instant`, following on from a fire at `prev`.

    None when there is none.

    A trigger that counts from the fire before is followed to there by looking back, so that it goes on as it would have. A
    timetable has no need to. A fixed delay that would have ended before `instant` begins anew there.
    """
    if instant <= prev:
        return next_fire_after(trigger, prev)
    if trigger.counts_from is CountsFrom.FIRE:
        return next_fire_after(trigger, last_fire_time(trigger, prev, instant - TICK) or prev)
    found = next_fire_after(trigger, instant - TICK)
    return next_fire_after(trigger, instant) if trigger.counts_from is CountsFrom.END and found != instant else found


@bounded_search()
def last_fire_time(trigger: Trigger, after: datetime, until: datetime) -> datetime | None:
    """Return the latest fire time f with after < f <= until, following on from a fire at `after`, or None.

    Exact for a trigger that can look back or is a timetable; any other is followed for 10,000 fires. Beyond them the answer
    is a fire time that it could have, after which it would fire later than `until`.
    """
    if isinstance(trigger, LooksBack):
        return trigger.last_fire_time(after, until)
    if trigger.counts_from is CountsFrom.END:  # the one after it comes only when it has been run
        first = next_fire_after(trigger, after)
        return None if first is None or first > until else first
    if trigger.counts_from is CountsFrom.TIMETABLE:
        return bisect_fires(trigger, after, until)
    last = None
    for last in islice(fire_times(trigger, after, until), _MOST_FOLLOWED):
        after = last
    return bisect_fires(trigger, after, until) or last


@bounded_search()
def latest_fires(trigger: Trigger, after: datetime, until: datetime, count: int) -> tuple[datetime, ...]:
    """Return the latest `count` fire times f with after < f <= until, in ascending order.

    They follow on from a fire at `after`.

    All of them if there are fewer. A timetable is asked backwards where it has many more; any other trigger is followed for
    10,000 fires, and of more only the latest is told.
    """
    if count <= 0 or after >= until:
        return ()
    jumps = trigger.counts_from is CountsFrom.TIMETABLE or isinstance(trigger, LooksBack)
    most = _FEW + count if jumps else _MOST_FOLLOWED
    walked = tuple(islice(fire_times(trigger, after, until), most + 1))
    if len(walked) <= most:
        return walked[-count:]
    if not jumps:
        latest = last_fire_time(trigger, after, until)
        return () if latest is None else (latest,)
    found: deque[datetime] = deque()
    while len(found) < count and (latest := last_fire_time(trigger, after, found[0] - TICK if found else until)) is not None:
        found.appendleft(latest)
    return tuple(found)


def bisect_fires(trigger: Trigger, after: datetime, until: datetime) -> datetime | None:
    """Return the latest fire time f with after < f <= until, or None.

    Asks a timetable some dozens of times at most.
    """
    after, until = require_aware(after, "after"), require_aware(until, "until")
    low = next_fire_after(trigger, after)
    if low is None or low > until:
        return None
    low, high = _narrow(trigger, low, until)
    for _ in range(_MOST_HALVINGS):
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
    """Return a fire time up to `until` and an instant with none between it and `until`.

    The window doubles backwards.
    """
    high, window = until, _NARROWEST
    while until - first > window:
        found = next_fire_after(trigger, until - window)
        if found is not None and found <= until:
            return found, high
        high, window = until - window, window * 2
    return first, high
