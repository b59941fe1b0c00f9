"""What people ask of a task, as edits of its row."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import InvalidSlug, InvalidValue, Overlap, PayloadTooLarge, Request, Task, TaskOptions, TaskState, TriggerSource
from duly.jobs.options import FIRES_MAX
from duly.jobs.task import RunAtSource
from duly.scheduler import InvalidSchedule, TriggerError, TriggerNeverFires
from duly.scheduler.rules import edits
from duly.stores.rules import transitions
from duly.triggers import CronTrigger
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, a_one_off, a_schedule, held, trigger_of

HOURLY, ONE_OFF = a_schedule("@every 1h"), a_one_off()
NOW = NOON - 20 * MINUTE
WAITING = transitions.retry(held(HOURLY), now=NOON + SECOND, at=NOON + 10 * MINUTE)
FAILED = transitions.fail(held(HOURLY), now=NOON + SECOND)


def run_now(task: Task, *, after: timedelta = timedelta(0)) -> Task:
    """The task as a store keeps it, once it was asked to run."""
    now = NOW + after
    return transitions.edit(task, edits.run_now(task, trigger_of(task), now), now=now)


def paused(task: Task) -> Task:
    """The task, paused."""
    return transitions.edit(task, transitions.pause(task), now=NOW)


# -- run now


def test_a_schedule_that_is_asked_to_run_keeps_its_own_fires() -> None:
    """It has a further one, whose fire time is now."""
    task = run_now(HOURLY)

    assert (task.due_at, task.run_at, task.owed) == (NOW, NOW, (NOW,))
    assert (task.anchor, task.request) == (HOURLY.anchor, Request.RUN_NOW)


def test_a_paused_schedule_that_is_asked_to_run_is_due_once() -> None:
    """When it is locked and given back it is paused still."""
    task = run_now(paused(HOURLY))
    row = held(task)

    assert (task.paused, task.due_at) == (True, NOW)
    after = transitions.advance(row, now=NOW + SECOND, anchor=task.anchor, run_at=NOON)
    assert (after.paused, after.due_at, after.request) == (True, None, Request.NONE)


@pytest.mark.parametrize("let_go", ["hand_back", "interrupt", "retry"])
def test_the_request_stays_until_the_run_is_over(let_go: str) -> None:
    """Whoever takes the task next runs it, though it is paused."""
    row = held(run_now(paused(HOURLY)))
    after = {
        "hand_back": lambda: transitions.hand_back(row, now=NOW),
        "interrupt": lambda: transitions.interrupt(row, now=NOW),
        "retry": lambda: transitions.retry(row, now=NOW, at=NOW + MINUTE),
    }[let_go]()

    assert after.request is Request.RUN_NOW
    assert after.due_at is not None


def test_a_first_fire_of_its_own_is_not_lost_to_another_one() -> None:
    """The trigger knows nothing of it, so that it waits beside the new one."""
    own = evolve(HOURLY, anchor=NOON + MINUTE, run_at=NOON + MINUTE)

    assert (run_now(own).owed, run_now(own).run_at) == ((NOW, NOON + MINUTE), NOW)


def test_a_schedule_whose_trigger_this_node_does_not_know_keeps_its_next_fire() -> None:
    """Its job may be registered elsewhere.

    Nobody here can tell that the trigger would find the fire again.
    """
    assert run_now(a_one_off(trigger_from=TriggerSource.JOB)).owed == (NOW, NOON)


def test_a_schedule_with_fires_that_wait_runs_the_oldest_of_them() -> None:
    """There is something to be run already."""
    task = evolve(HOURLY, owed=(NOW - HOUR, NOW - MINUTE), run_at=NOW - HOUR)

    assert (run_now(paused(task)).due_at, run_now(task).owed) == (NOW - HOUR, task.owed)


def test_a_task_that_runs_has_one_more_fire_when_it_is_asked_to() -> None:
    """Its lease stays as it is; asking twice in the same instant is once."""
    task = run_now(run_now(held(HOURLY), after=HOUR), after=HOUR)

    assert (task.owed, task.run_at) == ((NOW + HOUR,), NOON)
    assert (task.lease_id, task.request) == ("lease-1", Request.NONE)
    assert run_now(run_now(evolve(held(HOURLY), owed=(NOON - DAY,)))).owed == (NOON - DAY, NOW)


def test_no_more_fires_wait_than_a_row_may_hold() -> None:
    """The error says how many."""
    owed = tuple(NOON + number * SECOND for number in range(FIRES_MAX))

    with pytest.raises(InvalidSchedule, match=f"{FIRES_MAX} fires wait"):
        run_now(evolve(held(HOURLY), owed=owed), after=DAY)


def test_a_one_off_that_is_asked_to_run_is_moved_to_now() -> None:
    """It has one fire; what is late already stays what it is."""
    assert (run_now(ONE_OFF).run_at, run_now(ONE_OFF).due_at, run_now(ONE_OFF).owed) == (NOW, NOW, ())
    assert run_now(ONE_OFF, after=HOUR).run_at == NOON


def test_a_retry_that_waits_is_made_at_once() -> None:
    """For the fire that it is a retry of."""
    task = run_now(WAITING, after=25 * MINUTE)

    assert (task.due_at, task.run_at, task.owed, task.attempt) == (NOON + 5 * MINUTE, NOON, (), 1)


def test_a_failed_task_that_is_asked_to_run_is_restarted() -> None:
    """Also when it is paused."""
    task = run_now(paused(FAILED))

    assert (task.state, task.attempt, task.due_at) == (TaskState.SCHEDULED, 0, NOON)


# -- stop and move


def test_only_a_run_that_is_under_way_can_be_stopped() -> None:
    """And only once."""
    asked = edits.stop(held(HOURLY))

    assert asked is not None
    assert asked.request is Request.STOP
    assert edits.stop(asked) is None
    assert edits.stop(HOURLY) is None


@pytest.mark.parametrize("task", [HOURLY, ONE_OFF, WAITING, FAILED], ids=["waiting", "one-off", "retry", "failed"])
def test_a_task_is_moved_to_another_time(task: Task) -> None:
    """A retry is given up, a failure forgiven; the anchor stays, so that the schedule goes on as before."""
    moved = transitions.edit(task, edits.move(task, NOON + 3 * HOUR), now=NOON)

    assert (moved.due_at, moved.state, moved.attempt, moved.retry_at) == (NOON + 3 * HOUR, TaskState.SCHEDULED, 0, None)
    assert moved.anchor == task.anchor
    assert moved.run_at_from == RunAtSource.CALLER


def test_a_moved_task_forgets_the_gap_of_the_fire_it_leaves() -> None:
    """It is another fire, which nobody has begun."""
    cut_short = transitions.interrupt(held(HOURLY), now=NOON)

    assert edits.move(cut_short, NOON + 3 * HOUR).idle_since is None


def test_a_new_trigger_sets_the_fire_time_itself() -> None:
    """Also that of a task whose first fire somebody gave."""
    changed = update(HOURLY, trigger="@every 2h")

    assert changed is not None
    assert (HOURLY.run_at_from, changed.run_at_from) == (RunAtSource.CALLER, RunAtSource.TRIGGER)


def test_a_paused_task_that_is_moved_is_not_run_now_any_more() -> None:
    """The later wish counts: it waits for somebody to resume it."""
    asked = run_now(paused(HOURLY))
    moved = transitions.edit(asked, edits.move(asked, NOON + 3 * HOUR), now=NOW)

    assert (moved.request, moved.due_at) == (Request.NONE, None)


def test_a_run_that_is_under_way_goes_on_when_its_task_is_moved() -> None:
    """Its lease and its attempts are its own, and what it was asked for stays asked."""
    row = evolve(held(WAITING, lease_id="lease-2"), request=Request.STOP)

    assert edits.move(row, NOON + 3 * HOUR) == evolve(row, run_at=NOON + 3 * HOUR)


# -- update


def update(task: Task, **changes: Any) -> Task | None:  # noqa: ANN401 - good or bad
    """The task with another definition."""
    return edits.update(task, edits.Changes(**changes), now=NOON, payload_limit=10)  # type: ignore[typeddict-item]


def test_what_is_not_given_stays_as_it_is() -> None:
    """And the next fire does, unless the trigger changes."""
    changed = update(HOURLY, payload=b"new", metadata={"k": "v"})

    assert changed == evolve(HOURLY, payload=b"new", metadata={"k": "v"})
    assert update(HOURLY, payload=HOURLY.payload) is None


def test_another_trigger_sets_the_next_fire_anew() -> None:
    """The first one from now on, unless one is owed."""
    later = a_schedule("0 15 * * *")
    changed, owing = update(later, trigger="30 * * * *"), update(HOURLY, trigger="30 * * * *")

    assert changed is not None
    assert (changed.trigger, changed.run_at) == ("30 * * * *", NOON + HOUR / 2)
    assert update(later, trigger=CronTrigger("30 * * * *")) == changed
    assert owing is not None
    assert owing.run_at == NOON


def test_another_delay_of_a_one_off_counts_from_now() -> None:
    """It sets the fire time, and rules no other."""
    changed = update(a_one_off(run_at=NOON + DAY), trigger="@after 5h")

    assert changed is not None
    assert (changed.trigger, changed.run_at) == ("@after 5h", NOON + 5 * HOUR)


def test_a_one_off_that_becomes_a_schedule_counts_from_now() -> None:
    """Not from the instant, still ahead, that was its own."""
    changed = update(a_one_off(run_at=NOON + DAY), trigger="30 * * * *")

    assert changed is not None
    assert (changed.anchor, changed.run_at) == (NOON, NOON + HOUR / 2)


def test_another_trigger_is_the_tasks_own() -> None:
    """Also where it followed its job before."""
    changed = update(a_one_off(trigger_from=TriggerSource.JOB), trigger="30 * * * *")

    assert changed is not None
    assert changed.trigger_from is TriggerSource.TASK


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"trigger": "61 * * * *"}, TriggerError, "61"),
        ({"trigger": "@at 2001-01-01T00:00:00Z"}, TriggerNeverFires, "never fires again"),
        ({"payload": b"x" * 11}, PayloadTooLarge, "10 bytes"),
        ({"payload": "text"}, InvalidValue, "bytes"),
        ({"options": 5}, InvalidValue, "TaskOptions"),
        ({"metadata": {"k": 5}}, InvalidValue, "metadata"),
    ],
)
def test_a_bad_change_is_refused(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    """With the error that scheduling it would have."""
    with pytest.raises(error, match=named):
        update(HOURLY, **changes)


def test_a_slug_must_have_room_for_the_fire_time_where_fires_are_tasks_of_their_own() -> None:
    """Also when the policy comes later."""
    with pytest.raises(InvalidSlug, match="adds the fire time"):
        update(a_schedule(slug="x" * 240), options=TaskOptions(overlap=Overlap.ALLOW))
    assert update(a_one_off(slug="x" * 240), options=TaskOptions(overlap=Overlap.ALLOW)) is not None
