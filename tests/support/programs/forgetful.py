"""End without closing the scheduler, while a job is stuck.

`forgetful.py thread|loop|nothing` says where.
"""

import sys
import threading
from datetime import timedelta

from duly.jobs import JobRegistry
from duly.scheduler import BlockingScheduler, Event, RunEnded
from duly.stores import MemoryStore
from support.programs import say, stuck

began, jobs = threading.Event(), JobRegistry()


@jobs.job("thread")
def in_thread() -> None:
    """Be stuck in a thread."""
    began.set()
    stuck()


@jobs.job("loop")
async def in_loop() -> None:
    """Be stuck in the scheduler's event loop."""
    began.set()
    stuck()


@jobs.job("nothing")
async def nothing() -> None:
    """End."""
    began.set()


def tell(event: Event) -> None:
    """Print what becomes of the run."""
    if isinstance(event, RunEnded):
        say(event.run.status)


scheduler = BlockingScheduler(MemoryStore(), jobs=jobs, grace=timedelta(seconds=0.5))
scheduler.subscribe(tell)
scheduler.start()
scheduler.schedule_job("forgotten", sys.argv[1])
assert began.wait(10)
say("end of the program")
