"""Creates one task or thousands, with each of the three answers to a slug that exists.

`error` is all or nothing. What fits into `ATOMIC_BYTES` is one commit, which Firestore writes whole or not at all,
whoever else is writing. A larger call is looked up first, and written in several commits; when one of these meets a slug
that came in between, those before it are taken back, except for tasks that somebody changed or locked meanwhile; a task that was
set aside, and had given way to one of them, is gone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from google.cloud.firestore import AsyncWriteBatch

from duly.jobs import Task
from duly.stores.errors import JobAlreadyScheduled, StoreUnavailable
from duly.stores.firestore.connection import COMMIT_SECONDS
from duly.stores.firestore.documents import Row
from duly.stores.firestore.failures import Raced, Unsure
from duly.stores.firestore.tenant import ATTEMPTS, BATCH, Settled, Tenant, Write, chunks, side_by_side, too_contended
from duly.stores.records import IfExists
from duly.stores.rules import definitions, transitions

ATOMIC_BYTES = 4 * 1024 * 1024
"""Most that one commit of new tasks holds; Firestore bounds a commit at 10 MiB, its index entries included."""

_TASK_BYTES = 1536
"""What a task takes besides payload and metadata, index entries included; few take more."""

_UNSURE = 10_000
"""How many tasks of unknown fate are remembered."""


class Creator:
    """Creates for one tenant; remembers what it may have written, so that a call may be repeated."""

    def __init__(self, tenant: Tenant) -> None:
        """Remember nothing yet."""
        self._tenant = tenant
        self._unsure: dict[tuple[str, datetime], None] = {}

    async def create(self, now: datetime, tasks: Sequence[Task], if_exists: IfExists) -> list[str]:
        """Write new tasks; return the slugs that were written, in the order given."""
        if if_exists == "error":
            written = await self._all_or_none(now, tasks)
        elif if_exists == "keep":
            written = set().union(*await side_by_side(self._insert(now, some, keep=True) for some in _commits(tasks, BATCH)))
        else:
            written = set().union(*await side_by_side(self._replace(now, some) for some in _commits(tasks, BATCH)))
        return [task.slug for task in tasks if task.slug in written]

    async def _insert(self, now: datetime, tasks: Sequence[Task], *, keep: bool) -> set[str]:
        """Create what is not there, in one commit, and return its slugs.

        Without `keep`, refuse when any is there.
        """
        pending, former = list(tasks), dict[str, Task]()
        for _ in range(ATTEMPTS):
            if not pending or await self._is_written(now, pending, former):
                return {task.slug for task in pending}
            there = await self._tenant.find(task.slug for task in pending)
            if not keep:
                self._refuse_taken(pending, there, now)
            ours = {slug for slug, task in there.items() if task is not None and self._is_ours(task, now)}
            if ours:  # a commit is whole: this is the one that was in doubt
                return ours
            former = {slug: task for slug, task in there.items() if task is not None and transitions.gives_way(task)}
            pending = [task for task in pending if task.slug not in there or task.slug in former]
        raise too_contended(pending[0].slug)

    async def _is_written(self, now: datetime, tasks: Sequence[Task], former: Mapping[str, Task]) -> bool:
        def fill(batch: AsyncWriteBatch) -> None:
            for task in tasks:
                self._tenant.put_first(batch, task, former.get(task.slug), now)

        try:
            await self._tenant.connection.commit(fill, seconds=COMMIT_SECONDS)
        except Raced:
            return False
        except Unsure:
            self._doubt((task.slug for task in tasks), now)
            return False
        return True

    # -- what is in doubt

    def _doubt(self, slugs: Iterable[str], now: datetime) -> None:
        self._unsure.update(dict.fromkeys((slug, now) for slug in slugs))
        for oldest in list(self._unsure)[: max(0, len(self._unsure) - _UNSURE)]:
            del self._unsure[oldest]

    def _is_ours(self, task: Task, now: datetime) -> bool:
        """Tell whether a task that is there is what an attempt of this call left.

        It was written at the call's very `now`, and its answer was lost.
        """
        return (task.slug, now) in self._unsure and now in {task.created_at, task.updated_at}

    # -- error

    async def _all_or_none(self, now: datetime, tasks: Sequence[Task]) -> set[str]:
        parts = list(_commits(tasks, len(tasks)))
        if len(parts) > 1:
            for some in chunks(tasks, BATCH):
                self._refuse_taken(some, await self._tenant.find(task.slug for task in some), now)
        written: set[str] = set()
        for part in parts:
            try:
                written |= await self._insert(now, part, keep=False)
            except JobAlreadyScheduled:
                await side_by_side(self._take_back(now, slug) for slug in written)
                raise
            except StoreUnavailable:
                self._doubt(written, now)  # the same call will find them
                raise
        return written

    def _refuse_taken(self, tasks: Sequence[Task], there: Mapping[str, Task | None], now: datetime) -> None:
        rows = {slug for slug, row in there.items() if row is None or not (transitions.gives_way(row) or self._is_ours(row, now))}
        taken = tuple(task.slug for task in tasks if task.slug in rows)
        if taken:
            raise JobAlreadyScheduled(taken)

    async def _take_back(self, now: datetime, slug: str) -> None:
        async def decide(row: Row | None, _unsure: bool) -> Settled[None] | Write[None]:  # noqa: FBT001 - a Decide
            task = None if row is None else self._tenant.load_if_readable(row)
            if row is None or task is None or task.lease_id is not None or (task.created_at, task.updated_at) != (now, now):
                return Settled(None)
            return Write(lambda batch: self._tenant.drop(batch, slug, row), lambda _written: None)

        await self._tenant.change_task(slug, decide)

    # -- replace

    async def _replace(self, now: datetime, tasks: Sequence[Task]) -> set[str]:
        there = await self._tenant.find(task.slug for task in tasks)
        written = await self._insert(now, [task for task in tasks if task.slug not in there], keep=True)
        old = [task for task in tasks if task.slug not in written]
        changed = await side_by_side(self._redefine(now, task, there.get(task.slug)) for task in old)
        return written | {task.slug for task, is_changed in zip(old, changed, strict=True) if is_changed}

    async def _redefine(self, now: datetime, task: Task, there: Task | None) -> bool:
        async def decide(row: Row | None, unsure: bool) -> Settled[bool] | Write[bool]:  # noqa: FBT001 - a Decide
            if unsure:
                self._doubt([task.slug], now)
            if row is None:
                new = transitions.create(task, namespace=self._tenant.namespace, now=now)
                return Write(lambda batch: self._tenant.put_new(batch, new), lambda _written: True)
            old = self._tenant.load_if_readable(row)
            if old is None:  # it is left as it is, for a node that can read it
                return Settled(False)  # noqa: FBT003 - the answer
            changed = definitions.replace(old, task, now=now)
            if changed is None:
                return Settled(self._is_ours(old, now))
            return Write(lambda batch: self._tenant.put(batch, row, changed, edited=True), lambda _written: True)

        known = there.etag if there is not None and isinstance(there.etag, Row) else None
        try:
            return await self._tenant.change_task(task.slug, decide, known=known)
        except StoreUnavailable:
            self._doubt([task.slug], now)
            raise


def _commits(tasks: Sequence[Task], most: int) -> Iterator[list[Task]]:
    """Yield the tasks in parts that fit into one commit each: at most so many, and at most `ATOMIC_BYTES`."""
    part: list[Task] = []
    size = 0
    for task in tasks:
        takes = _TASK_BYTES + len(task.payload) + 4 * sum(len(key) + len(text) for key, text in task.metadata.items())
        if part and (len(part) == most or size + takes > ATOMIC_BYTES):
            yield part
            part, size = [], 0
        part.append(task)
        size += takes
    if part:
        yield part
