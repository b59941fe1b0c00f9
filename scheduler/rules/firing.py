"""Which fire a locked task is run for, or that there must be no run: a pure decision on the row. What comes after it is for `outcomes`."""

from datetime import datetime

from attrs import frozen

from duly.jobs import Consistency, Overlap, Request, Task
from duly.jobs.registered import RegisteredJob
from duly.scheduler.rules.endings import Missed, Moved, Raised, Spawned, Stopped
from duly.stores.rules.misfires import Due, fires_due, first_locked, is_owed
from duly.triggers import CountsFrom, Trigger, next_fire_after, parse_trigger

NEXT_FIRE = "its next fire took its place"

CRASH_LIMIT = 3
"""Lost runs of one fire after which a task is set aside, however many retries it has left."""

SUSPECT_FROM = 2
"""Lost runs of one fire that make a task a suspect, of which a node runs one at a time.

One loss may be anything's fault, and a node that died with a hundred tasks must have all of them taken over within two
leases. A task that brings its node down has lost two runs after two nodes; so have, at most, those that ran beside it.
The third time it is alone among such, so that of these it alone can come to three.
"""


@frozen(kw_only=True)
class Fire:
    """What a locked task is run for."""

    fire_time: datetime
    instead: Raised | Stopped | Missed | Moved | Spawned | None = None
    """Set when it must not be run: how the fire is accounted for instead."""
    at: datetime
    """When the fire was first locked; of one that must not be run, when it came to its end."""
    cancel_at: datetime | None = None
    """When the next fire takes its place, whether or not the run has ended by then."""


def trigger_of(task: Task, registered: RegisteredJob | None) -> Trigger | None:
    """Return the trigger that rules `task`: its own, else, where it says so, the one in its job's code, which only that knows.

    One that counts from the scheduling (`@after`) has set the fire time of a one-off, and rules no other.

    Raises:
        TriggerError: the text is not one that this version can read.

    """
    if task.trigger is not None:
        trigger: Trigger | None = parse_trigger(task.trigger)
    else:
        trigger = registered.trigger_for(task.slug) if task.recurring and registered is not None else None
    return None if trigger is not None and trigger.counts_from is CountsFrom.SCHEDULING else trigger


def plan_fire(task: Task, trigger: Trigger | None) -> Fire:
    """Say which fire a task, just locked, is to be run for, and whether it may be.

    It follows from the row alone, from when the fire was *first* locked: every further attempt at it, on whichever node,
    is for the same fire.
    A trigger that fails does not keep the fire from being run, nor the other tasks of the same lock.
    """
    at = first_locked(task)
    locked_at = task.locked_at or at
    lost_at = task.ended_at or at if task.crashes else locked_at  # without a loss, `ended_at` is that of the fire before
    if task.run_at > locked_at:
        return Fire(fire_time=task.run_at, instead=Moved(), at=locked_at)
    try:
        due = fires_due(trigger, task, at)
        cut_at = cancel_at(task, trigger, due)
    except Exception:  # noqa: BLE001 - a trigger may be anybody's code
        # It is due all the same; unless it has passed when it ends, `outcome_of` meets the error and says so.
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
    """Return when the task's next fire is to cancel its run, None = never."""
    if trigger is None or task.options.overlap is not Overlap.CANCEL_RUNNING or trigger.counts_from is CountsFrom.END:
        return None
    return next_fire_after(trigger, due.settled)


def _is_spawning(task: Task, trigger: Trigger | None) -> bool:
    return task.options.overlap is Overlap.ALLOW and trigger is not None and trigger.counts_from is not CountsFrom.END


def is_suspect(task: Task) -> bool:
    """Tell whether the task, just locked, may be one that brings down its node."""
    return task.crashes >= SUSPECT_FROM


def _instead(task: Task) -> Raised | Stopped | None:
    if task.request is Request.STOP:
        return Stopped("asked to stop while its node was lost" if task.crashes else "asked to stop before it could run")
    if task.crashes >= CRASH_LIMIT:
        return Raised(f"crashed {task.crashes} times: set aside until somebody restarts it")
    if task.crashes and task.options.consistency is Consistency.AT_MOST_ONCE:
        return Raised("its run was lost, and a task that runs at most once is not run again")
    return None
