"""Faults that schedulers of this kind are known for, and that are not here.

The whole list stands in docs/coming-from.md.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, RetryPolicy
from duly.scheduler import SystemClock, TriggerError
from duly.scheduler.testing import run_due
from duly.stores import RunQuery, RunStatus
from duly.triggers import CronTrigger, parse_trigger
from support.driven import NOON, Noting, driven
from support.waiting import wait_until_async

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def test_how_a_run_ended_is_written_by_the_node_that_ran_it_and_by_no_other() -> None:
    """Another node on the same store, with the same kinds, may flush as often as it likes."""
    jobs = Noting()
    gate = jobs.gated()
    async with driven(jobs) as mine, driven(Noting(), beside=mine) as other:
        await mine.scheduler.schedule_job("t", "gated")
        await mine.dispatcher.run_once()
        await wait_until_async(lambda: jobs.noted)
        gate.set()
        await wait_until_async(lambda: mine.dispatcher.unwritten)
        await other.scheduler.schedule_job("beside", "note")
        await other.turn(3)
        held = await other.scheduler.get_scheduled_job("t")
        assert held.node == mine.scheduler.node
        assert [run.slug for run in (await other.scheduler.runs(RunQuery())).items] == ["beside"]
        await mine.turn()
        runs = (await other.scheduler.runs(RunQuery(slug="t"))).items
        assert [(run.status, run.node) for run in runs] == [(RunStatus.DONE, mine.scheduler.node)]


async def test_what_is_written_after_a_failure_spends_the_budget_of_the_same_fire() -> None:
    """Two retries are two, however often its row is written, by an edit too.

    The next fire has a budget of its own.
    """
    jobs, attempts = JobRegistry(), list[tuple[datetime, int]]()

    @jobs.job("failing", trigger="@every 1h", retry=RetryPolicy(limit=2, delays=[MINUTE]))
    def failing(ctx: JobContext) -> None:
        attempts.append((ctx.fire_time, ctx.attempt))
        raise RuntimeError("never")

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "failing")
        await run_due(node.scheduler, until=NOON + HOUR)
        await node.scheduler.update_job("t", payload=b"edited between two attempts")
        await run_due(node.scheduler, until=NOON + 3 * HOUR - MINUTE)
    fires = [NOON + HOUR, NOON + 2 * HOUR]
    assert attempts == [(fire, attempt) for fire in fires for attempt in (1, 2, 3)]


def test_the_offset_of_an_instant_is_honoured() -> None:
    """It is not read as if it were in UTC."""
    trigger = parse_trigger("@at 2023-02-18T17:53:00+05:30")
    assert trigger.next_fire_time(datetime(2023, 1, 1, tzinfo=UTC)) == datetime(2023, 2, 18, 12, 23, tzinfo=UTC)


async def test_a_one_off_that_was_paused_over_its_time_runs_when_it_is_resumed() -> None:
    """It is neither lost nor run before."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.in_(MINUTE, "note", slug="t")
        await node.scheduler.pause_job("t")
        await run_due(node.scheduler, until=NOON + HOUR)
        assert jobs.noted == []
        await node.scheduler.resume_job("t")
        await run_due(node.scheduler)
        assert jobs.noted == ["t"]


async def test_a_one_off_that_nobody_ran_in_time_runs_late() -> None:
    """A year, here."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.at(NOON - timedelta(days=365), "note", slug="t")
        await run_due(node.scheduler)
        assert jobs.noted == ["t"]
        assert await node.statuses() == [RunStatus.DONE]


@pytest.mark.parametrize("limit", [1, None])
async def test_an_age_limit_bounds_retries_and_does_not_switch_them_off(limit: int | None) -> None:
    """With a limit of retries as well, both must be reached."""
    jobs, attempts = JobRegistry(), list[datetime]()
    policy = RetryPolicy(limit=limit, age_limit=5 * MINUTE, delays=[MINUTE])

    @jobs.job("failing", retry=policy)
    def failing() -> None:
        attempts.append(node.clock.now())
        raise RuntimeError("never")

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "failing")
        await run_due(node.scheduler, until=NOON + HOUR)
    assert [at - NOON for at in attempts] == [number * MINUTE for number in range(6)]


@pytest.fixture(params=["Asia/Kolkata", "America/New_York", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let this process be in a time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield os.environ["TZ"]
    monkeypatch.undo()
    time.tzset()


async def test_a_process_in_any_zone_fires_at_the_same_instants(zone: str) -> None:
    """Times of the wall are those of the trigger's zone, UTC unless it says otherwise."""
    jobs, fires = JobRegistry(), list[datetime]()
    jobs.job("note")(lambda ctx: fires.append(ctx.fire_time))
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("utc", "note", trigger=CronTrigger("0 13 * * *"))
        await node.scheduler.schedule_job("paris", "note", trigger=CronTrigger("0 15 * * *", "Europe/Paris"))
        await node.scheduler.at(NOON + 3 * HOUR, "note")
        await run_due(node.scheduler, until=NOON + 4 * HOUR)
    assert fires == [NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert abs(SystemClock().now().timestamp() - time.time()) < MINUTE.total_seconds()


async def test_a_schedule_that_changed_in_code_fires_by_its_new_trigger() -> None:
    """Its old fire time goes with its old trigger."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("t", "note", trigger="0 18 * * *", if_exists="replace")
        await node.scheduler.schedule_job("t", "note", trigger="30 12 * * *", if_exists="replace")
        assert (await node.scheduler.get_scheduled_job("t")).run_at == NOON + HOUR / 2


async def test_of_the_fires_that_were_missed_one_is_run_and_the_others_are_on_record() -> None:
    """Not each of them in turn, unless the schedule says so."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "note", trigger="@every 1m")
        node.clock.advance(HOUR)
        await run_due(node.scheduler)
        runs = (await node.scheduler.runs(RunQuery(slug="t"))).items
    assert sorted((run.status, run.count) for run in runs) == [(RunStatus.DONE, 1), (RunStatus.SKIPPED, 59)]
    assert jobs.noted == ["t"]


async def test_the_slug_of_a_one_off_is_free_again_when_it_has_run() -> None:
    """It names one task at a time, and is kept by none that is over."""
    jobs = Noting()
    async with driven(jobs) as node:
        for _ in range(3):
            assert await node.scheduler.schedule_job("t", "note", if_exists="keep")
            assert not await node.scheduler.schedule_job("t", "note", if_exists="keep")
            await run_due(node.scheduler)
    assert jobs.noted == ["t"] * 3


@pytest.mark.parametrize("text", ["@every -1h", "@every 0s", "@every 1 day -25 hours", "@after -1 minute"])
def test_an_interval_that_does_not_go_forward_is_refused(text: str) -> None:
    """It would fire for ever at once."""
    with pytest.raises(TriggerError):
        parse_trigger(text)
