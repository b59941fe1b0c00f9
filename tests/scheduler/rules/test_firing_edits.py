"""Decisions on a task that somebody edited while its run was under way.

They take effect when the run ends, and none is lost.
"""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Misfire, Request, RetryPolicy, Task, TaskOptions, TaskState
from duly.jobs.task import RunAtSource
from duly.scheduler.rules.endings import Ending, Interrupted, Raised, Returned, Stopped
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import Outcome
from duly.stores.rules import definitions, transitions
from duly.stores.rules.refusals import judge
from support.tasks import HOUR, MINUTE, NOON, SECOND, a_one_off, a_schedule, finish, held, trigger_of

Change = Callable[[Task], Task]
LOCKED = held(a_schedule("@every 1h", payload=b"1"))
NO_RETRY = TaskOptions(retry=RetryPolicy(limit=0))


def edited(change: Change, row: Task = LOCKED) -> Task:
    """The row after an edit, half a second into its run."""
    return transitions.edit(row, change(row), now=NOON + SECOND / 2)


def decided(row: Task, ending: Ending, locked: Task = LOCKED) -> Outcome:
    """What becomes of the row, when the run that began before the edit ends."""
    return outcome_of(row, finish(locked, ending), trigger_of(row))


PAYLOADS: list[tuple[str, bytes, bytes, bytes]] = [
    ("neither changed it", b"1", b"1", b"1"),
    ("somebody edited it", b"2", b"1", b"2"),
    ("the job changed it", b"1", b"3", b"3"),
    ("both did: the job knew more", b"2", b"3", b"3"),
]


@pytest.mark.parametrize(("edit", "returned", "kept"), [case[1:] for case in PAYLOADS], ids=[case[0] for case in PAYLOADS])
def test_a_payload_is_kept_by_whoever_changed_it(edit: bytes, returned: bytes, kept: bytes) -> None:
    """A job that returns its task as it came overwrites nobody's edit."""
    row = edited(lambda task: evolve(task, payload=edit, payload_version=int(edit)))

    after = decided(row, Returned(evolve(LOCKED, payload=returned, payload_version=int(returned)))).next

    assert after is not None
    assert (after.payload, after.payload_version) == (kept, int(kept))


def test_a_new_format_of_the_same_bytes_is_a_change_too() -> None:
    """Payload and version go together."""
    row = edited(lambda task: evolve(task, payload=b"2", payload_version=2))

    after = decided(row, Returned(evolve(LOCKED, payload_version=3))).next

    assert after is not None
    assert (after.payload, after.payload_version) == (b"1", 3)


@pytest.mark.parametrize("change", [{"metadata": {"a": "b"}}, {"kind": "other"}, {"options": NO_RETRY}], ids=str)
@pytest.mark.parametrize("ending", [Returned(LOCKED), Raised("boom"), Stopped("s"), Interrupted("i")], ids=lambda each: type(each).__name__)
def test_what_was_edited_stays_edited(change: dict[str, Any], ending: Ending) -> None:
    """Whatever the run came to."""
    after = decided(edited(lambda task: evolve(task, **change)), ending).next

    assert after is not None
    assert {name: getattr(after, name) for name in change} == change


@pytest.mark.parametrize("ending", [Returned(LOCKED), Raised("boom"), Stopped("s"), Interrupted("i")], ids=lambda each: type(each).__name__)
def test_a_pause_takes_effect_when_the_run_ends(ending: Ending) -> None:
    """The next fire, or the retry, waits for somebody to resume it."""
    after = decided(edited(transitions.pause), ending).next

    assert after is not None
    assert (after.paused, after.due_at, after.state) == (True, None, TaskState.SCHEDULED)
    assert transitions.edit(after, transitions.resume(after), now=NOON + MINUTE).due_at == (after.retry_at or after.run_at)


def test_an_edited_retry_policy_counts_at_once() -> None:
    """It is the row's that is followed."""
    row = edited(lambda task: evolve(task, options=NO_RETRY))

    assert [run.status.value for run in decided(row, Raised("boom")).runs] == ["failed"]
    assert [run.status.value for run in decided(LOCKED, Raised("boom")).runs] == ["retried"]


def test_a_policy_that_comes_during_a_run_makes_up_for_no_fire_before_it() -> None:
    """Which fire is run was decided when it was locked; they stay in order."""
    locked = held(a_schedule("@every 1h"), now=NOON + 2.5 * HOUR)
    row = edited(lambda task: evolve(task, options=TaskOptions(misfire=Misfire.FIRE_ALL)), locked)

    after = decided(row, Returned(locked), locked).next

    assert after is not None
    assert (after.run_at, after.owed) == (NOON + 3 * HOUR, ())


def test_another_trigger_rules_from_the_end_of_the_run_on() -> None:
    """Its fires from before it came are neither run nor counted as missed."""
    row = definitions.replace(LOCKED, a_schedule("@every 7m", anchor=NOON, payload=b"1"), now=NOON + SECOND / 2)
    assert row is not None

    outcome = decided(row, Returned(LOCKED))

    assert [run.status.value for run in outcome.runs] == ["done"]
    assert outcome.next is not None
    assert (outcome.next.trigger, outcome.next.run_at) == ("@every 7m", NOON - HOUR + 63 * MINUTE)


def test_a_schedule_that_lost_its_trigger_is_finished_with_its_run() -> None:
    """It has become a one-off, and this was its run."""
    row = edited(lambda task: evolve(task, trigger=None))

    assert decided(row, Returned(LOCKED)).next is None


def test_a_one_off_that_got_a_trigger_goes_on() -> None:
    """It has become a schedule while it ran."""
    locked = held(a_one_off())
    row = edited(lambda task: evolve(task, trigger="@every 1h"), locked)

    after = decided(row, Returned(locked), locked).next

    assert after is not None
    assert (after.anchor, after.run_at) == (NOON, NOON + HOUR)


def test_an_outcome_names_the_row_that_it_was_decided_on() -> None:
    """The store refuses it should there be yet another edit."""
    row = edited(transitions.pause)

    assert decided(row, Returned(LOCKED)).task == row
    assert judge(row, decided(LOCKED, Returned(LOCKED)), recorded=False) == "edited"
    assert judge(row, decided(row, Returned(LOCKED)), recorded=False) is None


@pytest.mark.parametrize("locked", [LOCKED, held(a_one_off())], ids=["schedule", "one-off"])
def test_a_run_that_somebody_asked_to_stop_is_not_run_again_because_its_node_stopped_first(locked: Task) -> None:
    """The node was stopped before its heartbeat told it of the request."""
    row = edited(lambda task: evolve(task, request=Request.STOP), locked)

    interrupted, stopped = (decided(row, ending, locked) for ending in (Interrupted("the node was stopped"), Stopped("asked to")))

    assert interrupted.next is not None
    assert stopped.next is not None
    assert evolve(interrupted.next, last_error=None) == evolve(stopped.next, last_error=None)
    assert [run.status for run in interrupted.runs] == [run.status for run in stopped.runs]


def test_the_trigger_sets_the_next_fire_unless_somebody_moved_it() -> None:
    """An edit or the job itself did: then it stays as it was given, also when a clock was wrong."""
    moved = evolve(LOCKED, run_at=LOCKED.run_at + 5 * HOUR)
    outcomes = (decided(LOCKED, Returned(LOCKED)), decided(LOCKED, Returned(moved)), decided(moved, Returned(LOCKED)))

    assert [outcome.next and outcome.next.run_at_from for outcome in outcomes] == [
        RunAtSource.TRIGGER,
        RunAtSource.CALLER,
        RunAtSource.CALLER,
    ]
