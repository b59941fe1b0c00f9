"""The protocols of triggers: *when* something runs, as a pure function from one fire time to the next."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import IntEnum
from typing import Protocol, runtime_checkable

from duly.triggers.errors import TriggerError
from duly.triggers.instants import require_aware

__all__ = ["CountsFrom", "LooksBack", "Trigger", "bounded_search", "next_fire_after", "require_trigger"]

_MOST_STEPS = 100_000
"""How often one search asks triggers for a next fire time before it gives up, as an error: about a second of work."""

_steps_left: ContextVar[list[int] | None] = ContextVar("steps_left", default=None)


class CountsFrom(IntEnum):
    """What a trigger's next fire time is counted from.

    A combination counts as the last of its parts in this order.
    """

    TIMETABLE = 0
    """Nothing: its fire times are the same instants whatever `prev` is, so that one may jump to any of them."""
    FIRE = 1
    """The fire before, which is `prev`."""
    END = 2
    """The end of the run before (a fixed delay), which is then `prev`: no fire passes while it runs."""
    SCHEDULING = 3
    """The moment of scheduling, which is `prev`: a one-off."""


@runtime_checkable
class Trigger(Protocol):
    """When something runs. Subclass it and write `next_fire_time`; the rest has defaults.

    A trigger is a value: it reads no clock, does no I/O, keeps no state between calls, and may be shared by
    any number of threads.
    """

    __slots__ = ()

    @abstractmethod
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first fire time strictly later than `prev` (aware), in UTC.

        None when there is none any more.
        """

    @property
    def counts_from(self) -> CountsFrom:
        """What `prev` stands for.

        `TIMETABLE`, where it is true, lets other triggers jump instead of following each fire.
        """
        return CountsFrom.FIRE

    def to_text(self) -> str | None:
        """Return the text that `parse_trigger` reads back as an equal trigger; None: there is none.

        A trigger with a text is stored with the task, so that every node can follow and show it. One without
        (the default, right for a class of your own) lives in code: the task refers to its job's trigger.
        """
        return None


@runtime_checkable
class LooksBack(Trigger, Protocol):
    """A trigger that can say what happened in a span without visiting each fire of it."""

    __slots__ = ()

    @abstractmethod
    def count_fires(self, after: datetime, until: datetime) -> int | None:
        """Return how many fire times f there are with after < f <= until, following on from a fire at `after`.

        None when this one cannot tell without visiting them, as a combination of others may have to say.
        """

    @abstractmethod
    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times in UTC, or None when there is none."""


def require_trigger(value: object, what: str, expected: str = "a Trigger; for the text of one, parse_trigger(text)") -> Trigger:
    """Return `value` when it is a trigger.

    Raises `TriggerError` for anything else, such as a trigger's class or its text.
    """
    if isinstance(value, type) or not isinstance(value, Trigger):
        raise TriggerError("is no trigger", field=what, value=repr(value), expected=expected)
    return value


def next_fire_after(trigger: Trigger, prev: datetime) -> datetime | None:
    """Ask any trigger, trusting none: the answer is None, or aware, in UTC and strictly later than `prev`.

    Raises `TriggerError` for an answer that does not move forward: following it would loop for ever; and, within a
    `bounded_search`, when that has taken too many steps.
    """
    prev = require_aware(prev, "prev")
    left = _steps_left.get()
    if left is not None:
        left[0] -= 1
        if left[0] < 0:
            raise TriggerError(
                "takes too many steps to follow", text=repr(trigger), expected=f"at most {_MOST_STEPS}, from there to {prev}"
            )
    found = trigger.next_fire_time(prev)
    if found is None:
        return None
    found = require_aware(found, f"{type(trigger).__name__}.next_fire_time()")
    if found <= prev:
        raise TriggerError(
            "does not move forward", text=repr(trigger), field="fire time", value=str(found), expected=f"an instant later than {prev}"
        )
    return found


@contextmanager
def bounded_search() -> Iterator[None]:
    """Let all that is asked within take 100,000 steps together, however deep triggers lie in each other.

    The outermost search decides. So a trigger that somebody made up cannot stop an event loop: it is an error instead.
    """
    if _steps_left.get() is not None:
        yield
        return
    token = _steps_left.set([_MOST_STEPS])
    try:
        yield
    finally:
        _steps_left.reset(token)
