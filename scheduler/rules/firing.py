"""Which fire a locked task runs for, or why it must not run. Pure.

`outcomes` decides what follows.
"""

from datetime import datetime

from attrs import frozen

from duly.jobs import Consistency, Overlap, Request, Task
from duly.jobs.registered import RegisteredJob
from duly.scheduler.rules.endings import Missed, Moved, Raised, Spawned, Stopped
from duly.stores.rules.misfires import Due, fires_due, first_locked, is_owed
from duly.triggers import CountsFrom, Trigger, next_fire_after, parse_trigger

NEXT_FIRE = "its next fire took its place"

CRASH_LIMIT = 3
"""Lost runs of one fire after which a task is set aside, however many retries are left."""

SUSPECT_FROM = 2
"""Lost runs of one fire that make a task a suspect; a node runs one suspect at a time.

One loss may have any cause, and all tasks of a node that died must be taken over within two leases. A task that kills
its node has lost two runs after two nodes; so have, at most, the tasks that ran beside it. The third time it runs
alone among the suspects, so that only the guilty task reaches three losses.
"""


@frozen(kw_only=True)
class Fire:
    """What a locked task runs for."""

    fire_time: datetime
    instead: Raised | Stopped | Missed | Moved | Spawned | None = None
    """None: the task runs. Otherwise it must not run, and the fire ends like this."""
    at: datetime
    """When the fire was first locked; if it must not run, when it ended."""
    cancel_at: datetime | None = None
    """When the next fire cancels this run; None: never."""


def trigger_of(task: Task, registered: RegisteredJob | None) -> Trigger | None:
    """Return the trigger of `task`: its own, or the one in its job's code if the task says so.

    None: it is a one-off, or this node does not know the job. A trigger that counts from the scheduling (`@after`) has set
    the fire time of a one-off, and computes no other; it counts as None.

    Raises:
        TriggerError: this version cannot read the trigger's text.

    """
    if task.trigger is not None:
        trigger: Trigger | None = parse_trigger(task.trigger)
    else:
        trigger = registered.trigger_for(task.slug) if task.recurring and registered is not None else None
    return None if trigger is not None and trigger.counts_from is CountsFrom.SCHEDULING else trigger


def plan_fire(task: Task, trigger: Trigger | None) -> Fire:
    """Decide which fire a task, just locked, runs for, and whether it may run.

    The decision depends on the row alone, and on when the fire was *first* locked. So every further attempt, on any node,
    is for the same fire. If the trigger fails, the fire still runs, and so do the other tasks of the same lock.
    """
    at = first_locked(task)
    locked_at = task.locked_at or at
    lost_at = task.ended_at or at if task.crashes else locked_at  # without a loss, `ended_at` belongs to the fire before
    if task.run_at > locked_at:
        return Fire(fire_time=task.run_at, instead=Moved(), at=locked_at)
    try:
        due = fires_due(trigger, task, at)
        cut_at = cancel_at(task, trigger, due)
    except Exception:  # noqa: BLE001 - a trigger may be a user's code
        # The fire is due even so. If the trigger still fails when the run ends, `outcome_of` records the error.
        return Fire(fire_time=task.run_at, instead=_instead(task), at=lost_at)
    if _is_spawning(task, trigger):
        return Fire(fire_time=task.run_at, instead=Spawned(), at=at)
    fire_time = task.run_at if is_owed(task) or not due.kept else due.kept[0]
    if (instead := _instead(task)) is not None:
        return Fire(fire_time=fire_time, instead=instead, at=lost_at)
    if not is_owed(task) and not due.kept:
        return Fire(fire_time=fire_time, instead=Missed(), at=at)
    if cut_at is not None and cut_at <= locked_at:
        return Fire(fire_time=fire_time, instead=Stopped(NEXT_FIRE), at=locked_at)
    return Fire(fire_time=fire_time, at=at, cancel_at=cut_at)


def cancel_at(task: Task, trigger: Trigger | None, due: Due) -> datetime | None:
    """Return when the task's next fire cancels its run; None: never."""
    if trigger is None or task.options.overlap is not Overlap.CANCEL_RUNNING or trigger.counts_from is CountsFrom.END:
        return None
    return next_fire_after(trigger, due.settled)


def _is_spawning(task: Task, trigger: Trigger | None) -> bool:
    return task.options.overlap is Overlap.ALLOW and trigger is not None and trigger.counts_from is not CountsFrom.END


def is_suspect(task: Task) -> bool:
    """Tell whether the task, just locked, is a suspect: it may kill its node."""
    return task.crashes >= SUSPECT_FROM


def _instead(task: Task) -> Raised | Stopped | None:
    if task.request is Request.STOP:
        return Stopped("asked to stop while its node was lost" if task.crashes else "asked to stop before it could run")
    if task.crashes >= CRASH_LIMIT:
        return Raised(f"crashed {task.crashes} times: set aside until somebody restarts it")
    if task.crashes and task.options.consistency is Consistency.AT_MOST_ONCE:
        return Raised("its run was lost, and a task that runs at most once is not run again")
    return None
