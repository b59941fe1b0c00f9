"""The scheduler that discards."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobAlreadyRegistered, JobRegistry
from duly.scheduler import (
    BlockingScheduler,
    FetchedTask,
    InvalidSlug,
    InvalidValue,
    JobNotFound,
    JobNotRegistered,
    NewTask,
    NopScheduler,
    SchedulerClosed,
    StdScheduler,
    TriggerNeverFires,
)
from duly.stores import NopStore, RunQuery, TaskQuery
from support.blocking_calls import CALLS

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def working() -> JobRegistry:
    """A registry with a kind that does nothing, and a declared task."""
    registry = JobRegistry()
    registry.job("work")(lambda: None)
    registry.scheduled("tick", trigger="@every 1s")(lambda: None)
    return registry


async def test_it_answers_as_if_everything_were_written() -> None:
    """And discards it; it needs no store and no start."""
    scheduler = NopScheduler("postgresql://nowhere/none", jobs=working())
    assert await scheduler.schedule_job("t", "work")
    assert await scheduler.schedule_jobs([NewTask("a", "work"), NewTask("b", "work")]) == ["a", "b"]
    assert (await scheduler.at(NOW, "work")).startswith("work:")
    assert (await scheduler.in_(timedelta(0), "work")).startswith("work:")
    assert await scheduler.get_job_slugs() == []


async def test_it_has_nothing_to_show() -> None:
    """Every query is answered, empty."""
    async with NopScheduler(jobs=working()) as scheduler:
        assert (await scheduler.search_jobs(TaskQuery())).items == []
        assert (await scheduler.runs(RunQuery())).items == []
        assert [task async for task in scheduler.iterate_jobs(TaskQuery())] == []
        assert [run async for run in scheduler.iterate_runs(RunQuery())] == []
        assert (await scheduler.count_jobs(TaskQuery()), await scheduler.clear(), await scheduler.nodes()) == (0, 0, [])


async def test_no_slug_is_ever_found() -> None:
    """Also one that was just scheduled."""
    async with NopScheduler(jobs=working()) as scheduler:
        await scheduler.schedule_job("t", "work")
        one = (scheduler.get_scheduled_job, scheduler.delete_job, scheduler.pause_job, scheduler.resume_job, scheduler.trigger_job)
        for method in (*one, scheduler.stop_job, scheduler.restart_job, scheduler.why):
            with pytest.raises(JobNotFound):
                await method("t")


async def test_what_is_wrong_is_refused_as_ever() -> None:
    """A mistake must not wait for the day on which scheduling is turned on."""
    scheduler = NopScheduler(jobs=working())
    with pytest.raises(JobNotRegistered):
        await scheduler.schedule_job("t", "nobody")
    with pytest.raises(InvalidSlug):
        await scheduler.schedule_job("", "work")
    with pytest.raises(InvalidValue):
        await scheduler.schedule_jobs([NewTask("a", "work"), NewTask("a", "work")])
    scheduler.scheduled("past", trigger="@at 2001-01-01T00:00:00Z")(lambda: None)
    with pytest.raises(TriggerNeverFires):
        await scheduler.start()


async def test_its_events_end_when_it_is_closed() -> None:
    """There are none before."""
    scheduler = NopScheduler(jobs=working())
    async with scheduler.events() as events:
        async with scheduler:
            await scheduler.schedule_job("t", "work")
        assert [event async for event in events] == []


@pytest.mark.parametrize("end", [NopScheduler.drain, NopScheduler.close])
async def test_what_is_fetched_waits_for_nothing_until_it_is_drained_or_closed(end: Callable[[NopScheduler], Awaitable[None]]) -> None:
    """As on a store without tasks; before the start and after the end it cannot be fetched, as ever."""

    async def read() -> list[FetchedTask]:
        return [task async for task in scheduler.fetch("letter")]

    scheduler = NopScheduler(jobs=working())
    with pytest.raises(SchedulerClosed):
        scheduler.fetch("letter")
    for _ in range(2):
        await scheduler.start()
        with pytest.raises(JobAlreadyRegistered):
            scheduler.fetch("work")
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        assert not reading.done()
        await end(scheduler)
        assert await reading == []
        with pytest.raises(SchedulerClosed):
            scheduler.fetch("letter")


def test_it_is_a_scheduler_like_any_other() -> None:
    """So that a program need not know which one it has."""
    assert isinstance(NopScheduler(), StdScheduler)


def test_on_the_store_that_discards_the_blocking_scheduler_does_the_same() -> None:
    """Every method that asks for a task does not find it, every other one answers."""
    missed, lives = list[str](), {"start", "drain", "stop_now", "close", "run"}
    with BlockingScheduler(NopStore(), jobs=working()) as scheduler:
        for name in sorted(set(CALLS) - lives):
            try:
                CALLS[name](scheduler)
            except JobNotFound:
                missed.append(name)
        assert scheduler.get_job_slugs() == []
    asking = {"get_scheduled_job", "delete_job", "pause_job", "resume_job", "trigger_job", "stop_job", "restart_job"}
    assert set(missed) == asking | {"update_job", "reschedule_job", "why"}
