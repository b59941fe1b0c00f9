"""Which fire a locked task is run for, and what must not be run: as tables."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import Consistency, JobRegistry, Overlap, Request, Task, TaskOptions, TriggerSource
from duly.scheduler.rules.endings import EndedRun, Ending, Missed, Raised, Stopped
from duly.scheduler.rules.firing import CRASH_LIMIT, NEXT_FIRE, is_suspect, plan_fire, trigger_of
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import MemoryStore
from duly.stores.conformance.values import request
from duly.stores.rules import transitions
from duly.triggers import CronTrigger, SimpleTrigger, Trigger, TriggerError
from support import tasks
from support.tasks import DAY, HOUR, LEASE, MINUTE, NOON, SECOND, Broken, Stuck, a_one_off, a_schedule, crashed, held

AT_MOST_ONCE = TaskOptions(consistency=Consistency.AT_MOST_ONCE)
THREE_FIRES = f"START={NOON:%Y-%m-%dT%H:%M:%SZ} TIMES=3 @every 1h"


def test_a_task_follows_its_own_trigger_then_its_jobs() -> None:
    """The row is the truth; where it only refers to the job, the job's code is asked."""
    jobs = JobRegistry()
    jobs.job("k", trigger="@every 9h")(lambda: None)
    registered = jobs.get("k")

    assert trigger_of(a_schedule("@every 1h", trigger_from=TriggerSource.JOB), registered) == SimpleTrigger(HOUR)
    assert trigger_of(a_one_off(trigger_from=TriggerSource.JOB), registered) == SimpleTrigger(9 * HOUR)
    assert trigger_of(a_one_off(), registered) is None
    assert trigger_of(evolve(a_one_off(), trigger="@after 1h"), registered) is None, "it has set the fire time, and rules no other"
    with pytest.raises(TriggerError, match="@newer"):
        trigger_of(evolve(a_one_off(), trigger="@newer 5"), registered)


def test_a_jobs_text_leaves_its_hash_to_the_slug_of_each_task() -> None:
    """Also where a task only refers to its job."""
    jobs = JobRegistry()
    jobs.job("k", trigger="H 9 * * *")(lambda: None)

    task = a_one_off(trigger_from=TriggerSource.JOB, slug="report:emea")
    assert trigger_of(task, jobs.get("k")) == CronTrigger("H 9 * * *", hash_id="report:emea")


HOURLY = a_schedule("@every 1h")
RETRIED = transitions.retry(held(HOURLY, now=NOON + MINUTE), now=NOON + 2 * MINUTE, at=NOON + 5 * HOUR)
PUT_OFF = transitions.hand_back(held(HOURLY), now=NOON + SECOND, until=NOON + 2.5 * HOUR)
INTERRUPTED_ONCE = transitions.interrupt(held(HOURLY), now=NOON + SECOND)
OWN_FIRST = transitions.create(evolve(HOURLY, anchor=NOON, run_at=NOON), namespace="default", now=NOON)
MOVED = evolve(HOURLY, run_at=NOON + HOUR / 2, due_at=NOON + HOUR / 2)
DAILY = a_schedule("CRON_TZ=Europe/Berlin 30 2 * * *", anchor=datetime(2024, 3, 30, 1, 30, tzinfo=UTC))
THREE = a_schedule(THREE_FIRES)
DELAYED = a_schedule("FIXED_DELAY=yes @every 1h")
MOVED_DELAYED = evolve(DELAYED, run_at=NOON - HOUR / 2, due_at=NOON - HOUR / 2)

FIRES: list[tuple[str, Task, datetime, datetime]] = [
    ("a one-off in time", a_one_off(), NOON, NOON),
    ("a one-off years late", a_one_off(), NOON + 1000 * DAY, NOON),
    ("a schedule in time", HOURLY, NOON, NOON),
    ("late, but before the next", HOURLY, NOON + HOUR - SECOND, NOON),
    ("as late as the next", HOURLY, NOON + HOUR, NOON + HOUR),
    ("one was missed", HOURLY, NOON + 1.5 * HOUR, NOON + HOUR),
    ("many were missed", HOURLY, NOON + 9.5 * HOUR, NOON + 9 * HOUR),
    ("a retry, hours later", RETRIED, NOON + 5 * HOUR, NOON),
    ("handed back unrun, hours before", PUT_OFF, NOON + 2.5 * HOUR, NOON + 2 * HOUR),
    ("interrupted, hours before", INTERRUPTED_ONCE, NOON + 2.5 * HOUR, NOON),
    ("taken over", held(HOURLY, lease=3 * HOUR), NOON + 3 * HOUR, NOON),
    ("a first fire of its own", OWN_FIRST, NOON + MINUTE, NOON),
    ("a first fire of its own, and more were missed", OWN_FIRST, NOON + 2.5 * HOUR, NOON + 2 * HOUR),
    ("a run that the job had moved", MOVED, NOON + 3 * HOUR / 4, NOON + HOUR / 2),
    ("a run that the job had moved, and more were missed", MOVED, NOON + 2.5 * HOUR, NOON + 2 * HOUR),
    ("the night without its hour", DAILY, datetime(2024, 3, 31, 5, tzinfo=UTC), datetime(2024, 3, 31, 1, tzinfo=UTC)),
    ("a fixed delay, hours late", DELAYED, NOON + 9 * HOUR, NOON),
    ("a fixed delay that was moved, hours late", MOVED_DELAYED, NOON + 9 * HOUR, NOON - HOUR / 2),
    ("the last of them", THREE, NOON + 2 * HOUR, NOON + 2 * HOUR),
    ("long after the last of them", THREE, NOON + 1000 * DAY, NOON + 2 * HOUR),
]


@pytest.mark.parametrize(("task", "now", "fire_time"), [case[1:] for case in FIRES], ids=[case[0] for case in FIRES])
def test_a_fire_is_the_latest_that_had_passed_when_it_was_first_locked(task: Task, now: datetime, fire_time: datetime) -> None:
    """Of several missed fires the latest is run; every further attempt is for the same."""
    fire = plan_fire(held(task, now=now, lease_id="lease-9"), tasks.trigger_of(task))

    assert (fire.fire_time, fire.instead) == (fire_time, None)


INSTEAD: list[tuple[str, Task, Ending | None]] = [
    ("never lost", held(HOURLY), None),
    ("lost once", crashed(HOURLY, 1), None),
    ("lost twice", crashed(HOURLY, CRASH_LIMIT - 1), None),
    ("lost three times", crashed(HOURLY, CRASH_LIMIT), Raised("crashed 3 times: set aside until somebody restarts it")),
    ("at most once", held(a_schedule(options=AT_MOST_ONCE)), None),
    (
        "at most once, and lost",
        crashed(a_schedule(options=AT_MOST_ONCE), 1),
        Raised("its run was lost, and a task that runs at most once is not run again"),
    ),
    ("asked to stop", evolve(held(HOURLY), request=Request.STOP), Stopped("asked to stop before it could run")),
    ("asked to stop, and lost", evolve(crashed(HOURLY, 1), request=Request.STOP), Stopped("asked to stop while its node was lost")),
    ("asked to run now", evolve(held(HOURLY), request=Request.RUN_NOW), None),
]


@pytest.mark.parametrize(("task", "instead"), [case[1:] for case in INSTEAD], ids=[case[0] for case in INSTEAD])
def test_what_must_not_be_run_is_accounted_for_instead(task: Task, instead: Ending | None) -> None:
    """Whatever killed three nodes is not given to a fourth."""
    assert plan_fire(task, tasks.trigger_of(task)).instead == instead


@pytest.mark.parametrize(("crashes", "expected"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_task_that_lost_two_runs_is_a_suspect(crashes: int, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """One loss may be anything's fault."""
    assert is_suspect(crashed(HOURLY, crashes)) is expected


HANDED_BACK = transitions.hand_back(evolve(held(evolve(HOURLY, ended_at=NOON - DAY)), request=Request.STOP), now=NOON + SECOND)

ENDS: list[tuple[str, Task, datetime]] = [
    ("lost three times: with the last lease", crashed(HOURLY, CRASH_LIMIT), NOON + CRASH_LIMIT * LEASE),
    ("stopped before it could run: when it was locked, not with the fire before", held(HANDED_BACK, lease_id="lease-2"), NOON),
]


@pytest.mark.parametrize(("task", "at"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_what_must_not_be_run_has_come_to_its_end(task: Task, at: datetime) -> None:
    """The instant stands in the history, and the schedule goes on from there."""
    fire = plan_fire(task, tasks.trigger_of(task))

    assert fire.instead is not None
    assert fire.at == at


@pytest.mark.parametrize(("early", "instead"), [(SECOND / 1000, None), (timedelta(0), Stopped(NEXT_FIRE))])
def test_a_lost_run_is_run_again_until_its_next_fire_takes_its_place(early: timedelta, instead: Ending | None) -> None:
    """At the very instant it does."""
    row = held(a_schedule(options=TaskOptions(overlap=Overlap.CANCEL_RUNNING)))

    assert plan_fire(held(row, now=NOON + HOUR - early, lease_id="lease-2"), SimpleTrigger(HOUR)).instead == instead


@pytest.mark.parametrize("trigger", [Broken(), Stuck()])
def test_a_trigger_that_fails_does_not_keep_a_fire_from_being_run(trigger: Trigger) -> None:
    """It is due all the same, and so are the others of the same lock.

    Only which of several missed ones it is, nobody can say.
    """
    fire = plan_fire(held(HOURLY, now=NOON + 2 * HOUR), trigger)

    assert fire.fire_time == NOON
    assert fire.instead is None


async def test_a_one_off_that_came_too_late_is_known_as_done_when_its_outcome_is_repeated() -> None:
    """The row is gone, and nothing was run.

    The skip stands under the lease itself, which is what the history is asked for.
    """
    async with MemoryStore() as store:
        await store.create(NOON, [a_one_off(options=TaskOptions(misfire_grace_time=SECOND))])
        (task,) = await store.lock(NOON + HOUR, request({"k": 1}))
        fire = plan_fire(task, None)
        assert fire.instead == Missed()
        finish = EndedRun(task=task, fire_time=fire.fire_time, started_at=fire.at, ended_at=fire.at, ending=Missed())
        outcome = outcome_of(task, finish, None)

        assert await store.reschedule(NOON + HOUR, [outcome]) == []
        assert await store.reschedule(NOON + HOUR, [outcome]) == []
