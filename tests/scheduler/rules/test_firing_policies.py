"""What becomes of a task by its policies.

Retries that are ruled out, fires that take over, schedules that end.
"""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Cancel, Consistency, Fail, Misfire, Overlap, Retry, RetryPolicy, Task, TaskOptions, TaskState
from duly.scheduler.rules.endings import EndedRun, Ending, Interrupted, Missed, Moved, Raised, Returned, Spawned, Stopped, ending_of
from duly.scheduler.rules.firing import CRASH_LIMIT, NEXT_FIRE, Fire, plan_fire
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import Outcome, RunStatus
from duly.stores.rules import transitions
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, a_one_off, a_schedule, crashed, held, trigger_of


def hourly(**options: Any) -> Task:  # noqa: ANN401 - any field of TaskOptions
    """A schedule whose first fire is noon."""
    return a_schedule("@every 1h", options=TaskOptions(**options))


def one_off(**options: Any) -> Task:  # noqa: ANN401 - any field of TaskOptions
    """A one-off that is due at noon."""
    return a_one_off(options=TaskOptions(**options))


def planned(row: Task) -> Fire:
    """What a task, just locked, is run for."""
    return plan_fire(row, trigger_of(row))


def ended(row: Task, ending: Ending | None = None, *, after: timedelta = SECOND, now: Task | None = None) -> Outcome:
    """What becomes of a task, just locked, when its run ends so, or when it must not be run.

    `now` is the row as it is by then.
    """
    fire = planned(row)
    assert row.locked_at is not None
    assert (ending is None) == (fire.instead is not None), "a task is either run, or accounted for"
    at = row.locked_at + after if ending is not None else fire.at
    finish = EndedRun(task=row, fire_time=fire.fire_time, started_at=fire.at, ended_at=at, ending=ending or fire.instead or Missed())
    return outcome_of(row if now is None else now, finish, trigger_of(row))


def summary(outcome: Outcome) -> list[tuple[str, int]]:
    """The runs that go into the history."""
    return [(run.status.value, run.count) for run in outcome.runs]


def following(outcome: Outcome) -> Task:
    """The task as it goes on."""
    assert outcome.next is not None, "the task is gone"
    return outcome.next


# -- what a job raises


def test_an_error_brings_the_names_of_its_classes() -> None:
    """So that a policy kept as text can rule it out."""
    ending = ending_of(KeyError("customer"))

    assert isinstance(ending, Raised)
    assert ending.error.endswith("KeyError: 'customer'")
    assert ending.names == ("builtins.KeyError", "builtins.LookupError", "builtins.Exception", "builtins.BaseException", "builtins.object")


@pytest.mark.parametrize(
    ("never", "error", "expected"),
    [
        (KeyError, KeyError("k"), "failed"),
        (LookupError, KeyError("k"), "failed"),
        ("builtins.LookupError", IndexError("i"), "failed"),
        (LookupError, ValueError("v"), "retried"),
        ((), KeyError("k"), "retried"),
    ],
)
def test_an_error_that_is_never_retried_fails_at_once(never: Any, error: Exception, expected: str) -> None:  # noqa: ANN401 - as given
    """So does one of a class derived from it."""
    outcome = ended(held(one_off(retry=RetryPolicy(never=never))), ending_of(error))

    assert summary(outcome) == [(expected, 1)]


def test_a_job_may_say_when_it_is_tried_again() -> None:
    """Instead of the policy's wait, whose limit holds all the same.

    The classes that are never retried do not matter.
    """
    row = held(one_off(retry=RetryPolicy(limit=1, never="builtins.Exception")))
    first = following(ended(row, ending_of(Retry(HOUR))))

    assert (first.retry_at, first.last_error) == (NOON + SECOND + HOUR, "the job asked for another try")
    second = ended(held(first, lease_id="lease-2"), ending_of(Retry(HOUR, "rate limited")))
    assert (summary(second), following(second).state) == ([("failed", 1)], TaskState.FAILED)


def test_a_job_that_asks_for_another_try_without_saying_when_waits_by_its_policy() -> None:
    """As for any error."""
    first = following(ended(held(one_off(retry=RetryPolicy(delays=[MINUTE]))), ending_of(Retry())))

    assert first.retry_at == NOON + SECOND + MINUTE


def test_a_job_may_fail_for_good() -> None:
    """However many retries are left; the reason is in the history, without a traceback."""
    outcome = ended(held(one_off()), ending_of(Fail("no such customer")))

    assert summary(outcome) == [("failed", 1)]
    assert (following(outcome).state, following(outcome).last_error) == (TaskState.FAILED, "no such customer")


def test_a_job_that_cancels_itself_ends_its_fire() -> None:
    """A one-off is removed, a schedule waits for its next fire."""
    gone = ended(held(one_off()), ending_of(Cancel("withdrawn")))
    goes_on = ended(held(hourly()), ending_of(Cancel("withdrawn")))

    assert (gone.next, summary(gone), gone.runs[0].error) == (None, [("cancelled", 1)], "withdrawn")
    assert (following(goes_on).run_at, summary(goes_on)) == (NOON + HOUR, [("cancelled", 1)])


def test_a_retry_that_a_job_wants_in_ten_thousand_years_waits_for_the_end_of_time() -> None:
    """It is no error."""
    assert following(ended(held(one_off()), Raised("later", after=timedelta(days=999_999)))).retry_at is not None


def test_a_run_that_waits_for_its_retry_has_not_ended() -> None:
    """Fires that pass meanwhile are overlaps, not misfires."""
    row = held(following(ended(held(hourly()), Raised("boom", after=150 * MINUTE))), lease_id="lease-2")
    done = ended(row, Returned(row), after=SECOND)

    assert summary(done) == [("done", 1), ("skipped", 2)]
    assert str(done.runs[1].error).startswith("overlap: 2 passed")


# -- a fire that comes too late


def test_a_schedule_that_is_too_late_is_not_run_and_goes_on() -> None:
    """One record says how many fires were dropped.

    They do not count as runs, nor does the lock as an attempt.
    """
    row = held(hourly(misfire=Misfire.SKIP), now=NOON + 5.5 * HOUR)
    outcome = ended(row)

    assert planned(row).instead == Missed()
    assert summary(outcome) == [("skipped", 6)]
    assert (outcome.runs[0].fire_time, outcome.runs[0].finished_at) == (NOON, NOON + 5.5 * HOUR)
    after = following(outcome)
    assert (after.run_at, after.anchor, after.fires, after.attempt) == (NOON + 6 * HOUR, NOON + 5 * HOUR, 0, 0)


def test_a_schedule_that_is_too_late_and_was_moved_meanwhile_waits_for_its_new_time() -> None:
    """Whoever moved it said when it runs next."""
    row = held(hourly(misfire=Misfire.SKIP), now=NOON + 2.5 * HOUR)
    after = following(ended(row, now=moved(row)))

    assert (after.run_at, after.anchor) == (NOON + 5.5 * HOUR, NOON + 2 * HOUR)


def test_a_one_off_that_is_too_late_is_removed_and_on_record() -> None:
    """It asked for that, by its grace time."""
    outcome = ended(held(one_off(misfire_grace_time=HOUR), now=NOON + 2 * HOUR))

    assert (outcome.next, summary(outcome)) == (None, [("skipped", 1)])


def test_a_second_attempt_is_never_too_late() -> None:
    """A fire is decided on when it is locked first."""
    waiting = following(ended(held(hourly(misfire=Misfire.SKIP)), Raised("boom", after=20 * MINUTE)))

    assert planned(held(waiting, lease_id="lease-2")) == Fire(fire_time=NOON, at=NOON)


def test_catching_up_runs_each_missed_fire_for_its_own_time() -> None:
    """In order; each is one fire of the schedule."""
    task: Task = hourly(misfire=Misfire.FIRE_ALL)
    fire_times = []
    for number in range(4):
        row = held(task, now=NOON + 3.1 * HOUR, lease_id=f"lease-{number}")
        fire_times.append(planned(row).fire_time)
        task = following(ended(row, Returned(row)))

    assert fire_times == [NOON, NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert (task.run_at, task.owed, task.fires) == (NOON + 4 * HOUR, (), 4)


# -- the next fire takes over


def test_the_next_fire_cancels_the_run_and_takes_its_place() -> None:
    """The node is told when; the new fire is due at once."""
    row = held(hourly(overlap=Overlap.CANCEL_RUNNING), now=NOON + MINUTE)

    assert planned(row).cancel_at == NOON + HOUR
    outcome = ended(row, Stopped(NEXT_FIRE), after=59 * MINUTE)
    assert (summary(outcome), outcome.runs[0].error) == ([("cancelled", 1)], "its next fire took its place")
    assert (following(outcome).due_at, following(outcome).owed) == (NOON + HOUR, (NOON + HOUR,))


@pytest.mark.parametrize(("early", "expected"), [(timedelta(microseconds=1), "retried"), (timedelta(0), "failed")])
def test_a_retry_that_the_next_fire_would_cancel_is_not_made(early: timedelta, expected: str) -> None:
    """The fire has failed, then; so it has where both come at the same instant."""
    row = held(hourly(overlap=Overlap.CANCEL_RUNNING))

    assert summary(ended(row, Raised("boom", after=HOUR - SECOND - early)))[0] == (expected, 1)


def test_a_lost_run_whose_next_fire_has_come_is_not_run_again() -> None:
    """The latest fire is."""
    row = held(held(hourly(overlap=Overlap.CANCEL_RUNNING)), now=NOON + 2.5 * HOUR, lease_id="lease-2")
    outcome = ended(row)

    assert planned(row).instead == Stopped(NEXT_FIRE)
    assert summary(outcome) == [("cancelled", 1), ("skipped", 1)]
    assert str(outcome.runs[1].error).startswith("misfire: 1 passed"), "nobody ran the task when it came"
    assert following(outcome).run_at == NOON + 2 * HOUR


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("trigger", [None, "FIXED_DELAY=yes @every 1h"])
def test_what_has_one_fire_at_a_time_has_nothing_that_overlaps(trigger: str | None, overlap: Overlap) -> None:
    """A one-off, or a fixed delay.

    Nothing takes over, nothing runs beside, and its retry waits as long as it must.
    """
    options = TaskOptions(overlap=overlap)
    row = held(a_one_off(options=options) if trigger is None else a_schedule(trigger, options=options))

    assert planned(row) == Fire(fire_time=NOON, at=NOON)
    assert summary(ended(row, Raised("boom", after=9 * HOUR))) == [("retried", 1)]


# -- fires side by side


def test_a_schedule_that_allows_overlaps_lets_each_fire_live_as_a_task_of_its_own() -> None:
    """In the same write in which it waits for the next."""
    row = held(evolve(hourly(overlap=Overlap.ALLOW), payload=b"p", payload_version=2, metadata={"k": "v"}), now=NOON + MINUTE)
    outcome = ended(row)

    assert planned(row).instead == Spawned()
    (spawned,) = outcome.spawn
    assert spawned.slug == "t@2024-06-01T12:00:00+00:00"
    assert (spawned.kind, spawned.payload, spawned.payload_version) == ("k", b"p", 2)
    assert (spawned.metadata, spawned.options) == ({"k": "v"}, row.options)
    assert (spawned.run_at, spawned.recurring) == (NOON, False)
    assert (following(outcome).run_at, following(outcome).fires, outcome.runs) == (NOON + HOUR, 1, ())


def test_missed_fires_that_are_allowed_side_by_side_are_all_spawned_at_once() -> None:
    """As many as the misfire policy says; what waited before goes with them."""
    row = held(evolve(hourly(overlap=Overlap.ALLOW, misfire=Misfire.FIRE_ALL, catch_up_limit=2)), now=NOON + 3.5 * HOUR)
    owing = evolve(row, owed=(NOON - HOUR,), run_at=NOON - HOUR)

    outcome = ended(row)
    assert [task.run_at for task in outcome.spawn] == [NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert following(outcome).fires == 2
    assert summary(outcome) == [("skipped", 2)]
    assert [task.run_at for task in ended(owing).spawn] == [NOON - HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert following(ended(owing)).owed == ()


def test_a_schedule_that_lost_its_trigger_before_it_spawned_is_over_when_it_has() -> None:
    """It has become a one-off, and this was its fire."""
    row = held(hourly(overlap=Overlap.ALLOW))
    finish = EndedRun(task=row, fire_time=NOON, started_at=NOON, ended_at=NOON, ending=Spawned())
    outcome = outcome_of(evolve(row, trigger=None), finish, None)

    assert (outcome.next, [task.run_at for task in outcome.spawn]) == (None, [NOON])


def test_a_lock_that_was_lost_before_it_spawned_is_made_up_for() -> None:
    """Nothing was run yet, so that it does not matter how often, nor what the task says of crashes."""
    row = crashed(hourly(overlap=Overlap.ALLOW, consistency=Consistency.AT_MOST_ONCE), CRASH_LIMIT)

    assert [task.run_at for task in ended(row).spawn] == [NOON]
    assert following(ended(row)).crashes == 0


# -- a schedule that ends


def test_a_schedule_ends_with_the_last_run_it_may_have() -> None:
    """Failed fires count, dropped ones do not."""
    task = evolve(hourly(max_fires=3), fires=1)
    second = following(ended(held(task), Raised("boom", is_final=True)))
    third = ended(held(second, lease_id="lease-2"), Returned(held(second, lease_id="lease-2")))

    assert (second.fires, third.next, summary(third)) == (2, None, [("done", 1)])


def test_a_schedule_whose_last_run_failed_is_set_aside() -> None:
    """So that somebody sees it; a restart is for that very fire."""
    row = held(evolve(hourly(max_fires=1)))
    aside = following(ended(row, Raised("boom", is_final=True)))
    again = transitions.edit(aside, transitions.restart(aside), now=NOON + DAY)

    assert (aside.state, aside.run_at) == (TaskState.FAILED, NOON)
    assert planned(held(again, now=NOON + DAY, lease_id="lease-2")) == Fire(fire_time=NOON, at=NOON + DAY)


def test_fires_that_wait_when_the_schedule_ends_are_on_record() -> None:
    """They were to be run, and are not."""
    row = held(hourly(max_fires=1, overlap=Overlap.QUEUE_ALL))
    outcome = ended(row, Returned(row), after=2.5 * HOUR)

    assert (outcome.next, summary(outcome)) == (None, [("done", 1), ("skipped", 2)])
    assert str(outcome.runs[1].error).startswith("limit: 2")
    assert outcome.runs[1].fire_time == NOON + HOUR


def test_fires_that_wait_when_the_last_run_fails_do_not_wait_for_a_restart() -> None:
    """That is for the fire that failed."""
    row = held(hourly(max_fires=1, overlap=Overlap.QUEUE_ALL))
    aside = ended(row, Raised("boom", is_final=True), after=2.5 * HOUR)

    assert (following(aside).owed, summary(aside)) == ((NOON,), [("failed", 1), ("skipped", 2)])


def test_fires_that_were_dropped_before_the_schedule_ended_are_on_record_beside_those_that_waited() -> None:
    """Each by its own reason."""
    row = held(hourly(max_fires=1, overlap=Overlap.QUEUE_ONE))
    outcome = ended(row, Returned(row), after=2.5 * HOUR)

    assert [str(run.error).split(":")[0] for run in outcome.runs[1:]] == ["overlap", "limit"]


@pytest.mark.parametrize(
    ("fires", "spawned", "skipped"),
    [(0, 2, [("skipped", 1)]), (1, 1, [("skipped", 2)]), (2, 0, [("skipped", 3)]), (3, 0, [("skipped", 3)])],
)
def test_no_more_fires_are_spawned_than_the_schedule_may_have(fires: int, spawned: int, skipped: list[tuple[str, int]]) -> None:
    """The earliest are."""
    task = evolve(hourly(overlap=Overlap.ALLOW, misfire=Misfire.FIRE_ALL, max_fires=2), fires=fires)
    outcome = ended(held(task, now=NOON + 2.5 * HOUR))

    assert (outcome.next, len(outcome.spawn), summary(outcome)) == (None, spawned, skipped)


def test_a_schedule_that_may_have_more_fires_than_it_spawned_goes_on() -> None:
    """Its last one ends it."""
    task = hourly(overlap=Overlap.ALLOW, max_fires=2)
    second = following(ended(held(task)))

    assert (second.run_at, second.fires) == (NOON + HOUR, 1)
    assert ended(held(second, lease_id="lease-2")).next is None


def test_a_failure_may_pause_the_schedule() -> None:
    """Until somebody has looked; a retry is no failure yet, and a run that was stopped is none."""
    row = held(hourly(pause_on_failure=True))

    assert following(ended(row, Raised("boom", is_final=True))).paused
    assert not following(ended(row, Raised("boom"))).paused
    assert not following(ended(row, Stopped("asked to"))).paused


# -- a run that is moved while it is under way


def moved(row: Task) -> Task:
    """The row, after somebody moved its next run to half past five."""
    return transitions.edit(row, evolve(row, run_at=NOON + 5.5 * HOUR), now=NOON + SECOND)


@pytest.mark.parametrize("task", [one_off(), hourly()])
def test_a_run_that_fails_after_its_task_was_moved_is_not_tried_again(task: Task) -> None:
    """Whoever moved it said when it runs next."""
    row = held(task)
    outcome = ended(row, Raised("boom"), now=moved(row))

    assert summary(outcome) == [("failed", 1)]
    assert (following(outcome).due_at, following(outcome).attempt) == (NOON + 5.5 * HOUR, 0)


@pytest.mark.parametrize("task", [one_off(), hourly()])
def test_a_run_that_is_interrupted_after_its_task_was_moved_is_not_run_again(task: Task) -> None:
    """It waits for its new time."""
    row = held(task)
    outcome = ended(row, Interrupted("shutdown"), now=moved(row))

    assert summary(outcome) == [("cancelled", 1)]
    assert following(outcome).due_at == NOON + 5.5 * HOUR


def test_a_task_that_was_moved_while_its_node_died_waits_for_its_new_time() -> None:
    """The lost run is not made up for."""
    row = held(moved(held(hourly(consistency=Consistency.AT_MOST_ONCE))), now=NOON + HOUR, lease_id="lease-2")
    outcome = ended(row)

    assert planned(row).instead == Moved()
    after = following(outcome)
    assert (outcome.runs, after.due_at, after.crashes, after.fires) == ((), NOON + 5.5 * HOUR, 0, 0)


def test_a_task_that_was_moved_while_its_node_died_still_owes_the_fires_that_wait() -> None:
    """They have their turn after the run that was moved."""
    waiting = evolve(hourly(overlap=Overlap.QUEUE_ALL), owed=(NOON - HOUR, NOON), run_at=NOON - HOUR)
    row = held(moved(held(waiting)), now=NOON + HOUR, lease_id="lease-2")

    assert (following(ended(row)).run_at, following(ended(row)).owed) == (NOON + 5.5 * HOUR, (NOON - HOUR, NOON))


def test_what_was_returned_is_not_lost_when_the_task_was_moved() -> None:
    """Payload and result are kept, and the fires in between stay accounted for."""
    row = held(hourly())
    after = following(ended(row, Returned(evolve(row, payload=b"step 2", result="1")), now=moved(row)))

    assert (after.payload, after.result, after.run_at, after.anchor) == (b"step 2", "1", NOON + 5.5 * HOUR, NOON)
    assert after.state is TaskState.SCHEDULED
    assert ended(held(after, lease_id="lease-2"), Returned(after)).runs[0].status is RunStatus.DONE
