r"""Every change of a task, as a pure function: what each store does, whatever it keeps tasks in.

::

    create --> SCHEDULED --lock--> RUNNING --advance, retry, hand_back, interrupt--> SCHEDULED
                  ^                  |  ^                \--fail--> FAILED --restart, create--> SCHEDULED
                  |                  |  |                \--remove--> gone
                  edit (any state)   +--+ lock by another node, once the lease has ended

The rules that hold in every state: `due_at` is None exactly if the task is paused or failed, nobody holds it, and nobody asked
for it to be run now;
a held task has a lease id and a `due_at` that is the end of its lease; `version` grows with every write but `extend`.
"""

from datetime import datetime, timedelta

from attrs import frozen

from duly.jobs import Request, Task, TaskState
from duly.jobs.task import RECORD_VERSION, RunAtSource
from duly.jobs.with_changes import with_changes
from duly.stores.records import Run, RunStatus


def due(task: Task) -> datetime | None:
    """Return when a task that nobody holds may be locked; None: never.

    That is at its retry, else at its fire time.

    A paused task that was asked to run now may be locked for this once.
    """
    if (task.paused or task.state is TaskState.FAILED) and task.request is not Request.RUN_NOW:
        return None
    return task.retry_at or task.run_at


def _written(task: Task, now: datetime) -> Task:
    """Stamp a write: one version on, due when its fields say."""
    return with_changes(task, due_at=due(task), version=task.version + 1, updated_at=now)


def gives_way(row: Task) -> bool:
    """Tell whether a new task may take the slug of `row`.

    It was set aside, and nobody has asked for it to be run all the same.

    The slug is what keeps a task from being scheduled twice. It is free when its task has ended: with a finished one-off, which
    is removed, and with a failed one, which is kept only to be looked at and restarted.
    """
    return row.state is TaskState.FAILED and row.due_at is None


def create(task: Task, *, namespace: str, now: datetime, former: Task | None = None) -> Task:
    """Return the first version of `task` as a store keeps it; what only a store may set is reset.

    Versions go on from those of the `former` task, which gives way to it: an edit that was made of that one is refused.
    """
    first = Task(
        slug=task.slug,
        kind=task.kind,
        namespace=namespace,
        payload=task.payload,
        payload_version=task.payload_version,
        trigger=task.trigger,
        trigger_from=task.trigger_from,
        options=task.options,
        metadata=task.metadata,
        paused=task.paused,
        anchor=task.anchor,
        run_at=task.run_at,
        run_at_from=task.run_at_from,
        declared=task.declared,
        needs=task.needs,
        version=0 if former is None else former.version,
        created_at=now,
    )
    return _written(first, now)


# -- the holder's writes ---------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Locked:
    """A task that was just locked, and the run that its former holder lost, if its lease had ended."""

    task: Task
    lost: Run | None


def is_understood(task: Task) -> bool:
    """Tell whether this version of duly knows all that the task needs."""
    return task.needs <= RECORD_VERSION


def lock(task: Task, *, node: str, lease_id: str, now: datetime, lease: timedelta, instance: str | None = None) -> Locked | None:
    """Lock a due task for `node` until `now + lease`, or return None when it is not due.

    `lease_id` fences every later write of this holder; it is never used twice. A lease that has ended makes the task
    due: taking it over counts a crash, and the former holder's run goes into the history as lost, in the same write.
    """
    if task.due_at is None or task.due_at > now or not is_understood(task):
        return None
    lost = _lost_run(task) if task.lease_id is not None else None
    locked = with_changes(
        task,
        state=TaskState.RUNNING,
        node=node,
        instance=instance,
        lease_id=lease_id,
        locked_at=now,
        due_at=now + lease,
        retry_at=None,
        attempt=task.attempt + 1,
        first_run_at=task.first_run_at or now,
        crashes=task.crashes + (lost is not None),
        ended_at=task.ended_at if lost is None else lost.finished_at,
        idle_since=task.idle_since if lost is None else lost.finished_at,
        version=task.version + 1,
        updated_at=now,
    )
    return Locked(task=locked, lost=lost)


def _lost_run(task: Task) -> Run:
    """Return the record of a run that ended with its lease, whatever its holder still does."""
    ended = task.due_at or task.run_at
    return Run(
        id=task.lease_id or "",
        slug=task.slug,
        kind=task.kind,
        namespace=task.namespace,
        fire_time=task.run_at,
        attempt=task.attempt,
        node=task.node,
        started_at=task.locked_at or ended,
        finished_at=ended,
        status=RunStatus.LOST,
        error=lost_reason(task.node),
    )


def lost_reason(node: str | None) -> str:
    """Return what the history says of a run whose node let its lease end."""
    return f"node {node} let its lease end"


def extend(task: Task, *, until: datetime) -> Task:
    """Move the end of a held task's lease to `until`, never back; not a change of version."""
    return with_changes(task, due_at=max(task.due_at or until, until))


def _released(task: Task, now: datetime, **changes: object) -> Task:
    """Give a held task back: nobody holds it.

    Its lease is remembered, and every request counts as answered unless `changes` keep it.
    """
    changes.setdefault("request", Request.NONE)
    free = with_changes(
        task,
        state=TaskState.SCHEDULED,
        lease_id=None,
        last_lease=task.lease_id,
        node=None,
        instance=None,
        locked_at=None,
        **changes,  # type: ignore[arg-type]  # keywords of this module's own functions, each a field of Task
    )
    return _written(free, now)


def _unanswered(task: Task) -> Request:
    """Return the request that stays with a fire which is not over: only to run it now."""
    return task.request if task.request is Request.RUN_NOW else Request.NONE


def advance(task: Task, *, now: datetime, anchor: datetime, run_at: datetime, owed: tuple[datetime, ...] = (), fires: int = 1) -> Task:
    """End the current fire of a held task, or as many as `fires`.

    It then waits for the trigger's next fire, at `run_at`.
    """
    return _released(
        task,
        now,
        anchor=anchor,
        run_at=run_at,
        run_at_from=RunAtSource.TRIGGER,
        owed=owed,
        retry_at=None,
        attempt=0,
        first_run_at=None,
        crashes=0,
        fires=task.fires + fires,
        ended_at=now,
        idle_since=None,
    )


def asked_again(task: Task) -> Task:
    """Let a task that was just given back run once more, also if paused: somebody asked for it."""
    asked = with_changes(task, request=Request.RUN_NOW)
    return with_changes(asked, due_at=due(asked))


def retry(task: Task, *, now: datetime, at: datetime) -> Task:
    """Wait for another attempt at the current fire of a held task, which is not over."""
    return _released(task, now, retry_at=at, ended_at=None, idle_since=None, request=_unanswered(task))


def fail(task: Task, *, now: datetime) -> Task:
    """Set a held task aside, with all it holds."""
    failed = _released(task, now, ended_at=now, idle_since=None)
    return with_changes(failed, state=TaskState.FAILED, due_at=None)


def hand_back(task: Task, *, now: datetime, until: datetime | None = None) -> Task:
    """Give a held task back unrun, its attempt refunded; due again at `until`, else as it was.

    What was asked of it stays so.
    """
    attempt = task.attempt - 1
    was_first = task.first_run_at == task.locked_at  # else the fire was decided on, and perhaps begun, before
    first_run_at = None if was_first and not attempt else task.first_run_at
    changes = {
        "attempt": attempt,
        "first_run_at": first_run_at,
        "idle_since": None if first_run_at is None else task.idle_since,
        "retry_at": None if until is None else max(until, task.run_at),  # the next run may have been moved ahead meanwhile
    }
    return _released(task, now, request=task.request, **changes)


def interrupt(task: Task, *, now: datetime, pause: timedelta = timedelta(0)) -> Task:
    """Give a held task back whose run was cut short by no fault of its own.

    Its attempt is refunded, and it is due after `pause`.

    The task is idle until it is locked again. A pause is no idle time: it is a wait for the next run of a fire that has not ended.
    """
    changes = {"attempt": task.attempt - 1, "retry_at": now + pause} | dict.fromkeys(("ended_at", "idle_since"), None if pause else now)
    return _released(task, now, request=_unanswered(task), **changes)


# -- edits: legal at any time ----------------------------------------------------------------------------------------


def edit(row: Task, edited: Task, *, now: datetime) -> Task:
    """Write `edited`, an edit of this very version of `row`.

    A lease stays, and what is edited takes effect when the run ends.
    """
    kept = with_changes(
        edited,
        namespace=row.namespace,
        slug=row.slug,
        version=row.version,
        created_at=row.created_at,
        lease_id=row.lease_id,
        last_lease=row.last_lease,
        node=row.node,
        instance=row.instance,
        locked_at=row.locked_at,
        state=_state_after_edit(row, edited),
    )
    changed = _written(kept, now)
    return changed if row.lease_id is None else with_changes(changed, due_at=row.due_at)


def _state_after_edit(row: Task, edited: Task) -> TaskState:
    if row.lease_id is not None:
        return TaskState.RUNNING
    return TaskState.FAILED if edited.state is TaskState.FAILED else TaskState.SCHEDULED


def pause(task: Task) -> Task:
    """Pause the task: it is not locked again until `resume`, even if it was asked to run now.

    A current run continues to its end.
    """
    return with_changes(task, paused=True, request=Request.NONE if task.request is Request.RUN_NOW else task.request)


def resume(task: Task) -> Task:
    """Let it be locked again, at once if its fire time has passed."""
    return with_changes(task, paused=False)


def restart(task: Task) -> Task:
    """Give a failed task a new budget of attempts; its fire time stays, so that it is due at once.

    A run that is under way stays the first attempt of the new budget: whoever hands it back refunds it. A fire that is not
    over yet stays what it was when it was first locked: decided on anew, it might be another, or come too late.
    """
    held = task.lease_id is not None
    first_run_at = None if task.state is TaskState.FAILED else task.first_run_at
    return with_changes(task, state=TaskState.SCHEDULED, attempt=int(held), crashes=0, first_run_at=first_run_at, retry_at=None)
