"""How much goes to the server in one statement."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_MOST_ROWS: Final = 1000
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of payload: far below the gigabyte that PostgreSQL takes as one value, also when written in hexadecimal."""


def portions(items: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield `items` in slices that are small enough for a statement each, by count and by `size` in bytes."""
    start = total = 0
    for index, item in enumerate(items):
        total += size(item)
        if index > start and (total > _MOST_BYTES or index - start == _MOST_ROWS):
            yield items[start:index]
            start, total = index, size(item)
    if start < len(items):
        yield items[start:]
