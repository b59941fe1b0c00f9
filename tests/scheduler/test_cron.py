"""Cron in one line."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import PAYLOAD_LIMIT, FunctionJob, InvalidJob, JobAlreadyRegistered, JobContext, JobRegistry, RetryPolicy, Task
from duly.scheduler import Cron, NewTask, SchedulerClosed, StdScheduler, TriggerError, TriggerNeverFires
from duly.scheduler.rules.new_task import to_task
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus, StoreUnavailable
from duly.triggers import CronTrigger
from support.waiting import wait_until

EVERY_SECOND = "* * * * * *"


def test_a_function_runs_at_every_tick() -> None:
    """One line; `go` starts what it needs, and may be repeated for other functions."""
    ran = list[str]()
    cron = Cron(MemoryStore()).go("example", EVERY_SECOND, lambda: ran.append("example")).go("other", "0 0 1 1 *", lambda: None)
    try:
        wait_until(lambda: len(ran) >= 2)
        assert cron.scheduler.get_job_slugs() == ["example", "other"]
    finally:
        cron.close()
        cron.close()


def test_a_tick_runs_once_over_all_the_copies_of_a_program() -> None:
    """Each declares it; they share a store."""
    store, ran = MemoryStore(), list[datetime]()
    with Cron(store) as first, Cron(store.sibling()) as second:
        for cron in (first, second):
            cron.go("example", EVERY_SECOND, lambda ctx: ran.append(ctx.fire_time))
        wait_until(lambda: len(ran) >= 3)
    assert len(set(ran)) == len(ran)


def test_a_first_registration_does_not_fire_at_once() -> None:
    """It waits for the next tick."""
    with Cron(MemoryStore()) as cron:
        cron.go("example", "0 0 1 1 *", lambda: None)
        task = cron.scheduler.get_scheduled_job("example")
        assert (task.run_at > datetime.now(UTC), task.lease_id) == (True, None)


def test_a_tick_that_was_missed_is_run_at_once_and_once() -> None:
    """Many were; the latest of them is made up for, the others are on record."""
    store, ran = MemoryStore(), list[datetime]()
    asyncio.run(_leave_a_schedule(store, "example", "* * * * *", datetime.now(UTC) - timedelta(hours=1)))
    with Cron(store.sibling()) as cron:
        cron.go("example", "* * * * *", lambda ctx: ran.append(ctx.fire_time))
        wait_until(lambda: cron.scheduler.runs(RunQuery(statuses=(RunStatus.SKIPPED,))).items)
    assert datetime.now(UTC) - max(ran) < timedelta(minutes=2)
    assert len(ran) <= 2  # the tick of the minute that began meanwhile


async def _leave_a_schedule(store: MemoryStore, name: str, expression: str, now: datetime) -> None:
    """Write what an earlier release of the program left."""
    jobs = JobRegistry()
    jobs.job(name, trigger=CronTrigger(expression))(lambda: None)
    async with store.sibling() as opened:
        await opened.create(now, [to_task(NewTask(name, name), jobs, now=now, payload_limit=PAYLOAD_LIMIT)])


async def test_a_changed_expression_is_followed_and_an_unchanged_one_moves_nothing() -> None:
    """As every schedule that is declared by code."""
    clock, store = ManualClock(datetime(2030, 1, 1, tzinfo=UTC)), MemoryStore()

    async def run_at(expression: str) -> Task:
        async with StdScheduler(store.sibling(), clock=clock) as scheduler:
            scheduler.register_job(FunctionJob.of("example", lambda: None), trigger=CronTrigger(expression))
            await scheduler.schedule_job("example", "example", if_exists="replace")
            await run_due(scheduler, until=clock.now() + timedelta(minutes=1))
            return await scheduler.get_scheduled_job("example")

    assert (await run_at("0 12 * * *")).run_at == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert (await run_at("0 12 * * *")).run_at == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert (await run_at("0 13 * * *")).run_at == datetime(2030, 1, 1, 13, tzinfo=UTC)


def test_a_name_whose_scheduling_failed_can_be_given_again() -> None:
    """The first try left nothing behind; a function that is none does not even start it."""
    cron = Cron(MemoryStore())
    with pytest.raises(InvalidJob):
        cron.go("example", "* * * * *", 5)  # type: ignore[arg-type]
    with pytest.raises(SchedulerClosed):
        cron.scheduler.get_job_slugs()
    with cron:
        with pytest.raises(TriggerNeverFires):
            cron.go("example", "0 0 0 1 1 ? 2001", lambda: None)
        cron.go("example", "0 0 1 1 *", lambda: None)
        assert cron.scheduler.get_job_slugs() == ["example"]


def test_a_name_is_free_again_when_its_store_could_not_be_reached() -> None:
    """So that a program may try again."""
    cron = Cron(Unreachable(times=1))
    with pytest.raises(StoreUnavailable):
        cron.go("example", "0 0 1 1 *", lambda: None)
    cron.go("example", "0 0 1 1 *", lambda: None)
    cron.close()


class Unreachable(MemoryStore):
    """Cannot be opened the first times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    async def open(self) -> None:
        """Fail, or open."""
        self._times -= 1
        if self._times >= 0:
            raise StoreUnavailable("nobody is there")
        await super().open()


def test_a_function_that_fails_is_tried_again_and_stops_neither_its_ticks_nor_the_others() -> None:
    """Coroutines and plain functions alike; it goes on after it was closed, too."""
    ran = list[str]()

    def failing(ctx: JobContext) -> None:
        ran.append(f"failing {ctx.attempt}")
        raise RuntimeError("no luck")

    async def fine() -> None:
        ran.append("fine")

    cron = Cron(MemoryStore())
    with cron:
        cron.go("failing", EVERY_SECOND, failing, retry=RetryPolicy(limit=1, delays=[timedelta(0)])).go("fine", EVERY_SECOND, fine)
        wait_until(lambda: ran.count("failing 1") >= 2 and ran.count("fine") >= 2)
    assert "failing 2" in ran
    ran.clear()
    with cron:
        wait_until(lambda: "fine" in ran)


def test_what_is_no_cron_expression_and_a_name_that_is_taken_are_refused() -> None:
    """Before anything is scheduled."""
    with Cron(MemoryStore()) as cron:
        with pytest.raises(TriggerError):
            cron.go("example", "every now and then", lambda: None)
        cron.go("example", CronTrigger("0 9 * * *", "Europe/Paris"), lambda: None)
        with pytest.raises(JobAlreadyRegistered):
            cron.go("example", "* * * * *", lambda: None)
        assert cron.scheduler.get_scheduled_job("example").trigger == "CRON_TZ=Europe/Paris 0 9 * * *"
