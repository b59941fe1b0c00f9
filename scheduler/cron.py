"""Cron in one line: run a function on a cron expression, once among all copies of the program.

::

    with Cron("postgresql://...") as cron:
        cron.go("example", "* * * * *", hello)
        cron.run()
"""

from collections.abc import Callable
from typing import Self, Unpack

from duly.jobs import FunctionJob, JobRegistry, RegisteredJob, TaskOptions
from duly.jobs.keywords import explicit
from duly.jobs.registered import JobSettings
from duly.scheduler.blocking import BlockingScheduler
from duly.scheduler.config import SchedulerConfig, Settings
from duly.stores import JobStore
from duly.triggers import CronTrigger


class Cron:
    """Runs functions on cron expressions, each fire once among all processes that share a store.

    For programs without asyncio. `go` also starts it, in threads of its own, so that
    `Cron(url).go("example", "* * * * *", hello).run()` is a whole program. If a process dies during a run, another process
    runs it again within two leases: less than a minute with the default lease. `scheduler` has all other methods.
    """

    @explicit(Settings, SchedulerConfig)
    def __init__(self, store: JobStore | str | None = None, *, jobs: JobRegistry | None = None, **settings: Unpack[Settings]) -> None:
        """Take a store or a URL, as `StdScheduler` does; it does not connect yet."""
        self.scheduler: BlockingScheduler = BlockingScheduler(store, jobs=jobs, **settings)
        """The scheduler that runs the functions."""

    @explicit(JobSettings, RegisteredJob, TaskOptions)
    def go(self, name: str, expression: str | CronTrigger, function: Callable[..., object], **settings: Unpack[JobSettings]) -> Self:
        """Run `function` at every fire of `expression` from the next one on; start the scheduler if needed.

        A fire that was missed while no process ran is run now, once. `name` must be the same in every process and release: it
        is the slug and the kind of the schedule. A changed expression changes the schedule. `settings` are those of
        `JobRegistry.register_job`. Return this object.

        Raises:
            TriggerError: the expression is not valid. JobAlreadyRegistered: the name is taken in this process.
            DulyError: `JobRegistry.register_job` or `schedule_job` refuses a value; the name may be used again.

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
        """Connect, and begin to run what is due; a second call has no effect."""
        self.scheduler.start()

    def run(self) -> None:
        """Block until SIGINT or SIGTERM, wait for the current runs within the grace, and close.

        Raises:
            NotMainThread: Python delivers signals to the main thread only.

        """
        self.scheduler.run()

    def close(self) -> None:
        """Wait for the current runs within the grace, and close. Safe to call twice."""
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
