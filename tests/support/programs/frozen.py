"""One scheduler in memory, with one job that takes a thread or the event loop until a file is there.

`frozen.py thread|loop|held GATE LEASE`: the test stops this process in mid-job and lets it go on; `held`: the job keeps the
interpreter for three leases.
"""

import asyncio
import ctypes
import sys
import time
from datetime import timedelta
from pathlib import Path

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import Event, NodeStalled, RunEnded, StdScheduler
from duly.stores import MemoryStore
from support.programs import end_with_the_test, say

WHERE, GATE, LEASE = sys.argv[1:]
jobs = JobRegistry()


def is_open() -> bool:
    """Tell whether the jobs may end."""
    return Path(GATE).exists()


async def in_loop(ctx: JobContext) -> None:
    """Wait in the event loop."""
    say(f"began {ctx.attempt}")
    while not is_open():
        await ctx.sleep(timedelta(seconds=0.02))


def in_thread(ctx: JobContext) -> None:
    """Wait in a thread, whoever asks it to end."""
    say(f"began {ctx.attempt}")
    while not is_open():
        time.sleep(0.02)


def held(ctx: JobContext) -> None:
    """Keep Python's global lock, as an extension module may."""
    say(f"began {ctx.attempt}")
    ctypes.PyDLL(None).usleep(round(3e6 * float(LEASE)))


def tell(event: Event) -> None:
    """Print what is told of the run and of the node."""
    if isinstance(event, RunEnded):
        say(event.run.status)
    elif isinstance(event, NodeStalled):
        say("stalled")


async def main() -> None:
    """Run the job to its end, and stop."""
    async with StdScheduler(MemoryStore(), jobs=jobs, lease=timedelta(seconds=float(LEASE))) as scheduler:
        scheduler.subscribe(tell)
        await scheduler.schedule_job("t", "work")
        await scheduler.run()


end_with_the_test()
jobs.job("work")({"thread": in_thread, "loop": in_loop, "held": held}[WHERE])
asyncio.run(main())
