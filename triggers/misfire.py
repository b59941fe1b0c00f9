"""Which fire times passed while nobody ran the task. Pure; which of them to run is the scheduler's decision."""

from datetime import datetime
from itertools import islice

from attrs import frozen

from detent.triggers.base import LooksBack, Trigger, next_fire_after
from detent.triggers.instants import require_aware
from detent.triggers.search import fire_times, last_fire_time

__all__ = ["Missed", "missed"]

_WALK_LIMIT = 1000


@frozen
class Missed:
    """The fire times f with anchor < f <= now: how many, the earliest and the latest (None when there is none).

    `exact` is False only for a trigger that cannot look back and has more of them than the limit of the walk: then
    `count` is "at least", and `latest` is found by bisection, after which the trigger's next fire is later than now.
    """

    count: int
    first: datetime | None
    latest: datetime | None
    exact: bool = True


def missed(trigger: Trigger, anchor: datetime, now: datetime, *, limit: int = _WALK_LIMIT) -> Missed:
    """Say which fire times of `trigger` lie in anchor < f <= now, in UTC.

    A trigger that `LooksBack`, as this package's own do, answers without visiting each: a year of every second
    takes a millisecond. Any other is walked, for `limit` fires at most.
    """
    anchor, now = require_aware(anchor, "anchor"), require_aware(now, "now")
    first = next_fire_after(trigger, anchor)
    if first is None or first > now:
        return Missed(0, None, None)
    if isinstance(trigger, LooksBack):
        return Missed(trigger.count_fires(anchor, now), first, trigger.last_fire_time(anchor, now))
    walked = list(islice(fire_times(trigger, anchor, now), limit + 1))
    if len(walked) <= limit:
        return Missed(len(walked), first, walked[-1])
    return Missed(len(walked), first, last_fire_time(trigger, walked[-2], now), exact=False)
