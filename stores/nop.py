"""A store that discards, for programs whose scheduling is turned off.

It keeps no promise of a store but the shapes of its answers.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

from duly.jobs import Task
from duly.stores.base import BaseStore
from duly.stores.errors import JobNotFound
from duly.stores.matching import check_batch
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import Exchange, Extended, Held, IfExists, LockRequest, Node, Outcome, Refused, Run


class NopStore(BaseStore):
    """Says of every new task that it was written, forgets it, and has nothing to show.

    It may be used open or not, and in any event loop.
    """

    def __init__(self, *, namespace: str = "default") -> None:
        """Be empty, and stay so."""
        super().__init__(namespace)

    async def open(self) -> None:
        """Nothing is opened."""

    async def close(self) -> None:
        """Nothing is closed."""

    def sibling(self) -> Self:
        """Return another store as empty."""
        return type(self)(namespace=self._namespace)

    async def now(self) -> datetime | None:
        """Return None: there is no clock."""
        return None

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Refuse every outcome, because nobody holds a task; lock nothing."""
        refused = [Refused(outcome=outcome, reason="lost") for outcome in outcomes]
        return Exchange(tasks=[], refused=refused, next_run=None, store_now=None)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Say of every lease that it is lost."""
        return Extended(kept=[], lost=list(held), busy=[], store_now=None)

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return None."""
        return None

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Give none: there is nothing to run in one."""
        return 0

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield nothing, for ever."""
        yield _silence()

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Discard new tasks, and say that all were written.

        Raises:
            InvalidValue: a slug is given twice.

        """
        check_batch(tasks)
        return [task.slug for task in tasks]

    async def get(self, slug: str) -> Task:
        """Raise `JobNotFound`."""
        raise JobNotFound(slug, self._namespace)

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return none."""
        return []

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return an empty page."""
        return Page(items=[], next=None)

    async def count(self, query: TaskQuery) -> int:
        """Return 0."""
        return 0

    async def update(self, now: datetime, task: Task) -> Task:
        """Raise `JobNotFound`."""
        raise JobNotFound(task.slug, self._namespace)

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Raise `JobNotFound`."""
        raise JobNotFound(slug, self._namespace)

    async def clear(self) -> int:
        """Return 0."""
        return 0

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return an empty page."""
        return Page(items=[], next=None)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Return 0."""
        return 0

    async def announce(self, node: Node) -> None:
        """Tell nobody."""

    async def nodes(self) -> list[Node]:
        """Return none."""
        return []


async def _silence() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield
