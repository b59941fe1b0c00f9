"""A walk through a day with a scheduler of registered handlers.

Schedule, pause, resume, run now, unschedule, look.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from duly.jobs import Fail, JobContext, JobRegistry, Task
from duly.scheduler import JobNotFound, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus, TaskQuery
from duly.triggers import DAILY, EVERY_FIVE_MINUTES, daily_at, every, hourly_at, weekly_on
from support.driven import NOON, Noting, driven
from support.schedulers import a_scheduler
from support.waiting import wait_until_async

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def test_a_handler_is_registered_once_and_scheduled_by_cadences() -> None:
    """Constants, helpers and plain expressions; each is looked at as the schedule that it is."""
    async with driven(Noting()) as node:
        for slug, trigger in {
            "cleanup": EVERY_FIVE_MINUTES,
            "report": DAILY,
            "hourly": hourly_at(15),
            "nightly": daily_at(3, 30),
            "weekly": weekly_on("MON", 9),
            "often": every("30s"),
            "cron": "*/10 * * * *",
        }.items():
            await node.scheduler.schedule_job(slug, "note", trigger=trigger)
        assert "note" in node.scheduler.jobs
        seen = {task.slug: (task.trigger, task.paused) for task in (await node.scheduler.search_jobs(TaskQuery())).items}
    assert seen["cleanup"] == ("*/5 * * * *", False)
    assert seen["nightly"] == ("30 3 * * *", False)
    assert seen["weekly"] == ("0 9 * * MON", False)
    assert seen["often"] == ("@every 30s", False)
    assert len(seen) == 7


async def test_scheduling_again_replaces_the_schedule() -> None:
    """When that is said."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("cleanup", "note", trigger=EVERY_FIVE_MINUTES)
        await node.scheduler.schedule_job("cleanup", "note", trigger=daily_at(3), if_exists="replace")
        task = await node.scheduler.get_scheduled_job("cleanup")
        assert (task.trigger, task.run_at) == ("0 3 * * *", NOON + 15 * HOUR)


async def test_a_schedule_is_paused_resumed_run_now_and_unscheduled_and_its_handler_stays() -> None:
    """The other tasks of the handler go on."""
    jobs = Noting()
    async with driven(jobs) as node:
        scheduler = node.scheduler
        await scheduler.schedule_job("cleanup", "note", trigger=EVERY_FIVE_MINUTES)
        await run_due(scheduler, until=NOON + 5 * MINUTE)
        await scheduler.pause_job("cleanup")
        await run_due(scheduler, until=NOON + 20 * MINUTE)
        assert jobs.noted == ["cleanup"]
        assert (await scheduler.get_scheduled_job("cleanup")).paused
        await scheduler.trigger_job("cleanup")
        await run_due(scheduler)
        assert jobs.noted == ["cleanup"] * 2
        await scheduler.resume_job("cleanup")
        await run_due(scheduler, until=NOON + 25 * MINUTE)
        ran = len(jobs.noted)
        assert ran >= 3
        await scheduler.delete_job("cleanup")
        await run_due(scheduler, until=NOON + HOUR)
        assert (len(jobs.noted), "note" in scheduler.jobs) == (ran, True)
        with pytest.raises(JobNotFound):
            await scheduler.trigger_job("cleanup")


async def test_every_run_is_on_record_as_done_failed_or_skipped() -> None:
    """With its times and its error; a fire that passes during a run is skipped, and says why."""
    jobs = JobRegistry()

    @jobs.job("cleanup", overlap="skip")
    async def cleanup(ctx: JobContext) -> None:
        if ctx.fire_time == NOON + MINUTE:
            await ctx.sleep(90 * timedelta(seconds=1))
        if ctx.fire_time == NOON + 3 * MINUTE:
            raise Fail("the disk is full")

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("cleanup", "cleanup", trigger=every("1m"))
        await run_due(node.scheduler, until=NOON + 3 * MINUTE)
        runs = [run async for run in node.scheduler.iterate_runs(RunQuery(slug="cleanup"))]
    outcomes = {run.fire_time - NOON: run for run in runs}
    assert {at // MINUTE: run.status for at, run in outcomes.items()} == {
        1: RunStatus.DONE,
        2: RunStatus.SKIPPED,
        3: RunStatus.FAILED,
    }
    assert "the disk is full" in str(outcomes[3 * MINUTE].error)
    assert outcomes[MINUTE].finished_at - outcomes[MINUTE].started_at == timedelta(seconds=90)


async def test_a_long_job_is_handed_to_a_queue_and_blocks_nothing() -> None:
    """A pool of the program's own, with one worker.

    A handler without an executor runs beside it, inline in the event loop.
    """
    jobs, inline, gate = JobRegistry(), list[str](), asyncio.Event()
    loop = asyncio.get_running_loop()

    with ThreadPoolExecutor(1, thread_name_prefix="queue") as queue:

        @jobs.job("long", executor=queue)
        def long(ctx: JobContext, task: Task) -> None:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

        @jobs.job("short")
        async def short() -> None:
            inline.append("short")

        async with a_scheduler(jobs=jobs) as scheduler:
            await scheduler.schedule_job("first", "long")
            await scheduler.schedule_job("second", "long")
            await scheduler.schedule_job("beside", "short")
            await wait_until_async(lambda: inline)
            gate.set()
            await wait_until_async(lambda: _done(scheduler, 3))


async def _done(scheduler: StdScheduler, count: int) -> bool:
    return len((await scheduler.runs(RunQuery(statuses=(RunStatus.DONE,)))).items) == count


async def test_it_is_stopped_and_no_fire_is_run_after_that() -> None:
    """What was scheduled stays for the next start."""
    clock, store, jobs = ManualClock(NOON), MemoryStore(), Noting()
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("cleanup", "note", trigger=EVERY_FIVE_MINUTES)
    clock.advance(HOUR)
    assert jobs.noted == []
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock) as scheduler:
        await run_due(scheduler)
    assert jobs.noted == ["cleanup"]
