"""Triggers made of other triggers: which parts they may have, and their text. Pure.

Such a text is `@any (0 9 * * MON) (@every 24h)`.
"""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from duly.triggers.base import CountsFrom, LooksBack, Trigger, require_trigger
from duly.triggers.errors import TriggerError

__all__ = ["common_basis", "require_jumpable", "require_part", "require_timetable", "shown", "split_items", "write_parts", "zones_of"]

_TIMETABLE = "a timetable: give it a start, or, if it is a class of your own, let counts_from say so"

_DEEPEST = 16
"""How deep parentheses may lie in each other: far more than anybody reads, and far from Python's own limit."""


def require_part(value: object, owner: str) -> Trigger:
    """Return `value` when it is a trigger that can be a part of `owner`; raises `TriggerError` otherwise."""
    part = require_trigger(value, f"part of {owner}")
    if part.counts_from is CountsFrom.SCHEDULING:
        problem = "counts from when it is scheduled, which a part is not"
        raise TriggerError(problem, field=f"part of {owner}", value=shown(part), expected="an instant, such as @at")
    return part


def require_timetable(value: object, owner: str) -> Trigger:
    """Return `value` when it is a trigger whose fire times do not depend on `prev`.

    Raises `TriggerError` otherwise.
    """
    part = require_part(value, owner)
    if part.counts_from is not CountsFrom.TIMETABLE:
        problem = "counts from the fire or run before, so that it has no fire times of its own"
        raise TriggerError(problem, field=f"part of {owner}", value=shown(part), expected=_TIMETABLE)
    return part


def require_jumpable(value: object, owner: str) -> Trigger:
    """Return `value` when it is a trigger that can be asked for its first fire from an instant on.

    Raises `TriggerError` otherwise.

    One that counts from the fire before has to look back, because it would otherwise be followed fire by fire: a combination
    cannot, nor can a class of the user's own that does not say so.
    """
    part = require_part(value, owner)
    if part.counts_from is CountsFrom.FIRE and not _looks_back(part):
        raise TriggerError("would be followed fire by fire", field=f"part of {owner}", value=shown(part), expected=_TIMETABLE)
    return part


def _looks_back(trigger: Trigger) -> bool:
    inner = getattr(trigger, "trigger", None)
    return isinstance(trigger, LooksBack) and (not isinstance(inner, Trigger) or _looks_back(inner))


def zones_of(trigger: Trigger) -> set[str]:
    """Return the names of the zones that a trigger and all that it is made of follow."""
    zone = getattr(trigger, "timezone", None)
    if isinstance(zone, ZoneInfo):
        return {zone.key}
    parts = getattr(trigger, "parts", None) or [getattr(trigger, "trigger", None)]
    return {name for part in parts if isinstance(part, Trigger) for name in zones_of(part)}


def common_basis(parts: Iterable[Trigger]) -> CountsFrom:
    """Return what a combination counts from: as loosely as the loosest of its parts."""
    return max(part.counts_from for part in parts)


def shown(trigger: Trigger) -> str:
    """Return the text of a trigger for messages, or its repr if it has none."""
    return trigger.to_text() or repr(trigger)


def write_parts(parts: Iterable[Trigger]) -> str | None:
    """Write triggers in parentheses; None when one of them has no text."""
    texts = [part.to_text() for part in parts]
    return None if None in texts else " ".join(f"({text})" for text in texts)


def split_items(text: str) -> list[str]:
    """Split a text at its blanks, but not within parentheses, which stay around what they enclose.

    Raises `TriggerError` for parentheses that do not pair or lie too deep.
    """
    items: list[str] = []
    depth, begin = 0, None
    for index, letter in enumerate(f"{text} "):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        if not 0 <= depth <= _DEEPEST:
            break
        if letter.isspace() and depth == 0:
            if begin is not None:
                items.append(text[begin:index])
            begin = None
        elif begin is None:
            begin = index
    if depth:
        raise TriggerError(
            "has parentheses that do not pair, or lie too deep in each other",
            field="trigger",
            value=text,
            expected=f"pairs, at most {_DEEPEST} deep",
        )
    return items
