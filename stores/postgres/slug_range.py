"""Slugs that start alike as a stretch of an index in code-point order: no pattern, whatever is in the prefix."""

from typing import Final

_LAST: Final = "\U0010ffff"
"""The last character there is."""

_BEYOND: Final = _LAST * 256
"""Sorts after every slug, which has at most 255 characters."""


def slug_range(prefix: str, after: str | None) -> tuple[str, str]:
    """Return the least text that starts with `prefix` and sorts after `after`, and the least beyond all that start so."""
    first = prefix if after is None else max(prefix, after + "\x01")
    stem = prefix.rstrip(_LAST)
    return first, stem[:-1] + _following(stem[-1]) if stem else _BEYOND


def _following(character: str) -> str:
    return "\ue000" if character == "\ud7ff" else chr(ord(character) + 1)  # what lies between are surrogates, which no text has
