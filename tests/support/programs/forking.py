"""Fork a running scheduler: the child tries every call, the parent goes on."""

import os
import sys

from duly.jobs import JobRegistry
from duly.scheduler import BlockingScheduler, DulyError, Event, RunEnded
from duly.stores import MemoryStore
from support.blocking_calls import CALLS
from support.programs import say

jobs = JobRegistry()
jobs.job("work")(lambda: None)


def tell(event: Event) -> None:
    """Print what becomes of a run."""
    if isinstance(event, RunEnded):
        say(f"parent: {event.run.slug} {event.run.status}")


scheduler = BlockingScheduler(MemoryStore(), jobs=jobs)
scheduler.subscribe(tell)
scheduler.start()
child = os.fork()
if child == 0:
    for name, call in {**CALLS, "__exit__": BlockingScheduler.__exit__}.items():
        try:
            call(scheduler)
        except DulyError as error:
            say(f"child: {name}: {type(error).__name__}: {error}")
        else:
            say(f"child: {name} returned")
    sys.exit(7)
_, status = os.waitpid(child, 0)
say(f"child ended with {os.waitstatus_to_exitcode(status)}")
scheduler.schedule_job("after", "work")
while scheduler.get_job_slugs():
    pass
scheduler.close()
say("parent closed")
