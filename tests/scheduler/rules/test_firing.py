"""What becomes of a task when its run has ended: as tables."""

from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Consistency, RetryPolicy, Task, TaskOptions, TaskState
from duly.scheduler.rules.endings import Ending, Interrupted, Raised, Returned, Stopped
from duly.scheduler.rules.firing import CRASH_LIMIT
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import Outcome, RunStatus
from duly.stores.rules import transitions
from duly.triggers import CronTrigger, SimpleTrigger, Trigger
from support import tasks
from support.tasks import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, Broken, Stuck, a_one_off, a_schedule, crashed, finish, held

AT_MOST_ONCE = TaskOptions(consistency=Consistency.AT_MOST_ONCE)
ONE_RETRY = TaskOptions(retry=RetryPolicy(limit=1))
NO_RETRY = TaskOptions(retry=RetryPolicy(limit=0))
RAISED, STOPPED, INTERRUPTED = Raised("boom"), Stopped("asked to"), Interrupted("shutdown")
THREE_FIRES = f"START={NOON:%Y-%m-%dT%H:%M:%SZ} TIMES=3 @every 1h"


def decided(row: Task, ending: Ending, *, after: timedelta = SECOND) -> Outcome:
    """What becomes of a task, just locked, when its run ends so."""
    return outcome_of(row, finish(row, ending, after=after), tasks.trigger_of(row))


def carried_on(row: Task, *, after: timedelta = SECOND, **returned: Any) -> Outcome:  # noqa: ANN401 - any field of Task
    """What becomes of a task whose job returned it, perhaps changed."""
    return decided(row, Returned(evolve(row, **returned)), after=after)


def statuses(outcome: Outcome) -> list[tuple[str, int]]:
    """The runs that go into the history."""
    return [(run.status.value, run.count) for run in outcome.runs]


HOURLY = a_schedule("@every 1h")
THREE = a_schedule(THREE_FIRES)


# -- after the run: what the job returned -----------------------------------------------------------------------------------------------


def test_a_one_off_that_is_returned_unmoved_is_finished() -> None:
    """And gone; its history stays."""
    outcome = carried_on(held(a_one_off()), result="42")

    assert outcome.next is None
    (run,) = outcome.runs
    assert (run.status, run.result, run.error) == (RunStatus.DONE, "42", None)
    assert (run.id, run.attempt, run.node, run.fire_time) == ("lease-1", 1, "a", NOON)
    assert (run.started_at, run.finished_at) == (NOON, NOON + SECOND)


@pytest.mark.parametrize("after", [SECOND, 2 * HOUR], ids=["run", "skipped"])
def test_every_record_is_in_the_namespace_of_its_task(after: timedelta) -> None:
    """That of the run, and that of fires that were dropped."""
    row = evolve(held(HOURLY), namespace="tenant")

    assert {run.namespace for run in carried_on(row, after=after).runs} == {"tenant"}


@pytest.mark.parametrize("task", [a_one_off(), HOURLY])
def test_a_job_that_returns_none_has_its_task_removed(task: Task) -> None:
    """Its trigger notwithstanding."""
    outcome = decided(held(task), Returned(None))

    assert (outcome.next, statuses(outcome)) == (None, [("done", 1)])


@pytest.mark.parametrize("task", [a_one_off(), HOURLY])
def test_a_returned_task_with_another_run_at_runs_then(task: Task) -> None:
    """So a workflow sleeps between two steps; the anchor does not move with it."""
    after = carried_on(held(task), run_at=NOON + 42 * MINUTE).next

    assert after is not None
    assert (after.run_at, after.due_at) == (NOON + 42 * MINUTE, NOON + 42 * MINUTE)
    assert after.anchor == (NOON if task.recurring else task.anchor)


def test_after_a_moved_run_the_schedule_goes_on_as_it_would_have() -> None:
    """Neither earlier nor later than its own fire times."""
    moved = carried_on(held(HOURLY), run_at=NOON + HOUR / 2).next
    assert moved is not None

    after = carried_on(held(moved, lease_id="lease-2")).next

    assert after is not None
    assert (after.anchor, after.run_at) == (NOON, NOON + HOUR)


def test_only_payload_result_and_run_at_of_a_returned_task_count() -> None:
    """Every other field is the store's or the editor's."""
    row = held(HOURLY)
    changed: dict[str, Any] = {
        "kind": "other",
        "anchor": NOON - DAY,
        "trigger": None,
        "options": NO_RETRY,
        "metadata": {"a": "b"},
        "paused": True,
        "attempt": 9,
        "fires": 9,
        "lease_id": None,
        "version": 99,
        "state": TaskState.FAILED,
        "last_error": "forged",
    }

    outcome = carried_on(row, payload=b"2", payload_version=2, result="r", **changed)

    assert outcome == carried_on(row, payload=b"2", payload_version=2, result="r")
    assert outcome.next is not None
    assert (outcome.next.payload, outcome.next.payload_version, outcome.next.result) == (b"2", 2, "r")


def test_a_good_run_clears_the_error_of_the_one_before() -> None:
    """And the attempts, the crashes and the age of its fire."""
    row = evolve(crashed(HOURLY, 2), last_error="boom")

    after = carried_on(row).next

    assert after is not None
    assert (after.last_error, after.attempt, after.crashes, after.first_run_at, after.fires) == (None, 0, 0, None, 1)


def test_missed_and_overlapped_fires_are_on_record_with_their_reasons() -> None:
    """Those before the one that was run, and those that passed during its run."""
    outcome = carried_on(held(HOURLY, now=NOON + 3.5 * HOUR), after=2 * HOUR)

    done, missed, overlapped = outcome.runs
    assert (done.status, done.fire_time) == (RunStatus.DONE, NOON + 3 * HOUR)
    assert (missed.status, missed.count, missed.fire_time, missed.attempt) == (RunStatus.SKIPPED, 3, NOON, 0)
    assert (missed.started_at, missed.finished_at) == (done.finished_at, done.finished_at)
    assert (overlapped.status, overlapped.count, overlapped.fire_time) == (RunStatus.SKIPPED, 2, NOON + 4 * HOUR)
    assert "no node ran the task" in (missed.error or "")
    assert "still going" in (overlapped.error or "")
    assert len({run.id for run in outcome.runs}) == 3
    assert outcome.next is not None
    assert (outcome.next.anchor, outcome.next.run_at) == (NOON + 5 * HOUR, NOON + 6 * HOUR)


def test_a_schedule_whose_last_fire_is_done_is_removed() -> None:
    """It would never run again."""
    row = held(THREE, now=NOON + 2 * HOUR)

    assert carried_on(row).next is None
    assert statuses(carried_on(row)) == [("done", 1), ("skipped", 2)]


def test_a_schedule_whose_last_fire_failed_is_kept() -> None:
    """As a failed one-off is."""
    outcome = decided(held(a_schedule(THREE_FIRES, options=NO_RETRY), now=NOON + 2 * HOUR), RAISED)

    assert outcome.next is not None
    assert (outcome.next.state, outcome.next.last_error) == (TaskState.FAILED, "boom")


# -- after the run: what did not end well -------------------------------------------------------------------------------------------------

A_ONE_OFF, A_SCHEDULE = a_one_off(options=ONE_RETRY), a_schedule(options=ONE_RETRY)
LAST_TRY = held(transitions.retry(held(A_SCHEDULE), now=NOON + SECOND, at=NOON + 2 * SECOND), lease_id="lease-2")
LAST_TRY_OF_ONE = held(transitions.retry(held(A_ONE_OFF), now=NOON + SECOND, at=NOON + 2 * SECOND), lease_id="lease-2")

ENDINGS: list[tuple[str, Task, Ending, str, str, datetime | None]] = [
    ("a one-off that failed", held(A_ONE_OFF), RAISED, "retried", "waits", None),
    ("a schedule that failed", held(A_SCHEDULE), RAISED, "retried", "waits", None),
    ("a one-off that failed for the last time", LAST_TRY_OF_ONE, RAISED, "failed", "set aside", None),
    ("a schedule that failed for the last time", LAST_TRY, RAISED, "failed", "goes on", NOON + HOUR),
    ("one that crashed, then failed", crashed(A_SCHEDULE, 2), RAISED, "retried", "waits", None),
    ("one that crashed too often", crashed(A_SCHEDULE, CRASH_LIMIT), RAISED, "failed", "set aside", None),
    ("an at-most-once one-off that failed", held(a_one_off(options=AT_MOST_ONCE)), RAISED, "failed", "set aside", None),
    ("an at-most-once schedule that failed", held(a_schedule(options=AT_MOST_ONCE)), RAISED, "failed", "goes on", NOON + HOUR),
    ("an at-most-once schedule that was lost", crashed(a_schedule(options=AT_MOST_ONCE), 1), RAISED, "failed", "goes on", NOON + HOUR),
    ("an at-most-once schedule, interrupted", held(a_schedule(options=AT_MOST_ONCE)), INTERRUPTED, "cancelled", "goes on", NOON + HOUR),
    ("an at-most-once one-off, interrupted", held(a_one_off(options=AT_MOST_ONCE)), INTERRUPTED, "cancelled", "set aside", None),
    ("a one-off, interrupted", held(A_ONE_OFF), INTERRUPTED, "cancelled", "waits", NOON + SECOND),
    ("a schedule, interrupted in its last try", LAST_TRY, INTERRUPTED, "cancelled", "waits", LAST_TRY.locked_at),
    ("a one-off that was stopped", held(A_ONE_OFF), STOPPED, "cancelled", "set aside", None),
    ("a schedule that was stopped", held(A_SCHEDULE), STOPPED, "cancelled", "goes on", NOON + HOUR),
]


@pytest.mark.parametrize(("row", "ending", "status", "then", "due_at"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS])
def test_a_run_that_did_not_end_well(row: Task, ending: Ending, status: str, then: str, due_at: datetime | None) -> None:
    """It waits for another attempt at the same fire, goes on to the next one, or is set aside.

    A task that is set aside keeps its payload and error.
    """
    outcome = decided(row, ending, after=timedelta(0) if row is LAST_TRY else SECOND)

    after = outcome.next
    assert after is not None
    assert [run.status.value for run in outcome.runs if run.status is not RunStatus.SKIPPED] == [status]
    attempt = row.attempt - (status == "cancelled")
    expected = {
        "waits": (TaskState.SCHEDULED, row.run_at, attempt, row.fires),
        "goes on": (TaskState.SCHEDULED, NOON + HOUR, 0, row.fires + 1),
        "set aside": (TaskState.FAILED, row.run_at, row.attempt, row.fires),
    }[then]
    assert (after.state, after.run_at, after.attempt, after.fires) == expected
    assert (after.retry_at is not None) == (then == "waits")
    assert (after.due_at is None) == (then == "set aside")
    assert due_at is None or after.due_at == due_at
    assert after.last_error == (row.last_error if then == "waits" and ending is INTERRUPTED else outcome.runs[0].error)


def test_what_is_set_aside_has_its_missed_fires_accounted_for_once() -> None:
    """A restart is for the very fire, and not for those that were dropped with it."""
    row = held(HOURLY, now=NOON + 2.5 * HOUR)
    for number in range(CRASH_LIMIT):
        row = held(row, lease_id=f"lost-{number}")
    outcome = decided(row, RAISED)
    assert outcome.next is not None
    again = held(transitions.edit(outcome.next, transitions.restart(outcome.next), now=NOON + 2.7 * HOUR), now=NOON + 2.7 * HOUR)

    assert (statuses(outcome), outcome.next.anchor) == ([("failed", 1), ("skipped", 2)], NOON + 2 * HOUR)
    assert statuses(carried_on(again)) == [("done", 1)]


def test_the_fires_that_wait_when_a_task_is_set_aside_are_kept_in_their_order() -> None:
    """A restart runs the oldest first."""
    owed = tuple(NOON - number * HOUR for number in range(9, 0, -1))
    after = decided(crashed(evolve(HOURLY, owed=owed, run_at=owed[0]), CRASH_LIMIT), RAISED).next

    assert after is not None
    assert (after.owed, after.run_at, after.last_error) == ((*owed, NOON), owed[0], "boom")


@pytest.mark.parametrize("attempt", range(1, 7))
def test_the_backoff_doubles_within_its_bounds(attempt: int) -> None:
    """Spread evenly between the floor and the ceiling of this retry, another for every lease."""
    row = evolve(held(a_one_off(options=TaskOptions(retry=RetryPolicy(limit=9)))), attempt=attempt)
    leases = [evolve(row, lease_id=f"lease-{number}") for number in range(200)]

    ended = NOON + SECOND
    waits = [after.due_at - ended for lease in leases if (after := decided(lease, RAISED).next) is not None and after.due_at is not None]

    ceiling = 2**attempt * SECOND
    assert len(waits) == 200
    assert all(SECOND <= wait <= ceiling for wait in waits)
    assert min(waits) < SECOND + (ceiling - SECOND) / 10
    assert max(waits) > ceiling - (ceiling - SECOND) / 10
    assert len(set(waits)) == 200


LIMITS: list[tuple[str, RetryPolicy, int, timedelta, bool]] = [
    ("within the count", RetryPolicy(limit=2), 2, DAY, True),
    ("beyond the count", RetryPolicy(limit=2), 3, SECOND, False),
    ("within the age", RetryPolicy(limit=None, age_limit=HOUR), 99, HOUR - SECOND, True),
    ("at the age", RetryPolicy(limit=None, age_limit=HOUR), 1, HOUR, False),
    ("both, neither reached", RetryPolicy(limit=2, age_limit=HOUR), 1, SECOND, True),
    ("both, only the count reached", RetryPolicy(limit=2, age_limit=HOUR), 3, SECOND, True),
    ("both, only the age reached", RetryPolicy(limit=2, age_limit=HOUR), 1, DAY, True),
    ("both reached", RetryPolicy(limit=2, age_limit=HOUR), 3, HOUR, False),
    ("no limit", RetryPolicy(limit=None), 10_000, 1000 * DAY, True),
]


@pytest.mark.parametrize(("policy", "attempt", "age", "is_retried"), [case[1:] for case in LIMITS], ids=[case[0] for case in LIMITS])
def test_retries_end_by_count_age_or_both(policy: RetryPolicy, attempt: int, age: timedelta, is_retried: bool) -> None:  # noqa: FBT001 - a column
    """The age counts from the first run of the fire."""
    row = evolve(held(a_one_off(options=TaskOptions(retry=policy))), attempt=attempt)

    assert statuses(decided(row, RAISED, after=age)) == [("retried" if is_retried else "failed", 1)]


def test_the_age_of_a_fire_counts_from_its_first_run() -> None:
    """However short its last attempt was."""
    task = a_one_off(options=TaskOptions(retry=RetryPolicy(limit=None, age_limit=HOUR)))
    first = decided(held(task), RAISED).next
    assert first is not None

    assert statuses(decided(held(first, now=NOON + HOUR - 2 * SECOND), RAISED)) == [("retried", 1)]
    assert statuses(decided(held(first, now=NOON + HOUR - SECOND), RAISED)) == [("failed", 1)]


def test_lost_and_handed_back_runs_use_no_retries_up() -> None:
    """Crashes are counted apart from errors."""
    row = crashed(A_SCHEDULE, 1)
    assert (row.attempt, row.crashes) == (2, 1)
    again = held(transitions.interrupt(row, now=NOON + LEASE + SECOND), lease_id="lease-3")

    assert statuses(decided(again, RAISED)) == [("retried", 1)]


def test_fires_that_pass_while_a_retry_waits_are_overlaps() -> None:
    """The run is still going until its last attempt has ended."""
    first = held(evolve(HOURLY, ended_at=NOON - HOUR))  # the end of the run before
    row = held(transitions.retry(first, now=NOON + SECOND, at=NOON + 2.5 * HOUR), lease_id="lease-2")

    outcome = carried_on(row)

    assert statuses(outcome) == [("done", 1), ("skipped", 2)]
    assert outcome.runs[0].fire_time == NOON
    assert "still going" in (outcome.runs[1].error or "")
    assert outcome.next is not None
    assert outcome.next.run_at == NOON + 3 * HOUR


# -- after the run: a trigger's part in it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [SimpleTrigger(SECOND), CronTrigger("* * * * * *"), CronTrigger("* * * * * *", "America/New_York")])
def test_a_year_without_any_node_is_caught_up_with_at_once(trigger: Trigger) -> None:
    """Of every second: the plan and the decision together take much less than a second."""
    text = trigger.to_text()
    assert text is not None
    row = held(a_schedule(text), now=NOON + 365 * DAY)

    began = perf_counter()
    outcome = carried_on(row)
    took = perf_counter() - began

    assert outcome.next is not None
    assert outcome.next.run_at == NOON + 365 * DAY + 2 * SECOND
    assert sum(run.count for run in outcome.runs) == (365 * DAY + HOUR) // SECOND + 1
    assert took < 0.5


@pytest.mark.parametrize("ending", [Returned(HOURLY), RAISED, STOPPED])
@pytest.mark.parametrize("trigger", [Broken(), Stuck()])
def test_a_trigger_that_fails_after_the_run_sets_its_task_aside(trigger: Trigger, ending: Ending) -> None:
    """It must not be lost, nor locked for ever; the run is recorded as it ended."""
    row = held(a_schedule(options=NO_RETRY))

    outcome = outcome_of(row, finish(row, ending), trigger)

    assert outcome.next is not None
    assert (outcome.next.state, outcome.next.due_at, outcome.next.lease_id) == (TaskState.FAILED, None, None)
    assert "its trigger failed" in (outcome.next.last_error or "")
    assert statuses(outcome) == [("done" if isinstance(ending, Returned) else "failed", 1)]


def test_what_a_job_returned_is_kept_also_when_its_trigger_fails() -> None:
    """Its payload for the next run, whenever somebody restarts it, and its result."""
    row = held(a_schedule())

    outcome = outcome_of(row, finish(row, Returned(evolve(row, payload=b"new", result="precious"))), Broken())

    assert outcome.next is not None
    assert (outcome.next.payload, outcome.next.result, outcome.runs[0].result) == (b"new", "precious", "precious")
