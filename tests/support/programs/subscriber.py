"""Fetch until a signal comes, and commit each task once its gate is open.

`subscriber.py NAME URL NAMESPACE LEASE GRACE CONCURRENCY`.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from duly.scheduler import FetchedTask, StdScheduler
from duly.stores import open_store
from support.fetching import KIND
from support.fleet import DEADLINE
from support.programs import end_with_the_test, say
from support.waiting import wait_until_async

NAME, URL, NAMESPACE, LEASE, GRACE, CONCURRENCY = sys.argv[1:]


async def work(task: FetchedTask) -> None:
    """Wait for a file of the payload's name, and commit."""
    told = f"{task.slug} {task.fire_time.isoformat()} {task.attempt}"
    say(f"began {told}")
    await wait_until_async(Path(task.payload.decode()).exists, DEADLINE)
    await task.commit()
    say(f"ended {told}")


async def main() -> None:
    """Work on all that is fetched side by side, until the node stops."""
    scheduler = StdScheduler(
        open_store(URL, namespace=NAMESPACE),
        node=NAME,
        lease=timedelta(seconds=float(LEASE)),
        grace=timedelta(seconds=float(GRACE)),
        concurrency=int(CONCURRENCY),
    )
    await scheduler.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(scheduler.run())
        async for task in scheduler.fetch(KIND, max_in_flight=int(CONCURRENCY)):
            group.create_task(work(task))


end_with_the_test()
asyncio.run(main())
