"""`AnyOf` and `AllOf`: the fire times of several triggers, united or intersected."""

from datetime import datetime
from typing import ClassVar

from attrs import frozen

from duly.triggers.base import CountsFrom, Trigger, bounded_search, next_fire_after
from duly.triggers.combined.nesting import common_basis, require_part, require_timetable, shown, write_parts
from duly.triggers.errors import TriggerError
from duly.triggers.instants import TICK, require_aware

__all__ = ["AllOf", "AnyOf"]

_MOST_TRIES = 10_000
"""After so many instants at which some but not all of its parts fire, `AllOf` gives up: well under a second for cron expressions."""


@frozen(init=False, repr=False)
class _Combination(Trigger):
    """What both share: parts of equal rank."""

    word: ClassVar[str]
    """What its text begins with."""
    parts: tuple[Trigger, ...]
    """The triggers that it is made of; at least one."""

    def __init__(self, *parts: Trigger) -> None:
        owner = type(self).__name__
        if not parts:
            raise TriggerError("has no parts", text=owner, expected="at least one trigger")
        self.__attrs_init__(tuple(self._require(part, owner) for part in parts))

    _require = staticmethod(require_part)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"

    @property
    def counts_from(self) -> CountsFrom:
        """As loosely as the loosest part."""
        return common_basis(self.parts)

    def to_text(self) -> str | None:
        """Return `@any (…) (…)` or `@all (…) (…)`; None when a part has no text."""
        parts = write_parts(self.parts)
        return None if parts is None else f"{self.word} {parts}"


@frozen(init=False, repr=False)
class AnyOf(_Combination):
    """Fires when any of its parts does; at an instant that several share, once.

    A part that counts from the fire before counts from the last fire of any part. Raises `TriggerError` without parts,
    and for one that counts from when it is scheduled.
    """

    word = "@any"

    @bounded_search()
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the earliest next fire time of the parts; None when none has one any more."""
        prev = require_aware(prev, "prev")
        fires = [next_fire_after(part, prev) for part in self.parts]
        return min((fire for fire in fires if fire is not None), default=None)


@frozen(init=False, repr=False)
class AllOf(_Combination):
    """Fires at the instants at which all of its parts fire.

    The parts have to be timetables: others have no instants of their own at which they could meet. Raises `TriggerError` for
    one that is not, and without parts.
    """

    word = "@all"
    _require = staticmethod(require_timetable)

    @bounded_search()
    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first common fire time later than `prev`; None once a part has none any more.

        The search is bounded: raises `TriggerError` when 10,000 instants in a row are fires of some parts, but not of all.
        """
        after = prev = require_aware(prev, "prev")
        for _ in range(_MOST_TRIES):
            fires = [next_fire_after(part, after) for part in self.parts]
            known = [fire for fire in fires if fire is not None]
            if len(known) < len(fires):
                return None
            latest = max(known)
            if min(known) == latest:
                return latest
            after = latest - TICK
        raise TriggerError(
            "has parts that never fire together, as it seems",
            text=shown(self),
            expected=f"a common fire time within {_MOST_TRIES} tries, from {prev} to {after}",
        )
