"""For tests of an application: a clock moved by hand, `run_due` to run what is due, `kill` for a node.

::

    clock = ManualClock()
    async with StdScheduler(MemoryStore(), jobs=registry, clock=clock) as scheduler:
        await scheduler.schedule_job("report", "report")
        await run_due(scheduler, until=clock.now() + timedelta(hours=25))

The scheduler uses the same exchange, decisions and leases as in production. But nothing happens by itself, and a test
never waits.
"""

from duly.scheduler.testing.clock import ManualClock
from duly.scheduler.testing.driving import run_due
from duly.scheduler.testing.killing import kill
from duly.triggers.exports import name_exports

__all__ = ["ManualClock", "kill", "run_due"]

name_exports(__name__)
