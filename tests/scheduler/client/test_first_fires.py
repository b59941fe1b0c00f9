"""A first fire of its own, and whether the trigger of the kind goes on after it."""

from datetime import timedelta

import pytest

from duly.jobs import JobContext, JobRegistry
from duly.jobs.spawning import When
from duly.scheduler import NewTask, NopScheduler, ScheduleGoesOn, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import TaskQuery
from duly.triggers import CronTrigger
from support.schedulers import HOUR, SECOND, heard


@pytest.fixture
def registry() -> JobRegistry:
    """A kind with a trigger, and one without."""
    registry = JobRegistry()
    registry.job("daily", trigger=CronTrigger("0 9 * * *"))(lambda: None)
    registry.job("plain")(lambda: None)

    @registry.job("parent")
    def parent(ctx: JobContext) -> None:
        ctx.spawn("child", "daily", once=True)

    return registry


@pytest.mark.parametrize("first", [When(delay=SECOND), When(delay=timedelta(0)), When()])
async def test_once_leaves_the_trigger_of_the_kind_out(registry: JobRegistry, first: When) -> None:
    """The task is a one-off, and gone after its fire; nothing is worth a word."""
    clock = ManualClock()
    scheduler = StdScheduler("memory://", jobs=registry, clock=clock)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("task", "daily", **first | When(once=True))
        assert await run_due(scheduler, until=clock.now() + 72 * HOUR) == 1
        assert await scheduler.count_jobs(TaskQuery()) == 0
    assert not [event for event in events if isinstance(event, ScheduleGoesOn)]


async def test_a_job_spawns_once(registry: JobRegistry) -> None:
    """With the same keyword."""
    clock = ManualClock()
    async with StdScheduler("memory://", jobs=registry, clock=clock) as scheduler:
        await scheduler.schedule_job("parent", "parent")
        assert await run_due(scheduler, until=clock.now() + 72 * HOUR) == 2


async def test_how_a_task_goes_on_by_its_kind_is_told(registry: JobRegistry) -> None:
    """When it has a first fire of its own, and is written."""
    scheduler = StdScheduler("memory://", jobs=registry, clock=ManualClock())
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("task", "daily", delay=SECOND)
        await scheduler.schedule_job("task", "daily", delay=SECOND, if_exists="keep")
        await scheduler.schedule_job("by the trigger", "daily")
        await scheduler.schedule_job("its own trigger", "daily", delay=SECOND, trigger="@every 1h")
        await scheduler.schedule_job("no trigger", "plain", delay=SECOND)

    (told,) = [event for event in events if isinstance(event, ScheduleGoesOn)]
    assert str(told) == "task 'task' (daily) is scheduled, then 09:00 every day, UTC, by its kind; once=True leaves that out"


async def test_a_scheduler_that_discards_tells_nothing(registry: JobRegistry) -> None:
    """Nothing goes on."""
    scheduler = NopScheduler(jobs=registry)
    events = heard(scheduler)
    await scheduler.schedule_job("task", "daily", delay=SECOND)
    assert events == []


def test_a_new_task_may_be_asked_for_once() -> None:
    """In bulk it is the same word."""
    assert NewTask("task", "daily", once=True).once
