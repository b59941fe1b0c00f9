"""A store around another one: the base class of wrappers.

It forwards every call, so that a wrapper writes only what it does differently.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from datetime import datetime, timedelta
from typing import ClassVar, Self, TypeVar

from duly.jobs import Task
from duly.stores.base import BaseStore, JobStore
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import Exchange, Extended, Held, IfExists, LockRequest, Node, Outcome, Run

P = TypeVar("P")


class WrappedStore(BaseStore):
    """Does what the store within does; opened and closed with it.

    `lock` and `reschedule` go through `exchange`: who overrides that has overridden all three. Of the facets of the store within, a
    wrapper passes on those that it names in `facets`, and no other: one that knows nothing of this wrapper would go past it.
    """

    facets: ClassVar[frozenset[Callable[..., object]]] = frozenset()
    """The protocols that may be had of the store within; a subclass names them."""

    def __init__(self, store: JobStore) -> None:
        """Wrap `store`."""
        super().__init__(store.namespace)
        self._store = store

    async def open(self) -> None:
        """Open the store within."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store within."""
        await self._store.close()

    def sibling(self) -> Self:
        """Return the same wrapper around a sibling of the store within."""
        other = copy(self)
        other._store = self._store.sibling()  # noqa: SLF001 - of the same class
        return other

    async def now(self) -> datetime | None:
        """Return the store's own clock; None: it has none."""
        return await self._store.now()

    def facet(self, kind: Callable[..., P]) -> P | None:
        """Return the facet of this wrapper, else one of the store within that `facets` names.

        None: there is neither.
        """
        own = super().facet(kind)
        return self._store.facet(kind) if own is None and kind in self.facets else own

    # -- what a node lives on

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished, then lock what is due."""
        return await self._store.exchange(now, outcomes, request)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Move the end of each lease to `now + lease`."""
        return await self._store.extend(now, held, lease)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant among tasks of `kinds`; None: there is none."""
        return await self._store.next_run(kinds)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold up to `want` of the `total` slots that `kind` has; return how many."""
        return await self._store.slots(now, node, kind, want, total, lease)

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield whenever something may be due sooner than was known."""
        return self._store.listen()

    # -- what people and programs do with tasks

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks; return the slugs that were written."""
        return await self._store.create(now, tasks, if_exists=if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        return await self._store.get(slug)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs, in order."""
        return await self._store.get_slugs(prefix=prefix, limit=limit, after=after)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        return await self._store.search(query)

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match."""
        return await self._store.count(query)

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit of a task that was read before."""
        return await self._store.update(now, task)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task."""
        await self._store.delete(slug, version)

    async def clear(self) -> int:
        """Delete every task of the namespace; return how many there were."""
        return await self._store.clear()

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first."""
        return await self._store.runs(query)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs; return how many."""
        return await self._store.prune(before, keep, limit)

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself."""
        await self._store.announce(node)

    async def nodes(self) -> list[Node]:
        """Return the nodes that announced themselves."""
        return await self._store.nodes()
