"""What becomes of a task whose run has ended, or that was not run after all: a pure decision, from the row to the next row.

`decide` works on the task as the store has it now: an edit that came in between is simply another row to decide on.
"""

from datetime import datetime, timedelta
from hashlib import blake2b

from duly.jobs import Consistency, Request, Task, Then
from duly.jobs.with_changes import with_changes
from duly.scheduler.rules.endings import Cancelled, EndedRun, Interrupted, Missed, Moved, Raised, Returned, Spawned, Stopped
from duly.scheduler.rules.firing import CRASH_LIMIT, NEXT_FIRE, cancel_at
from duly.scheduler.rules.new_task import spawned_slug
from duly.scheduler.rules.records import run_of, skipped_of
from duly.stores import Outcome, Run, RunStatus
from duly.stores.rules import transitions
from duly.stores.rules.misfires import LIMIT, Dropped, Due, fires_due, first_locked, is_owed
from duly.stores.rules.overlaps import Following, follow, gap_of
from duly.triggers import END_OF_TIME, TICK, Trigger, next_fire_after


def decide(row: Task, finish: EndedRun, trigger: Trigger | None) -> Outcome:
    """Return what becomes of `row`, the task as the store has it now, now that its run has ended.

    A trigger that fails is a failure of the task, which is set aside: it must not be lost, nor locked for ever. The run is
    recorded as it ended, and what the job returned is kept.
    """
    try:
        return _decide(row, finish, trigger)
    except Exception as error:  # noqa: BLE001 - a trigger may be anybody's code
        return without_next(row, finish, f"its trigger failed: {error!r}")


def _decide(row: Task, finish: EndedRun, trigger: Trigger | None) -> Outcome:
    match finish.ending:
        case Returned((Task() | Then()) as task, spawn):
            outcome = _done(row, finish, task, trigger)
            return with_changes(outcome, spawn=spawn) if spawn else outcome
        case Returned(spawn=spawn):
            return _removed(row, finish, spawn)
        case Raised() as raised:
            return _failed(row, finish, raised, trigger)
        case Stopped(reason) if reason == NEXT_FIRE:
            return _cancelled(row, finish, trigger, reason)
        case Stopped(reason):
            return _over(row, finish, trigger, RunStatus.CANCELLED, reason)
        case Cancelled(reason):
            return _cancelled(row, finish, trigger, reason)
        case Interrupted(reason, pause):
            return _interrupted(row, finish, trigger, reason, pause)
        case Missed() | Moved() | Spawned():
            return _without_run(row, finish, trigger)


def _done(row: Task, finish: EndedRun, returned: Task | Then, trigger: Trigger | None) -> Outcome:
    """Bring the fire to its end; what the job changed in payload and result is kept, what somebody edited meanwhile too."""
    run, following = run_of(row, finish, RunStatus.DONE, result=returned.result), _following(row, finish, trigger)
    if following.run_at is None:  # most tasks are one-offs: none of what is kept is needed any more
        return _advanced(row, finish, row, following, run)
    return _advanced(row, finish, with_changes(_with_returned(row, finish, returned), last_error=None), following, run)


def _removed(row: Task, finish: EndedRun, spawn: tuple[Task, ...]) -> Outcome:
    return Outcome(task=row, next=None, runs=(run_of(row, finish, RunStatus.DONE),), spawn=spawn)


def _with_returned(row: Task, finish: EndedRun, returned: Task | Then) -> Task:
    is_changed = (returned.payload, returned.payload_version) != (finish.task.payload, finish.task.payload_version)
    return with_changes(
        row,
        payload=returned.payload if is_changed else row.payload,
        payload_version=returned.payload_version if is_changed else row.payload_version,
        result=returned.result,
    )


def without_next(row: Task, finish: EndedRun, error: str) -> Outcome:
    """Set a task aside because nobody can tell when it fires next; a run that went well stays one that did."""
    match finish.ending:
        case Returned((Task() | Then()) as task, spawn):
            failed = transitions.fail(with_changes(_with_returned(row, finish, task), last_error=error), now=finish.ended_at)
            return Outcome(task=row, next=failed, runs=(run_of(row, finish, RunStatus.DONE, result=task.result),), spawn=spawn)
        case Returned(spawn=spawn):
            return _removed(row, finish, spawn)
        case _:
            failed = transitions.fail(with_changes(row, last_error=error), now=finish.ended_at)
            return Outcome(task=row, next=failed, runs=(run_of(row, finish, RunStatus.FAILED, error),))


def _failed(row: Task, finish: EndedRun, raised: Raised, trigger: Trigger | None) -> Outcome:
    if row.crashes >= CRASH_LIMIT:
        return _set_aside(row, finish, _following(row, finish, trigger), run_of(row, finish, RunStatus.FAILED, raised.error))
    at = _retry_at(row, finish, raised)
    if at is None or _is_taken_over(row, finish, trigger, at):
        return _over(row, finish, trigger, RunStatus.FAILED, raised.error)
    settled, skipped = _gap_settled(row, finish, trigger)
    waiting = transitions.retry(with_changes(settled, last_error=raised.error), now=finish.ended_at, at=at)
    return Outcome(task=row, next=waiting, runs=(run_of(row, finish, RunStatus.RETRIED, raised.error), *skipped))


def _gap_settled(row: Task, finish: EndedRun, trigger: Trigger | None) -> tuple[Task, tuple[Run, ...]]:
    """Decide on what passed until this lock, if nobody ran the task for a while before it: the next lock would not know."""
    gap = gap_of(row)
    if gap is None or trigger is None:
        return row, ()
    following = follow(trigger, _as_locked(row, finish), fire_time=finish.fire_time, until=gap[1])
    fire_time, owed = finish.fire_time, following.owed
    if is_owed(row) and (not owed or fire_time < owed[0]):
        owed = (fire_time, *owed)
    return with_changes(row, anchor=following.anchor, owed=owed, run_at=fire_time), skipped_of(row, finish, following.dropped)


def _retry_at(row: Task, finish: EndedRun, raised: Raised) -> datetime | None:
    """Return when the run is tried again, None when it is not."""
    policy, failures = row.options.retry, row.attempt - row.crashes
    age = finish.ended_at - (row.first_run_at or finish.started_at)
    is_ruled_out = (
        row.request is Request.STOP  # asked for when the run had failed already, or could not be told
        or raised.is_final
        or _moved(row, finish) is not None
        or not set(raised.names).isdisjoint(policy.never)
    )
    if is_ruled_out or row.options.consistency is Consistency.AT_MOST_ONCE or not policy.allows(failures=failures, age=age):
        return None
    wait = policy.backoff(failures, _spread(row.lease_id)) if raised.after is None else raised.after
    return finish.ended_at + min(wait, END_OF_TIME - finish.ended_at)


def _is_taken_over(row: Task, finish: EndedRun, trigger: Trigger | None, at: datetime) -> bool:
    """Tell whether the next fire would have cancelled the retry before it began."""
    following = cancel_at(row, trigger, _due(row, finish, trigger))
    return following is not None and following <= at


def _over(row: Task, finish: EndedRun, trigger: Trigger | None, status: RunStatus, error: str) -> Outcome:
    """Give the fire up: a schedule waits for its next one; a one-off, and a schedule without a next one, is set aside."""
    following, run = _following(row, finish, trigger), run_of(row, finish, status, error)
    if following.run_at is None:
        return _set_aside(row, finish, following, run)
    is_paused = row.paused or (row.options.pause_on_failure and status is RunStatus.FAILED)
    return _advanced(row, finish, with_changes(row, last_error=error, paused=is_paused), following, run)


def _set_aside(row: Task, finish: EndedRun, following: Following, run: Run) -> Outcome:
    """Let the task wait as failed, until somebody restarts or deletes it; a restart is for this very fire, however late."""
    owed = tuple(sorted({finish.fire_time, *following.owed}))
    kept = with_changes(row, last_error=run.error, anchor=following.anchor, owed=owed, run_at=owed[0])
    return Outcome(task=row, next=transitions.fail(kept, now=finish.ended_at), runs=(run, *skipped_of(row, finish, following.dropped)))


def _cancelled(row: Task, finish: EndedRun, trigger: Trigger | None, reason: str) -> Outcome:
    following = _following(row, finish, trigger)
    return _advanced(row, finish, with_changes(row, last_error=reason), following, run_of(row, finish, RunStatus.CANCELLED, reason))


def _interrupted(row: Task, finish: EndedRun, trigger: Trigger | None, reason: str, pause: timedelta) -> Outcome:
    """Let the fire be run again, unless it must not be, or the next run was moved to a time of its own."""
    if row.request is Request.STOP:
        return _over(row, finish, trigger, RunStatus.CANCELLED, "asked to stop while its node was stopping")
    if row.options.consistency is Consistency.AT_MOST_ONCE or _moved(row, finish) is not None:
        return _over(row, finish, trigger, RunStatus.CANCELLED, reason)
    settled, skipped = _gap_settled(row, finish, trigger)
    back = transitions.interrupt(settled, now=finish.ended_at, pause=pause)
    return Outcome(task=row, next=back, runs=(run_of(row, finish, RunStatus.CANCELLED, reason), *skipped))


def _without_run(row: Task, finish: EndedRun, trigger: Trigger | None) -> Outcome:
    """Go on, though nothing was run; a one-off that came too late is over."""
    if finish.ending == Spawned():
        return _spawned(row, finish, trigger)
    if finish.ending == Moved():
        return _advanced(row, finish, row, Following(row.anchor, row.run_at, owed=row.owed), fires=0)
    following = follow(trigger, _as_locked(row, finish), fire_time=finish.fire_time, until=finish.ended_at)
    return _advanced(row, finish, row, with_changes(following, run_at=_moved(row, finish) or following.run_at), fires=0)


def _spawned(row: Task, finish: EndedRun, trigger: Trigger | None) -> Outcome:
    """Let each fire that is due live on as a one-off task, and wait for the next, all in one write."""
    due = _due(row, finish, trigger)
    fires = sorted({*row.owed, *due.kept})
    left = len(fires) if row.options.max_fires is None else max(0, row.options.max_fires - row.fires)
    dropped = (Dropped(LIMIT, len(fires) - left, fires[left]),) if left < len(fires) else ()
    fires = fires[:left]
    is_last = row.options.max_fires is not None and row.fires + len(fires) >= row.options.max_fires
    run_at = None if is_last or trigger is None else _moved(row, finish) or next_fire_after(trigger, due.settled)
    outcome = _advanced(row, finish, row, Following(due.settled, run_at, due.dropped + dropped), fires=len(fires))
    return with_changes(outcome, spawn=tuple(_one_off(row, fire) for fire in fires))


def _one_off(row: Task, fire: datetime) -> Task:
    return Task(
        slug=spawned_slug(row.slug, fire),
        kind=row.kind,
        payload=row.payload,
        payload_version=row.payload_version,
        options=with_changes(row.options, max_fires=None),  # which counts the schedule's fires, not the steps of one
        metadata=row.metadata,
        run_at=fire,
        anchor=fire,
    )


def _following(row: Task, finish: EndedRun, trigger: Trigger | None) -> Following:
    """Return where the task goes on after a fire that was run: where somebody moved it meanwhile, and not at all after its last."""
    following = follow(trigger, _as_locked(row, finish), fire_time=finish.fire_time, until=finish.ended_at)
    most = row.options.max_fires
    if most is not None and row.fires + 1 >= most:
        waiting = (Dropped(LIMIT, len(following.owed), following.owed[0]),) if following.owed else ()
        return with_changes(following, run_at=None, owed=(), dropped=following.dropped + waiting)
    moved = _moved(row, finish)
    if moved is None:
        return following
    if not following.owed:
        return with_changes(following, run_at=moved)
    if trigger is None and _next_step(finish) is not None:  # a workflow was asked to run now: that is its next step, and no further one
        return with_changes(following, run_at=max(following.owed[0], finish.fire_time + TICK), owed=())
    owed = tuple(sorted({*following.owed, moved}))  # what waits is run before anything else
    return with_changes(following, owed=owed, run_at=owed[0])


def _due(row: Task, finish: EndedRun, trigger: Trigger | None) -> Due:
    locked = _as_locked(row, finish)
    return fires_due(trigger, locked, first_locked(locked))


def _as_locked(row: Task, finish: EndedRun) -> Task:
    """Return the row with the fire that it was locked for, and the misfire policy by which that was chosen, whatever was edited since."""
    locked = finish.task
    if row.options is not locked.options:
        then = locked.options
        chosen = with_changes(
            row.options, misfire=then.misfire, misfire_grace_time=then.misfire_grace_time, catch_up_limit=then.catch_up_limit
        )
        row = with_changes(row, options=chosen)
    if row.run_at == locked.run_at:
        return row
    waited = is_owed(locked) and locked.run_at not in row.owed
    return with_changes(row, run_at=locked.run_at, owed=(locked.run_at, *row.owed) if waited else row.owed)


def _moved(row: Task, finish: EndedRun) -> datetime | None:
    """Return the instant that somebody, the job or an edit, moved the next run to while it was under way."""
    return _next_step(finish) or (row.run_at if row.run_at != finish.task.run_at else None)


def _next_step(finish: EndedRun) -> datetime | None:
    """Return the instant that the job itself moved the next run to."""
    match finish.ending:
        case Returned(Then() as task):
            at = finish.ended_at + min(task.after, END_OF_TIME - finish.ended_at)
            return max(at, finish.fire_time + TICK)  # a step is a fire of its own, also on a clock that stands still or went back
        case Returned(Task() as task) if task.run_at != finish.task.run_at:
            return task.run_at
    return None


def _advanced(row: Task, finish: EndedRun, kept: Task, following: Following, *run: Run, fires: int = 1) -> Outcome:
    """Write the fire's end; a task without a next one is removed."""
    runs = (*run, *skipped_of(row, finish, following.dropped, is_instead=not run))
    if following.run_at is None:
        return Outcome(task=row, next=None, runs=runs)
    waits = transitions.advance(
        kept, now=finish.ended_at, anchor=following.anchor, run_at=following.run_at, owed=following.owed, fires=fires
    )
    return Outcome(task=row, next=transitions.asked_again(waits) if _is_asked_again(row, finish) else waits, runs=runs)


def _is_asked_again(row: Task, finish: EndedRun) -> bool:
    """Tell whether somebody asked, while a paused task ran, for one more run."""
    is_new = finish.task.request is not Request.RUN_NOW or not set(row.owed) <= set(finish.task.owed)
    return row.paused and row.request is Request.RUN_NOW and is_new


def _spread(lease_id: str | None) -> float:
    """Return a number in [0, 1) that is another for every run, and the same whenever the decision is made anew."""
    return int.from_bytes(blake2b((lease_id or "").encode(), digest_size=7).digest()) / 2**56
