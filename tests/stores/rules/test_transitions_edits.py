"""Edits and replacements of a task, as tables: legal at any time, and never at the cost of a lease."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import RetryPolicy, Task, TaskOptions, TaskState, TriggerSource
from duly.stores.codec import dump_options, load_options
from duly.stores.rules import definitions, transitions
from support.tasks import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, a_one_off, a_schedule, held

END, LATER = NOON + 10 * SECOND, NOON + 5 * MINUTE
Change = Callable[[Task], Task]

WAITING = a_one_off()
HELD = held(WAITING)
RETRIED = transitions.retry(HELD, now=END, at=LATER)
FAILED = transitions.fail(HELD, now=END)
PAUSED = transitions.edit(WAITING, transitions.pause(WAITING), now=END)
HELD_AND_PAUSED = transitions.edit(HELD, transitions.pause(HELD), now=END)
FAILED_AND_PAUSED = transitions.edit(FAILED, transitions.pause(FAILED), now=END)


def edited(row: Task, change: Change) -> Task:
    """The row after an edit at `LATER`."""
    return transitions.edit(row, change(row), now=LATER)


def moved(task: Task) -> Task:
    """The task, a day later."""
    return evolve(task, run_at=task.run_at + DAY)


EDITS: list[tuple[str, Task, Change, TaskState, datetime | None]] = [
    ("pause what waits", WAITING, transitions.pause, TaskState.SCHEDULED, None),
    ("pause what waits for its retry", RETRIED, transitions.pause, TaskState.SCHEDULED, None),
    ("pause what runs", HELD, transitions.pause, TaskState.RUNNING, NOON + LEASE),
    ("pause what is set aside", FAILED, transitions.pause, TaskState.FAILED, None),
    ("pause it twice", PAUSED, transitions.pause, TaskState.SCHEDULED, None),
    ("resume what is paused", PAUSED, transitions.resume, TaskState.SCHEDULED, NOON),
    ("resume what is not", RETRIED, transitions.resume, TaskState.SCHEDULED, LATER),
    ("resume what runs", HELD_AND_PAUSED, transitions.resume, TaskState.RUNNING, NOON + LEASE),
    ("resume what is set aside", FAILED_AND_PAUSED, transitions.resume, TaskState.FAILED, None),
    ("restart what is set aside", FAILED, transitions.restart, TaskState.SCHEDULED, NOON),
    ("restart what is set aside and paused", FAILED_AND_PAUSED, transitions.restart, TaskState.SCHEDULED, None),
    ("restart what waits for its retry", RETRIED, transitions.restart, TaskState.SCHEDULED, NOON),
    ("restart what runs", HELD, transitions.restart, TaskState.RUNNING, NOON + LEASE),
    ("move what waits", WAITING, moved, TaskState.SCHEDULED, NOON + DAY),
    ("move what is paused", PAUSED, moved, TaskState.SCHEDULED, None),
    ("move what runs", HELD, moved, TaskState.RUNNING, NOON + LEASE),
]


@pytest.mark.parametrize(("row", "change", "state", "due_at"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_an_edit_is_legal_in_every_state(row: Task, change: Change, state: TaskState, due_at: datetime | None) -> None:
    """The state and the due instant follow; a lease stays whatever is edited."""
    after = edited(row, change)

    assert (after.state, after.due_at, after.version, after.updated_at) == (state, due_at, row.version + 1, LATER)
    assert lease_of(after) == lease_of(row)


def lease_of(task: Task) -> tuple[object, ...]:
    """All that belongs to its holder."""
    return task.lease_id, task.last_lease, task.node, task.locked_at, task.due_at if task.lease_id else None


FORGED: dict[str, Any] = {
    "lease_id": "forged",
    "last_lease": "forged",
    "node": "forger",
    "locked_at": NOON - DAY,
    "due_at": NOON - DAY,
    "state": TaskState.RUNNING,
    "namespace": "other",
    "slug": "other",
    "version": 77,
    "created_at": NOON - DAY,
    "updated_at": NOON - DAY,
}


@pytest.mark.parametrize("row", [WAITING, RETRIED, PAUSED, HELD, HELD_AND_PAUSED])
def test_an_edit_cannot_forge_what_the_store_computes(row: Task) -> None:
    """Lease, identity, version and due instant are not the editor's."""
    assert edited(row, lambda task: evolve(task, **FORGED)) == edited(row, lambda task: task)


def test_a_task_that_nobody_holds_may_be_set_aside_by_hand() -> None:
    """With its payload, until somebody restarts it."""
    after = edited(WAITING, lambda task: evolve(task, state=TaskState.FAILED))

    assert (after.state, after.due_at) == (TaskState.FAILED, None)


def test_a_restart_gives_a_new_budget_for_the_same_fire() -> None:
    """Attempts, crashes and the age begin anew; the fire time stays, so that it is due at once."""
    crashed = transitions.fail(held(HELD, now=LATER, lease_id="lease-2"), now=LATER)
    assert (crashed.attempt, crashed.crashes) == (2, 1)

    after = edited(crashed, transitions.restart)

    assert (after.attempt, after.crashes, after.first_run_at, after.retry_at, after.run_at) == (0, 0, None, None, NOON)


def test_a_restart_of_what_runs_leaves_the_run_that_is_under_way_its_attempt() -> None:
    """Which may still be refunded: no count is ever negative."""
    crashed = held(HELD, now=LATER, lease_id="lease-2")
    restarted = edited(crashed, transitions.restart)

    assert (restarted.attempt, restarted.crashes, restarted.first_run_at) == (1, 0, NOON)
    assert transitions.hand_back(restarted, now=LATER).attempt == 0
    assert transitions.interrupt(restarted, now=LATER).attempt == 0


# -- replace --------------------------------------------------------------------------------------------------------------------------

HOURLY = a_schedule("@every 1h", payload=b"1")
NOW = NOON - HOUR / 2
"""Between the anchor (11:00) and the first fire (12:00) of `HOURLY`."""


@pytest.mark.parametrize("row", [WAITING, RETRIED, HELD, FAILED, PAUSED])
def test_an_equal_definition_is_no_write(row: Task) -> None:
    """However often it is declared, and whatever its times and state."""
    assert definitions.replace(row, a_one_off(run_at=NOON + DAY), now=LATER) is None


DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "other"},
    {"payload": b"2"},
    {"payload_version": 2},
    {"options": TaskOptions(retry=RetryPolicy(limit=1))},
    {"metadata": {"a": "b"}},
    {"trigger_from": TriggerSource.JOB},
]


@pytest.mark.parametrize("row", [WAITING, RETRIED, HELD, FAILED, PAUSED], ids=["waiting", "retried", "held", "failed", "paused"])
@pytest.mark.parametrize("definition", DEFINITIONS, ids=[next(iter(each)) for each in DEFINITIONS])
@pytest.mark.parametrize("now", [NOON - HOUR, LATER], ids=["before its fire", "after it"])
def test_a_new_definition_changes_nothing_else(row: Task, definition: dict[str, Any], now: datetime) -> None:
    """Lease, pause, failure, attempts, anchor and the next fire stay."""
    after = definitions.replace(row, a_one_off(run_at=NOON + DAY, **definition), now=now)

    assert after == evolve(row, **definition, version=row.version + 1, updated_at=now)


def test_another_trigger_moves_the_next_fire_counted_from_the_anchor() -> None:
    """A service that starts every ten minutes does not starve an interval of an hour by declaring it anew."""
    after = definitions.replace(HOURLY, a_schedule("@every 2h", anchor=NOW, payload=b"1"), now=NOW)

    assert after is not None
    assert (after.trigger, after.anchor, after.run_at, after.due_at) == ("@every 2h", NOON - HOUR, NOON + HOUR, NOON + HOUR)


def test_fires_that_the_new_trigger_had_before_it_came_are_not_caught_up() -> None:
    """It rules from now on: its first fire is the first one after now."""
    after = definitions.replace(HOURLY, a_schedule("@every 7m", anchor=NOW), now=NOW)

    assert after is not None
    assert (after.anchor, after.run_at) == (NOON - HOUR + 28 * MINUTE, NOON - HOUR + 35 * MINUTE)


def test_a_fixed_delay_begins_when_it_comes() -> None:
    """It counts from the end of a run, which the fires of the former trigger were not."""
    delayed = "FIXED_DELAY=yes @every 20m"
    after = definitions.replace(HOURLY, a_schedule(delayed, anchor=NOW), now=NOW)

    assert after is not None
    assert (after.trigger, after.anchor, after.run_at) == (delayed, NOW, NOW + 20 * MINUTE)


OWED: list[tuple[str, Task, datetime]] = [
    ("passed", HOURLY, NOON + SECOND),
    ("running", held(HOURLY), NOON + SECOND),
    ("waiting for its retry", transitions.retry(held(HOURLY), now=END, at=LATER), NOON + 20 * SECOND),
    ("set aside", transitions.fail(held(HOURLY), now=END), NOON + 20 * SECOND),
    ("running, and moved", edited(held(HOURLY), moved), NOON + 20 * SECOND),
    ("waiting for its retry, and moved", edited(transitions.retry(held(HOURLY), now=END, at=LATER), moved), NOON + 20 * SECOND),
]


@pytest.mark.parametrize(("row", "now"), [case[1:] for case in OWED], ids=[case[0] for case in OWED])
def test_a_fire_that_is_owed_survives_another_trigger(row: Task, now: datetime) -> None:
    """A restart of the service that declares its schedules loses no missed fire.

    The new trigger rules after that.
    """
    after = definitions.replace(row, a_schedule("@every 2h", anchor=now, payload=b"1"), now=now)

    assert after is not None
    assert (after.run_at, after.due_at, after.attempt, after.state) == (row.run_at, row.due_at, row.attempt, row.state)
    assert after.trigger == "@every 2h"


def test_a_schedule_that_becomes_a_one_off_takes_its_new_time() -> None:
    """Unless a fire is owed, which is then its only one."""
    new = a_one_off(run_at=NOON + DAY)

    waiting, owed = definitions.replace(HOURLY, new, now=NOW), definitions.replace(HOURLY, new, now=NOON)

    assert waiting is not None
    assert owed is not None
    assert (waiting.trigger, waiting.anchor, waiting.run_at) == (None, NOON + DAY, NOON + DAY)
    assert (owed.trigger, owed.run_at) == (None, NOON)


def test_another_delay_of_a_one_off_counts_from_when_it_comes() -> None:
    """Unless its fire is owed: then that one stays."""
    row, new = a_one_off(run_at=NOON + 2 * HOUR, trigger="@after 2h"), a_one_off(run_at=NOW + 5 * HOUR, trigger="@after 5h")

    waiting, owed = definitions.replace(row, new, now=NOW), definitions.replace(row, new, now=NOON + 2 * HOUR)

    assert waiting is not None
    assert owed is not None
    assert (waiting.trigger, waiting.run_at) == ("@after 5h", NOW + 5 * HOUR)
    assert (owed.trigger, owed.run_at) == ("@after 5h", NOON + 2 * HOUR)
    assert definitions.replace(row, evolve(new, trigger="@after 2h"), now=NOW) is None


def test_a_trigger_without_a_further_fire_takes_the_time_it_was_scheduled_for() -> None:
    """A replaced task is never left without a fire."""
    once = "@at 2024-06-01T11:15:00Z"
    after = definitions.replace(HOURLY, a_schedule("@at 2024-06-01T11:15:00Z", anchor=NOON - HOUR), now=NOW)

    assert after is not None
    assert (after.trigger, after.run_at) == (once, NOON - 3 * HOUR / 4)


def test_a_new_definition_keeps_what_a_later_version_wrote_into_the_options() -> None:
    """A node of this version declares its schedules again: nothing is erased, or written for it."""
    row = a_schedule(options=load_options({"colour": "green"}))
    slower = a_schedule(options=TaskOptions(time_limit=SECOND))

    replaced = definitions.replace(row, slower, now=NOON)

    assert replaced is not None
    assert dump_options(replaced.options) == {"colour": "green", "time_limit": 1}
    assert definitions.replace(row, a_schedule(), now=NOON) is None
