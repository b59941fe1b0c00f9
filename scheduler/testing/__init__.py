"""For tests of an application: a clock that is moved by hand, a way to run what is due on it, and a way to kill a node.

::

    clock = ManualClock()
    async with StdScheduler(MemoryStore(), jobs=registry, clock=clock) as scheduler:
        await scheduler.schedule_job("report", "report")
        await run_due(scheduler, until=clock.now() + timedelta(hours=25))

The scheduler takes the same path as in production: the same exchange, decisions and leases. Only nothing happens by
itself, and nothing has to be waited for.
"""

from duly.scheduler.testing.clock import ManualClock
from duly.scheduler.testing.driving import run_due
from duly.scheduler.testing.killing import kill
from duly.triggers.exports import name_exports

__all__ = ["ManualClock", "kill", "run_due"]

name_exports(__name__)
