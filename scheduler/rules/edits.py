"""Users' edits of a task, as new rows. Pure.

They are legal in every state, also during a run, and leave its lease alone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from duly.jobs import Request, Task, TaskOptions, TaskState, TriggerSource
from duly.jobs.kinds import Payload
from duly.jobs.options import FIRES_MAX
from duly.jobs.payload import check_payload
from duly.jobs.registered import RegisteredJob
from duly.jobs.task import RunAtSource
from duly.jobs.typed import encode_payload
from duly.jobs.validators import PAYLOAD_MAX
from duly.jobs.with_changes import with_changes
from duly.scheduler.errors import InvalidSchedule
from duly.scheduler.rules.endings import EndedRun, Returned
from duly.scheduler.rules.new_task import check_returning, check_spawning, first_fire, own_trigger
from duly.stores.rules import definitions, transitions
from duly.stores.rules.misfires import is_owed
from duly.triggers import TICK, Trigger, next_fire_after

STOP_REQUESTED = "somebody asked for it to be stopped"
"""The reason of a run that is cut short by a stop request."""


class Changes(TypedDict, total=False):
    """What `update_job` may change; what is not given stays."""

    payload: Payload
    payload_version: int
    trigger: Trigger | str
    options: TaskOptions
    metadata: Mapping[str, str]


def run_now(task: Task, trigger: Trigger | None, now: datetime) -> Task:
    """Let the task run once, now, even if it is paused; a paused task then stays paused.

    A schedule gets an additional fire with the fire time `now`, and keeps its other fires. If it is running, the additional
    fire runs after that run. If fires are waiting, the oldest of them runs. A one-off is moved to `now`, a waiting retry
    runs at once, and a failed task is restarted.

    Raises:
        InvalidSchedule: the greatest number of fires waits already.

    """
    if task.lease_id is not None:
        return _owing(task, now)
    asked = with_changes(transitions.restart(task) if task.state is TaskState.FAILED else task, request=Request.RUN_NOW)
    if task.retry_at is not None:
        return with_changes(asked, retry_at=min(task.retry_at, now))
    has_begun = task.first_run_at is not None and task.run_at <= now  # it was handed back; an attempt counts for its own fire only
    if is_owed(task) or task.state is TaskState.FAILED or has_begun:
        return asked
    if not task.recurring:
        return with_changes(asked, run_at=min(task.run_at, _step(task, now)))
    follows = trigger is not None and next_fire_after(trigger, task.anchor) == task.run_at
    own = set() if follows else {task.run_at}  # the trigger would not find again a time that was set by hand
    owed = tuple(sorted({now, *task.owed, *own}))
    return with_changes(asked, owed=owed, run_at=owed[0])


def _owing(task: Task, now: datetime) -> Task:
    if task.owed and task.owed[-1] >= now:
        return task
    if len(task.owed) >= FIRES_MAX:
        raise InvalidSchedule(task.slug, f"{len(task.owed)} fires wait for their turn already: expected fewer than {FIRES_MAX}")
    request = Request.RUN_NOW if task.paused and task.request is Request.NONE else task.request
    return with_changes(task, owed=(*task.owed, now), request=request)


def _step(task: Task, at: datetime) -> datetime:
    """Return the fire time of a workflow's step that is moved to `at`, but later than the last step's end.

    Otherwise both steps might have the same key.
    """
    ended = None if task.recurring or not task.fires else task.ended_at
    return at if ended is None else max(at, ended + TICK)


def stop(task: Task) -> Task | None:
    """Request a stop of the current run; None: nobody runs the task, or a stop was requested before."""
    return None if task.lease_id is None or task.request is Request.STOP else with_changes(task, request=Request.STOP)


def move(task: Task, at: datetime) -> Task:
    """Move the next run to `at`; the fires after it follow the trigger.

    A current run goes on, but is not retried. A waiting retry is given up, and a failed task runs again. A workflow's step
    never moves before the end of the last step.
    """
    owed = task.owed[1:] if is_owed(task) else task.owed  # the moved fire must not wait a second time
    if task.lease_id is not None:
        return with_changes(task, run_at=at, run_at_from=RunAtSource.CALLER, owed=owed)
    free = with_changes(transitions.restart(task), first_run_at=None, idle_since=None, request=Request.NONE)
    return with_changes(free, run_at=_step(task, at), run_at_from=RunAtSource.CALLER, owed=owed)


def take_trigger(row: Task, ended: EndedRun, registered: RegisteredJob | None) -> Task:
    """Return the row with the trigger of the task that a job returned, if the job changed it.

    It counts as an `update` made just before the end of the run, and wins over an edit made during the run, as a payload does.
    None makes the task a one-off.

    Raises:
        DulyError: `update` refuses the trigger.

    """
    match ended.ending:
        case Returned(Task(trigger=text)) if text != ended.task.trigger:
            if text is None:
                return with_changes(row, trigger=None, trigger_from=TriggerSource.TASK)
            return update(row, Changes(trigger=text), now=ended.ended_at, payload_limit=PAYLOAD_MAX, registered=registered) or row
    return row


def update(task: Task, changes: Changes, *, now: datetime, payload_limit: int, registered: RegisteredJob | None = None) -> Task | None:
    """Change a task's definition; None: it has this definition already.

    `registered` is the job of the kind; None: this node does not know it, or its tasks are fetched. If the trigger's text changes, the next
    fire is the first one of the new trigger after `now`. A fire that is past, runs or waits for a retry stays; the new
    trigger applies after it.

    Raises:
        TriggerError: this is no trigger, or its text cannot be parsed. TriggerNeverFires: it has no fire time after now.
        InvalidSchedule: the trigger has no text form, or the job's class forgets to return its task.
        InvalidValue, PayloadTooLarge: a value cannot be stored. InvalidPayload: the payload has another class than the kind's.
        TypeError: there is no such change.

    """
    if unknown := changes.keys() - Changes.__annotations__.keys():  # else an edit could change the kind, or a field that a node sets
        raise TypeError(f"a task cannot be changed in {', '.join(sorted(unknown))}: expected {', '.join(Changes.__annotations__)}")
    plain: dict[str, Any] = {name: value for name, value in changes.items() if name != "trigger"}
    if "payload" in changes:
        version = changes.get("payload_version", task.payload_version)
        codec = None if registered is None else registered.codec
        payload, plain["payload_version"] = encode_payload(changes["payload"], version, task.kind, codec)
        plain["payload"] = check_payload(payload, payload_limit)
    new = with_changes(task, **plain)
    if "trigger" in changes:
        trigger, text = own_trigger(changes["trigger"], task.slug)
        check_returning(task.slug, registered, trigger, new.options)
        run_at = first_fire(trigger, task.slug, now)
        new = with_changes(new, trigger=text, trigger_from=TriggerSource.TASK, anchor=now, run_at=run_at, run_at_from=RunAtSource.TRIGGER)
    check_spawning(new)
    changed = definitions.redefine(task, new, now=now)
    if changed is None or "trigger" not in changes or changed.recurring:
        return changed
    return move(changed, new.run_at)  # it is a one-off from now on, with its one fire still to come
