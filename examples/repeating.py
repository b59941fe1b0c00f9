"""A job that repeats: ask a URL at seconds 1, 6, 11 ... of every minute, for as long as is said.

python -P examples/repeating.py http://worldclockapi.com/api/json/est/now --seconds 12
"""

import argparse
import asyncio
from datetime import UTC, datetime

from duly.jobs import CurlJob
from duly.scheduler import RunEnded, StdScheduler
from duly.scheduler.events.events import Event
from duly.stores import MemoryStore
from duly.triggers import CronTrigger


def show(event: Event) -> None:
    """Print what became of each run."""
    if isinstance(event, RunEnded):
        print(event.run.fire_time.time(), event.run.status, event.run.result or event.run.error)


async def main(url: str, seconds: float) -> None:
    """Register the job with its trigger, and schedule it."""
    job, trigger = CurlJob(url), CronTrigger("1/5 * * * * *")
    scheduler = StdScheduler(MemoryStore())
    scheduler.register_job(job, trigger=trigger)
    scheduler.subscribe(show)
    async with scheduler:
        # On a shared store another process may have scheduled it already: then its task is kept as it is.
        await scheduler.schedule_job("curl-now", job, delay=trigger.first_delay(datetime.now(UTC)), if_exists="keep")
        await asyncio.sleep(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=12.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.url, arguments.seconds))
