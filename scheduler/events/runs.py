"""What happens to runs and their tasks."""

import logging
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from duly.jobs import RunFacts, Task
from duly.scheduler.events.events import Event
from duly.scheduler.wording import counted, described, one_line
from duly.stores import LockLost, Run
from duly.triggers import Trigger


@frozen(kw_only=True)
class ScheduleGoesOn(Event):
    """Somebody scheduled a task with a first fire of its own, after which the trigger of its kind goes on.

    Told by `schedule_job`, because many expect a single fire there; `once=True` asks for that.
    """

    slug: str
    """The task."""
    kind: str
    """Kind of the task."""
    trigger: Trigger
    """The trigger of that kind."""

    def __str__(self) -> str:
        return f"task {self.slug!r} ({self.kind}) is scheduled, then {described(self.trigger)}, by its kind; once=True leaves that out"


@frozen(kw_only=True)
class RunStarted(Event):
    """A job began to work on a fire."""

    task: Task
    """The task, as it was locked."""
    fire_time: datetime
    """Nominal instant of the fire, in UTC."""

    @property
    def level(self) -> int:
        """Quiet."""
        return logging.DEBUG

    @property
    def slug(self) -> str:
        """The task."""
        return self.task.slug

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """The run's."""
        task = self.task
        return _fields(task.slug, task.kind, task.attempt, self.fire_time, task.lease_id or "-")

    @property
    def kind(self) -> str:
        """Kind of the task."""
        return self.task.kind

    def __str__(self) -> str:
        return f"task {self.task.slug!r} ({self.task.kind}) runs for {self.fire_time.isoformat()}, attempt {self.task.attempt}"


@frozen(kw_only=True)
class RunEnded(Event):
    """What became of a run is written; `removed` tells whether its task went with it."""

    run: Run
    """The run as it stands in the history."""
    removed: bool
    """Whether its task was removed with it."""
    warning: str = ""
    """What is worth a look although the run was written; empty: nothing."""

    @property
    def level(self) -> int:
        """A run that failed for good is an error; another that was not done is worth a warning."""
        if self.run.status == "failed":
            return logging.ERROR
        return logging.INFO if self.run.status == "done" and not self.warning else logging.WARNING

    @property
    def slug(self) -> str:
        """The task."""
        return self.run.slug

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """The run's."""
        run = self.run
        return _fields(run.slug, run.kind, run.attempt, run.fire_time, run.id)

    @property
    def kind(self) -> str:
        """Kind of the task."""
        return self.run.kind

    def __str__(self) -> str:
        what = f"task {self.run.slug!r} ({self.run.kind}) {self.run.status} for {self.run.fire_time.isoformat()}"
        count = f", {self.run.count} fires" if self.run.count > 1 else ""
        error = one_line(self.run.error or "")
        return f"{what}, attempt {self.run.attempt}{count}{error and ': ' + error}{self.warning and ' - ' + self.warning}"


@frozen(kw_only=True)
class _OfARun(Event):
    """An event of one run, which its log line names."""

    kind: str | None = None
    """Kind of the task."""
    facts: RunFacts | None = None
    """Which run it was; None if that is not known."""

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """The run's, as far as it is known."""
        return super().log_fields if self.facts is None else self.facts.fields


@frozen(kw_only=True)
class LeaseLost(_OfARun):
    """A task that this node was working on is no longer its own.

    The run is stopped, and its outcome is not written.
    """

    error: LockLost
    """Names the task and the lease."""
    reason: str
    """How the node knows."""

    @property
    def level(self) -> int:
        """The task may run twice."""
        return logging.WARNING

    @property
    def slug(self) -> str:
        """The task."""
        return self.error.slug

    def __str__(self) -> str:
        return f"{self.error}: {self.reason}"


@frozen(kw_only=True)
class RunLost(Event):
    """A task that this node locked had lost a run.

    Its former node died, or let its lease end for another reason.

    Told once by each node that locks the task while it is at that fire.
    """

    slug: str
    """The task."""
    kind: str
    """Kind of the task."""
    crashes: int
    """How many runs of this fire were lost by now."""
    lease_ended_at: datetime | None
    """When the lease of the lost run ended; if the task failed on another node since, when that run did."""

    @property
    def level(self) -> int:
        """A node died, or a job killed it."""
        return logging.WARNING

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """The task's: the run itself is only known to the node that is gone."""
        return {"slug": self.slug, "kind": self.kind}

    def __str__(self) -> str:
        when = "" if self.lease_ended_at is None else f"; its lease ended at {self.lease_ended_at.isoformat()}"
        return f"task {self.slug!r} ({self.kind}) lost {counted(self.crashes, 'run')} of its fire with the node{when}"


@frozen(kw_only=True)
class RunReturned(_OfARun):
    """A task was locked and given back unrun, its attempt refunded."""

    slug: str
    """The task."""
    reason: str
    """Why it was not run."""

    @property
    def level(self) -> int:
        """Somebody should know why it does not run."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} handed back unrun: {self.reason}"


@frozen(kw_only=True)
class TaskUnreadable(Event):
    """A due task cannot be read by this version of duly, and was left to other nodes.

    Told at each try; they are at most 15 minutes apart.
    """

    slug: str
    """The task."""
    reason: str
    """What cannot be read, and why."""

    @property
    def level(self) -> int:
        """It does not run here."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} put off, because this version of duly cannot read it: {self.reason}"


@frozen(kw_only=True)
class RunAbandoned(_OfARun):
    """A run was given up while its job may still be at work, which nobody here can end.

    What it goes on to do may be done twice.
    """

    slug: str
    """The task."""
    run_id: str
    """Id of the run in the history."""
    reason: str
    """Why it was given up."""
    abandoned: int
    """How many such runs take up room on this node until they end, as far as it can see."""

    @property
    def level(self) -> int:
        """A possible double, and one slot less."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"task {self.slug!r} given up at work: {self.reason} ({self.abandoned} of these take up room here)"


def _fields(slug: str, kind: str, attempt: int, fire_time: datetime, run_id: str) -> Mapping[str, str | int]:
    return RunFacts(slug=slug, kind=kind, attempt=attempt, fire_time=fire_time, run_id=run_id).fields
