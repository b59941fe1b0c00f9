"""Cron in one line: a function, run at the ticks of an expression by one of however many copies of a program there are.

::

    with Cron("postgresql://...") as cron:
        cron.go("example", "* * * * *", hello)
        cron.run()
"""

from collections.abc import Callable
from typing import Self, Unpack

from duly.jobs import FunctionJob, JobRegistry
from duly.jobs.registered import JobSettings
from duly.scheduler.blocking import BlockingScheduler
from duly.scheduler.config import Settings
from duly.stores import JobStore
from duly.triggers import CronTrigger


class Cron:
    """Runs functions at cron ticks, each tick once over all the processes that share a store; for programs without asyncio.

    `go` starts it, in threads of its own, so that `Cron(url).go("example", "* * * * *", hello).run()` is a whole
    program. What a process was running when it died is run again by another within two leases: less than a minute with
    the default lease. Everything else is to be had from `scheduler`.
    """

    def __init__(self, store: JobStore | str | None = None, *, jobs: JobRegistry | None = None, **settings: Unpack[Settings]) -> None:
        """Take a URL or a store, as `StdScheduler` does; connects to nothing yet."""
        self.scheduler = BlockingScheduler(store, jobs=jobs, **settings)
        """The scheduler behind it."""

    def go(self, name: str, expression: str | CronTrigger, function: Callable[..., object], **settings: Unpack[JobSettings]) -> Self:
        """Run `function` at every tick from the next one on; a tick that was missed while no process ran is run now, once.

        `name` is the function's in every process and release: under it the schedule is kept, and changed when the
        expression has changed. `settings` are those of `JobRegistry.register_job`.

        Raises:
            TriggerError: the expression is none. JobAlreadyRegistered: the name is taken in this process.
            DulyError: what `JobRegistry.register_job` and `schedule_job` refuse; the name may be given again.

        """
        trigger = expression if isinstance(expression, CronTrigger) else CronTrigger(expression, hash_id=name)
        self.scheduler.register_job(FunctionJob.of(name, function), trigger=trigger, **settings)
        try:
            self.start()
            self.scheduler.schedule_job(name, name, if_exists="replace")
        except BaseException:
            self.scheduler.jobs.deregister_job(name)
            raise
        return self

    def start(self) -> None:
        """Connect, and begin to run what is due; starting twice is once."""
        self.scheduler.start()

    def run(self) -> None:
        """Block until SIGINT or SIGTERM, let what runs come to its end, and close; from the main thread."""
        self.scheduler.run()

    def close(self) -> None:
        """Let what runs come to its end, within the grace, and close. Safe to call twice."""
        try:
            self.scheduler.drain()
        finally:
            self.scheduler.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Drain and close."""
        self.close()
