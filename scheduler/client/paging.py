"""Iterate over all pages of a query; the next page is asked for when the last one is used up."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from attrs import evolve

from duly.stores import Page, RunQuery, TaskQuery

Q = TypeVar("Q", TaskQuery, RunQuery)
T = TypeVar("T")


async def walk(ask: Callable[[Q], Awaitable[Page[T]]], query: Q) -> AsyncIterator[T]:
    """Yield what `query` finds, from its `after` on and in its order; its `limit` is the size of a page."""
    following: Q | None = query
    while following is not None:
        page = await ask(following)
        for item in page.items:
            yield item
        following = _following(following, page)


def walk_blocking(ask: Callable[[Q], Page[T]], query: Q) -> Iterator[T]:
    """Yield the same for a caller without an event loop."""
    following: Q | None = query
    while following is not None:
        page = ask(following)
        yield from page.items
        following = _following(following, page)


def _following(query: Q, page: Page[T]) -> Q | None:
    return None if page.next is None else evolve(query, after=page.next)
