"""All pages of a query, one after the other: an iterator that asks for the next page when the one before is used up."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from attrs import evolve

from duly.stores import Page, RunQuery, TaskQuery

Q = TypeVar("Q", TaskQuery, RunQuery)
T = TypeVar("T")


async def walk(ask: Callable[[Q], Awaitable[Page[T]]], query: Q) -> AsyncIterator[T]:
    """Yield what `query` finds from its `after` on, in its order; its `limit` is how much is asked for at a time."""
    following: Q | None = query
    while following is not None:
        page = await ask(following)
        for item in page.items:
            yield item
        following = _following(following, page)


def walk_blocking(ask: Callable[[Q], Page[T]], query: Q) -> Iterator[T]:
    """Do the same for a caller without an event loop."""
    following: Q | None = query
    while following is not None:
        page = ask(following)
        yield from page.items
        following = _following(following, page)


def _following(query: Q, page: Page[T]) -> Q | None:
    return None if page.next is None else evolve(query, after=page.next)
