"""`Between`: a trigger from a start on, up to an end, or so many times."""

from datetime import datetime, timedelta
from itertools import islice

from attrs import field, frozen

from duly.triggers.base import CountsFrom, LooksBack, Trigger, bounded_search, next_fire_after
from duly.triggers.combined.nesting import require_part, shown, write_parts
from duly.triggers.errors import TriggerError, require_count
from duly.triggers.instants import BEGIN_OF_TIME, END_OF_TIME, TICK, format_instant, require_aware
from duly.triggers.options import write_options
from duly.triggers.search import fire_times, last_fire_time

__all__ = ["Between"]

_FEW = 1000
"""Fires that are sooner walked than counted."""
_MOST_WALKED = 10_000
"""Fires that are walked where they cannot be counted."""
_LONGEST = timedelta(days=512 * 365)
"""As far as they are counted."""


def _part(value: Trigger) -> Trigger:
    return require_part(value, "Between")


def _start(value: datetime | None) -> datetime | None:
    return None if value is None else require_aware(value, "start")


def _end(value: datetime | None) -> datetime | None:
    return None if value is None else require_aware(value, "end")


@frozen
class Between(LooksBack):
    """Fires as `trigger` does from `start` to `end`, both included, and at most `times` times.

    `times` counts from `start`, so that it needs one, and so that how often a task ran before does not matter. A trigger
    that counts from the fire before fires first one interval after `start`.

    Raises `TriggerError` when there is no bound, for an end before the start, and for a number that cannot be counted: the
    trigger has to be a timetable, of one that does not look back at most 10,000 fires are visited, when it is built, and
    none later than some 500 years after the start.
    """

    trigger: Trigger = field(converter=_part)
    """The trigger whose fires are bounded."""
    start: datetime | None = field(default=None, kw_only=True, converter=_start)
    """No fire before this instant, in UTC; None: no lower bound."""
    end: datetime | None = field(default=None, kw_only=True, converter=_end)
    """No fire after this instant, in UTC; None: no upper bound."""
    times: int | None = field(default=None, kw_only=True)
    """Most fires, counted from `start`; None: any number."""
    _last: datetime | None = field(init=False, repr=False, eq=False)
    """The latest instant at which it may fire."""

    @_last.default
    def _find_last(self) -> datetime | None:
        if self.start is None and self.end is None and self.times is None:
            raise TriggerError("has no bound", text=shown(self.trigger), expected="start, end or times")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise TriggerError("is before the start", field="end", value=str(self.end), expected=f"an instant from {self.start} on")
        if self.times is None:
            return self.end
        with bounded_search():
            nth = _nth_fire(self.trigger, self._before(self._countable_start()), self.times)
        return self.end if nth is None else nth if self.end is None else min(nth, self.end)

    def _countable_start(self) -> datetime:
        require_count("times", self.times)
        if self.start is None:
            raise TriggerError("cannot be counted", field="times", value=str(self.times), expected="a start to count from")
        if self.counts_from is not CountsFrom.TIMETABLE:
            raise TriggerError(
                "cannot be counted", field="times", value=str(self.times), expected=f"a timetable, not {shown(self.trigger)}"
            )
        return self.start

    @property
    def counts_from(self) -> CountsFrom:
        """As its trigger."""
        return self.trigger.counts_from

    @bounded_search()
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the trigger's first fire time strictly later than `prev` and within the bounds, or None."""
        found = next_fire_after(self.trigger, self._from_start(prev))
        return None if found is None or (self._last is not None and found > self._last) else found

    def count_fires(self, after: datetime, until: datetime) -> int | None:
        """Return how many fire times f there are with after < f <= until; None when the trigger cannot tell."""
        if not isinstance(self.trigger, LooksBack):
            return None
        return self.trigger.count_fires(self._from_start(after), self._up_to_last(until))

    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times, or None when there is none."""
        return last_fire_time(self.trigger, self._from_start(after), self._up_to_last(until))

    def to_text(self) -> str | None:
        """Return `START=… END=… TIMES=… @between (…)`; None when the trigger has no text."""
        options = {}
        if self.start is not None:
            options["START"] = format_instant(self.start)
        if self.end is not None:
            options["END"] = format_instant(self.end)
        if self.times is not None:
            options["TIMES"] = str(self.times)
        part = write_parts([self.trigger])
        return None if part is None else write_options(options, f"@between {part}")

    def _before(self, start: datetime) -> datetime:
        """Return the instant from which the trigger is asked for its first fire within the bounds."""
        return start - TICK if self.counts_from is CountsFrom.TIMETABLE and start > BEGIN_OF_TIME else start

    def _from_start(self, prev: datetime) -> datetime:
        prev = require_aware(prev, "prev")
        return prev if self.start is None else max(prev, self._before(self.start))

    def _up_to_last(self, until: datetime) -> datetime:
        until = require_aware(until, "until")
        return until if self._last is None else min(until, self._last)


def _nth_fire(trigger: Trigger, after: datetime, number: int) -> datetime | None:
    """Return the fire of a timetable with that number, from 1, after `after`.

    None when there are not so many.
    """
    before = 0
    if number > _FEW and isinstance(trigger, LooksBack) and trigger.count_fires(after, after) is not None:
        after, before = _shortly_before(trigger, after, number)
    if number - before > _MOST_WALKED:
        raise TriggerError("cannot be counted", field="times", value=str(number), expected=f"at most {_MOST_WALKED} for {shown(trigger)}")
    return next(islice(fire_times(trigger, after), number - before - 1, None), None)


def _shortly_before(trigger: LooksBack, after: datetime, number: int) -> tuple[datetime, int]:
    """Return an instant at most `_FEW` fires before the one with that number.

    Also return how many fires there are up to it. Found by bisection.
    """

    def count(until: datetime) -> int:
        return trigger.count_fires(after, until) or 0

    low, high, before, upto = after, after, 0, 0
    window = timedelta(days=1)
    while upto < number:
        low, before = high, upto
        if window > _LONGEST:
            if next_fire_after(trigger, high) is None:
                return low, before
            expected = f"as many fires as {shown(trigger)} has in {_LONGEST.days // 365} years"
            raise TriggerError("cannot be counted", field="times", value=str(number), expected=expected)
        high = after + window if window < END_OF_TIME - after else END_OF_TIME
        upto, window = count(high), window * 2
    while upto - before > _FEW:
        middle = low + (high - low) / 2
        counted = count(middle)
        if counted < number:
            low, before = middle, counted
        else:
            high, upto = middle, counted
    return low, before
