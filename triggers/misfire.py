"""Which fire times passed while nobody ran the task.

Pure; which of them to run is the scheduler's decision.
"""

from datetime import datetime
from itertools import islice

from attrs import frozen

from duly.triggers.base import CountsFrom, LooksBack, Trigger, bounded_search, next_fire_after
from duly.triggers.errors import require_count
from duly.triggers.instants import require_aware
from duly.triggers.search import bisect_fires, fire_times, last_fire_time

__all__ = ["Missed", "missed"]

_WALK_LIMIT = 1000


@frozen
class Missed:
    """The fire times f with anchor < f <= now: how many, the earliest and the latest.

    `exact` is False only for a trigger that cannot count and has more of them than the limit of the walk: then `count` is
    "at least", and `latest` is found by looking back or by bisection; the trigger's next fire after it is later than now.
    """

    count: int
    """How many fire times passed; a lower bound where `exact` is False."""
    first: datetime | None
    """The earliest of them, in UTC; None if there is none."""
    latest: datetime | None
    """The latest of them, in UTC; None if there is none."""
    exact: bool = True
    """Whether `count` is exact, and not a lower bound."""


@bounded_search()
def missed(trigger: Trigger, anchor: datetime, now: datetime, *, limit: int = _WALK_LIMIT) -> Missed:
    """Say which fire times of `trigger` lie in anchor < f <= now, in UTC.

    A trigger that `LooksBack`, as cron expressions and fixed intervals do, answers without visiting each. Any other, as
    most combinations, is walked, for `limit` fires at most. With a fixed delay there is one at most, which waits to be run.
    """
    require_count("limit", limit)
    anchor, now = require_aware(anchor, "anchor"), require_aware(now, "now")
    first = next_fire_after(trigger, anchor)
    if first is None or first > now:
        return Missed(0, None, None)
    if trigger.counts_from is CountsFrom.END:  # the next one comes only after this one has been run
        return Missed(1, first, first)
    count = trigger.count_fires(anchor, now) if isinstance(trigger, LooksBack) else None
    if count is not None:
        return Missed(count, first, last_fire_time(trigger, anchor, now))
    walked = list(islice(fire_times(trigger, anchor, now), limit + 1))
    if len(walked) <= limit:
        return Missed(len(walked), first, walked[-1])
    latest = last_fire_time(trigger, anchor, now) if isinstance(trigger, LooksBack) else bisect_fires(trigger, walked[-2], now)
    return Missed(len(walked), first, latest, exact=False)
