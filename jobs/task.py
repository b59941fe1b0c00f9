"""One scheduled thing in a store: the record that every node, every store and every tool shares."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from attrs import field, frozen

from duly.jobs.options import DEFAULT_OPTIONS, TaskOptions
from duly.jobs.plain import Plain, to_dict
from duly.jobs.storable import storable
from duly.jobs.validators import (
    at_least,
    boolean,
    instance_of,
    instants,
    name,
    or_none,
    payload,
    slug,
    tally,
    text,
    text_map,
    text_of_trigger,
    texts,
    trigger_text,
    utc,
    utc_each,
    utc_or_none,
)

_name_or_none, _text_or_none = or_none(name), or_none(text)


class TaskState(StrEnum):
    """Where a task is on its way; whether it is paused is a flag of its own, legal in every state."""

    SCHEDULED = "scheduled"
    """Waits for its fire time or for a retry."""
    RUNNING = "running"
    """A node holds it under a lease."""
    FAILED = "failed"
    """Set aside with its payload and error, until somebody restarts or deletes it."""


class TriggerSource(StrEnum):
    """Who says when a task fires."""

    TASK = "task"
    """The task itself: by the trigger it was scheduled with, or by none (a one-off)."""
    JOB = "job"
    """Its job: a copy of the registered trigger's text, or, where that has no text form, the trigger in the code."""


class RunAtSource(StrEnum):
    """Who set a task's `run_at`."""

    TRIGGER = "trigger"
    """Its trigger: the fire time may be computed anew when a clock or a time zone was wrong."""
    CALLER = "caller"
    """A person or a program, by `at`, `delay`, a move or a returned task: it stays as it was given."""


RECORD_VERSION = 1
"""The newest form of the task record that this version of duly understands; see `Task.needs`."""


class Request(StrEnum):
    """What somebody asks of the holder of a running task; seen at its next heartbeat at the latest."""

    NONE = "none"
    """Nothing is asked."""
    STOP = "stop"
    """End the run."""
    RUN_NOW = "run_now"
    """Run the task once more, as soon as this run has ended."""


@frozen(kw_only=True)
class Task:
    """A task as a store keeps it; a change is a new value (`attrs.evolve`), and only a store writes it.

    All instants are aware and in UTC, to the microsecond. Design rules that tie the fields together stand in
    `duly.stores.rules.transitions`; nothing else computes `state`, `due_at` or the lease fields.
    """

    slug: str = field(validator=slug)
    """Name of the task, one in its namespace; 1 to 255 characters."""
    kind: str = field(validator=name)
    """Registered name of the job that runs it."""
    run_at: datetime = field(converter=utc)
    """Fire time: the nominal instant of the current or next run."""
    run_at_from: RunAtSource = field(default=RunAtSource.CALLER, converter=RunAtSource)
    """Who set `run_at`. Of a fire in `owed` it says nothing: that has been decided."""
    anchor: datetime = field(converter=utc)
    """The trigger's last nominal fire, at first the instant from which it counts; the next fire follows from it alone.

    With a fixed delay it is the end of the last run.
    """

    namespace: str = field(default="default", validator=name)
    """The tenant; a store stamps its own on what it writes."""
    payload: bytes = field(default=b"", validator=payload, repr=False)
    """Argument of the job, at most 512 KiB; the scheduler's `payload_limit` is lower."""
    payload_version: int = field(default=1, validator=at_least(1))
    """The format of the payload, for the job to tell old from new."""
    trigger: str | None = field(default=None, converter=text_of_trigger, validator=trigger_text)
    """Text form of the trigger, if it has one; a trigger that is given is kept as its text."""
    trigger_from: TriggerSource = field(default=TriggerSource.TASK, converter=TriggerSource)
    """Whether the trigger is the task's own or its job's."""
    options: TaskOptions = field(default=DEFAULT_OPTIONS, validator=instance_of(TaskOptions))
    """How it is run."""
    metadata: Mapping[str, str] = field(factory=dict, converter=text_map, validator=texts)
    """Labels for people and searches, text to text; no job reads them."""
    declared: str | None = field(default=None, validator=_text_or_none)
    """Digest of the declaration in code that this definition came from; None: no code declared it."""
    needs: int = field(default=1, validator=at_least(1))
    """Lowest `RECORD_VERSION` that a node must have to run the task; nodes of older versions pass it over."""

    state: TaskState = field(default=TaskState.SCHEDULED, converter=TaskState)
    """Where it is on its way."""
    paused: bool = field(default=False, validator=boolean)
    """Whether no new run starts until it is resumed."""
    due_at: datetime | None = field(default=None, converter=utc_or_none)
    """Earliest instant at which the task may be locked: its fire time, its retry time or the end of its lease; None = never."""
    retry_at: datetime | None = field(default=None, converter=utc_or_none)
    """When the failed or handed-back run of the current fire is tried again."""
    owed: tuple[datetime, ...] = field(default=(), converter=utc_each, validator=instants)
    """Fires that were decided to be run, and wait, the oldest first and next: `run_at` is the first, unless the next run was moved."""
    attempt: int = field(default=0, validator=tally)
    """Runs of the current fire that were started and not refunded."""
    first_run_at: datetime | None = field(default=None, converter=utc_or_none)
    """When the current fire was first locked: the start of the retry policy's age."""
    crashes: int = field(default=0, validator=tally)
    """Runs of the current fire that were lost with their lease."""
    fires: int = field(default=0, validator=tally)
    """Fires of this task that were brought to an end, for schedules of at most so many."""
    ended_at: datetime | None = field(default=None, converter=utc_or_none)
    """When the last run ended, or its lease did; None while one waits for its retry, which has not ended."""
    idle_since: datetime | None = field(default=None, converter=utc_or_none)
    """Since when, until its lock, nobody ran the task in the midst of the current fire: its lease ended, or its run was cut short.

    None: the current fire had no such gap, or is not yet begun.
    """

    lease_id: str | None = field(default=None, validator=_name_or_none)
    """Fences every write of the holder; new at every lock, never reused."""
    last_lease: str | None = field(default=None, validator=_name_or_none)
    """The lease of the last write of a holder: how a repeated write is known as done."""
    node: str | None = field(default=None, validator=_name_or_none)
    """Name of the node that holds the lease; None: nobody does."""
    instance: str | None = field(default=None, validator=_name_or_none)
    """Instance id of that node, which tells two nodes of one name apart; None: nobody holds the lease, or the node has no such id."""
    locked_at: datetime | None = field(default=None, converter=utc_or_none)
    """When it was locked; None while nobody holds it."""
    request: Request = field(default=Request.NONE, converter=Request)
    """What its holder is asked for."""

    result: str | None = field(default=None, converter=storable, repr=False)
    """Text the last run left, bounded."""
    last_error: str | None = field(default=None, converter=storable, repr=False)
    """Error of the last run that failed, with its traceback, bounded; None after a run that did not."""

    version: int = field(default=1, validator=tally)
    """Grows with every write but a heartbeat; an edit names the version it was made on."""
    created_at: datetime | None = field(default=None, converter=utc_or_none)
    """When it was created; None before a store has it."""
    updated_at: datetime | None = field(default=None, converter=utc_or_none)
    """When it was last written; None before a store has it."""
    etag: object = field(default=None, eq=False, repr=False)
    """Opaque to all but the store that set it; not part of the value."""

    def to_dict(self) -> Plain:
        """Return the task as plain values that `json` takes, field by field.

        Instants are ISO 8601 text in UTC, lengths of time are seconds, and the payload is Base64.
        """
        return to_dict(self)

    @property
    def recurring(self) -> bool:
        """Whether a trigger gives it further fires.

        A one-off has none, nor has `@after`, which says only when its one fire is.
        """
        if self.trigger is not None:
            return not self.trigger.lower().startswith("@after")
        return self.trigger_from is TriggerSource.JOB

    def then(
        self,
        *,
        payload: bytes | None = None,
        payload_version: int | None = None,
        after: timedelta = timedelta(0),
        result: str | None = None,
    ) -> "Then":
        """Return what a job returns to go on with its next step.

        The step is a fire of its own, `after` so long from the end of this run.

        The payload, the state between the steps, is written in the same write as the end of the step; without one it stays. `result` is
        this step's alone.

        Raises:
            InvalidValue: `after` is no timedelta from 0 to a hundred years, or the payload cannot be kept.

        """
        return Then(
            slug=self.slug,
            payload=self.payload if payload is None else payload,
            payload_version=self.payload_version if payload_version is None else payload_version,
            result=result,
            after=after,
        )


@frozen(kw_only=True)
class Then:
    """What a job returns to go on with its next step; made by `Task.then`, and never stored.

    It says how long, not when, because a job has no clock: its scheduler's counts, from the end of the run.
    """

    slug: str = field(validator=slug)
    """Slug of the task that goes on."""
    payload: bytes = field(validator=payload, repr=False)
    """Payload of the next step."""
    payload_version: int = field(default=1, validator=at_least(1))
    """Format version of that payload."""
    result: str | None = field(default=None, converter=storable, repr=False)
    """Text that this step leaves, bounded; None: none."""
    after: timedelta = field(default=timedelta(0), validator=at_least(timedelta(0)))
    """Time from the end of this run to the next step; zero or longer."""
