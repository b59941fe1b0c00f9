"""What people ask of a task, as edits of its row. Pure; legal in every state, also while the task runs, whose lease they leave alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from duly.jobs import Request, Task, TaskOptions, TaskState, TriggerSource
from duly.jobs.kinds import Payload
from duly.jobs.options import FIRES_MAX
from duly.jobs.payload import check_payload
from duly.jobs.task import RunAtSource
from duly.jobs.typed import PayloadCodec, encode_payload
from duly.jobs.with_changes import with_changes
from duly.scheduler.errors import InvalidSchedule
from duly.scheduler.rules.new_task import check_spawning, first_fire, own_trigger
from duly.stores.rules import definitions, transitions
from duly.stores.rules.misfires import is_owed
from duly.triggers import TICK, Trigger, next_fire_after

STOP_REQUESTED = "somebody asked for it to be stopped"
"""Why a run is cut short that `stop` asked for."""


class Changes(TypedDict, total=False):
    """What `update_job` changes; what is not given stays as it is."""

    payload: Payload
    payload_version: int
    trigger: Trigger | str
    options: TaskOptions
    metadata: Mapping[str, str]


def run_now(task: Task, trigger: Trigger | None, now: datetime) -> Task:
    """Let the task be run once at once; also when it is paused, and then for this once.

    A schedule gets a further fire, with `now` as its fire time, and keeps its own; one that runs has it when that run has
    ended, one that has fires waiting runs the oldest of them. A one-off is moved to `now`, a waiting retry is made at
    once, and what was set aside is restarted.

    Raises:
        InvalidSchedule: as many fires wait already as there may.

    """
    if task.lease_id is not None:
        return _owing(task, now)
    asked = with_changes(transitions.restart(task) if task.state is TaskState.FAILED else task, request=Request.RUN_NOW)
    if task.retry_at is not None:
        return with_changes(asked, retry_at=min(task.retry_at, now))
    has_begun = task.first_run_at is not None and task.run_at <= now  # handed back: an attempt at this fire is not one at another
    if is_owed(task) or task.state is TaskState.FAILED or has_begun:
        return asked
    if not task.recurring:
        return with_changes(asked, run_at=min(task.run_at, _step(task, now)))
    follows = trigger is not None and next_fire_after(trigger, task.anchor) == task.run_at
    own = set() if follows else {task.run_at}  # a time of its own would not be found again by the trigger
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
    """Return the time of a workflow's step that is moved to `at`: later than the end of the one before, or its key might be that one's."""
    ended = None if task.recurring or not task.fires else task.ended_at
    return at if ended is None else max(at, ended + TICK)


def stop(task: Task) -> Task | None:
    """Ask the node that runs the task to stop the run; None when nobody runs it, or was asked before."""
    return None if task.lease_id is None or task.request is Request.STOP else with_changes(task, request=Request.STOP)


def move(task: Task, at: datetime) -> Task:
    """Let the next run be at `at`; after it the trigger goes on as before.

    A run that is under way goes on, but is not tried again. A waiting retry is given up, and a task that was set aside runs again.
    A workflow's step is never earlier than the end of the one before it.
    """
    owed = task.owed[1:] if is_owed(task) else task.owed  # what is moved does not wait for its turn as well
    if task.lease_id is not None:
        return with_changes(task, run_at=at, run_at_from=RunAtSource.CALLER, owed=owed)
    free = with_changes(transitions.restart(task), first_run_at=None, idle_since=None, request=Request.NONE)
    return with_changes(free, run_at=_step(task, at), run_at_from=RunAtSource.CALLER, owed=owed)


def update(task: Task, changes: Changes, *, now: datetime, payload_limit: int, codec: PayloadCodec | None = None) -> Task | None:
    """Change a task's definition; None when it is this already. `codec` is its kind's, if its payloads have a class.

    The next fire is computed anew if the trigger's text changes: the new trigger's first one after `now`. A fire that has
    passed, runs or waits for its retry stays, and the new trigger rules from then on.

    Raises:
        TriggerError: the trigger is none, or its text cannot be parsed. TriggerNeverFires: it has no fire time from now on.
        InvalidSchedule: the trigger has no text form.
        InvalidValue, PayloadTooLarge: a value cannot be kept. InvalidPayload: the payload is of another class than the kind's.
        TypeError: there is no such change.

    """
    if unknown := changes.keys() - Changes.__annotations__.keys():  # else a task could change its kind, or any field that a node sets
        raise TypeError(f"a task cannot be changed in {', '.join(sorted(unknown))}: expected {', '.join(Changes.__annotations__)}")
    plain: dict[str, Any] = {name: value for name, value in changes.items() if name != "trigger"}
    if "payload" in changes:
        version = changes.get("payload_version", task.payload_version)
        payload, plain["payload_version"] = encode_payload(changes["payload"], version, task.kind, codec)
        plain["payload"] = check_payload(payload, payload_limit)
    new = with_changes(task, **plain)
    if "trigger" in changes:
        trigger, text = own_trigger(changes["trigger"], task.slug)
        run_at = first_fire(trigger, task.slug, now)
        new = with_changes(new, trigger=text, trigger_from=TriggerSource.TASK, anchor=now, run_at=run_at, run_at_from=RunAtSource.TRIGGER)
    check_spawning(new)
    changed = definitions.redefine(task, new, now=now)
    if changed is None or "trigger" not in changes or changed.recurring:
        return changed
    return move(changed, new.run_at)  # it is a one-off from now on, whose one fire is still ahead
