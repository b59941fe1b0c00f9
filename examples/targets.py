"""Handlers by target, and one-offs for them, on a scheduler that a file describes.

The file is the duly.toml beside this one, or another.

python -P examples/targets.py [FILE]
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from duly.jobs import JobContext, RetryPolicy, Task
from duly.scheduler import scheduler_from_config, scheduler_from_context

SECOND = timedelta(seconds=1)


async def welcome(ctx: JobContext, task: Task) -> None:
    """Fail once, then greet; and schedule what comes next, by the scheduler that runs this."""
    if ctx.attempt == 1:
        raise ConnectionError("no mail server")
    print(f"welcome, {task.payload.decode()}, in attempt {ctx.attempt}")
    await scheduler_from_context().in_(SECOND / 10, "survey", task.payload)


async def main(file: Path) -> None:
    """Handle two targets, and schedule a one-off for each."""
    surveyed = asyncio.Event()

    async def survey(_: JobContext, task: Task) -> None:
        print(f"how was it, {task.payload.decode()}?")
        if task.payload == b"Bo":
            surveyed.set()

    async with scheduler_from_config(file) as scheduler:
        scheduler.handle("welcome", welcome)
        deregister = scheduler.handle("survey", survey)
        await scheduler.at(datetime.now(UTC), "survey", b"Ada")
        retry = RetryPolicy(limit=3, min_backoff=SECOND / 10, max_backoff=SECOND)
        print("scheduled", (await scheduler.in_(SECOND / 2, "welcome", b"Bo", retry=retry)).partition(":")[0])
        if await scheduler.get_job_slugs():  # none, where it is turned off
            await surveyed.wait()
        deregister()  # its tasks are left to other nodes from now on
        await scheduler.in_(SECOND, "survey", b"Cleo", remote=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("duly.toml")))
