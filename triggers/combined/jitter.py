"""`Jittered`: a trigger whose fires are each a little late.

How late follows from a hash, so that a fleet's tasks do not all start at once.
"""

from datetime import datetime, timedelta
from hashlib import blake2b

from attrs import field, frozen

from duly.triggers.base import CountsFrom, LooksBack, Trigger, bounded_search, next_fire_after
from duly.triggers.combined.nesting import require_timetable, write_parts
from duly.triggers.errors import TriggerError
from duly.triggers.instants import BEGIN_OF_TIME, TICK, format_instant, require_aware
from duly.triggers.interval.interval import format_interval
from duly.triggers.options import write_options
from duly.triggers.search import last_fire_time

__all__ = ["Jittered"]


def _part(value: Trigger) -> Trigger:
    return require_timetable(value, "Jittered")


@frozen
class Jittered(LooksBack):
    """Fires up to `by` later than `trigger`, but always before the trigger's next fire.

    How much later depends on `hash_id` (the task's slug) and on the fire time alone: it is the same on every node, another
    for every fire, uniform over whole microseconds, and never adds up. So `trigger` has to be a timetable: one that
    counts from the fire before would count from the late one.

    Raises `TriggerError` for a `by` that is not longer than zero and for an empty `hash_id`.
    """

    trigger: Trigger = field(converter=_part)
    """The trigger whose fires are made late; a timetable."""
    by: timedelta
    """Each fire is late by less than this; longer than zero."""
    hash_id: str = field(kw_only=True)
    """What the lateness is worked out from, beside the fire time; usually the task's slug."""

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.by, timedelta) or self.by <= timedelta(0):
            raise TriggerError("is not a length of time", field="by", value=str(self.by), expected="a timedelta longer than zero")
        if not isinstance(self.hash_id, str) or not self.hash_id:
            raise TriggerError("is not an id", field="hash_id", value=repr(self.hash_id), expected="text, such as the slug of the task")

    @property
    def counts_from(self) -> CountsFrom:
        """Nothing, as its trigger."""
        return CountsFrom.TIMETABLE

    @bounded_search()
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first late fire strictly after `prev`, or None."""
        prev = require_aware(prev, "prev")
        pending = self._latest_until(prev, since=prev)
        if pending is not None and (fire := self._late(pending)) > prev:
            return fire
        following = next_fire_after(self.trigger, prev)
        return None if following is None else self._late(following)

    @bounded_search()
    def count_fires(self, after: datetime, until: datetime) -> int | None:
        """Return how many fire times f there are with after < f <= until; None when the trigger cannot tell."""
        after, until = require_aware(after, "after"), require_aware(until, "until")
        count = self.trigger.count_fires(after, until) if isinstance(self.trigger, LooksBack) else None
        if count is None or until <= after:
            return None if count is None else 0
        return count + self._is_pending(after) - self._is_pending(until)

    @bounded_search()
    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times, or None when there is none."""
        after, until = require_aware(after, "after"), require_aware(until, "until")
        latest = self._latest_until(until, since=min(after, until))
        if latest is not None and self._late(latest) > until:
            latest = self._latest_until(latest - TICK, since=min(after, until))
        if latest is None:
            return None
        fire = self._late(latest)
        return fire if fire > after else None

    def to_text(self) -> str | None:
        """Return `HASH=report:emea @jitter 30s (…)`; None when the trigger has no text."""
        part = write_parts([self.trigger])
        return None if part is None else write_options({"HASH": self.hash_id}, f"@jitter {format_interval(self.by)} {part}")

    def _late(self, fire: datetime) -> datetime:
        following = next_fire_after(self.trigger, fire)
        span = self.by if following is None else min(self.by, following - fire)
        digest = blake2b(f"{self.hash_id}\0{format_instant(fire)}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        try:
            return fire + TICK * (int.from_bytes(digest) % (span // TICK))
        except OverflowError:
            return fire

    def _is_pending(self, instant: datetime) -> bool:
        """Whether a fire of the trigger has come, whose late one has not."""
        latest = self._latest_until(instant, since=instant)
        return latest is not None and self._late(latest) > instant

    def _latest_until(self, until: datetime, *, since: datetime) -> datetime | None:
        """Return the trigger's latest fire up to `until` that can be late at or after `since`."""
        after = since - self.by if since - BEGIN_OF_TIME > self.by else BEGIN_OF_TIME
        return last_fire_time(self.trigger, after, until)
