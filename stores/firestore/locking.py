"""Finds due tasks by queries, and locks each by one conditional write.

There is no transaction, so that nobody waits.

Nodes that ask at the same moment find the same tasks, and each task goes to the one whose write comes first. A node
that lost most of its races should come again after a small random pause; that pause is the caller's.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import chain

from attrs import evolve, field, frozen
from google.cloud.firestore import AsyncQuery, AsyncWriteBatch
from google.cloud.firestore_v1.base_query import FieldFilter

from duly.jobs import Task
from duly.jobs.task import RECORD_VERSION
from duly.stores.firestore.documents import EARLIEST, Row, dump_run, dump_task, utc
from duly.stores.firestore.failures import Raced, Unsure
from duly.stores.firestore.tenant import Tenant, chunks, side_by_side
from duly.stores.reading import sorted_out
from duly.stores.records import LockRequest, Unreadable
from duly.stores.rules import transitions
from duly.stores.rules.unreadable import put_off_until

_UNDERSTOOD = list(range(1, RECORD_VERSION + 1))
"""What a task may need for this version to run it: asked for as equal, because a range would be in no order of due instants."""

KINDS = 30 // len(_UNDERSTOOD)
"""Most kinds that one query asks for: Firestore takes 30 combinations of values."""

UNREADABLE_AT_ONCE = 30
"""How many documents that cannot be read end the search of one call, which comes by pages as large as there is room."""

_TOKENS = 1024
"""Lock requests that are remembered, to answer a repeated one alike."""


@frozen
class Due:
    """What was found due: at most as much of each kind as there is room for."""

    tasks: list[Task]
    more: bool
    """Whether there may be more of these kinds: a query came back as full as it might."""
    unreadable: tuple[tuple[Row, Unreadable], ...] = ()
    """What this version cannot read."""


@frozen(kw_only=True)
class Taken:
    """What was locked, what could not be read and was put off, and when the next is due."""

    tasks: list[Task] = field(factory=list)
    next_run: datetime | None = None
    unreadable: tuple[Unreadable, ...] = ()


class Locker:
    """Locks for one tenant, and remembers what was asked for, so that a request may be repeated."""

    def __init__(self, tenant: Tenant) -> None:
        """Remember nothing yet."""
        self._tenant = tenant
        self._tried: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._foreseen: tuple[frozenset[str], datetime | None] | None = None

    async def take(self, now: datetime, request: LockRequest) -> Taken:
        """Lock what is due, and tell when the next is.

        A call before the instant that the last one foretold finds nothing, as a rule. So it asks for the earliest task
        of all first, and if that is not due it has been one read.
        """
        kinds = frozenset(request.rooms)
        if request.token not in self._tried and self._nothing_foreseen(kinds, now):
            first = await self.next_run(kinds)
            if first is None or first > now:
                return Taken(next_run=first)
        tasks, more, unreadable = await self._lock(now, request)
        first = now if more else await self.next_run(kinds)
        self._foreseen = (kinds, first)
        return Taken(tasks=tasks, next_run=first, unreadable=unreadable)

    def _nothing_foreseen(self, kinds: frozenset[str], now: datetime) -> bool:
        if self._foreseen is None or self._foreseen[0] != kinds:
            return False
        return self._foreseen[1] is None or self._foreseen[1] > now

    async def _lock(self, now: datetime, request: LockRequest) -> tuple[list[Task], bool, tuple[Unreadable, ...]]:
        if request.token in self._tried:
            return await self._locked_before(self._tried[request.token]), False, ()
        found = await side_by_side(self._find(dict(kinds), now, request) for kinds in chunks(request.rooms.items(), KINDS))
        tries = [(task, request.lease_id(number)) for number, task in enumerate(_by_kind(found, request.rooms))]
        self._remember(request.token, {task.slug: lease_id for task, lease_id in tries})
        answers = await side_by_side(self._try(task, lease_id, now, request) for task, lease_id in tries)
        tasks = [task for task in answers if task is not None]
        put_off = [each for due in found for each in due.unreadable]
        await side_by_side(self._put_off(row, now) for row, _ in put_off)
        return tasks, len(tasks) < len(tries) or any(due.more for due in found), tuple(each for _, each in put_off)

    # -- what is due

    async def _find(self, room: dict[str, int], now: datetime, request: LockRequest) -> Due:
        """Query in due order.

        Kinds that are full are left out of the next query, which goes on where the last one ended. What cannot be read bounds a call
        as well, so that many such documents do not make it long: it is put off, and the next call finds what is behind it.
        """
        tasks: list[Task] = []
        unreadable: list[tuple[Row, Unreadable]] = []
        after: Row | None = None
        more = False
        while room and len(unreadable) < UNREADABLE_AT_ONCE:
            limit = sum(room.values())
            query = self._due_query(room, limit, after).where(filter=FieldFilter("due_at", "<=", now))
            page = [found.row for found in await self._tenant.connection.query(query)]
            readable, others = sorted_out(page, self._tenant.load)
            unreadable += others
            for task in readable:
                if task.kind in room and not request.leaves(task):
                    tasks.append(task)
                    room = _less_one(room, task.kind)
            if len(page) < limit:
                break
            after, more = page[-1], True
        return Due(tasks, more, tuple(unreadable))

    def _due_query(self, kinds: Iterable[str], limit: int, after: Row | None = None) -> AsyncQuery:
        names = list(kinds)
        kind = FieldFilter("kind", "==", names[0]) if len(names) == 1 else FieldFilter("kind", "in", names)
        needs = FieldFilter("needs", "==", 1) if len(_UNDERSTOOD) == 1 else FieldFilter("needs", "in", _UNDERSTOOD)
        query: AsyncQuery = self._tenant.tasks.where(filter=kind).where(filter=needs).order_by("due_at").order_by("slug").limit(limit)
        return query if after is None else query.start_after({name: after.fields[name] for name in ("due_at", "slug")})

    async def next_run(self, kinds: Iterable[str]) -> datetime | None:
        """Return the earliest due instant; one read for up to thirty kinds."""
        queries = (self._due_query(some, 1).where(filter=FieldFilter("due_at", ">=", EARLIEST)) for some in chunks(kinds, KINDS))
        pages = await side_by_side(self._tenant.connection.query(query) for query in queries)
        return min((utc(found.row.fields["due_at"]) for page in pages for found in page), default=None)

    async def _put_off(self, row: Row, now: datetime) -> None:
        """Leave a task to nodes that can read it: as in a heartbeat, only its due instant moves.

        Whoever met it writes that once. If somebody else was faster, or nobody knows whether it was written, the next lock sees.
        """
        assert row.id is not None, "a document that was read has its id"  # noqa: S101 - an invariant of this package
        reference = self._tenant.tasks.document(row.id)
        until = put_off_until(now, (row.fields.get("run_at"), row.fields.get("created_at")))
        with suppress(Raced, Unsure):
            await self._tenant.connection.commit(lambda batch: self._tenant.put_beside(batch, reference, row, {"due_at": until}))

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
