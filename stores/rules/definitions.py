"""A task that exists is given another definition: what it keeps, and when it fires next. Pure."""

from datetime import datetime

from duly.jobs import Task
from duly.jobs.task import RunAtSource
from duly.jobs.with_changes import with_changes
from duly.stores.codec import with_unknown
from duly.stores.rules.misfires import fires_due, first_locked, is_owed
from duly.stores.rules.transitions import edit
from duly.triggers import CountsFrom, TriggerError, missed, parse_trigger


def replace(row: Task, new: Task, *, now: datetime) -> Task | None:
    """Write `row` with the definition of `new`, as `redefine` does.

    None if it has that already: declaring it again is no write.
    """
    redefined = redefine(row, new, now=now)
    return None if redefined is None else edit(row, redefined, now=now)


def redefine(row: Task, new: Task, *, now: datetime) -> Task | None:
    """Give `row` the definition of `new`, as an edit of it; None if it has that already.

    Lease, pause, failure and attempts stay. The next fire changes only if the trigger's text did: it is then the new
    trigger's first after `now`, counted from the anchor, unless fires are owed: one that runs or waits for its retry, and what
    the misfire policy would run of those that passed. These stay, and the new trigger rules from then on.
    """
    new = with_changes(new, options=with_unknown(new.options, row.options))
    fields = ("kind", "payload", "payload_version", "trigger", "trigger_from", "options", "metadata")
    changes = {name: getattr(new, name) for name in fields if getattr(new, name) != getattr(row, name)}
    if new.declared not in (None, row.declared):  # who replaces it by hand leaves the digest of the code's declaration
        changes["declared"] = new.declared
    if new.needs > row.needs:  # never less: the rest of the row may need it
        changes["needs"] = new.needs
    if not changes:
        return None
    redefined = with_changes(row, **changes)
    return _retimed(with_changes(redefined, owed=_owed_by_former(row, now)), new, now) if "trigger" in changes else redefined


def _retimed(task: Task, new: Task, now: datetime) -> Task:
    trigger = None if task.trigger is None else parse_trigger(task.trigger)
    # A one-off has its own time; and a first fire of its own, still ahead, was the old definition's.
    if trigger is None or trigger.counts_from is CountsFrom.SCHEDULING or task.anchor > now:
        is_owed_still = _has_begun(task) or task.run_at <= now
        return task if is_owed_still else with_changes(task, anchor=new.anchor, run_at=new.run_at, run_at_from=new.run_at_from)
    # A fixed delay counts from the end of a run, and the former trigger's fires were none of its own: it begins now.
    anchor = now if trigger.counts_from is CountsFrom.END else missed(trigger, task.anchor, now).latest or task.anchor
    if _has_begun(task):
        return with_changes(task, anchor=anchor)
    run_at = task.owed[0] if task.owed else trigger.next_fire_time(anchor)
    return with_changes(task, anchor=anchor, run_at=run_at or new.run_at, run_at_from=RunAtSource.TRIGGER if run_at else new.run_at_from)


def _has_begun(task: Task) -> bool:
    """Tell whether the current fire was locked, and is not over."""
    return task.lease_id is not None or task.retry_at is not None or task.first_run_at is not None


def _owed_by_former(row: Task, now: datetime) -> tuple[datetime, ...]:
    """Return the fires that stay owed when the trigger is replaced.

    These are what waits beside the current fire, and what the former trigger's misfire policy would run.
    """
    if not _has_begun(row) and row.run_at > now:
        return row.owed
    try:
        former = None if row.trigger is None else parse_trigger(row.trigger)
        due = fires_due(former, row, first_locked(row) if _has_begun(row) else now)
    except TriggerError:  # a text of another version, which is about to be replaced
        return row.owed
    kept = due.kept[1:] if _has_begun(row) and not is_owed(row) else due.kept
    return tuple(sorted({*row.owed, *kept}))
