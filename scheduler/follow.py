"""From one fire of a schedule to the next: the new anchor, the next fire time, and the fires that were dropped. Pure.

The anchor moves only along the trigger's own fires, so that neither a late run, a retry, nor a job that moved its next
run shifts the schedule. Only with a fixed delay, which counts from the end of a run, is that end the anchor.
"""

from datetime import datetime

from attrs import frozen

from detent.jobs import Task
from detent.triggers import CountsFrom, Trigger, missed, next_fire_after

MISFIRE = "misfire"
OVERLAP = "overlap"
_REASONS = {
    MISFIRE: "passed while no node ran the task; the latest one was run",
    OVERLAP: "passed while the run before, its retries included, was still going",
}


@frozen
class Dropped:
    """Fires that were not run, and why."""

    reason: str
    count: int
    first: datetime
    exact: bool

    def __str__(self) -> str:
        """Say it for people."""
        return f"{self.reason}: {'' if self.exact else 'at least '}{self.count} {_REASONS[self.reason]}"


@frozen
class Following:
    """Where a schedule stands after a fire."""

    anchor: datetime
    """The trigger's latest fire until then; as it was if there was none."""
    run_at: datetime | None
    """Its next one, None when there is none any more."""
    dropped: tuple[Dropped, ...] = ()


def follow(trigger: Trigger, task: Task, *, fire_time: datetime, until: datetime) -> Following:
    """Go on from the task's anchor to the first fire after `until`, when the run for `fire_time` ended.

    Fires before `fire_time` were missed (a misfire, of which the latest is run); those after it passed during the run
    (an overlap, which is skipped). A trigger that counts from the end of the run has neither.
    """
    is_own_fire_owed = task.run_at == task.anchor and task.run_at < fire_time  # the first fire of its own, which the trigger does not know
    until = max(until, fire_time)  # a clock that went back must not fire twice
    if trigger.counts_from is CountsFrom.END:  # no fire passes before the run has ended
        return Following(until, next_fire_after(trigger, until))
    first = next_fire_after(trigger, task.anchor)
    if first == fire_time and not is_own_fire_owed:
        second = next_fire_after(trigger, first)
        if second is None or second > until:
            return Following(first, second)
    elif first is None or first > until:
        return Following(task.anchor, first)
    before = missed(trigger, task.anchor, fire_time)
    during = missed(trigger, before.latest or task.anchor, until)
    anchor = during.latest or before.latest or task.anchor
    misfires = before.count - (before.latest == fire_time) + is_own_fire_owed
    dropped = []
    if misfires:
        dropped.append(Dropped(MISFIRE, misfires, task.run_at if is_own_fire_owed else before.first or fire_time, before.exact))
    if during.first is not None:
        dropped.append(Dropped(OVERLAP, during.count, during.first, during.exact))
    return Following(anchor, next_fire_after(trigger, anchor), tuple(dropped))
