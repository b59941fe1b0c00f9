"""Run a job of the main module in a process, without a guard of what must not be imported."""

import threading

from duly.jobs import JobRegistry, RetryPolicy
from duly.scheduler import BlockingScheduler, Event, RunEnded
from duly.stores import MemoryStore
from support.programs import say

done, jobs = threading.Event(), JobRegistry()


@jobs.job("job", executor="process", retry=RetryPolicy(limit=0))
def job() -> None:
    """Do nothing."""


def tell(event: Event) -> None:
    """Print what becomes of the run."""
    if isinstance(event, RunEnded):
        say(f"{event.run.status}: {'MainNotGuarded' if 'MainNotGuarded' in (event.run.error or '') else event.run.error}")
        done.set()


scheduler = BlockingScheduler(MemoryStore(), jobs=jobs)
scheduler.subscribe(tell)
with scheduler:
    scheduler.schedule_job("job", "job")
    done.wait(20)
