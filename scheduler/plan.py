"""What a locked task's fire becomes: pure decisions, from the row and the clock's reading to the next row.

Before the run, `plan_fire` says which fire it is for, or that there must be none. After it, `decide` turns how the run
ended into an `Outcome`. Both work on the task as the store has it now: an edit that came in between is simply another
row to decide on.
"""

from datetime import datetime
from hashlib import blake2b

from attrs import evolve, frozen

from detent.jobs import Consistency, Request, Task
from detent.jobs.registry import RegisteredJob
from detent.scheduler.follow import Following, follow
from detent.stores import Outcome, Run, RunStatus, transitions
from detent.triggers import CountsFrom, Trigger, missed, next_fire_after, parse_trigger

CRASH_LIMIT = 3
"""Lost runs of one fire after which a task is set aside, however many retries it has left."""


# -- how a run ended ---------------------------------------------------------------------------------------------------


@frozen
class Returned:
    """The job returned a task to go on with, or None to have it removed."""

    task: Task | None


@frozen
class Raised:
    """The job failed; the text is the error with its traceback."""

    error: str


@frozen
class Interrupted:
    """The run was cut short by no fault of its own, as at the end of a shutdown's grace."""

    reason: str


@frozen
class Stopped:
    """Somebody asked for the run to be stopped."""

    reason: str


Ending = Returned | Raised | Interrupted | Stopped


@frozen(kw_only=True)
class Finish:
    """A run that ended."""

    task: Task
    """As it was locked, and given to the job."""
    fire_time: datetime
    started_at: datetime
    ended_at: datetime
    ending: Ending


@frozen(kw_only=True)
class Fire:
    """What a locked task is run for."""

    fire_time: datetime
    instead: Raised | Stopped | None = None
    """Set when it must not be run: how the fire is accounted for instead."""


# -- before the run ----------------------------------------------------------------------------------------------------


def trigger_of(task: Task, registered: RegisteredJob) -> Trigger | None:
    """Return the trigger that rules `task`: its own, else, where it says so, the one in its job's code.

    One that counts from the scheduling (`@after`) has set the fire time of a one-off, and rules no other.

    Raises:
        TriggerError: the text is not one that this version can read.

    """
    if task.trigger is not None:
        trigger: Trigger | None = parse_trigger(task.trigger)
    else:
        trigger = registered.trigger_for(task.slug) if task.recurring else None
    return None if trigger is not None and trigger.counts_from is CountsFrom.SCHEDULING else trigger


def plan_fire(task: Task, trigger: Trigger | None) -> Fire:
    """Say which fire a task, just locked, is to be run for, and whether it may be.

    Of several fires that passed while nobody ran the task the latest is run. It follows from the row alone, from
    when the fire was *first* locked: every further attempt at it, on whichever node, is for the same fire.
    A trigger that fails does not keep the fire from being run, nor the other tasks of the same lock.
    """
    try:
        fire_time = _fire_time(task, trigger)
    except Exception:  # noqa: BLE001 - a trigger may be anybody's code
        fire_time = task.run_at  # this fire is due all the same; unless it has passed by then, `decide` meets the error and says so
    return Fire(fire_time=fire_time, instead=_instead(task))


def _fire_time(task: Task, trigger: Trigger | None) -> datetime:
    first_run_at = task.first_run_at or task.run_at
    if trigger is None or trigger.counts_from is CountsFrom.END or first_run_at <= task.run_at:
        return task.run_at  # a fixed delay has one fire at a time, however late it is
    if next_fire_after(trigger, task.anchor) == task.run_at:
        following = next_fire_after(trigger, task.run_at)
        if following is None or following > first_run_at:
            return task.run_at
    return max(task.run_at, missed(trigger, task.anchor, first_run_at).latest or task.run_at)


def _instead(task: Task) -> Raised | Stopped | None:
    if task.request is Request.STOP:
        return Stopped("asked to stop while its node was lost")
    if task.crashes >= CRASH_LIMIT:
        return Raised(f"crashed {task.crashes} times: set aside until somebody restarts it")
    if task.crashes and task.options.consistency is Consistency.AT_MOST_ONCE:
        return Raised("its run was lost, and a task that runs at most once is not run again")
    return None


# -- after the run -----------------------------------------------------------------------------------------------------


def decide(row: Task, finish: Finish, trigger: Trigger | None) -> Outcome:
    """Return what becomes of `row`, the task as the store has it now, now that its run has ended.

    A trigger that fails is a failure of the task, which is set aside: it must not be lost, nor locked for ever. The run is
    recorded as it ended, and what the job returned is kept.
    """
    try:
        return _decide(row, finish, trigger)
    except Exception as error:  # noqa: BLE001 - a trigger may be anybody's code
        return without_next(row, finish, f"its trigger failed: {error!r}")


def _decide(row: Task, finish: Finish, trigger: Trigger | None) -> Outcome:
    match finish.ending:
        case Returned(task):
            return _done(row, finish, task, trigger) if task is not None else _removed(row, finish)
        case Raised(error):
            return _failed(row, finish, error, trigger)
        case Stopped(reason):
            return _over(row, finish, trigger, RunStatus.CANCELLED, reason)
        case Interrupted(reason) if row.options.consistency is Consistency.AT_MOST_ONCE:
            return _over(row, finish, trigger, RunStatus.CANCELLED, reason)
        case Interrupted(reason):
            back = transitions.interrupt(row, now=finish.ended_at)
            return Outcome(task=row, next=back, runs=(_run(row, finish, RunStatus.CANCELLED, reason),))


def _removed(row: Task, finish: Finish) -> Outcome:
    return Outcome(task=row, next=None, runs=(_run(row, finish, RunStatus.DONE),))


def _done(row: Task, finish: Finish, returned: Task, trigger: Trigger | None) -> Outcome:
    """Bring the fire to its end; what the job changed in payload and result is kept, what somebody edited meanwhile too."""
    run = _run(row, finish, RunStatus.DONE, result=returned.result)
    moved_to = _moved(returned, finish) or _moved(row, finish)
    following = Following(row.anchor, None) if trigger is None else follow(trigger, row, fire_time=finish.fire_time, until=finish.ended_at)
    runs, run_at = (run, *_skipped(row, finish, following)), moved_to or following.run_at
    if run_at is None:
        return Outcome(task=row, next=None, runs=runs)
    kept = evolve(_with_returned(row, finish, returned), last_error=None)
    return Outcome(task=row, next=transitions.advance(kept, now=finish.ended_at, anchor=following.anchor, run_at=run_at), runs=runs)


def _with_returned(row: Task, finish: Finish, returned: Task) -> Task:
    is_changed = (returned.payload, returned.payload_version) != (finish.task.payload, finish.task.payload_version)
    return evolve(
        row,
        payload=returned.payload if is_changed else row.payload,
        payload_version=returned.payload_version if is_changed else row.payload_version,
        result=returned.result,
    )


def without_next(row: Task, finish: Finish, error: str) -> Outcome:
    """Set a task aside because nobody can tell when it fires next; a run that went well stays one that did."""
    match finish.ending:
        case Returned(Task() as task):
            failed = transitions.fail(evolve(_with_returned(row, finish, task), last_error=error), now=finish.ended_at)
            return Outcome(task=row, next=failed, runs=(_run(row, finish, RunStatus.DONE, result=task.result),))
        case _:
            return set_aside(row, finish, error)


def _failed(row: Task, finish: Finish, error: str, trigger: Trigger | None) -> Outcome:
    policy, failures = row.options.retry, row.attempt - row.crashes
    age = finish.ended_at - (row.first_run_at or finish.started_at)
    is_retryable = row.options.consistency is Consistency.AT_LEAST_ONCE and row.crashes < CRASH_LIMIT
    if is_retryable and policy.allows(failures=failures, age=age):
        at = finish.ended_at + policy.backoff(failures, _spread(row.lease_id))
        waiting = transitions.retry(evolve(row, last_error=error), now=finish.ended_at, at=at)
        return Outcome(task=row, next=waiting, runs=(_run(row, finish, RunStatus.RETRIED, error),))
    if row.crashes >= CRASH_LIMIT:
        return set_aside(row, finish, error)
    return _over(row, finish, trigger, RunStatus.FAILED, error)


def _over(row: Task, finish: Finish, trigger: Trigger | None, status: RunStatus, error: str) -> Outcome:
    """Give the fire up: a schedule waits for its next one; a one-off, and a schedule without a next one, is set aside."""
    following = Following(row.anchor, None) if trigger is None else follow(trigger, row, fire_time=finish.fire_time, until=finish.ended_at)
    run_at = _moved(row, finish) or following.run_at
    kept = evolve(row, last_error=error, anchor=following.anchor)
    if run_at is None:
        given_up = transitions.fail(evolve(kept, run_at=finish.fire_time), now=finish.ended_at)  # a restart is for this very fire
    else:
        given_up = transitions.advance(kept, now=finish.ended_at, anchor=following.anchor, run_at=run_at)
    return Outcome(task=row, next=given_up, runs=(_run(row, finish, status, error), *_skipped(row, finish, following)))


def _moved(task: Task, finish: Finish) -> datetime | None:
    """Return the instant that somebody, the job or an edit, moved the next run to while it was under way."""
    return task.run_at if task.run_at != finish.task.run_at else None


def set_aside(row: Task, finish: Finish, error: str) -> Outcome:
    """Let the task wait as failed, with all it holds, until somebody restarts or deletes it."""
    failed = transitions.fail(evolve(row, last_error=error), now=finish.ended_at)
    return Outcome(task=row, next=failed, runs=(_run(row, finish, RunStatus.FAILED, error),))


def _spread(lease_id: str | None) -> float:
    """Return a number in [0, 1) that is another for every run, and the same whenever the decision is made anew."""
    return int.from_bytes(blake2b((lease_id or "").encode(), digest_size=7).digest()) / 2**56


def _run(row: Task, finish: Finish, status: RunStatus, error: str | None = None, result: str | None = None) -> Run:
    return Run(
        id=row.lease_id or "",
        slug=row.slug,
        kind=row.kind,
        namespace=row.namespace,
        fire_time=finish.fire_time,
        attempt=row.attempt,
        node=row.node,
        started_at=finish.started_at,
        finished_at=finish.ended_at,
        status=status,
        error=error,
        result=result,
    )


def _skipped(row: Task, finish: Finish, following: Following) -> tuple[Run, ...]:
    """Return the records of the fires that were dropped, one for each reason: a fire is never dropped in silence."""
    run = _run(row, finish, RunStatus.SKIPPED)
    return tuple(
        evolve(
            run,
            id=f"{row.lease_id}.{dropped.reason}",
            fire_time=dropped.first,
            started_at=finish.ended_at,
            count=dropped.count,
            error=str(dropped),
            attempt=0,
        )
        for dropped in following.dropped
    )
