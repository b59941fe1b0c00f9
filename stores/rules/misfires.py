"""Chooses by the misfire policy which fires run that passed while nobody ran the task.

It also says how dropped fires are named. Pure.
"""

from datetime import datetime, timedelta

from attrs import frozen

from duly.jobs import Misfire, Task
from duly.triggers import CountsFrom, Missed, Trigger, last_fire_time, latest_fires, missed, next_fire_after

MISFIRE = "misfire"
OVERLAP = "overlap"
LIMIT = "limit"
_REASONS = {
    MISFIRE: "passed while no node ran the task",
    OVERLAP: "passed while the run before, its retries included, was still going",
    LIMIT: "waited when the schedule came to its last run",
}

SKIP_GRACE = timedelta(minutes=1)
"""How late a fire may be run under `Misfire.SKIP` without a grace time of its own."""


@frozen
class Dropped:
    """Fires that were not run, and why."""

    reason: str
    count: int
    first: datetime
    exact: bool = True

    def __str__(self) -> str:
        """Say it for people."""
        return f"{self.reason}: {'' if self.exact else 'at least '}{self.count} {_REASONS[self.reason]}"


@frozen
class Due:
    """The fires that had passed at an instant, by the misfire policy."""

    kept: tuple[datetime, ...]
    """To be run, the oldest first."""
    settled: datetime
    """The trigger's latest fire until then, or the anchor."""
    dropped: tuple[Dropped, ...] = ()


def first_locked(task: Task) -> datetime:
    """Return when the task's current fire was locked first.

    It is decided as of then, in every attempt at it alike.
    """
    return max(task.first_run_at or task.run_at, task.run_at)


def is_owed(task: Task) -> bool:
    """Tell whether the task's current fire was decided on before, and waited for its turn."""
    return bool(task.owed) and task.owed[0] == task.run_at


def fires_due(trigger: Trigger | None, task: Task, at: datetime) -> Due:
    """Return what is to be run of the fires that passed until `at`.

    Nobody has run the task since its anchor.

    Beside the trigger's fires that is `run_at`, where it is a time of its own: a first fire that was given, or one that
    was moved. A one-off has no other, nor has a fixed delay, which has one fire at a time.
    """
    own = None if is_owed(task) else task.run_at
    if trigger is None or trigger.counts_from is CountsFrom.END:
        return Due((), task.anchor) if own is None else _chosen((own,), 1, own, task.anchor, _since(task, at))
    first = next_fire_after(trigger, task.anchor)
    if own is not None and own == first:
        second = next_fire_after(trigger, first)
        if second is None or second > at:
            return _chosen((first,), 1, first, first, _since(task, at))
        own = None
    elif own is not None and task.anchor < own and last_fire_time(trigger, task.anchor, own) == own:
        own = None
    return missed_fires(trigger, task, task.anchor, at, own)


def missed_fires(trigger: Trigger, task: Task, after: datetime, at: datetime, own: datetime | None = None) -> Due:
    """Choose from the fires later than `after`, which is one of them or the anchor, and `own`."""
    most = task.options.catch_up_limit if task.options.misfire is Misfire.FIRE_ALL else 1
    passed, latest = passed_fires(trigger, task, after, at, most)
    kept = latest if own is None else tuple(sorted((*latest, own)))[-most:]
    first = min(each for each in (own, passed.first, at) if each is not None)
    return _chosen(kept, passed.count + (own is not None), first, passed.latest or after, _since(task, at), exact=passed.exact)


def passed_fires(trigger: Trigger, task: Task, after: datetime, until: datetime, most: int) -> tuple[Missed, tuple[datetime, ...]]:
    """Return the fires after `after` and up to `until` that do not wait already.

    The second value holds the latest `most` of them.

    One may wait before it has come: it was asked for, or moved to, at the very time of a fire.
    """
    passed = missed(trigger, after, until)
    ahead = [fire for fire in task.owed if after < fire <= until and last_fire_time(trigger, after, fire) == fire]
    if not ahead:
        return passed, latest_fires(trigger, after, until, most)
    latest = [fire for fire in latest_fires(trigger, after, until, most + len(ahead)) if fire not in ahead]
    first = passed.first
    while first in ahead:
        first = next_fire_after(trigger, first)
    count = passed.count - len(ahead)
    return Missed(count, first if count else None, passed.latest, passed.exact), tuple(latest[max(0, len(latest) - most) :])


def _chosen(
    fires: tuple[datetime, ...], count: int, first: datetime, settled: datetime, since: datetime | None, *, exact: bool = True
) -> Due:
    kept = fires if since is None else tuple(fire for fire in fires if fire >= since)
    count -= len(kept)
    return Due(kept, settled, (Dropped(MISFIRE, count, first, exact),) if count else ())


def _since(task: Task, at: datetime) -> datetime | None:
    """Return the earliest fire that may still be run at `at`; None = however early."""
    options = task.options
    grace = options.misfire_grace_time
    if grace is None and options.misfire is Misfire.SKIP and task.recurring:
        grace = SKIP_GRACE
    return None if grace is None else at - grace
