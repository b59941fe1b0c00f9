"""Goes from one fire of a schedule to the next.

It finds the fires that passed meanwhile, and says which of them run and which are dropped. Pure.

Two moments count. When a fire is *first locked*, what passed since the last run was missed, and the misfire policy chooses
from it (`fires_due`). When its run has *ended*, what passed meanwhile overlapped it, and the overlap policy chooses (`follow`).
Every fire is decided on once: it is run, waits for its turn (`Task.owed`), or is dropped and recorded so.

The anchor moves only along the trigger's own fires, so that neither a late run, a retry, nor a job that moved its next
run shifts the schedule. Only with a fixed delay, which counts from the end of a run, is that end the anchor.
"""

from collections.abc import Iterator
from datetime import datetime

from attrs import evolve, frozen

from duly.jobs import Misfire, Overlap, Task, TaskOptions
from duly.stores.rules.misfires import MISFIRE, OVERLAP, Dropped, Due, is_owed, missed_fires, passed_fires
from duly.triggers import CountsFrom, Trigger, next_fire_after


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


def follow(trigger: Trigger | None, task: Task, due: Due, *, fire_time: datetime, until: datetime) -> Following:
    """Return where the schedule stands after the run for `fire_time`, which ended at `until`.

    It goes on with its oldest owed fire, else with the first fire after `until`. `due` is what `fires_due` found when the fire was
    first locked.
    """
    until = max(until, fire_time)  # a clock that went back must not fire twice
    waiting, dropped = set(task.owed) - {fire_time}, due.dropped
    if is_owed(task):
        kept, too_many = _as_there_is_room(task.options, due.kept, len(waiting))
        waiting, dropped = waiting.union(kept), dropped + too_many
    else:
        waiting.update(fire for fire in due.kept if fire > fire_time)
    if trigger is None:
        return _following(due.settled, None, waiting, dropped)
    if trigger.counts_from is CountsFrom.END:  # no fire passes before the run has ended
        return _following(until, next_fire_after(trigger, until), waiting, dropped)
    following = next_fire_after(trigger, due.settled)
    if following is None or following > until:
        return _following(due.settled, following, waiting, dropped)
    anchor, more, dropped_since = _passed_since(trigger, task, due.settled, until, len(waiting))
    return _following(anchor, next_fire_after(trigger, anchor), waiting.union(more), dropped + dropped_since)


def _as_there_is_room(options: TaskOptions, fires: tuple[datetime, ...], waiting: int) -> tuple[tuple[datetime, ...], tuple[Dropped, ...]]:
    """Return the latest of the missed fires, and the others as dropped.

    No more than `catch_up_limit` wait.
    """
    room = max(0, options.catch_up_limit - waiting) if options.misfire is Misfire.FIRE_ALL else len(fires)
    kept = fires[max(0, len(fires) - room) :]
    return kept, (Dropped(MISFIRE, len(fires) - len(kept), fires[0]),) if len(kept) < len(fires) else ()


def _following(anchor: datetime, following: datetime | None, waiting: set[datetime], dropped: tuple[Dropped, ...]) -> Following:
    owed = tuple(sorted(waiting))
    return Following(anchor, owed[0] if owed else following, _by_reason(dropped), owed)


def _passed_since(
    trigger: Trigger, task: Task, anchor: datetime, until: datetime, waiting: int
) -> tuple[datetime, tuple[datetime, ...], tuple[Dropped, ...]]:
    """Settle the fires after the first lock and until the end of the run.

    Return the latest of them, those that are kept, and what is dropped.
    """
    room = _room(task.options, waiting)
    kept: tuple[datetime, ...] = ()
    queued: tuple[datetime, ...] = ()
    overlaps = Dropped(OVERLAP, 0, until)
    dropped: tuple[Dropped, ...] = ()
    for is_missed, end in _stretches(task, until):
        if is_missed:
            due = missed_fires(trigger, task, anchor, end)
            late, too_many = _as_there_is_room(task.options, due.kept, waiting)
            anchor, kept, dropped = due.settled, kept + late, dropped + due.dropped + too_many
        else:
            passed, latest = passed_fires(trigger, task, anchor, end, room)
            queued += latest
            overlaps = _together(overlaps, Dropped(OVERLAP, passed.count, passed.first or until, passed.exact))
            anchor = passed.latest or anchor
    queued = queued[len(queued) - min(room, len(queued)) :]
    if overlaps.count > len(queued):
        dropped += (evolve(overlaps, count=overlaps.count - len(queued)),)
    return anchor, kept + queued, dropped


def _stretches(task: Task, until: datetime) -> Iterator[tuple[bool, datetime]]:
    """Yield the spans of time from the first lock on.

    Each by whether nobody ran the task in it, and by its end.
    """
    gap = gap_of(task)
    if gap is not None and gap[1] <= until:  # else the run was given up as of the end of its lease, and the gap is still to come
        yield False, gap[0]
        yield True, gap[1]
    yield False, until


def gap_of(task: Task) -> tuple[datetime, datetime] | None:
    """Return from when to when nobody ran a held task in the midst of its fire; None: somebody always did.

    That was so between the end of a lease, or of a run that a shutdown cut short, and this lock. (Of several leases that
    ended one after the other the row knows the last; what passed in the gaps before counts as overlap.)
    """
    since, locked = task.idle_since, task.locked_at
    return None if since is None or locked is None or locked <= since else (since, locked)


def _room(options: TaskOptions, waiting: int) -> int:
    """Return how many fires more may wait."""
    match options.overlap:
        case Overlap.QUEUE_ONE:
            return max(0, 1 - waiting)
        case Overlap.QUEUE_ALL:
            return max(0, options.queue_limit - waiting)
        case Overlap.CANCEL_RUNNING:
            return 1  # it runs instead of what was cancelled for it
        case Overlap.SKIP | Overlap.ALLOW:
            return 0


def _together(one: Dropped, other: Dropped) -> Dropped:
    return Dropped(one.reason, one.count + other.count, min(one.first, other.first), one.exact and other.exact)


def _by_reason(dropped: tuple[Dropped, ...]) -> tuple[Dropped, ...]:
    together: dict[str, Dropped] = {}
    for each in dropped:
        together[each.reason] = _together(together[each.reason], each) if each.reason in together else each
    return tuple(together.values())
