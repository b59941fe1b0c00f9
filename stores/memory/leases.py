"""What holders do in memory: take what is due, keep it, and give it back."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from duly.jobs import Request, Task
from duly.stores.memory.tasks import create
from duly.stores.memory.tenant import Tenant
from duly.stores.records import Extended, Held, Kept, LockRequest, Outcome, Refused, RunStatus
from duly.stores.rules import transitions
from duly.stores.rules.refusals import judge

_TOKENS = 1024
"""Lock requests that are remembered, to answer a repeated one alike."""


def next_run(tenant: Tenant, kinds: Iterable[str]) -> datetime | None:
    """Return the earliest due instant of `kinds`."""
    return min((first for kind in kinds if (first := tenant.heap(kind).first()) is not None), default=None)


def lock(tenant: Tenant, now: datetime, request: LockRequest) -> list[Task]:
    """Lock what is due, or return what the same request locked before."""
    if request.token in tenant.answered:
        return [tenant.tasks[held.slug] for held in tenant.answered[request.token] if _is_held(tenant, held)]
    held: list[Task] = []
    for kind, room in request.rooms.items():
        held += _take(tenant, kind, room, len(held), now, request)
    tenant.answered[request.token] = [Held(task.slug, task.lease_id or "") for task in held]
    if len(tenant.answered) > _TOKENS:
        tenant.answered.popitem(last=False)
    return held


def _take(tenant: Tenant, kind: str, room: int, number: int, now: datetime, request: LockRequest) -> Iterator[Task]:
    heap, taken = tenant.heap(kind), 0
    left_alone: list[Task] = []
    while taken < room and (task := heap.pop(now)) is not None:
        if request.leaves(task):
            left_alone.append(task)
        else:
            yield _lock(tenant, task, request.lease_id(number + taken), now, request)
            taken += 1
    for task in left_alone:
        heap.push(task)


def _lock(tenant: Tenant, task: Task, lease_id: str, now: datetime, request: LockRequest) -> Task:
    locked = transitions.lock(task, node=request.node, lease_id=lease_id, now=now, lease=request.lease, instance=request.instance)
    assert locked is not None, "the heap gave out a task that is not due"  # noqa: S101 - an invariant of this module
    if locked.lost is not None:
        tenant.runs[locked.lost.id] = locked.lost
    tenant.put(locked.task)
    return locked.task


def _is_held(tenant: Tenant, held: Held) -> bool:
    task = tenant.tasks.get(held.slug)
    return task is not None and task.lease_id == held.lease_id


def reschedule(tenant: Tenant, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
    """Write each outcome whose lease and version still stand."""
    return [refused for outcome in outcomes if (refused := _write(tenant, now, outcome)) is not None]


def _write(tenant: Tenant, now: datetime, outcome: Outcome) -> Refused | None:
    row = tenant.tasks.get(outcome.task.slug)
    run = tenant.runs.get(outcome.task.lease_id or "")
    verdict = judge(row, outcome, recorded=run is not None and run.status is not RunStatus.LOST)
    if verdict == "done":
        return None
    if verdict is not None:
        return Refused(outcome=outcome, reason=verdict, task=row if verdict == "edited" else None)
    if outcome.next is None:
        del tenant.tasks[outcome.task.slug]
    else:
        tenant.put(outcome.next)
    tenant.runs.update((run.id, run) for run in outcome.runs)
    # A task that fails with this very outcome is not yet one that gives way.
    stays = None if outcome.next is None else outcome.task.slug
    create(tenant, now, [task for task in outcome.spawn if task.slug != stays], "keep")
    return None


def extend(tenant: Tenant, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
    """Move the end of each lease that is still held."""
    kept = [_extend(tenant, each, now + lease) for each in held if _is_held(tenant, each)]
    lost = [each for each in held if not _is_held(tenant, each)]
    return Extended(kept=kept, lost=lost, busy=[], store_now=None)


def _extend(tenant: Tenant, held: Held, until: datetime) -> Kept:
    task = transitions.extend(tenant.tasks[held.slug], until=until)
    tenant.put(task)
    return Kept(held.slug, held.lease_id, version=task.version, stop=task.request is Request.STOP)
