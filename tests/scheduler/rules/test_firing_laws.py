"""Laws of planning, on random lives of tasks.

Locks that come late, runs of any length and end, nodes that die.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import evolve, frozen
from hypothesis import event, given
from hypothesis import strategies as st

from duly.jobs import Consistency, Misfire, Overlap, RetryPolicy, Task, TaskOptions, TaskState
from duly.scheduler.rules.endings import EndedRun, Ending, Interrupted, Missed, Raised, Returned, Stopped
from duly.scheduler.rules.firing import CRASH_LIMIT, NEXT_FIRE, plan_fire
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import Outcome, RunStatus
from duly.stores.rules import transitions
from duly.triggers import Trigger, missed
from support.selection import examples
from support.tasks import DAY, HOUR, LEASE, NOON, SECOND, a_one_off, a_schedule, triggers

ENDS = ("carried on",) * 4 + ("moved", "failed", "failed", "stopped", "interrupted", "lost", "handed back", "put off")
policies = st.builds(RetryPolicy, limit=st.none() | st.integers(0, 3), age_limit=st.none() | st.sampled_from([SECOND, HOUR]))
options = st.builds(
    TaskOptions,
    retry=policies,
    consistency=st.sampled_from(Consistency),
    misfire=st.sampled_from(Misfire),
    misfire_grace_time=st.none() | st.sampled_from([SECOND, HOUR, DAY]),
    catch_up_limit=st.sampled_from([1, 3, 100]),
    overlap=st.sampled_from([overlap for overlap in Overlap if overlap is not Overlap.ALLOW]),
    queue_limit=st.sampled_from([1, 3, 100]),
)
delays = st.sampled_from([timedelta(0), timedelta(microseconds=1), SECOND, HOUR, 5 * HOUR, 3 * DAY]) | st.timedeltas(timedelta(0), 2 * DAY)


@frozen
class Step:
    """One lock of a task, and how its run ends."""

    late: timedelta
    lasts: timedelta
    end: str
    moves: timedelta


steps = st.lists(st.builds(Step, delays, delays, st.sampled_from(ENDS), st.timedeltas(-HOUR, DAY)), min_size=1, max_size=12)


class Life:
    """A task in a store, and what became of its fires."""

    def __init__(self, task: Task, trigger: Trigger | None) -> None:
        self.row, self.trigger, self.anchor, self.now = task, trigger, task.anchor, task.run_at
        self.is_removed = False
        self.is_too_late = False
        self.locks = 0
        self.settled: list[datetime] = []
        """The fire times whose runs are over, retries included."""
        self.skipped = 0
        self.moved_and_dropped = 0
        """Runs that the job had moved to a time that is no fire of the trigger, and that came too late."""
        self.attempts: dict[tuple[int, datetime], datetime] = {}
        """Number and first lock of a fire -> the fire time that its first attempt was for."""

    def live(self, steps: Iterable[Step]) -> None:
        """Go through `steps`; a task that is set aside is restarted."""
        for step in steps:
            if self.is_removed:
                return
            if self.row.state is TaskState.FAILED:
                self.row = transitions.edit(self.row, transitions.restart(self.row), now=self.now)
            self._take(step)

    def _take(self, step: Step) -> None:
        assert self.row.due_at is not None, "a task that can never run is paused, failed or removed"
        self.now = max(self.now, self.row.due_at) + step.late
        self.locks += 1
        locked = transitions.lock(self.row, node="n", lease_id=f"lease-{self.locks}", now=self.now, lease=LEASE)
        assert locked is not None
        row = locked.task
        fire = plan_fire(row, self.trigger)
        assert fire == plan_fire(row, self.trigger)
        if fire.instead != Missed():
            self._check_fire(row, fire.fire_time)
        if step.end == "lost" and fire.instead is None:
            self.row = row
            return
        if step.end in ("handed back", "put off"):
            self.row = transitions.hand_back(row, now=self.now, until=self.now + HOUR if step.end == "put off" else None)
            return
        started_at, self.now = self.now, self.now + step.lasts
        if fire.instead is not None:
            self._settle(row, EndedRun(task=row, fire_time=fire.fire_time, started_at=fire.at, ended_at=fire.at, ending=fire.instead))
        else:
            ending = self._ending(row, step)
            self._settle(row, EndedRun(task=row, fire_time=fire.fire_time, started_at=started_at, ended_at=self.now, ending=ending))

    def _ending(self, row: Task, step: Step) -> Ending:
        match step.end:
            case "failed":
                return Raised("boom")
            case "stopped":
                return Stopped("asked to")
            case "interrupted":
                return Interrupted("shutdown")
            case "moved":
                return Returned(evolve(row, run_at=self.now + step.moves))
            case _:
                return Returned(row)

    def _check_fire(self, row: Task, fire_time: datetime) -> None:
        assert row.first_run_at is not None
        assert fire_time <= row.first_run_at <= self.now, "no fire is run before its time"
        assert row.run_at <= fire_time or row.options.misfire is Misfire.FIRE_ALL, "what was moved is not run before its time"
        if self.trigger is not None and row.options.misfire is Misfire.FIRE_ONCE and not row.owed:
            latest = missed(self.trigger, row.anchor, row.first_run_at).latest
            assert latest is None or latest <= fire_time, "of several missed ones the latest is run"
        assert self.attempts.setdefault((row.fires, row.first_run_at), fire_time) == fire_time, "every attempt is for the same fire"

    def _settle(self, row: Task, finish: EndedRun) -> None:
        outcome = outcome_of(row, finish, self.trigger)
        assert outcome == outcome_of(row, finish, self.trigger), "the same question has the same answer"
        check(row, finish, outcome, self.trigger)
        after = outcome.next
        self.is_too_late = finish.ending == Missed()
        if after is None or after.fires > row.fires or after.anchor > row.anchor or after.owed != row.owed:
            self._count(row, finish, outcome)
        if after is None:
            self.is_removed = True
            self.row = evolve(
                row, anchor=row.anchor if self.trigger is None else missed(self.trigger, row.anchor, self.now).latest or row.anchor
            )
        else:
            self.row = after

    def waiting(self) -> int:
        """How many fires of the trigger, up to the anchor, are still to be run, or to be tried again."""
        row = self.row
        is_open = row.first_run_at is not None and row.run_at <= row.anchor
        fires = {fire for fire in (*row.owed, *((row.run_at,) if is_open else ())) if fire <= row.anchor} - set(self.settled)
        return 0 if self.is_removed else sum(map(self._is_fire, fires))

    def _is_fire(self, instant: datetime) -> bool:
        return self.trigger is not None and missed(self.trigger, NOON, instant).latest == instant

    def _count(self, row: Task, finish: EndedRun, outcome: Outcome) -> None:
        """A run counts for a fire of the trigger, unless the job had moved it to a time of its own."""
        fire_time = finish.fire_time
        is_over = outcome.next is None or outcome.next.fires > row.fires
        if is_over and finish.ending != Missed() and self._is_fire(fire_time):
            assert fire_time not in self.settled, "no fire is brought to its end twice"
            self.settled.append(fire_time)
        was_run = finish.ending != Missed() and fire_time == row.run_at
        waits = outcome.next is not None and row.run_at in outcome.next.owed
        self.moved_and_dropped += not was_run and not waits and not self._is_fire(row.run_at)
        self.skipped += sum(run.count for run in outcome.runs if run.status is RunStatus.SKIPPED)


def check(row: Task, finish: EndedRun, outcome: Outcome, trigger: Trigger | None) -> None:
    """What holds for every decision."""
    assert outcome.task == row
    if finish.ending != Missed():
        assert outcome.runs[0].id == row.lease_id
        assert outcome.runs[0].status is not RunStatus.SKIPPED
    assert len({run.id for run in outcome.runs}) == len(outcome.runs)
    assert all(run.finished_at == finish.ended_at and run.count >= 1 for run in outcome.runs)
    after = outcome.next
    if after is None:
        is_word = isinstance(finish.ending, Returned | Missed) or finish.ending == Stopped(NEXT_FIRE)
        assert is_word, "only a job's word removes its task, or that it came too late, or its next fire"
        return
    assert (after.lease_id, after.node, after.locked_at, after.last_lease) == (None, None, None, row.lease_id)
    assert after.state is not TaskState.RUNNING
    assert after.version == row.version + 1
    assert (after.due_at is None) == (after.state is TaskState.FAILED)
    assert after.attempt >= after.crashes
    assert row.anchor <= after.anchor <= max(row.anchor, finish.ended_at), "the anchor goes forward, up to the present"
    if after.retry_at is not None:
        assert row.crashes < CRASH_LIMIT
        longest = row.options.retry.max_backoff
        assert finish.ended_at <= after.retry_at <= finish.ended_at + longest
        is_as_it_was = (after.run_at, after.anchor, after.owed) == (row.run_at, row.anchor, row.owed)
        assert is_as_it_was or after.run_at == finish.fire_time, "a retry is for the same fire"
        assert after.fires == row.fires
    elif after.state is TaskState.SCHEDULED and trigger is not None and not is_moved(finish):
        assert after.owed or after.run_at > finish.ended_at, "what passed is settled"
        assert not after.owed or after.run_at == after.owed[0], "what waits is next"
        assert after.owed or missed(trigger, after.anchor, after.run_at).count == 1, "the next fire is the first after the anchor"


def is_moved(finish: EndedRun) -> bool:
    """Whether the job set the next run itself."""
    ending = finish.ending
    return isinstance(ending, Returned) and isinstance(ending.task, Task) and ending.task.run_at != finish.task.run_at


@given(triggers, options, steps)
@examples(300)
def test_every_fire_that_passed_was_run_or_is_on_record_as_skipped(trigger: Trigger, chosen: TaskOptions, lived: list[Step]) -> None:
    """None is lost, none is doubled, by whatever policy.

    Whatever delays, failures, crashes, restarts and moves came in between.
    """
    if trigger.next_fire_time(NOON) is None:
        event("never fires")
        return
    text = trigger.to_text()
    assert text is not None
    life = Life(a_schedule(text, anchor=NOON, options=chosen), trigger)

    life.live(lived)

    passed = missed(trigger, NOON, life.row.anchor).count
    event(f"fires passed: {min(passed, 5)}")
    waiting = life.waiting()
    event(f"fires wait: {min(waiting, 5)}")
    assert len(life.settled) + life.skipped + waiting == passed + life.moved_and_dropped


@given(options, steps)
@examples(100)
def test_a_one_off_ends_removed_or_set_aside(chosen: TaskOptions, lived: list[Step]) -> None:
    """It has one fire, however often it is tried; one that must not be late is skipped itself."""
    life = Life(a_one_off(options=chosen), None)

    life.live(lived)

    assert life.skipped == life.is_too_late
    assert life.row.anchor == NOON
