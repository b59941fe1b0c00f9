"""What somebody asks to be scheduled: what it becomes, and what is refused before anything is written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given

from duly.jobs import (
    PAYLOAD_LIMIT,
    InvalidDelay,
    InvalidJob,
    InvalidSlug,
    InvalidValue,
    Job,
    JobContext,
    JobNotRegistered,
    JobRegistry,
    PayloadTooLarge,
    RetryPolicy,
    Task,
    TaskOptions,
    TriggerSource,
)
from duly.jobs.task import RunAtSource
from duly.scheduler import InvalidSchedule, NewTask, TriggerNeverFires
from duly.scheduler.rules.new_task import to_task
from duly.triggers import CronTrigger, DulyError, NaiveDatetime, OnceTrigger, SimpleTrigger, Trigger, TriggerError, parse_trigger
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, triggers


class Weekdays(Trigger):
    """A trigger of the user's own: it has no text."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """The next day at the same time."""
        return prev + DAY


class Never(Trigger):
    """A trigger that is finished."""

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """None."""

    def to_text(self) -> str:
        """As it might be written."""
        return "@at 2000-01-01T00:00:00Z"


class Report(Job):
    """A job with a trigger of its own."""

    kind = "report"

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Carry on."""
        return task


OPTIONS = TaskOptions(retry=RetryPolicy(limit=1))

REGISTRY = JobRegistry()
REGISTRY.register_job(Report(), trigger="0 9 * * *", retry=RetryPolicy(limit=2))


@REGISTRY.job("clean")
def clean() -> None:
    """A job without a trigger."""


@REGISTRY.job("holidays", trigger=Weekdays())
def holidays() -> None:
    """A job whose trigger lives in code."""


@REGISTRY.job("remind", trigger="@after 3 days")
def remind() -> None:
    """A job that is a one-off, some time later."""


@REGISTRY.job("spread", trigger="H 12 * * *")
def spread() -> None:
    """A job whose tasks fire each at a minute of its own."""


S_MINUTE = 55
"""What the slug `s` hashes to."""


def scheduled(slug: str = "s", job: Any = "clean", **when: Any) -> Task:  # noqa: ANN401 - good or bad
    """The task that is made of it at noon."""
    return to_task(NewTask(slug, job, **when), REGISTRY, now=NOON, payload_limit=PAYLOAD_LIMIT)


TABLE: list[tuple[str, dict[str, Any], str | None, datetime, datetime]] = [
    ("a one-off fires at once", {}, None, NOON, NOON),
    ("after its delay", {"delay": HOUR}, None, NOON + HOUR, NOON + HOUR),
    ("after none", {"delay": timedelta(0)}, None, NOON, NOON),
    ("at its time", {"at": NOON + DAY}, None, NOON + DAY, NOON + DAY),
    ("at a time that has passed", {"at": NOON - DAY}, None, NOON - DAY, NOON - DAY),
    ("a schedule fires first at its next fire time", {"trigger": "0 13 * * *"}, "0 13 * * *", NOON, NOON + HOUR),
    ("not at one that is just now", {"trigger": "0 12 * * *"}, "0 12 * * *", NOON, NOON + DAY),
    ("an interval counts from now", {"trigger": "@every 5m"}, "@every 5m", NOON, NOON + 5 * MINUTE),
    ("a trigger may be a value", {"trigger": SimpleTrigger(MINUTE)}, "@every 1m", NOON, NOON + MINUTE),
    ("a first fire of its own", {"trigger": "@every 5m", "delay": SECOND}, "@every 5m", NOON + SECOND, NOON + SECOND),
    ("at a time of its own", {"trigger": "@every 5m", "at": NOON + HOUR}, "@every 5m", NOON + HOUR, NOON + HOUR),
    ("a fixed delay from now", {"trigger": "FIXED_DELAY=yes @every 5m"}, "FIXED_DELAY=yes @every 5m", NOON, NOON + 5 * MINUTE),
    ("so long after it is scheduled: a one-off", {"trigger": "@after 1 week 6 days"}, "@after 13d", NOON + 13 * DAY, NOON + 13 * DAY),
    ("the job's delay: a one-off, too", {"job": "remind"}, "@after 3d", NOON + 3 * DAY, NOON + 3 * DAY),
    ("the job's delay, and a first fire of its own", {"job": "remind", "delay": HOUR}, "@after 3d", NOON + HOUR, NOON + HOUR),
    ("a hash of the slug", {"trigger": "H 12 * * *"}, "HASH=s H 12 * * *", NOON, NOON + S_MINUTE * MINUTE),
    ("a hash of the slug in the job's text", {"job": "spread"}, "HASH=s H 12 * * *", NOON, NOON + S_MINUTE * MINUTE),
    ("a calendar's month", {"trigger": "@every 1 month"}, "@every 1mon", NOON, NOON + 30 * DAY),
    ("a combination", {"trigger": "@any (0 13 * * *) (0 14 * * *)"}, "@any (0 13 * * *) (0 14 * * *)", NOON, NOON + HOUR),
    ("by the job's trigger", {"job": "report"}, "0 9 * * *", NOON, NOON + 21 * HOUR),
    ("another than the job's", {"job": "report", "trigger": "@every 1h"}, "@every 1h", NOON, NOON + HOUR),
    ("the job's, after a first fire of its own", {"job": "report", "delay": SECOND}, "0 9 * * *", NOON + SECOND, NOON + SECOND),
    ("the job's, which has no text", {"job": "holidays"}, None, NOON, NOON + DAY),
]


@pytest.mark.parametrize(("when", "trigger", "anchor", "run_at"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_the_first_fire_follows_from_what_was_asked(when: dict[str, Any], trigger: str | None, anchor: datetime, run_at: datetime) -> None:
    """A first registration does not fire for what was before it."""
    task = scheduled(**when)

    assert (task.trigger, task.anchor, task.run_at) == (trigger, anchor, run_at)


@pytest.mark.parametrize(
    ("when", "source", "recurring"),
    [
        ({}, TriggerSource.TASK, False),
        ({"trigger": "@every 1h"}, TriggerSource.TASK, True),
        ({"job": "report"}, TriggerSource.JOB, True),
        ({"job": "report", "trigger": "0 9 * * *"}, TriggerSource.TASK, True),
        ({"job": "holidays"}, TriggerSource.JOB, True),
        ({"job": "holidays", "at": NOON + DAY}, TriggerSource.JOB, True),
    ],
)
def test_a_task_says_whose_trigger_it_follows(when: dict[str, Any], source: TriggerSource, recurring: bool) -> None:  # noqa: FBT001 - a column
    """Its own, or its job's: also where that has no text."""
    task = scheduled(**when)

    assert (task.trigger_from, task.recurring) == (source, recurring)


@pytest.mark.parametrize(
    ("when", "setter"),
    [
        ({}, RunAtSource.CALLER),
        ({"at": NOON + DAY}, RunAtSource.CALLER),
        ({"trigger": "@every 1h"}, RunAtSource.TRIGGER),
        ({"trigger": "@every 1h", "delay": SECOND}, RunAtSource.CALLER),
        ({"job": "report"}, RunAtSource.TRIGGER),
        ({"job": "holidays", "at": NOON + DAY}, RunAtSource.CALLER),
        ({"job": "holidays"}, RunAtSource.TRIGGER),
    ],
)
def test_a_task_says_who_set_its_first_fire(when: dict[str, Any], setter: RunAtSource) -> None:
    """What somebody gave stays as it was given; what a trigger said may be computed anew."""
    assert scheduled(**when).run_at_from == setter


@pytest.mark.parametrize("job", ["report", Report, Report()])
def test_a_job_is_named_by_its_kind_its_class_or_an_object(job: object) -> None:
    """The registered one runs."""
    assert scheduled(job=job).kind == "report"


def test_a_task_is_run_as_its_job_says_unless_it_says_otherwise() -> None:
    """Its options are copied into it."""
    assert scheduled(job="report").options == TaskOptions(retry=RetryPolicy(limit=2))
    assert scheduled(job="report", options=OPTIONS).options == OPTIONS
    assert scheduled().options == TaskOptions()


def test_everything_else_goes_into_the_task_as_it_is() -> None:
    """Payload, its version, metadata."""
    task = scheduled(payload=b"\0\xff", payload_version=3, metadata={"team": "a"})

    assert (task.slug, task.payload, task.payload_version, task.metadata) == ("s", b"\0\xff", 3, {"team": "a"})


def test_a_local_time_is_an_instant() -> None:
    """Whatever zone it is given in."""
    local = (NOON + HOUR).astimezone(timezone(timedelta(hours=5, minutes=45)))

    assert scheduled(at=local) == scheduled(at=NOON + HOUR)
    assert scheduled(at=local).run_at.tzinfo is UTC


def test_a_program_that_only_schedules_needs_no_job() -> None:
    """It says so; a kind that it does know is known all the same."""
    assert scheduled(job="elsewhere", remote=True).kind == "elsewhere"
    assert scheduled(job="report", remote=True).trigger == "0 9 * * *"


def test_tasks_with_an_h_are_spread_by_their_slugs() -> None:
    """Each keeps its own minute, and says so in its text."""
    tasks = [scheduled(f"task {number}", trigger="H * * * *") for number in range(20)]

    assert len({task.run_at for task in tasks}) > 10
    for task in tasks:
        assert task.trigger is not None
        assert parse_trigger(task.trigger).next_fire_time(NOON) == task.run_at
    assert tasks == [scheduled(f"task {number}", trigger="H * * * *") for number in range(20)]


@given(triggers)
def test_the_text_that_is_stored_is_the_trigger_that_was_given(trigger: Trigger) -> None:
    """Or it is refused, because it has no fire left."""
    try:
        task = scheduled(trigger=trigger)
    except TriggerNeverFires:
        assert trigger.next_fire_time(NOON) is None
        return

    assert task.trigger is not None
    assert parse_trigger(task.trigger) == trigger
    assert task.run_at == trigger.next_fire_time(task.anchor)
    assert task.run_at > NOON


# -- bad input ------------------------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any], type[DulyError], str, str]] = [
    ("cron text with a minute 60", {"trigger": "60 * * * *"}, TriggerError, "60", "0"),
    ("cron text of four fields", {"trigger": "* * * *"}, TriggerError, "* * * *", "fields"),
    ("a text that says no time", {"trigger": ""}, TriggerError, "''", "cron expression"),
    ("an unknown alias", {"trigger": "@sometimes"}, TriggerError, "@sometimes", "@daily"),
    ("an interval of nothing", {"trigger": "@every 0s"}, TriggerError, "@every 0s", "longer than zero"),
    ("a zone that is none", {"trigger": "CRON_TZ=Mars/Base 0 9 * * *"}, TriggerError, "Mars/Base", "IANA"),
    ("a naive at", {"at": NOON.replace(tzinfo=None)}, NaiveDatetime, "datetime.datetime(2024, 6, 1, 12, 0)", "aware"),
    ("an at that is text", {"at": "tomorrow"}, NaiveDatetime, "'tomorrow'", "aware"),
    ("a negative delay", {"delay": -SECOND}, InvalidDelay, "-1", "0 or more"),
    ("a delay barely below zero", {"delay": -timedelta(microseconds=1)}, InvalidDelay, "-1", "0 or more"),
    ("a delay in seconds", {"delay": 5}, InvalidDelay, "5", "a timedelta"),
    ("a delay beyond the calendar", {"delay": timedelta.max}, InvalidDelay, "999999999", "year 10000"),
    ("both at and delay", {"at": NOON, "delay": SECOND}, InvalidSchedule, "datetime.timedelta(seconds=1)", "expected one of them"),
    ("two first fires", {"at": NOON, "trigger": "@after 1h"}, InvalidSchedule, "'@after 1h'", "one of them"),
    (
        "parts that never meet",
        {"trigger": "@all (0 0 * * *) (30 0 * * *)"},
        TriggerError,
        "@all (0 0 * * *) (30 0 * * *)",
        "a common fire time",
    ),
    ("an empty slug", {"slug": ""}, InvalidSlug, "''", "1 to 255"),
    ("a slug of 256 characters", {"slug": "x" * 256}, InvalidSlug, "xxx", "1 to 255"),
    ("a slug with NUL", {"slug": "a\0b"}, InvalidSlug, r"'a\x00b'", "without NUL"),
    ("a slug with half a character", {"slug": "\ud800"}, InvalidSlug, r"'\ud800'", "surrogates"),
    ("a payload over the limit", {"payload": bytes(PAYLOAD_LIMIT + 1)}, PayloadTooLarge, str(PAYLOAD_LIMIT + 1), f"{PAYLOAD_LIMIT} bytes"),
    ("a payload that is text", {"payload": "text"}, InvalidValue, "'str'", "bytes"),
    ("a payload version of nothing", {"payload_version": 0}, InvalidValue, "0", "from 1 to"),
    ("metadata with NUL", {"metadata": {"a": "\0"}}, InvalidValue, r"'\x00'", "without NUL"),
    ("an unknown kind", {"job": "cleam"}, JobNotRegistered, "'cleam'", "'clean'"),
    ("an unknown kind with a trigger", {"job": "cleam", "trigger": "@daily"}, JobNotRegistered, "'cleam'", "remote=True"),
    ("the function of a job", {"job": clean}, InvalidJob, "clean", "the kind that the function is registered under"),
    ("a class that is no job", {"job": dict}, InvalidJob, "dict", "a registered kind"),
    ("a kind that is empty", {"job": "", "remote": True}, InvalidValue, "''", "1 to 255"),
    ("a trigger that has fired", {"trigger": OnceTrigger(NOON)}, TriggerNeverFires, "2024", "later than now"),
    ("a cron year that has passed", {"trigger": "0 0 0 1 1 * 2020"}, TriggerNeverFires, "2020", "later than now"),
    (
        "a count that is used up",
        {"trigger": SimpleTrigger(SECOND, start=NOON - HOUR, times=3)},
        TriggerNeverFires,
        "times=3",
        "later than now",
    ),
    ("a class of the user's that is finished", {"trigger": Never()}, TriggerNeverFires, "Never", "later than now"),
    ("a class of the user's for one task", {"trigger": Weekdays()}, InvalidSchedule, "Weekdays", "register it with the job"),
]


@pytest.mark.parametrize(("what", "error", "value", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_with_its_own_error(what: dict[str, Any], error: type[DulyError], value: str, expected: str) -> None:
    """Which names the value and what was expected, in one short line; no task is made."""
    with pytest.raises(DulyError) as caught:
        scheduled(**what)

    assert type(caught.value) is error
    assert value in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("what", "error"), [case[1:3] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_input_is_caught_by_its_builtin_error_too(what: dict[str, Any], error: type[DulyError]) -> None:
    """As code that does not know this library would."""
    builtin = {JobNotRegistered: LookupError, InvalidJob: TypeError}.get(error, ValueError)

    assert issubclass(error, builtin)
    with pytest.raises(builtin):
        scheduled(**what)


def test_the_limits_themselves_are_allowed() -> None:
    """255 characters and exactly as many bytes as the limit."""
    task = scheduled("x" * 255, payload=bytes(PAYLOAD_LIMIT))

    assert (len(task.slug), len(task.payload)) == (255, PAYLOAD_LIMIT)


def test_a_cron_trigger_is_scheduled_in_its_own_zone() -> None:
    """Nine in Paris is seven in summer's UTC."""
    task = scheduled(trigger=CronTrigger("0 9 * * *", "Europe/Paris"))

    assert (task.trigger, task.run_at) == ("CRON_TZ=Europe/Paris 0 9 * * *", datetime(2024, 6, 2, 7, tzinfo=UTC))
