"""A publisher and two subscribers.

Tasks are scheduled by one program, and done by others, which say how it went.

python -P examples/fetch.py
"""

import asyncio
from datetime import timedelta

from duly.scheduler import Event, FetchedTask, NewTask, RunEnded, StdScheduler
from duly.stores import JobStore, MemoryStore

BACKUPS = [f"disk-{number}" for number in range(6)]


async def publish(store: JobStore) -> None:
    """Schedule the tasks; this program has no job for them, and so says `remote`."""
    async with StdScheduler(store, node="publisher") as scheduler:
        await scheduler.schedule_jobs([NewTask(f"backup:{disk}", "backup", payload=disk.encode(), remote=True) for disk in BACKUPS])


async def back_up(task: FetchedTask) -> None:
    """Do the work, and acknowledge it; the first attempt at one disk finds it busy."""
    disk = task.payload.decode()
    if disk == "disk-3" and task.attempt == 1:
        await task.retry(after=timedelta(seconds=0.1), reason="the disk is busy")
        print(f"{disk} is busy: another try, soon")
    else:
        await task.commit(result=f"{disk} is saved")


async def subscribe(scheduler: StdScheduler) -> None:
    """Fetch until the scheduler drains, two at a time."""
    async with scheduler.fetch("backup", max_in_flight=2) as tasks:
        async for task in tasks:
            await back_up(task)


async def main() -> None:
    """Let the three programs, here in one process, share a store."""
    store, ended, loop = MemoryStore(), asyncio.Queue[RunEnded](), asyncio.get_running_loop()

    def hear(event: Event) -> None:
        if isinstance(event, RunEnded) and event.removed:
            loop.call_soon_threadsafe(ended.put_nowait, event)

    async with StdScheduler(store, node="one") as one, StdScheduler(store.sibling(), node="two") as two:
        for scheduler in (one, two):
            scheduler.subscribe(hear)
        subscribers = [asyncio.create_task(subscribe(scheduler)) for scheduler in (one, two)]
        await publish(store.sibling())
        for _ in BACKUPS:
            run = (await ended.get()).run
            print(f"{run.result} at attempt {run.attempt}, by {run.node}")
    await asyncio.gather(*subscribers)  # the drain has ended their streams


if __name__ == "__main__":
    asyncio.run(main())
