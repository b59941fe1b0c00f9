"""Options in the query of a store's URL that are ours, and not the driver's."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from attrs import frozen

from duly.stores.errors import InvalidStoreURL
from duly.stores.passwords import hide_password
from duly.triggers import parse_interval

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_LONGEST = timedelta(days=1)
_MOST = 10_000


@frozen
class Option:
    """How one option is read."""

    read: Callable[[str], object]
    """Reads its text, or raises `ValueError`."""
    expected: str
    """What it expects, for messages."""


def split_options(url: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """Take the options of these names out of the query of `url`.

    Of one that is given twice, the last counts.
    """
    base, mark, query = url.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    taken = {name: unquote_plus(text) for name, _, text in pairs if name in names}
    rest = "&".join("".join(pair) for pair in pairs if pair[0] not in names)
    return base + (mark + rest if rest else ""), taken


def read_options(url: str, given: Mapping[str, str], known: Mapping[str, Option]) -> dict[str, Any]:
    """Return what the options say, by name; what is not given is left out.

    Raises:
        InvalidStoreURL: one cannot be read; the message says what is expected, and shows no password.

    """
    read: dict[str, Any] = {}
    for name, text in given.items():
        option = known[name]
        try:
            read[name] = option.read(text)
        except ValueError:
            raise InvalidStoreURL(hide_password(url), f"{name}= {option.expected}") from None
    return read


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text) <= _MOST:
        raise ValueError(text)
    return int(text)


def span(text: str) -> timedelta:
    """Read a length of time, longer than zero and up to a day: seconds, or with its unit, as `1m 30s`."""
    if _SECONDS.fullmatch(text):
        length = timedelta(seconds=float(text))
    else:
        interval = parse_interval(text)
        length = interval.time if interval.is_exact else timedelta(0)
    if not timedelta(0) < length <= _LONGEST:
        raise ValueError(text)
    return length


def span_or_none(text: str) -> timedelta | None:
    """Read a length of time, or `none`."""
    return None if text == "none" else span(text)


COUNT = Option(count, f"a whole number from 1 to {_MOST}")
SPAN = Option(span, "a length of time, such as 10 (seconds) or 1m30s")
SPAN_OR_NONE = Option(span_or_none, "a length of time, such as 5 (seconds) or 1m30s, or none")
