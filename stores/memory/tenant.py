"""What one namespace holds in memory, and the rules by which it changes; `duly.stores.memory` is its public face.

Nothing here waits or locks: every method is one step, taken under the lock of the store.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from duly.jobs import Request, Task
from duly.stores.errors import Conflict, JobAlreadyScheduled, JobNotFound
from duly.stores.records import Extended, Held, IfExists, Kept, LockRequest, Node, Outcome, Refused, Run, RunStatus
from duly.stores.rules import transitions

_SPARE = 64
"""Stale heap entries that are not worth a clean-up."""

_TOKENS = 1024
"""Lock requests that are remembered, to answer a repeated one alike."""


class DueHeap:
    """The due instants of one kind, earliest first; an entry that its task no longer agrees with is stale, and skipped."""

    def __init__(self, tasks: dict[str, Task], kind: str) -> None:
        """Look at `tasks` of `kind`; what is due is pushed by the caller."""
        self._tasks, self._kind = tasks, kind
        self._heap: list[tuple[datetime, str]] = []

    def push(self, task: Task) -> None:
        """Note that `task` became due at another instant; amortised O(log n)."""
        if task.due_at is None or not transitions.is_understood(task):
            return
        heappush(self._heap, (task.due_at, task.slug))
        if len(self._heap) > 2 * len(self._tasks) + _SPARE:
            self._heap = [entry for entry in set(self._heap) if self._is_fresh(entry)]
            heapify(self._heap)

    def first(self) -> datetime | None:
        """Return the earliest due instant."""
        while self._heap and not self._is_fresh(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: datetime) -> Task | None:
        """Take out the task that has been due longest at `now`; the caller changes its due instant."""
        first = self.first()
        return self._tasks[heappop(self._heap)[1]] if first is not None and first <= now else None

    def _is_fresh(self, entry: tuple[datetime, str]) -> bool:
        due_at, slug = entry
        task = self._tasks.get(slug)
        return task is not None and task.due_at == due_at and task.kind == self._kind and transitions.is_understood(task)


class Tenant:
    """The tasks, runs, nodes and slots of one namespace."""

    def __init__(self, namespace: str) -> None:
        """Start empty."""
        self.namespace = namespace
        self.tasks: dict[str, Task] = {}
        self.runs: dict[str, Run] = {}
        self.nodes: dict[str, Node] = {}
        self.bells: set[Callable[[], None]] = set()
        """Rung when something may have become due sooner."""
        self._due: dict[str, DueHeap] = {}
        self._places: dict[str, dict[str, tuple[int, datetime]]] = {}
        self._answered: OrderedDict[str, list[Held]] = OrderedDict()

    def task(self, slug: str, version: int | None = None) -> Task:
        """Return the task, if it is there and, where `version` is given, of that version."""
        task = self.tasks.get(slug)
        if task is None:
            raise JobNotFound(slug, self.namespace)
        if version is not None and task.version != version:
            raise Conflict(slug, version)
        return task

    def next_run(self, kinds: Iterable[str]) -> datetime | None:
        """Return the earliest due instant of `kinds`."""
        return min((first for kind in kinds if (first := self._heap(kind).first()) is not None), default=None)

    def _heap(self, kind: str) -> DueHeap:
        heap = self._due.get(kind)
        if heap is None:
            heap = self._due[kind] = DueHeap(self.tasks, kind)
        return heap

    def _put(self, task: Task) -> None:
        self.tasks[task.slug] = task
        self._heap(task.kind).push(task)

    def _ring(self) -> None:
        for bell in self.bells:
            bell()

    # -- holders

    def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock what is due, or return what the same request locked before."""
        if request.token in self._answered:
            return [self.tasks[held.slug] for held in self._answered[request.token] if self._is_held(held)]
        held: list[Task] = []
        for kind, room in request.rooms.items():
            held += self._take(kind, room, len(held), now, request)
        self._answered[request.token] = [Held(task.slug, task.lease_id or "") for task in held]
        if len(self._answered) > _TOKENS:
            self._answered.popitem(last=False)
        return held

    def _take(self, kind: str, room: int, number: int, now: datetime, request: LockRequest) -> Iterator[Task]:
        heap = self._heap(kind)
        for taken in range(room):
            task = heap.pop(now)
            if task is None:
                return
            yield self._lock(task, request.lease_id(number + taken), now, request)

    def _lock(self, task: Task, lease_id: str, now: datetime, request: LockRequest) -> Task:
        locked = transitions.lock(task, node=request.node, lease_id=lease_id, now=now, lease=request.lease, instance=request.instance)
        assert locked is not None, "the heap gave out a task that is not due"  # noqa: S101 - an invariant of this module
        if locked.lost is not None:
            self.runs[locked.lost.id] = locked.lost
        self._put(locked.task)
        return locked.task

    def _is_held(self, held: Held) -> bool:
        task = self.tasks.get(held.slug)
        return task is not None and task.lease_id == held.lease_id

    def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write each outcome whose lease and version still stand."""
        return [refused for outcome in outcomes if (refused := self._write(now, outcome)) is not None]

    def _write(self, now: datetime, outcome: Outcome) -> Refused | None:
        row = self.tasks.get(outcome.task.slug)
        run = self.runs.get(outcome.task.lease_id or "")
        verdict = transitions.judge(row, outcome, recorded=run is not None and run.status is not RunStatus.LOST)
        if verdict == "done":
            return None
        if verdict is not None:
            return Refused(outcome=outcome, reason=verdict, task=row if verdict == "edited" else None)
        if outcome.next is None:
            del self.tasks[outcome.task.slug]
        else:
            self._put(outcome.next)
        self.runs.update((run.id, run) for run in outcome.runs)
        # A task that fails with this very outcome is not yet one that gives way.
        stays = None if outcome.next is None else outcome.task.slug
        self.create(now, [task for task in outcome.spawn if task.slug != stays], "keep")
        return None

    def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Move the end of each lease that is still held."""
        kept = [self._extend(each, now + lease) for each in held if self._is_held(each)]
        lost = [each for each in held if not self._is_held(each)]
        return Extended(kept=kept, lost=lost, busy=[], store_now=None)

    def _extend(self, held: Held, until: datetime) -> Kept:
        task = transitions.extend(self.tasks[held.slug], until=until)
        self._put(task)
        return Kept(held.slug, held.lease_id, version=task.version, stop=task.request is Request.STOP)

    def slots(self, now: datetime, node: str, kind: str, want: int, total: int, until: datetime) -> int:
        """Give `node` what it wants of the slots that no other node holds."""
        holders = self._places.setdefault(kind, {})
        taken = sum(count for name, (count, end) in holders.items() if name != node and end > now)
        granted = max(0, min(want, total - taken))
        holders[node] = (granted, until)
        return granted

    # -- everybody

    def create(self, now: datetime, tasks: Sequence[Task], if_exists: IfExists) -> list[str]:
        """Write new tasks as `if_exists` says; all or none."""
        taken = tuple(task.slug for task in tasks if (row := self.tasks.get(task.slug)) is not None and not transitions.gives_way(row))
        if taken and if_exists == "error":
            raise JobAlreadyScheduled(taken)
        written = [task for each in tasks if (task := self._created(now, each, if_exists)) is not None]
        for task in written:
            self._put(task)
        if written:
            self._ring()
        return [task.slug for task in written]

    def _created(self, now: datetime, task: Task, if_exists: IfExists) -> Task | None:
        row = self.tasks.get(task.slug)
        if row is not None and if_exists == "replace":
            return transitions.replace(row, task, now=now)
        if row is not None and not transitions.gives_way(row):
            return None
        return transitions.create(task, namespace=self.namespace, now=now, former=row)

    def update(self, now: datetime, task: Task) -> Task:
        """Write an edit of the newest version."""
        edited = transitions.edit(self.task(task.slug, task.version), task, now=now)
        self._put(edited)
        self._ring()
        return edited

    def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete old runs, oldest first."""
        doomed: list[Run] = []
        seen: dict[str, int] = {}
        for run in sorted(self.runs.values(), key=lambda run: (run.finished_at, run.id), reverse=True):
            seen[run.slug] = seen.get(run.slug, 0) + 1
            if (before is not None and run.finished_at < before) or (keep is not None and seen[run.slug] > keep):
                doomed.append(run)
        for run in doomed[::-1][:limit]:
            del self.runs[run.id]
        return min(limit, len(doomed))
