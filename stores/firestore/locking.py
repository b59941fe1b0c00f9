"""Finds due tasks by queries, and locks each by one conditional write.

There is no transaction, so that nobody waits.

Nodes that ask at the same moment find the same tasks, and each task goes to the one whose write comes first. A node
that lost most of its races should come again after a small random pause; that pause is the caller's.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain

from attrs import evolve, frozen
from google.cloud.firestore import AsyncQuery, AsyncWriteBatch
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.jobs import Task
from duly.jobs.task import RECORD_VERSION
from duly.stores.errors import StoreError
from duly.stores.firestore.documents import Row, dump_run, dump_task, utc
from duly.stores.firestore.failures import Raced, Unsure
from duly.stores.firestore.tenant import Tenant, chunks, side_by_side
from duly.stores.records import LockRequest
from duly.stores.rules import transitions

_UNDERSTOOD = list(range(1, RECORD_VERSION + 1))
"""What a task may need for this version to run it: asked for as equal, because a range would be in no order of due instants."""

KINDS = 30 // len(_UNDERSTOOD)
"""Most kinds that one query asks for: Firestore takes 30 combinations of values."""

_TOKENS = 1024
"""Lock requests that are remembered, to answer a repeated one alike."""

_logger = logging.getLogger(__name__)


@frozen
class Due:
    """What was found due: at most as much of each kind as there is room for."""

    tasks: list[Task]
    more: bool
    """Whether there may be more of these kinds: a query came back as full as it might."""


class Locker:
    """Locks for one tenant, and remembers what was asked for, so that a request may be repeated."""

    def __init__(self, tenant: Tenant) -> None:
        """Remember nothing yet."""
        self._tenant = tenant
        self._tried: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._foreseen: tuple[frozenset[str], datetime | None] | None = None

    async def take(self, now: datetime, request: LockRequest) -> tuple[list[Task], datetime | None]:
        """Lock what is due, and tell when the next is.

        A call before the instant that the last one foretold finds nothing, as a rule. So it asks for the earliest task
        of all first, and if that is not due it has been one read.
        """
        kinds = frozenset(request.rooms)
        if request.token not in self._tried and self._nothing_foreseen(kinds, now):
            first = await self.next_run(kinds)
            if first is None or first > now:
                return [], first
        tasks, more = await self._lock(now, request)
        first = now if more else await self.next_run(kinds)
        self._foreseen = (kinds, first)
        return tasks, first

    def _nothing_foreseen(self, kinds: frozenset[str], now: datetime) -> bool:
        if self._foreseen is None or self._foreseen[0] != kinds:
            return False
        return self._foreseen[1] is None or self._foreseen[1] > now

    async def _lock(self, now: datetime, request: LockRequest) -> tuple[list[Task], bool]:
        if request.token in self._tried:
            return await self._locked_before(self._tried[request.token]), False
        found = await side_by_side(self._find(dict(kinds), now, request) for kinds in chunks(request.rooms.items(), KINDS))
        tries = [(task, request.lease_id(number)) for number, task in enumerate(_by_kind(found, request.rooms))]
        self._remember(request.token, {task.slug: lease_id for task, lease_id in tries})
        answers = await side_by_side(self._try(task, lease_id, now, request) for task, lease_id in tries)
        tasks = [task for task in answers if task is not None]
        return tasks, len(tasks) < len(tries) or any(due.more for due in found)

    # -- what is due

    async def _find(self, room: dict[str, int], now: datetime, request: LockRequest) -> Due:
        """Query in due order.

        Kinds that are full are left out of the next query, which goes on where the last one ended.
        """
        tasks: list[Task] = []
        after: Row | None = None
        more = False
        while room:
            limit = sum(room.values())
            query = self._due_query(room, limit, after).where(filter=FieldFilter("due_at", "<=", now))
            page = [found.row for found in await self._tenant.connection.query(query)]
            for task in filter(None, map(self._readable, page)):
                if task.kind in room and not request.leaves(task):
                    tasks.append(task)
                    room = _less_one(room, task.kind)
            if len(page) < limit:
                break
            after, more = page[-1], True
        return Due(tasks, more)

    def _due_query(self, kinds: Iterable[str], limit: int, after: Row | None = None) -> AsyncQuery:
        names = list(kinds)
        kind = FieldFilter("kind", "==", names[0]) if len(names) == 1 else FieldFilter("kind", "in", names)
        needs = FieldFilter("needs", "==", 1) if len(_UNDERSTOOD) == 1 else FieldFilter("needs", "in", _UNDERSTOOD)
        query: AsyncQuery = self._tenant.tasks.where(filter=kind).where(filter=needs).order_by("due_at").order_by("slug").limit(limit)
        return query if after is None else query.start_after({name: after.fields[name] for name in ("due_at", "slug")})

    async def next_run(self, kinds: Iterable[str]) -> datetime | None:
        """Return the earliest due instant; one read for up to thirty kinds."""
        pages = await side_by_side(self._tenant.connection.query(self._due_query(some, 1)) for some in chunks(kinds, KINDS))
        return min((utc(found.row.fields["due_at"]) for page in pages for found in page), default=None)

    def _readable(self, row: Row) -> Task | None:
        """Leave out what this version cannot read.

        A newer node can, and one odd document must not stop the others.
        """
        try:
            return self._tenant.load(row)
        except StoreError as error:
            _logger.warning("not locked: %s", error)
            return None

    # -- one task

    async def _try(self, task: Task, lease_id: str, now: datetime, request: LockRequest) -> Task | None:
        """Lock the task if it is still as it was found; a lost run goes into the history in the same write."""
        row = task.etag
        assert isinstance(row, Row), "a task that was read from here has its row"  # noqa: S101 - an invariant of this module
        locked = transitions.lock(task, node=request.node, lease_id=lease_id, now=now, lease=request.lease, instance=request.instance)
        assert locked is not None, "the query found a task that is not due"  # noqa: S101 - an invariant of this module

        def fill(batch: AsyncWriteBatch) -> None:
            self._tenant.put(batch, row, locked.task)
            if locked.lost is not None:
                batch.set(self._tenant.run_at(locked.lost.id), dump_run(locked.lost))

        try:
            written = await self._tenant.connection.commit(fill)
        except Raced:
            return None
        except Unsure:
            return await self._locked(task.slug, lease_id)
        return evolve(locked.task, etag=Row(dump_task(locked.task), written))

    async def _locked(self, slug: str, lease_id: str) -> Task | None:
        return next(iter(await self._locked_before({slug: lease_id})), None)

    # -- repeated requests

    def _remember(self, token: str, tries: dict[str, str]) -> None:
        if tries:
            self._tried[token] = tries
        if len(self._tried) > _TOKENS:
            self._tried.popitem(last=False)

    async def _locked_before(self, tries: Mapping[str, str]) -> list[Task]:
        """Return those of the tasks that are held under the lease that was tried on them.

        A billed read for each.
        """
        found = await self._tenant.find(tries)
        return [task for slug, lease_id in tries.items() if (task := found.get(slug)) is not None and task.lease_id == lease_id]


def _by_kind(found: Iterable[Due], rooms: Iterable[str]) -> list[Task]:
    """Return what was found in the order in which its kinds were asked for.

    Of each kind it stays in due order.
    """
    order = {kind: number for number, kind in enumerate(rooms)}
    return sorted(chain.from_iterable(due.tasks for due in found), key=lambda task: order[task.kind])


def _less_one(room: Mapping[str, int], kind: str) -> dict[str, int]:
    left = {**room, kind: room[kind] - 1}
    return {name: room for name, room in left.items() if room}
