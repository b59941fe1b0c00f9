"""A job class that forgets to return its task gets no schedule, whichever call brings the trigger."""

import logging
from datetime import timedelta

import pytest

from duly.jobs import Job, JobContext, JobRegistry, Task, TaskOptions
from duly.scheduler import InvalidSchedule, JobNotFound, RunEnded, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from support.schedulers import SECOND, heard


class Forgetful(Job):
    """Forgets `return task`."""

    kind = "forgetful"

    async def execute(self, ctx: JobContext, task: Task, /) -> None:
        """Carry on, it thinks."""


class Leaving(Forgetful):
    """Means it."""

    kind = "leaving"
    removes_itself = True


class Doubtful(Job):
    """Returns what nobody can see beforehand."""

    kind = "doubtful"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task | None:
        """Return None after all."""
        return {task.slug: None}[ctx.slug]


@pytest.fixture
def registry() -> JobRegistry:
    """All three."""
    registry = JobRegistry()
    for job in (Forgetful(), Leaving(), Doubtful()):
        registry.register_job(job)
    return registry


WORDS = r"job 'forgetful' would run once.*`return task`.*`removes_itself = True`"


async def test_the_trigger_of_a_task_is_refused(registry: JobRegistry) -> None:
    """When it is scheduled, and nothing is written."""
    async with StdScheduler("memory://", jobs=registry) as scheduler:
        with pytest.raises(InvalidSchedule, match=WORDS):
            await scheduler.schedule_job("task", "forgetful", trigger="@every 1h")
        assert await scheduler.get_job_slugs() == []
        assert await scheduler.schedule_job("task", "forgetful", delay=timedelta(hours=1))
        assert await scheduler.schedule_job("other", "forgetful", trigger="@every 1h", options=TaskOptions(max_fires=1))


async def test_the_trigger_of_an_update_is_refused(registry: JobRegistry) -> None:
    """The one-off stays what it is."""
    async with StdScheduler("memory://", jobs=registry) as scheduler:
        await scheduler.schedule_job("task", "forgetful", delay=timedelta(hours=1))
        with pytest.raises(InvalidSchedule, match=WORDS):
            await scheduler.update_job("task", trigger="@every 1h")
        assert (await scheduler.get_scheduled_job("task")).trigger is None
        await scheduler.update_job("task", trigger="@after 1 week")


@pytest.mark.parametrize(("kind", "level"), [("leaving", logging.INFO), ("doubtful", logging.WARNING)])
async def test_a_removed_schedule_is_an_event_that_names_it(registry: JobRegistry, kind: str, level: int) -> None:
    """A warning with what to do, unless the class meant it."""
    clock = ManualClock()
    scheduler = StdScheduler("memory://", jobs=registry, clock=clock)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("the:task", kind, trigger="@every 1s")
        await run_due(scheduler, until=clock.now() + 3 * SECOND)
        with pytest.raises(JobNotFound):
            await scheduler.get_scheduled_job("the:task")

    (ended,) = [event for event in events if isinstance(event, RunEnded)]
    assert (ended.removed, ended.level, ended.slug) == (True, level, "the:task")
    assert ("`return task`" in str(ended)) == (level == logging.WARNING)
