"""From one fire of a schedule to the next: which fires passed, which of them are to be run, and which are dropped. Pure.

Two moments count. When a fire is *first locked*, what passed since the last run was missed, and the misfire policy chooses
from it (`fires_due`). When its run has *ended*, what passed meanwhile overlapped it, and the overlap policy chooses (`follow`).
Every fire is decided on once: it is run, waits for its turn (`Task.owed`), or is dropped and recorded so.

The anchor moves only along the trigger's own fires, so that neither a late run, a retry, nor a job that moved its next
run shifts the schedule. Only with a fixed delay, which counts from the end of a run, is that end the anchor.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from attrs import evolve, frozen

from detent.jobs import Misfire, Overlap, Task, TaskOptions
from detent.triggers import CountsFrom, Trigger, last_fire_time, latest_fires, missed, next_fire_after

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


@frozen
class Following:
    """Where a schedule stands after a fire."""

    anchor: datetime
    """The trigger's latest fire until then; as it was if there was none."""
    run_at: datetime | None
    """The next fire to be run, None when there is none any more."""
    dropped: tuple[Dropped, ...] = ()
    owed: tuple[datetime, ...] = ()
    """Fires that have passed and are to be run; `run_at` is the first of them."""


def first_locked(task: Task) -> datetime:
    """Return when the task's current fire was locked first: it is decided as of then, in every attempt at it alike."""
    return max(task.first_run_at or task.run_at, task.run_at)


def is_owed(task: Task) -> bool:
    """Tell whether the task's current fire was decided on before, and waited for its turn."""
    return bool(task.owed) and task.owed[0] == task.run_at


# -- when a fire is locked ---------------------------------------------------------------------------------------------


def fires_due(trigger: Trigger | None, task: Task, at: datetime) -> Due:
    """Return what is to be run of the fires that passed until `at`, when nobody had run the task since its anchor.

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
    return _of_many(trigger, task, task.anchor, at, own)


def _of_many(trigger: Trigger, task: Task, after: datetime, at: datetime, own: datetime | None = None) -> Due:
    """Choose from the fires later than `after`, which is one of them or the anchor, and `own`."""
    passed = missed(trigger, after, at)
    most = task.options.catch_up_limit if task.options.misfire is Misfire.FIRE_ALL else 1
    latest = latest_fires(trigger, after, at, most)
    kept = latest if own is None else tuple(sorted((*latest, own)))[-most:]
    first = min(each for each in (own, passed.first, at) if each is not None)
    return _chosen(kept, passed.count + (own is not None), first, passed.latest or after, _since(task, at), exact=passed.exact)


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


# -- when a run has ended ----------------------------------------------------------------------------------------------


def follow(trigger: Trigger | None, task: Task, *, fire_time: datetime, until: datetime) -> Following:
    """Go on from a task whose run for `fire_time` ended at `until`: to its oldest owed fire, else to the first one after `until`."""
    until = max(until, fire_time)  # a clock that went back must not fire twice
    at = first_locked(task)
    due = fires_due(trigger, task, at)
    waiting = {*task.owed, *(fire for fire in due.kept if fire > fire_time or is_owed(task))} - {fire_time}
    if trigger is None:
        return _following(due.settled, None, waiting, due.dropped)
    if trigger.counts_from is CountsFrom.END:  # no fire passes before the run has ended
        return _following(until, next_fire_after(trigger, until), waiting, due.dropped)
    following = next_fire_after(trigger, due.settled)
    if following is None or following > until:
        return _following(due.settled, following, waiting, due.dropped)
    anchor, kept, dropped = _passed_since(trigger, task, due.settled, until, _room(task.options, len(waiting)))
    return _following(anchor, next_fire_after(trigger, anchor), waiting.union(kept), due.dropped + dropped)


def _following(anchor: datetime, following: datetime | None, waiting: set[datetime], dropped: tuple[Dropped, ...]) -> Following:
    owed = tuple(sorted(waiting))
    return Following(anchor, owed[0] if owed else following, _by_reason(dropped), owed)


def _passed_since(
    trigger: Trigger, task: Task, anchor: datetime, until: datetime, room: int
) -> tuple[datetime, tuple[datetime, ...], tuple[Dropped, ...]]:
    """Return the latest fire after the first lock and until the end of the run, and which are kept and dropped of them."""
    kept: tuple[datetime, ...] = ()
    queued: tuple[datetime, ...] = ()
    overlaps = Dropped(OVERLAP, 0, until)
    dropped: tuple[Dropped, ...] = ()
    for is_missed, end in _stretches(task, until):
        if is_missed:
            due = _of_many(trigger, task, anchor, end)
            anchor, kept, dropped = due.settled, kept + due.kept, dropped + due.dropped
        else:
            passed = missed(trigger, anchor, end)
            queued += latest_fires(trigger, anchor, end, room)
            overlaps = _together(overlaps, Dropped(OVERLAP, passed.count, passed.first or until, passed.exact))
            anchor = passed.latest or anchor
    queued = queued[len(queued) - min(room, len(queued)) :]
    if overlaps.count > len(queued):
        dropped += (evolve(overlaps, count=overlaps.count - len(queued)),)
    return anchor, kept + queued, dropped


def _stretches(task: Task, until: datetime) -> Iterator[tuple[bool, datetime]]:
    """Yield the stretches of time from the first lock on, each by its end, and whether nobody ran the task in it."""
    gap = gap_of(task)
    if gap is not None and gap[1] <= until:  # else the run was given up as of the end of its lease, and the gap is still to come
        yield False, gap[0]
        yield True, gap[1]
    yield False, until


def gap_of(task: Task) -> tuple[datetime, datetime] | None:
    """Return from when to when nobody ran a held task in the midst of its fire, None if somebody always did.

    That was so between the end of a lease, or of a run that a shutdown cut short, and this lock. (Of several leases that
    ended one after the other the row knows the last; what passed in the gaps before counts as overlap.)
    """
    began, ended, locked = task.first_run_at, task.ended_at, task.locked_at
    if began is None or ended is None or locked is None or not began < ended < locked:
        return None
    return ended, locked


def _room(options: TaskOptions, waiting: int) -> int:
    """Return how many fires more may wait."""
    match options.overlap:
        case Overlap.QUEUE_ONE:
            return max(0, 1 - waiting)
        case Overlap.QUEUE_ALL:
            return max(0, options.queue_limit - waiting)
        case Overlap.CANCEL_RUNNING:
            return 1  # it takes the place of what was cancelled for it
        case Overlap.SKIP | Overlap.ALLOW:
            return 0


def _together(one: Dropped, other: Dropped) -> Dropped:
    return Dropped(one.reason, one.count + other.count, min(one.first, other.first), one.exact and other.exact)


def _by_reason(dropped: tuple[Dropped, ...]) -> tuple[Dropped, ...]:
    together: dict[str, Dropped] = {}
    for each in dropped:
        together[each.reason] = _together(together[each.reason], each) if each.reason in together else each
    return tuple(together.values())
