"""Where jobs run.

In the event loop, in a thread, in a process that is killed at its limit, and in a pool of your own.

python -P examples/executors.py
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from duly.jobs import JobContext, JobRegistry, RetryPolicy
from duly.scheduler import Event, RunEnded, StdScheduler
from duly.stores import MemoryStore

registry = JobRegistry()
pool = ThreadPoolExecutor(2, thread_name_prefix="reports")  # yours: the scheduler never shuts it down


def where(ctx: JobContext) -> None:
    """Print where this is."""
    here = "this process" if str(os.getpid()) in ctx.node.split(":") else "a process of its own"
    print(f"{ctx.kind} runs in {here}, {threading.current_thread().name}", flush=True)


@registry.job("coroutine")
async def coroutine(ctx: JobContext) -> None:
    """Run in the scheduler's event loop, as every `async def` does by default."""
    where(ctx)


@registry.job("report", executor=pool)
def report(ctx: JobContext) -> None:
    """Run in the pool."""
    where(ctx)


@registry.job("crunch", executor="process")
def crunch(ctx: JobContext) -> None:
    """Keep a processor busy without taking Python's lock from anybody."""
    where(ctx)


@registry.job("stuck", executor="process", time_limit=timedelta(seconds=3), retry=RetryPolicy(limit=0))
def stuck() -> None:
    """Never end by itself, and do not listen either."""
    threading.Event().wait()


async def main() -> None:
    """Run each once, and print what became of it."""
    left, done, loop = set(registry), asyncio.Event(), asyncio.get_running_loop()

    def show(event: Event) -> None:
        if isinstance(event, RunEnded):
            reason = (event.run.error or "").rpartition("\n")[2]
            print(f"{event.run.kind} is {event.run.status} {reason}", flush=True)
            left.discard(event.run.kind)
            if not left:
                loop.call_soon_threadsafe(done.set)

    async with StdScheduler(MemoryStore(), jobs=registry) as scheduler:
        scheduler.subscribe(show)
        for kind in registry:
            await scheduler.schedule_job(kind, kind)
        await done.wait()


if __name__ == "__main__":  # a job that is defined here is found by its process, which imports this file anew
    asyncio.run(main())
    pool.shutdown()
