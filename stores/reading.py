"""Reads one stored record, and says what is wrong with it where it cannot be read.

What a later version or a person wrote may be wrong in any field and in any way. None of it may keep the records beside it from being read.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from duly.stores.errors import UnreadableTask
from duly.stores.records import Unreadable

T = TypeVar("T")
R = TypeVar("R")

_LINE: Final = 300
"""Most characters of a reason."""


def reading(slug: str, read: Callable[[], T]) -> T:
    """Return what `read` returns.

    Raises:
        UnreadableTask: it raised.

    """
    try:
        return read()
    except UnreadableTask:
        raise
    except Exception as error:
        raise UnreadableTask(slug, _reason(error)) from error


def _reason(error: Exception) -> str:
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"


def sorted_out(rows: Iterable[R], read: Callable[[R], T]) -> tuple[list[T], list[tuple[R, Unreadable]]]:
    """Return what could be read of `rows`, and the rows that could not be, each with the reason."""
    items: list[T] = []
    unreadable: list[tuple[R, Unreadable]] = []
    for row in rows:
        try:
            items.append(read(row))
        except UnreadableTask as error:
            unreadable.append((row, Unreadable(error.slug, error.reason)))
    return items, unreadable
