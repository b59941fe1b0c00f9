"""What waits, when the trigger changes, a run is moved, or every lock is late."""

from datetime import timedelta

from attrs import evolve

from duly.jobs import JobContext, JobRegistry, Misfire, Task, TaskOptions
from duly.scheduler import StdScheduler
from duly.scheduler.testing import run_due
from duly.stores import Run, RunQuery
from support.driven import NOON, Noting, driven

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


async def history(scheduler: StdScheduler) -> list[Run]:
    """Return every run, oldest first."""
    return [*reversed((await scheduler.runs(RunQuery())).items)]


async def test_what_fire_all_makes_up_has_a_bound_however_late_each_lock_is() -> None:
    """A node that is slower than the schedule does not gather fires without end."""
    options = TaskOptions(misfire=Misfire.FIRE_ALL, catch_up_limit=3)
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="@every 1s", options=options)
        for _ in range(10):
            node.clock.advance(10 * SECOND)
            await node.dispatcher.run_once()
            await node.scheduler.running_node.runs.rest()
            node.dispatcher.is_locking = False
            await node.dispatcher.run_once()
            node.dispatcher.is_locking = True

        assert len((await node.scheduler.get_scheduled_job("s")).owed) <= 3


async def test_fires_that_passed_are_not_lost_in_silence_when_the_trigger_is_changed() -> None:
    """Each was run, or is on record."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *", options=TaskOptions(misfire=Misfire.FIRE_ALL))
        node.clock.move_to(NOON + 3.25 * HOUR)
        await node.scheduler.update_job("s", trigger="30 0 * * *")
        await run_due(node.scheduler)

        assert sum(run.count for run in await history(node.scheduler)) == 3


async def test_a_delay_that_a_running_schedule_is_given_is_not_lost() -> None:
    """`@after` makes it a one-off, whose one fire is still ahead."""
    jobs = JobRegistry()

    @jobs.job("slow")
    async def slow(ctx: JobContext) -> None:
        await ctx.sleep(MINUTE)

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "slow", trigger="0 * * * *", at=NOON)
        await run_due(node.scheduler)
        await node.scheduler.update_job("s", trigger="@after 10 minutes")
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert [run.fire_time - NOON for run in await history(node.scheduler)] == [timedelta(0), 10 * MINUTE]


async def test_run_now_while_a_job_runs_that_moves_its_next_run_is_run_when_it_has_ended() -> None:
    """What waits is run before anything else."""
    jobs, seen = JobRegistry(), []

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Task:
        seen.append(ctx.fire_time - NOON)
        await ctx.sleep(MINUTE)
        return evolve(task, run_at=NOON + 24 * HOUR)

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "steps")
        await run_due(node.scheduler, until=NOON + SECOND)
        await node.scheduler.trigger_job("s")
        await run_due(node.scheduler, until=NOON + HOUR)

        assert seen == [timedelta(0), SECOND]
