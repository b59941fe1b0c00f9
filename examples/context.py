"""The scheduler of the context.

Code deep in a program schedules without being handed one, in a program and in its jobs.

python -P examples/context.py [FILE]

FILE is a configuration, duly.toml beside this file by default. Where there is no scheduler, and where the file says
`on = false`, what is scheduled is checked and discarded.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from duly.jobs import JobContext, JobRegistry, Task
from duly.scheduler import (
    NopScheduler,
    blocking_scheduler_from_context,
    scheduler_context,
    scheduler_from_config,
    scheduler_from_context,
)

SOON = timedelta(seconds=0.1)

registry = JobRegistry()
OFF = NopScheduler(jobs=registry)


async def sign_up(name: str) -> None:
    """Schedule by the scheduler of whoever calls this; by one that discards, if there is none."""
    await scheduler_from_context(OFF).in_(SOON, "welcome", name.encode())
    print(name, "has signed up")


@registry.job("welcome")
def welcome(_: JobContext, task: Task) -> None:
    """Greet, and schedule what comes next by the scheduler that runs this.

    The job runs in a thread, so the call is a blocking one.
    """
    print(f"welcome, {task.payload.decode()}")
    blocking_scheduler_from_context().in_(SOON, "survey", task.payload)


async def main(file: Path) -> None:
    """Sign up without a scheduler, and with one."""
    surveyed = asyncio.Event()

    @registry.job("survey")
    async def survey(_: JobContext, task: Task) -> None:
        print(f"how was it, {task.payload.decode()}?")
        surveyed.set()

    await sign_up("Ada")
    async with scheduler_from_config(file, jobs=registry) as scheduler:
        with scheduler_context(scheduler):
            await sign_up("Bo")
        if not isinstance(scheduler, NopScheduler):
            await surveyed.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("duly.toml")))
