"""Run a scheduler until a signal comes.

`running.py std|std-with|blocking|blocking-with|with soon|never`: the last word says when its job ends.
"""

import asyncio
import signal
import sys
import threading
import time
from datetime import timedelta

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import BlockingScheduler, Event, RunEnded, StdScheduler
from duly.stores import MemoryStore
from support.programs import say

FACE, ENDS = sys.argv[1:]
jobs = JobRegistry()


@jobs.scheduled("work", trigger="@every 50ms")
async def work(ctx: JobContext) -> None:
    """Take a while, or for ever."""
    say("began")
    await (asyncio.Event().wait() if ENDS == "never" else ctx.sleep(timedelta(seconds=0.3)))
    say("ended")


def tell(event: Event) -> None:
    """Print what becomes of a run."""
    if isinstance(event, RunEnded) and event.run.status != "skipped":
        say(event.run.status)


def watch(scheduler: StdScheduler) -> None:
    """Tell when the scheduler begins to drain."""
    while scheduler._running_node is None or scheduler._running_node.dispatcher.is_locking:
        time.sleep(0.01)
    say("draining")


def main() -> None:
    """Run it, and tell when it is closed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is not there when the tests run in a shell's background
    grace = timedelta(minutes=10)
    std = StdScheduler(MemoryStore(), jobs=jobs, grace=grace)
    blocking = BlockingScheduler(MemoryStore(), jobs=jobs, grace=grace)
    watched = std if FACE.startswith("std") else blocking._std
    watched.subscribe(tell)
    threading.Thread(target=watch, args=[watched], daemon=True).start()
    if FACE == "std":
        asyncio.run(std.run())
    elif FACE == "std-with":
        asyncio.run(inside(std))
    elif FACE == "blocking":
        blocking.run()
    elif FACE == "blocking-with":
        with blocking:
            blocking.run()
    else:
        try:
            with blocking:
                threading.Event().wait()
        except KeyboardInterrupt:
            say("interrupted")
    say("closed")


async def inside(scheduler: StdScheduler) -> None:
    """Run it inside its context."""
    async with scheduler:
        await scheduler.run()


main()
