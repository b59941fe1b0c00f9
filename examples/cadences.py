"""Handlers that are registered once and scheduled by cadences; paused, resumed, run now, unscheduled.

It also shows what there is and what has run.

python -P examples/cadences.py

The clock is moved by hand, so that an hour takes no time; with `StdScheduler()` the same program takes an hour.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from duly.jobs import Fail, JobContext, JobRegistry
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, TaskQuery
from duly.triggers import EVERY_FIVE_MINUTES, HOURLY, daily_at, every, weekly_on

MINUTE = timedelta(minutes=1)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

registry = JobRegistry()


@registry.job("purge")
async def purge(ctx: JobContext) -> None:
    """Take seven minutes at 12:10: the fire at 12:15 is skipped, because this is still in flight."""
    await ctx.sleep(7 * MINUTE if ctx.fire_time == NOON + 10 * MINUTE else timedelta(0))


@registry.job("report")
def report() -> None:
    """Fail, and be not tried again."""
    raise Fail("the printer is out of paper")


async def show_jobs(scheduler: StdScheduler) -> None:
    """Print what is scheduled."""
    async for task in scheduler.iterate_jobs(TaskQuery()):
        print(f"{task.slug:8} {task.trigger:12} {'paused' if task.paused else f'next at {task.run_at:%a %H:%M}'}")


async def show_runs(scheduler: StdScheduler) -> None:
    """Print what was run, and what was not."""
    for run in sorted([run async for run in scheduler.iterate_runs(RunQuery())], key=lambda run: run.fire_time):
        problem = (run.error or "").splitlines()
        print(f"{run.fire_time:%H:%M} {run.slug:8} {run.status:8} {problem[-1] if problem else ''}".rstrip())


async def main() -> None:
    """Go through an hour."""
    clock = ManualClock(NOON)
    async with StdScheduler(MemoryStore(), jobs=registry, clock=clock) as scheduler:
        for slug, kind, cadence in (
            ("cleanup", "purge", EVERY_FIVE_MINUTES),
            ("hourly", "report", HOURLY),
            ("nightly", "report", daily_at(3, 30)),
            ("weekly", "report", weekly_on("MON", 9)),
            ("often", "purge", every("40m")),
        ):
            await scheduler.schedule_job(slug, kind, trigger=cadence, if_exists="replace")
        await run_due(scheduler, until=NOON + 20 * MINUTE)
        await scheduler.pause_job("cleanup")
        await show_jobs(scheduler)
        await run_due(scheduler, until=NOON + 32 * MINUTE)
        await scheduler.trigger_job("cleanup")  # once, though it is paused
        await run_due(scheduler)
        await scheduler.delete_job("often")
        await scheduler.resume_job("cleanup")  # of what it missed, the latest is run: the misfire policy's default
        await run_due(scheduler, until=NOON + 35 * MINUTE)
        await scheduler.delete_job("cleanup")  # its handler stays
        await run_due(scheduler, until=NOON + 60 * MINUTE)
        print("purge is", "registered" if "purge" in scheduler.jobs else "gone")
        await show_runs(scheduler)


if __name__ == "__main__":
    asyncio.run(main())
