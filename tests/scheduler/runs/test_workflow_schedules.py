"""Schedules whose job goes on with steps: their own times stay as they are."""

from datetime import timedelta

import pytest
from attrs import evolve

from duly.jobs import JobContext, JobRegistry, Misfire, Overlap, Task, TaskOptions, Then
from duly.scheduler.testing import run_due
from support.driven import NOON
from support.tasks import DAY, HOUR, MINUTE
from support.workflows import Steps, begun, on, over, runs_of


@pytest.mark.parametrize("misfire", list(Misfire))
async def test_after_a_step_a_schedule_has_its_own_times_again(misfire: Misfire) -> None:
    """Whatever its misfire policy: none of them moved."""
    jobs = Steps(on(1, after=10 * MINUTE), lambda _, task: evolve(task, payload=b"0"))
    async with begun(jobs, trigger="@every 1h", options=TaskOptions(misfire=misfire)) as node:
        await run_due(node.scheduler, until=NOON + 3 * HOUR + 30 * MINUTE)
        assert (await node.scheduler.get_scheduled_job("w")).run_at == NOON + 4 * HOUR
    assert [(step, fire_time - NOON) for step, fire_time, *_ in jobs.seen] == [
        (step, hours * HOUR + step * 10 * MINUTE) for hours in (1, 2, 3) for step in (0, 1)
    ]


async def test_a_fire_that_waits_is_run_before_the_step_of_its_schedule() -> None:
    """Each in its turn, the step at its own time: a schedule's further fire takes the place of none."""
    jobs, seen = JobRegistry(), list[timedelta]()

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Task | Then:
        seen.append(ctx.fire_time - NOON)
        if len(seen) > 1:
            return task
        await ctx.sleep(90 * MINUTE)
        return task.then(after=10 * MINUTE)

    async with begun(jobs, trigger="@every 1h", options=TaskOptions(overlap=Overlap.QUEUE_ONE)) as node:
        await run_due(node.scheduler, until=NOON + 3 * HOUR)
    assert seen == [HOUR, 2 * HOUR, 160 * MINUTE, 3 * HOUR]


async def test_of_fires_that_run_side_by_side_each_is_a_workflow_to_its_end() -> None:
    """The most fires of the schedule are not the most steps of one."""
    jobs = Steps(on(1, after=5 * HOUR), on(2, after=HOUR), over)
    async with begun(jobs, trigger="@every 1h", options=TaskOptions(overlap=Overlap.ALLOW, max_fires=2)) as node:
        await run_due(node.scheduler, until=NOON + DAY)
        assert await node.scheduler.get_job_slugs() == []
        one = [run.fire_time for run in await runs_of(node, f"w@{(NOON + HOUR).isoformat()}")]
    assert one == [NOON + HOUR, NOON + 6 * HOUR, NOON + 7 * HOUR]
    assert sorted(step for step, *_ in jobs.seen) == [0, 0, 1, 1, 2, 2]
