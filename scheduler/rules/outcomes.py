"""What becomes of a task whose run has ended, or must not begin: its next row and its records. Pure.

`outcome_of` decides on the row as the store has it now. After an edit in between, it decides again on the new row.
"""

from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b

from attrs import frozen

from duly.jobs import Consistency, Request, Task, Then
from duly.jobs.task import RunAtSource
from duly.jobs.with_changes import with_changes
from duly.scheduler.rules.endings import Cancelled, EndedRun, Interrupted, Missed, Moved, Raised, Returned, Spawned, Stopped
from duly.scheduler.rules.firing import CRASH_LIMIT, NEXT_FIRE, cancel_at
from duly.scheduler.rules.records import run_of, skipped_of
from duly.scheduler.rules.spawned_fires import spawned_task
from duly.scheduler.wording import headline
from duly.stores import Outcome, Run, RunStatus
from duly.stores.rules import transitions
from duly.stores.rules.misfires import LIMIT, Dropped, Due, fires_due, first_locked, is_owed
from duly.stores.rules.overlaps import Following, follow, gap_of
from duly.triggers import END_OF_TIME, TICK, Trigger, next_fire_after


def outcome_of(row: Task, ended: EndedRun, trigger: Trigger | None) -> Outcome:
    """Return what becomes of `row`, the task as the store has it now, after its run has ended.

    If the trigger fails, the task is set aside as failed: it must not be lost, nor locked for ever. The run is recorded as
    it ended, and the job's result is kept.
    """
    try:
        return Settlement(row, ended, trigger).outcome
    except Exception as error:  # noqa: BLE001 - a trigger may be a user's code
        return without_next(row, ended, f"its trigger failed: {headline(error)}")


def without_next(row: Task, ended: EndedRun, error: str) -> Outcome:
    """Set a task aside because its next fire cannot be computed; a run that succeeded is recorded as done."""
    match ended.ending:
        case Returned(task=None):
            return Settlement(row, ended, None).removed
        case Returned((Task() | Then()) as task, spawn):
            failed = transitions.fail(with_changes(_with_returned(row, ended, task), last_error=error), now=ended.ended_at)
            return Outcome(task=row, next=failed, runs=(run_of(row, ended, RunStatus.DONE, result=task.result),), spawn=spawn)
        case _:
            failed = transitions.fail(with_changes(row, last_error=error), now=ended.ended_at)
            return Outcome(task=row, next=failed, runs=(run_of(row, ended, RunStatus.FAILED, error),))


@frozen(slots=False)  # without slots, a cached property is a plain attribute after its first use
class Settlement:
    """One decision: the row as it is now, how its run ended, its trigger; and what follows from these.

    Each value that follows is worked out once. `outcome` chooses the method for the ending; every method returns a whole outcome.
    """

    row: Task
    ended: EndedRun
    trigger: Trigger | None
    """None: the task is a one-off, or its trigger is not known here."""

    # -- what follows from the three

    @cached_property
    def locked(self) -> Task:
        """The row with the fire it was locked for and the misfire options that chose it, despite later edits."""
        row, then = self.row, self.ended.task
        if row.options is not then.options:
            chosen_by = with_changes(
                row.options,
                misfire=then.options.misfire,
                misfire_grace_time=then.options.misfire_grace_time,
                catch_up_limit=then.options.catch_up_limit,
            )
            row = with_changes(row, options=chosen_by)
        if row.run_at == then.run_at:
            return row
        waited = is_owed(then) and then.run_at not in row.owed
        return with_changes(row, run_at=then.run_at, owed=(then.run_at, *row.owed) if waited else row.owed)

    @cached_property
    def due(self) -> Due:
        """The fires that were due when the fire was first locked."""
        return fires_due(self.trigger, self.locked, first_locked(self.locked))

    @cached_property
    def passed(self) -> Following:
        """Where the schedule stands at the end of the run, by its trigger and policies alone."""
        if self.trigger is None and not self.locked.owed and self.locked.options.misfire_grace_time is None:
            return Following(self.row.anchor, None)  # a plain one-off, the most frequent case, is over
        return follow(self.trigger, self.locked, self.due, fire_time=self.ended.fire_time, until=self.ended.ended_at)

    @cached_property
    def following(self) -> Following:
        """Where the task goes on after a fire that was run: also if it was moved, or this was its last fire."""
        passed, most = self.passed, self.row.options.max_fires
        if most is not None and self.row.fires + 1 >= most:
            waiting = (Dropped(LIMIT, len(passed.owed), passed.owed[0]),) if passed.owed else ()
            return with_changes(passed, run_at=None, owed=(), dropped=passed.dropped + waiting)
        if self.moved is None:
            return passed
        if not passed.owed:
            return with_changes(passed, run_at=self.moved)
        if (
            self.trigger is None and self.next_step is not None
        ):  # a workflow was asked to run now: this is its next step, not an additional one
            return with_changes(passed, run_at=max(passed.owed[0], self.ended.fire_time + TICK), owed=())
        owed = tuple(sorted({*passed.owed, self.moved}))  # waiting fires run first
        return with_changes(passed, owed=owed, run_at=owed[0])

    @cached_property
    def next_step(self) -> datetime | None:
        """The instant to which the job itself moved the next run; None: it did not."""
        match self.ended.ending:
            case Returned(Then() as task):
                at = self.ended.ended_at + min(task.after, END_OF_TIME - self.ended.ended_at)
                return max(at, self.ended.fire_time + TICK)  # each step is a separate fire, even if the clock stands or goes back
            case Returned(Task() as task) if task.run_at != self.ended.task.run_at:
                return task.run_at
        return None

    @cached_property
    def moved(self) -> datetime | None:
        """The instant to which the job, or an edit during the run, moved the next run; None: nobody did."""
        return self.next_step or (self.row.run_at if self.row.run_at != self.ended.task.run_at else None)

    # -- one method for each ending

    @property
    def outcome(self) -> Outcome:
        """What becomes of the row."""
        match self.ended.ending:
            case Returned((Task() | Then()) as task, spawn):
                outcome = self.done(task)
                return with_changes(outcome, spawn=spawn) if spawn else outcome
            case Returned():
                return self.removed
            case Raised() as raised:
                return self.failed(raised)
            case Stopped(reason) if reason == NEXT_FIRE:
                return self.cancelled(reason)
            case Stopped(reason):
                return self.given_up(RunStatus.CANCELLED, reason)
            case Cancelled(reason):
                return self.cancelled(reason)
            case Interrupted(reason, pause):
                return self.interrupted(reason, pause)
            case Missed() | Moved() | Spawned():
                return self.not_run

    def done(self, returned: Task | Then) -> Outcome:
        """End the fire; keep the job's changes to payload and result, and other edits made meanwhile."""
        run = run_of(self.row, self.ended, RunStatus.DONE, result=returned.result)
        if self.following.run_at is None:  # most tasks are one-offs: nothing needs to be kept
            return self._advanced(self.row, self.following, run)
        return self._advanced(with_changes(_with_returned(self.row, self.ended, returned), last_error=None), self.following, run)

    @property
    def removed(self) -> Outcome:
        """Remove the task, because its job returned None."""
        spawn = self.ended.ending.spawn if isinstance(self.ended.ending, Returned) else ()
        return Outcome(task=self.row, next=None, runs=(run_of(self.row, self.ended, RunStatus.DONE),), spawn=spawn)

    def failed(self, raised: Raised) -> Outcome:
        """Retry the fire, or give it up."""
        if self.row.crashes >= CRASH_LIMIT:
            return self._set_aside(run_of(self.row, self.ended, RunStatus.FAILED, raised.error))
        at = self._retry_at(raised)
        if at is None or self._is_taken_over(at):
            return self.given_up(RunStatus.FAILED, raised.error)
        settled, skipped = self._gap_settled()
        waiting = transitions.retry(with_changes(settled, last_error=raised.error), now=self.ended.ended_at, at=at)
        return Outcome(task=self.row, next=waiting, runs=(run_of(self.row, self.ended, RunStatus.RETRIED, raised.error), *skipped))

    def given_up(self, status: RunStatus, error: str) -> Outcome:
        """End the fire without success: a schedule waits for its next fire; any other task is set aside."""
        run = run_of(self.row, self.ended, status, error)
        if self.following.run_at is None:
            return self._set_aside(run)
        is_paused = self.row.paused or (self.row.options.pause_on_failure and status is RunStatus.FAILED)
        return self._advanced(with_changes(self.row, last_error=error, paused=is_paused), self.following, run)

    def cancelled(self, reason: str) -> Outcome:
        """End the fire without a failure: its work is no longer wanted."""
        run = run_of(self.row, self.ended, RunStatus.CANCELLED, reason)
        return self._advanced(with_changes(self.row, last_error=reason), self.following, run)

    def interrupted(self, reason: str, pause: timedelta) -> Outcome:
        """Run the fire again, unless it runs at most once, was asked to stop, or its next run was moved."""
        if self.row.request is Request.STOP:
            return self.given_up(RunStatus.CANCELLED, "asked to stop while its node was stopping")
        if self.row.options.consistency is Consistency.AT_MOST_ONCE or self.moved is not None:
            return self.given_up(RunStatus.CANCELLED, reason)
        settled, skipped = self._gap_settled()
        back = transitions.interrupt(settled, now=self.ended.ended_at, pause=pause)
        return Outcome(task=self.row, next=back, runs=(run_of(self.row, self.ended, RunStatus.CANCELLED, reason), *skipped))

    @property
    def not_run(self) -> Outcome:
        """Go on although nothing ran; a one-off that came too late is over."""
        if self.ended.ending == Spawned():
            return self._spawned()
        if self.ended.ending == Moved():
            return self._advanced(self.row, Following(self.row.anchor, self.row.run_at, owed=self.row.owed), fires=0)
        return self._advanced(self.row, with_changes(self.passed, run_at=self.moved or self.passed.run_at), fires=0)

    # -- shared by the endings

    def _spawned(self) -> Outcome:
        """Spawn a one-off task for each due fire, and wait for the next fire, in one write."""
        row, due, most = self.row, self.due, self.row.options.max_fires
        fires = sorted({*row.owed, *due.kept})
        left = len(fires) if most is None else max(0, most - row.fires)
        dropped = (Dropped(LIMIT, len(fires) - left, fires[left]),) if left < len(fires) else ()
        fires = fires[:left]
        is_last = most is not None and row.fires + len(fires) >= most
        run_at = None if is_last or self.trigger is None else self.moved or next_fire_after(self.trigger, due.settled)
        outcome = self._advanced(row, Following(due.settled, run_at, due.dropped + dropped), fires=len(fires))
        return with_changes(outcome, spawn=tuple(spawned_task(row, fire) for fire in fires))

    def _advanced(self, kept: Task, following: Following, *run: Run, fires: int = 1) -> Outcome:
        """End the fire and wait for the next one; a task without a next fire is removed."""
        runs = (*run, *skipped_of(self.row, self.ended, following.dropped, is_instead=not run))
        if following.run_at is None:
            return Outcome(task=self.row, next=None, runs=runs)
        waits = transitions.advance(
            kept, now=self.ended.ended_at, anchor=following.anchor, run_at=following.run_at, owed=following.owed, fires=fires
        )
        if following.run_at == self.moved:
            waits = with_changes(waits, run_at_from=RunAtSource.CALLER)
        return Outcome(task=self.row, next=transitions.asked_again(waits) if self._is_asked_again() else waits, runs=runs)

    def _set_aside(self, run: Run) -> Outcome:
        """Keep the task as failed until it is deleted, or restarted for this same fire, however late."""
        following = self.following
        owed = tuple(sorted({self.ended.fire_time, *following.owed}))
        kept = with_changes(self.row, last_error=run.error, anchor=following.anchor, owed=owed, run_at=owed[0])
        runs = (run, *skipped_of(self.row, self.ended, following.dropped))
        return Outcome(task=self.row, next=transitions.fail(kept, now=self.ended.ended_at), runs=runs)

    def _gap_settled(self) -> tuple[Task, tuple[Run, ...]]:
        """Settle the fires that passed before this lock while no node held the task; the next lock cannot."""
        gap = gap_of(self.row)
        if gap is None or self.trigger is None:
            return self.row, ()
        fire_time = self.ended.fire_time
        following = follow(self.trigger, self.locked, self.due, fire_time=fire_time, until=gap[1])
        owed = following.owed
        if is_owed(self.row) and (not owed or fire_time < owed[0]):
            owed = (fire_time, *owed)
        settled = with_changes(self.row, anchor=following.anchor, owed=owed, run_at=fire_time)
        return settled, skipped_of(self.row, self.ended, following.dropped)

    def _retry_at(self, raised: Raised) -> datetime | None:
        """Return when the fire is retried; None: it is not."""
        row, ended_at = self.row, self.ended.ended_at
        policy, failures = row.options.retry, row.attempt - row.crashes
        age = ended_at - (row.first_run_at or self.ended.started_at)
        is_ruled_out = (
            row.request is Request.STOP  # the request came after the failure, or never reached the run
            or raised.is_final
            or self.moved is not None
            or not set(raised.names).isdisjoint(policy.never)
        )
        if is_ruled_out or row.options.consistency is Consistency.AT_MOST_ONCE or not policy.allows(failures=failures, age=age):
            return None
        wait = policy.backoff(failures, _spread(row.lease_id)) if raised.after is None else raised.after
        return ended_at + min(wait, END_OF_TIME - ended_at)

    def _is_taken_over(self, at: datetime) -> bool:
        """Tell whether the next fire would cancel a retry at `at` before it began."""
        following = cancel_at(self.row, self.trigger, self.due)
        return following is not None and following <= at

    def _is_asked_again(self) -> bool:
        """Tell whether somebody requested one more run while this run of a paused task went on."""
        row, then = self.row, self.ended.task
        is_new = then.request is not Request.RUN_NOW or not set(row.owed) <= set(then.owed)
        return row.paused and row.request is Request.RUN_NOW and is_new


def _with_returned(row: Task, ended: EndedRun, returned: Task | Then) -> Task:
    """Return the row with the job's result, and with its payload if the job changed it."""
    is_changed = (returned.payload, returned.payload_version) != (ended.task.payload, ended.task.payload_version)
    return with_changes(
        row,
        payload=returned.payload if is_changed else row.payload,
        payload_version=returned.payload_version if is_changed else row.payload_version,
        result=returned.result,
    )


def _spread(lease_id: str | None) -> float:
    """Return a number in [0, 1) that differs for each run, and is the same when the decision is repeated."""
    return int.from_bytes(blake2b((lease_id or "").encode(), digest_size=7).digest()) / 2**56
