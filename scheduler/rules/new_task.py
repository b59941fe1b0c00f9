"""What somebody asks to be scheduled, checked and made into a task. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import FunctionType

from attrs import field, frozen

from duly.jobs import InvalidDelay, InvalidJob, InvalidSlug, InvalidValue, Overlap, Task, TaskOptions, TriggerSource
from duly.jobs.base import NO_KIND
from duly.jobs.keywords import check_keywords
from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.options import OptionValues
from duly.jobs.payload import check_payload
from duly.jobs.registered import DeclaredTask, KnownJobs, RegisteredJob
from duly.jobs.returning import FORGOTTEN, recurs
from duly.jobs.spawning import When
from duly.jobs.task import RunAtSource
from duly.jobs.typed import encode_payload
from duly.jobs.validators import NAME_LIMIT
from duly.scheduler.errors import InvalidSchedule, TriggerNeverFires
from duly.scheduler.rules.spawned_fires import spawned_slug
from duly.triggers import (
    END_OF_TIME,
    Between,
    CountsFrom,
    Jittered,
    Trigger,
    next_fire_after,
    parse_trigger,
    require_aware,
    require_trigger,
)


@frozen
class NewTask:
    """A task to be scheduled.

    Without a `trigger` of its own it fires by its job's; if that has none, it is a one-off. `at` or `delay` (from now)
    set its first fire, after which the trigger goes on from there; a one-off without either fires at once. The trigger
    `@after 1 week` makes a one-off, too.
    """

    slug: str
    """Name of the task, one in its namespace."""
    job: KindOrJob
    """Its kind, or a job or class of that kind."""
    trigger: Trigger | str | None = field(default=None, kw_only=True)
    """When it fires, as a trigger or its text, such as `@every 5m`; None: by its job's trigger."""
    at: datetime | None = field(default=None, kw_only=True)
    """First fire, an aware datetime; None: `delay` or the trigger says. Not together with `delay`."""
    delay: timedelta | None = field(default=None, kw_only=True)
    """First fire so long from now; zero: at once. None: `at` or the trigger says."""
    start_at: datetime | None = field(default=None, kw_only=True)
    """The trigger's fires before this are left out. Together with the next two, it makes the trigger the task's own."""
    end_at: datetime | None = field(default=None, kw_only=True)
    """The last instant at which it may fire."""
    jitter: timedelta | None = field(default=None, kw_only=True)
    """Each fire is up to so much late, by a hash of slug and fire time, and never past the next one."""
    payload: Payload = field(default=b"", kw_only=True, repr=False)
    """Bytes, or an object of the class that the kind is registered with."""
    payload_version: int = field(default=1, kw_only=True)
    """Of bytes; an object has the version of its class."""
    options: TaskOptions | None = field(default=None, kw_only=True)
    """How it is run; None = as its job says."""
    metadata: Mapping[str, str] = field(factory=dict, kw_only=True)
    """Labels for people and searches, text to text."""
    remote: bool = field(default=False, kw_only=True)
    """Allow a kind that only other nodes have registered."""
    once: bool = field(default=False, kw_only=True)
    """Leave the job's trigger out: the task is a one-off without it, as it is for a job that has none."""


def new_task(declared: DeclaredTask) -> NewTask:
    """Return the task that a registry declares."""
    return NewTask(declared.slug, declared.kind, payload=declared.payload, payload_version=declared.payload_version)


def kind_of(job: KindOrJob) -> str:
    """Return the kind that a job is known by.

    Raises:
        InvalidJob: it has none, as a function that was registered: its kind names it.

    """
    kind = job if isinstance(job, str) else getattr(job, "kind", None)
    if isinstance(job, FunctionType):
        raise InvalidJob(job, "expected the kind that the function is registered under, as by @registry.job(kind)")
    if kind == "" and kind != job:
        raise InvalidJob(job, NO_KIND)
    if not isinstance(kind, str):
        raise InvalidJob(job, "expected a registered kind, or a job or class that has one")
    return kind


def to_task(new: NewTask, registry: KnownJobs, *, now: datetime, payload_limit: int) -> Task:
    """Return the task that `new` describes, for a store to create.

    Raises:
        InvalidJob, JobNotRegistered: the job has no kind, or one that is not registered here, and `remote` was not said.
        InvalidSchedule, InvalidDelay, NaiveDatetime: `at` and `delay` do not say one instant from now on.
        InvalidSchedule: the job's class forgets to return its task, and the trigger would be removed with it.
        TriggerError: the trigger is none, or its text cannot be parsed. TriggerNeverFires: it has no fire time from now on.
        InvalidSlug, InvalidValue, PayloadTooLarge: a value cannot be kept.
        InvalidPayload: the payload is of another class than the kind's.

    """
    kind = kind_of(new.job)
    registered = None if new.remote and kind not in registry else registry.get(kind)
    payload, version = encode_payload(new.payload, new.payload_version, kind, None if registered is None else registered.codec)
    trigger, source = _trigger(new, registered)
    options = new.options or (registered.options if registered else TaskOptions())
    check_returning(new.slug, registered, trigger, options)
    first = _own_first_fire(new, now)
    if trigger is not None and trigger.counts_from is CountsFrom.SCHEDULING:
        first = _delayed(new, trigger, first, now)
    task = Task(
        slug=new.slug,
        kind=kind,
        payload=check_payload(payload, payload_limit),
        payload_version=version,
        trigger=None if trigger is None else _text(trigger, source, new.slug),
        trigger_from=source,
        options=options,
        metadata=new.metadata,
        anchor=first or now,
        run_at=first or first_fire(trigger, new.slug, now),
        run_at_from=RunAtSource.CALLER if first or trigger is None else RunAtSource.TRIGGER,
    )
    check_spawning(task)
    return task


def goes_on_by(new: NewTask, registry: KnownJobs) -> Trigger | None:
    """Return the trigger of the kind that goes on after a first fire of the task's own.

    None: the task has no such fire, or its kind no such trigger.
    """
    registered = registry.find(kind_of(new.job))
    if new.trigger is not None or (new.at is None and new.delay is None) or registered is None:
        return None
    trigger, _ = _plain_trigger(new, registered)
    return trigger if trigger is not None and recurs(trigger) else None


def check_spawning(task: Task) -> None:
    """Refuse a slug without room for the fire time, if each fire is to be a task of its own.

    Raises:
        InvalidSlug: it is too long.

    """
    most = NAME_LIMIT - len(spawned_slug("", END_OF_TIME))
    if task.options.overlap is Overlap.ALLOW and task.recurring and len(task.slug) > most:
        raise InvalidSlug("slug", task.slug, f"text of at most {most} characters, because overlap='allow' adds the fire time")


def check_returning(slug: str, registered: RegisteredJob | None, trigger: Trigger | None, options: TaskOptions) -> None:
    """Refuse a recurring trigger for a job class that forgets to return its task.

    Raises:
        InvalidSchedule: the first fire would remove the task with its trigger.

    """
    if registered is not None and registered.loses(trigger, options):
        raise InvalidSchedule(slug, f"its job {registered.job.kind!r} would run once: {FORGOTTEN}")


def own_trigger(trigger: Trigger | str, slug: str) -> tuple[Trigger, str]:
    """Return a trigger for one task alone, and its text.

    Raises:
        TriggerError: it is none, or its text cannot be parsed.
        InvalidSchedule: it has no text form.

    """
    parsed = _parse(trigger, slug)
    text = _text(parsed, TriggerSource.TASK, slug)
    assert text is not None  # noqa: S101 - or it was refused
    return parsed, text


def _trigger(new: NewTask, registered: RegisteredJob | None) -> tuple[Trigger | None, TriggerSource]:
    trigger, source = _plain_trigger(new, registered)
    if new.start_at is None and new.end_at is None and new.jitter is None:
        return trigger, source
    if trigger is None:
        given = {"start_at": new.start_at, "end_at": new.end_at, "jitter": new.jitter}
        named = ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)
        raise InvalidSchedule(new.slug, f"{named} without a trigger: expected one, of the task or its job")
    if new.jitter is not None:
        if not isinstance(new.jitter, timedelta) or new.jitter <= timedelta(0):
            raise InvalidSchedule(new.slug, f"jitter={new.jitter!r}: expected a timedelta longer than 0")
        trigger = Jittered(trigger, new.jitter, hash_id=new.slug)
    if new.start_at is not None or new.end_at is not None:
        for name, bound in (("start_at", new.start_at), ("end_at", new.end_at)):
            if bound is not None:
                require_aware(bound, name)
        trigger = Between(trigger, start=new.start_at, end=new.end_at)
    return trigger, TriggerSource.TASK


def _plain_trigger(new: NewTask, registered: RegisteredJob | None) -> tuple[Trigger | None, TriggerSource]:
    if new.trigger is not None:
        return _parse(new.trigger, new.slug), TriggerSource.TASK
    if registered is not None and registered.trigger is not None and not new.once:
        return registered.trigger_for(new.slug), TriggerSource.JOB
    return None, TriggerSource.TASK


def _delayed(new: NewTask, trigger: Trigger, first: datetime | None, now: datetime) -> datetime:
    """Return the fire time of the one-off that `@after` makes.

    It stands in the row, so that scheduling it anew does not move it.
    """
    if first is None:
        return first_fire(trigger, new.slug, now)
    if new.trigger is not None:
        raise InvalidSchedule(new.slug, f"both a first fire ({first}) and {trigger.to_text()!r} are given: expected one of them")
    return first


def _parse(trigger: Trigger | str, slug: str) -> Trigger:
    if isinstance(trigger, str):
        return parse_trigger(trigger, hash_id=slug)
    return require_trigger(trigger, "trigger", "a Trigger, or the text of one such as '@every 5m'")


def _text(trigger: Trigger, source: TriggerSource, slug: str) -> str | None:
    text = trigger.to_text()
    if text is None and source is TriggerSource.TASK:
        problem = f"the trigger {trigger!r} has no text form: register it with the job, so that every node has it in its code"
        raise InvalidSchedule(slug, problem)
    if text is not None:
        parse_trigger(text)  # what no node could read must not be stored
    return text


def _own_first_fire(new: NewTask, now: datetime) -> datetime | None:
    return None if new.at is None and new.delay is None else moment(new.slug, new.at, new.delay, now)


def moment(slug: str, at: datetime | None, delay: timedelta | None, now: datetime) -> datetime:
    """Return the instant that one of `at` and `delay` says.

    Raises:
        InvalidSchedule: both are given, or none. NaiveDatetime: `at` has no time zone. InvalidDelay: `delay` is negative, or too long.

    """
    if (at is None) == (delay is None):
        raise InvalidSchedule(slug, f"at={at!r} and delay={delay!r} are given: expected one of them")
    if at is not None:
        return require_aware(at, "at")
    if not isinstance(delay, timedelta) or not timedelta(0) <= delay <= END_OF_TIME - now:
        raise InvalidDelay("delay", delay, "a timedelta of 0 or more, which ends before the year 10000")
    return now + delay


def first_fire(trigger: Trigger | None, slug: str, now: datetime) -> datetime:
    """Return the first fire from now on: a first registration does not fire for what was before it."""
    if trigger is None:
        return now
    first = next_fire_after(trigger, now)
    if first is None:
        raise TriggerNeverFires(slug, trigger)
    return first


def check_when(call: str, given: Collection[str]) -> None:
    """Refuse, as `TypeError`, what is no keyword of a new task.

    `call` is who asks. The error says where an option belongs.
    """
    options = [name for name in given if name in OptionValues.__annotations__]
    hint = f"; how one task is run is said by options=TaskOptions({options[0]}=...)" if options else ""
    check_keywords(call, given, When.__annotations__, hint)


def check_new(task: object) -> NewTask:
    """Return `task` if it is one to be scheduled.

    Raises:
        InvalidValue: it is none.

    """
    if not isinstance(task, NewTask):
        raise InvalidValue("task", task, "a NewTask(slug, job, ...)")
    return task
