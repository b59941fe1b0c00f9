"""Slugs that start alike are a range of an index in code-point order.

No character of the prefix acts as a pattern.
"""

from typing import Final

_LAST: Final = "\U0010ffff"
"""The last character there is."""

_BEYOND: Final = _LAST * 256
"""Sorts after every slug, which has at most 255 characters."""


def slug_range(prefix: str, after: str | None) -> tuple[str, str]:
    """Return where slugs that start with `prefix` begin and end in code-point order.

    The first text is the least that starts so and sorts after `after`, the second the least beyond all that start so.
    """
    first = prefix if after is None else max(prefix, after + "\x01")
    stem = prefix.rstrip(_LAST)
    return first, stem[:-1] + _following(stem[-1]) if stem else _BEYOND


def _following(character: str) -> str:
    return "\ue000" if character == "\ud7ff" else chr(ord(character) + 1)  # what lies between are surrogates, which no text has
