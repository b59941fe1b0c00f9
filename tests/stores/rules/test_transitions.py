"""Each change of a task, as a table: what becomes of every field that it may touch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import asdict, evolve

from duly.jobs import Request, Task, TaskState
from duly.jobs.task import RECORD_VERSION, RunAtSource
from duly.stores import Outcome, Run, RunStatus
from duly.stores.rules import transitions
from duly.stores.rules.refusals import judge
from support.tasks import HOUR, LEASE, MINUTE, NOON, SECOND, a_one_off, a_schedule, held

END, LATER = NOON + 10 * SECOND, NOON + 5 * MINUTE
Change = Callable[[Task], Task]


def changes(before: Task, after: Task) -> dict[str, Any]:
    """The fields that differ, as they are afterwards."""
    old, new = asdict(before, recurse=False), asdict(after, recurse=False)
    return {name: value for name, value in new.items() if value != old[name]}


def edited(row: Task, change: Change, *, now: datetime = END) -> Task:
    """The row after an edit."""
    return transitions.edit(row, change(row), now=now)


def failed(task: Task) -> Task:
    """The task, locked at once and set aside."""
    return transitions.fail(held(task), now=END)


def retried(task: Task) -> Task:
    """The task, locked at once and waiting for its second attempt."""
    return transitions.retry(held(task), now=END, at=LATER)


# -- create ---------------------------------------------------------------------------------------------------------------------------


def test_what_only_a_store_may_set_is_reset_when_a_task_is_created() -> None:
    """Whatever the caller filled in: the definition, the pause and the times are taken, the rest is not."""
    forged = evolve(
        held(a_one_off(payload=b"x", metadata={"a": "b"})), version=9, fires=4, crashes=2, result="r", last_lease="l", retry_at=NOON
    )

    created = transitions.create(forged, namespace="tenant", now=END)

    assert created == evolve(a_one_off(payload=b"x", metadata={"a": "b"}), namespace="tenant", created_at=END, updated_at=END)
    assert (created.version, created.due_at, created.state) == (1, NOON, TaskState.SCHEDULED)


def test_a_task_that_is_created_paused_is_never_due() -> None:
    """Until somebody resumes it."""
    assert a_one_off(paused=True).due_at is None


# -- lock -----------------------------------------------------------------------------------------------------------------------------

LOCKS: list[tuple[str, Task, datetime, bool]] = [
    ("before its fire time", a_one_off(), NOON - SECOND / 1000, False),
    ("at its fire time", a_one_off(), NOON, True),
    ("long after it", a_one_off(), NOON + 1000 * HOUR, True),
    ("before its retry", retried(a_one_off()), LATER - SECOND / 1000, False),
    ("at its retry", retried(a_one_off()), LATER, True),
    ("paused", a_one_off(paused=True), NOON, False),
    ("paused while it waited for its retry", edited(retried(a_one_off()), transitions.pause), LATER, False),
    ("set aside", failed(a_one_off()), NOON + 1000 * HOUR, False),
    ("before the end of its lease", held(a_one_off()), NOON + LEASE - SECOND / 1000, False),
    ("at the end of its lease", held(a_one_off()), NOON + LEASE, True),
    ("at the first end of a lease that was extended", transitions.extend(held(a_one_off()), until=LATER), NOON + LEASE, False),
]


@pytest.mark.parametrize(("task", "now", "is_locked"), [case[1:] for case in LOCKS], ids=[case[0] for case in LOCKS])
def test_only_what_is_due_is_locked(task: Task, now: datetime, is_locked: bool) -> None:  # noqa: FBT001 - a column of the table
    """`due_at` alone decides."""
    assert (transitions.lock(task, node="b", lease_id="lease-2", now=now, lease=LEASE) is not None) == is_locked


def test_a_lock_gives_the_task_a_lease_and_counts_an_attempt() -> None:
    """And nothing else changes."""
    task = a_one_off()
    locked = transitions.lock(task, node="a", lease_id="lease-1", now=NOON + SECOND, lease=LEASE)

    assert locked is not None
    assert locked.lost is None
    assert changes(task, locked.task) == {
        "state": TaskState.RUNNING,
        "node": "a",
        "lease_id": "lease-1",
        "locked_at": NOON + SECOND,
        "due_at": NOON + SECOND + LEASE,
        "attempt": 1,
        "first_run_at": NOON + SECOND,
        "version": 2,
        "updated_at": NOON + SECOND,
    }


def test_the_second_attempt_keeps_the_start_of_the_first() -> None:
    """The age limit counts from there."""
    again = held(retried(a_one_off()), lease_id="lease-2")

    assert (again.attempt, again.first_run_at, again.locked_at, again.retry_at) == (2, NOON, LATER, None)


def test_a_lease_that_ended_is_taken_over_and_its_run_recorded_as_lost() -> None:
    """In one write: the crash is counted, and the lost run ended when its lease did."""
    row = evolve(held(a_one_off()), namespace="tenant")
    taken = transitions.lock(row, node="b", lease_id="lease-2", now=LATER, lease=LEASE)

    assert taken is not None
    assert changes(row, taken.task) == {
        "node": "b",
        "lease_id": "lease-2",
        "locked_at": LATER,
        "due_at": LATER + LEASE,
        "attempt": 2,
        "crashes": 1,
        "ended_at": NOON + LEASE,
        "idle_since": NOON + LEASE,
        "version": row.version + 1,
        "updated_at": LATER,
    }
    assert taken.lost == Run(
        id="lease-1",
        slug="t",
        kind="k",
        namespace="tenant",
        fire_time=NOON,
        attempt=1,
        node="a",
        started_at=NOON,
        finished_at=NOON + LEASE,
        status=RunStatus.LOST,
        error="node a let its lease end",
    )


def test_a_request_to_stop_outlives_the_lease() -> None:
    """The next locker answers what the lost one did not."""
    row = evolve(held(a_one_off()), request=Request.STOP)

    assert held(row, now=LATER, lease_id="lease-2").request is Request.STOP


# -- extend ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("until", "expected"), [(LATER, LATER), (NOON + LEASE, NOON + LEASE), (NOON + SECOND, NOON + LEASE)])
def test_a_lease_never_gets_shorter(until: datetime, expected: datetime) -> None:
    """A late heartbeat moves nothing back; and none is a change of version."""
    row = held(a_one_off())

    assert transitions.extend(row, until=until) == evolve(row, due_at=expected)


# -- the holder lets go -----------------------------------------------------------------------------------------------------------------

RELEASED: dict[str, Any] = {"lease_id": None, "node": None, "locked_at": None, "request": Request.NONE, "last_lease": "lease-1"}
SCHEDULED: dict[str, Any] = {"state": TaskState.SCHEDULED, **RELEASED}
UNRUN: dict[str, Any] = SCHEDULED | {"request": Request.STOP, "attempt": 0, "first_run_at": None}

LETTING_GO: list[tuple[str, Change, dict[str, Any]]] = [
    (
        "advance",
        lambda task: transitions.advance(task, now=END, anchor=NOON, run_at=LATER),
        SCHEDULED
        | {"run_at_from": RunAtSource.TRIGGER}
        | {"anchor": NOON, "run_at": LATER, "due_at": LATER, "attempt": 0, "first_run_at": None, "fires": 1, "ended_at": END},
    ),
    ("retry", lambda task: transitions.retry(task, now=END, at=LATER), SCHEDULED | {"retry_at": LATER, "due_at": LATER}),
    ("fail", lambda task: transitions.fail(task, now=END), RELEASED | {"state": TaskState.FAILED, "due_at": None, "ended_at": END}),
    ("hand back", lambda task: transitions.hand_back(task, now=END), UNRUN | {"due_at": NOON}),
    (
        "hand back until later",
        lambda task: transitions.hand_back(task, now=END, until=LATER),
        UNRUN | {"due_at": LATER, "retry_at": LATER},
    ),
    (
        "interrupt",
        lambda task: transitions.interrupt(task, now=END),
        SCHEDULED | {"due_at": END, "retry_at": END, "attempt": 0, "ended_at": END, "idle_since": END},
    ),
]
LETTING_GO_IDS = [case[0] for case in LETTING_GO]


@pytest.mark.parametrize(("let_go", "expected"), [case[1:] for case in LETTING_GO], ids=LETTING_GO_IDS)
def test_a_holder_lets_go(let_go: Change, expected: dict[str, Any]) -> None:
    """Nobody's, its lease remembered, every request answered but of one unrun.

    Nothing changes but what is listed.
    """
    row = evolve(held(a_schedule()), request=Request.STOP)

    after = let_go(row)

    assert changes(row, after) == {**{name: value for name, value in expected.items() if value != getattr(row, name)}, **WRITTEN}
    assert after.version == row.version + 1


@pytest.mark.parametrize(
    ("let_go", "idle_since"),
    [
        (lambda task: transitions.advance(task, now=END, anchor=NOON, run_at=LATER), None),
        (lambda task: transitions.retry(task, now=END, at=LATER), None),
        (lambda task: transitions.fail(task, now=END), None),
        (lambda task: transitions.interrupt(task, now=END, pause=SECOND), None),
        (lambda task: transitions.interrupt(task, now=END), END),
        (lambda task: transitions.hand_back(task, now=END), NOON + LEASE),
    ],
    ids=["advance", "retry", "fail", "interrupt with a pause", "interrupt", "hand back"],
)
def test_a_task_is_idle_until_its_fire_ends(let_go: Change, idle_since: datetime | None) -> None:
    """From the end of the lease that was lost.

    A retry is a wait of its own, a run that was cut short begins anew to be idle.
    """
    taken_over = held(held(a_schedule()), now=NOON + LEASE + SECOND, lease_id="lease-2")

    assert taken_over.idle_since == NOON + LEASE
    assert let_go(taken_over).idle_since == idle_since


def test_a_fire_that_was_not_begun_has_no_idle_time() -> None:
    """It was cut short and handed back, all at the instant of its first lock.

    The next lock is the first again.
    """
    cut_short = transitions.interrupt(held(a_schedule()), now=NOON)
    handed_back = transitions.hand_back(held(cut_short, now=NOON, lease_id="lease-2"), now=NOON)

    assert (handed_back.first_run_at, handed_back.idle_since) == (None, None)


def test_only_what_this_version_understands_is_locked() -> None:
    """However long it has been due."""
    newer = evolve(a_one_off(), needs=RECORD_VERSION + 1)

    assert transitions.lock(newer, node="a", lease_id="lease-1", now=LATER, lease=LEASE) is None


WRITTEN = {"version": 3, "updated_at": END}


@pytest.mark.parametrize("let_go", [case[1] for case in LETTING_GO], ids=LETTING_GO_IDS)
def test_a_task_that_was_paused_in_its_run_is_never_due_after_it(let_go: Change) -> None:
    """The pause takes effect when the run ends."""
    paused = edited(held(a_schedule()), transitions.pause)

    assert paused.due_at == NOON + LEASE
    assert let_go(paused).due_at is None


def test_what_is_handed_back_in_its_second_attempt_keeps_the_first() -> None:
    """One attempt is refunded, not all."""
    row = held(retried(a_one_off()), lease_id="lease-2")

    back = transitions.hand_back(row, now=LATER)

    assert (back.attempt, back.first_run_at) == (1, NOON)


def test_a_finished_fire_begins_the_next_with_a_clean_slate() -> None:
    """Attempts, crashes and the age belong to one fire; a finished run clears the suspicion."""
    crashed = held(held(a_schedule()), now=LATER, lease_id="lease-2")

    after = transitions.advance(crashed, now=LATER + SECOND, anchor=NOON, run_at=NOON + HOUR)

    assert (crashed.attempt, crashed.crashes) == (2, 1)
    assert (after.attempt, after.crashes, after.first_run_at, after.retry_at, after.fires) == (0, 0, None, None, 1)


# -- judge ----------------------------------------------------------------------------------------------------------------------------

MINE = held(a_one_off())
OUTCOME = Outcome(task=MINE, next=None)
JUDGED: list[tuple[str, Task | None, bool, str | None]] = [
    ("as it was locked", MINE, False, None),
    ("extended meanwhile", transitions.extend(MINE, until=LATER), False, None),
    ("edited meanwhile", edited(MINE, transitions.pause), False, "edited"),
    ("taken over by another", held(MINE, now=LATER, lease_id="lease-2"), False, "lost"),
    ("written before, and free", transitions.retry(MINE, now=END, at=LATER), False, "done"),
    ("written before, and locked again", held(transitions.retry(MINE, now=END, at=LATER), lease_id="lease-2"), False, "done"),
    (
        "written before, and run by another since",
        transitions.retry(held(retried(a_one_off()), lease_id="lease-2"), now=END, at=LATER),
        True,
        "done",
    ),
    ("gone, by this very write", None, True, "done"),
    ("gone, by somebody else", None, False, "lost"),
]


@pytest.mark.parametrize(("row", "recorded", "verdict"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED])
def test_an_outcome_is_judged_by_lease_and_version(row: Task | None, recorded: bool, verdict: str | None) -> None:  # noqa: FBT001 - a column
    """Written once, by the one who holds the task, on the row as it was known there."""
    assert judge(row, OUTCOME, recorded=recorded) == verdict


# -- the lease in tests ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lease", [SECOND, timedelta(days=1)])
def test_a_lease_lasts_as_long_as_it_says(lease: timedelta) -> None:
    """From the lock's `now`."""
    assert held(a_one_off(), now=LATER, lease=lease).due_at == LATER + lease
