"""What people get wrong is refused at the call.

The words name what was given and what is expected there.
"""

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from duly.jobs import InvalidJob, InvalidValue, Job, JobContext, JobRegistry, RetryPolicy, Task
from duly.scheduler import InvalidSchedule, NaiveDatetime, NewTask, RunEnded, StdScheduler, StoreClosed, TriggerError, WrongLoop
from duly.stores import MemoryStore

Call = Callable[[Any], Awaitable[object]]
"""Of a scheduler; whatever its arguments are annotated as."""


class Report(Job):
    """A job."""

    kind = "report"

    def execute(self, _ctx: JobContext, task: Task, /) -> Task:
        """Go on."""
        return task


class Nameless(Report):
    """A job whose kind was forgotten."""

    kind = ""


class Contextless(Job):
    """Its method takes the task alone."""

    kind = "contextless"

    def execute(self, task: Task) -> Task:  # type: ignore[override]  # the mistake
        """Go on."""
        return task


class Alien:
    """Fits but for its kind."""

    def execute(self, _ctx: JobContext, task: Task, /) -> Task:
        """Go on."""
        return task


def tick() -> None:
    """Be registered."""


def _registry() -> JobRegistry:
    registry = JobRegistry()
    registry.register_job(Report())
    return registry


CALLS: list[tuple[Call, type[Exception], str]] = [
    (lambda s: s.schedule_job("a", "report", payload="x"), InvalidValue, r"payload 'str': expected bytes, as text\.encode\(\)"),
    (lambda s: s.schedule_job("a", "report", payload={}), InvalidValue, "payload 'dict': expected bytes$"),
    (lambda s: s.schedule_job("a", tick), InvalidJob, "tick .* expected the kind that the function is registered under"),
    (lambda s: s.schedule_job("a", Nameless), InvalidJob, "Nameless.* expected a class that says kind ="),
    (
        lambda s: s.schedule_job("a", "report", trigger=timedelta(5)),
        TriggerError,
        "or the text of one such as '@every 5m'",
    ),
    (lambda s: s.schedule_job("a", "report", retry=RetryPolicy()), TypeError, r"'retry': expected .*options=TaskOptions\(retry=\.\.\.\)"),
    (
        lambda s: s.schedule_job("a", "report", dealy=5),
        TypeError,
        r"^schedule_job.. got an .* 'dealy': expected trigger, at, delay",
    ),
    (lambda s: s.schedule_job("a", "report", if_exists="ignore"), InvalidValue, "'ignore': expected 'error' or 'keep' or 'replace'"),
    (lambda s: s.schedule_job("a", "report", metadata={"n": 1}), InvalidValue, r"metadata\['n'\] 1: expected text$"),
    (lambda s: s.schedule_job("a", "report", trigger="@daily", start_at=datetime(2030, 1, 1)), NaiveDatetime, "^start_at must be"),  # noqa: DTZ001
    (lambda s: s.schedule_job("a", "report", trigger="@daily", jitter=5), InvalidSchedule, "jitter=5: expected a timedelta longer than 0"),
    (lambda s: s.schedule_jobs([("a", "report")]), InvalidValue, r"task \('a', 'report'\): expected a NewTask"),
    (lambda s: s.search_jobs("a"), InvalidValue, r"query 'a': expected a TaskQuery"),
    (lambda s: s.count_jobs("a"), InvalidValue, r"query 'a': expected a TaskQuery"),
    (lambda s: s.runs("a"), InvalidValue, r"query 'a': expected a RunQuery"),
    (lambda s: s.in_(timedelta(5), "report", retries=5), TypeError, "'retries': expected retry, .*slug, metadata, remote"),
    (lambda s: s.drain(5), InvalidValue, "grace 5: expected a timedelta"),
]


@pytest.mark.parametrize(("call", "error", "message"), CALLS, ids=[message for _, _, message in CALLS])
async def test_a_call_with_a_wrong_argument_says_what_it_expects(call: Call, error: type[Exception], message: str) -> None:
    """Nothing is scheduled by it, and the scheduler goes on."""
    async with StdScheduler(MemoryStore(), jobs=_registry()) as scheduler:
        with pytest.raises(error, match=message):
            await call(scheduler)
        assert await scheduler.get_job_slugs() == []
        await scheduler.schedule_jobs([NewTask("b", "report", at=datetime(2100, 1, 1, tzinfo=UTC))])


WITHOUT_WAITING: list[tuple[Callable[[Any], object], str]] = [
    (lambda s: s.iterate_jobs("a"), r"query 'a': expected a TaskQuery"),
    (lambda s: s.iterate_runs("a"), r"query 'a': expected a RunQuery"),
    (lambda s: s.events(types=RunEnded), r"types .*RunEnded.* expected a tuple of classes of events, such as \(RunEnded,\)"),
    (lambda s: s.events(types=("RunEnded",)), r"types \('RunEnded',\): expected a tuple of classes of events"),
    (lambda s: s.subscribe(None), "subscriber None: expected a callable that takes an event"),
]


@pytest.mark.parametrize(("call", "message"), WITHOUT_WAITING, ids=[message for _, message in WITHOUT_WAITING])
def test_a_plain_call_with_a_wrong_argument_is_refused_at_once(call: Callable[[Any], object], message: str) -> None:
    """And not when what it returned is used."""
    with pytest.raises(InvalidValue, match=message):
        call(StdScheduler(MemoryStore()))


REGISTRATIONS: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda r: r.register_job(tick), InvalidJob, r"a function is registered by @registry\.job\(kind\)"),
    (lambda r: r.register_job(Report), InvalidJob, "Report'> is not a job: expected an object of it"),
    (lambda r: r.register_job(Alien()), InvalidJob, "Alien object .* expected a class that says kind ="),
    (lambda r: r.register_job(Contextless()), InvalidJob, r"Contextless object .* expected execute\(ctx, task\), not execute\(task"),
    (lambda r: r.register_job(Report(), overlaps="skip"), TypeError, "'overlaps': expected trigger, .*overlap, .*global_limit"),
    (lambda r: r.register_job(Report(), trigger=5), TriggerError, "expected a Trigger, or the text of one"),
    (lambda r: r.job(tick), InvalidJob, r'expected its kind first, as in @registry\.job\("report"\)'),
    (lambda _: RetryPolicy(never=[ValueError()]), InvalidValue, r"never\[0\] ValueError\(\): expected a class of exceptions"),
]


@pytest.mark.parametrize(("register", "error", "message"), REGISTRATIONS, ids=[message for _, _, message in REGISTRATIONS])
def test_a_wrong_registration_says_what_it_expects(register: Callable[[Any], object], error: type[Exception], message: str) -> None:
    """And registers nothing.

    `@registry.job` without its kind would leave the function unregistered without a word.
    """
    registry = JobRegistry()
    with pytest.raises(error, match=message):
        register(registry)
    assert registry.kinds == ()


SCHEDULERS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"store": MemoryStore}, InvalidValue, r"store .*MemoryStore'>: expected a URL, or a JobStore such as MemoryStore\(\)"),
    ({"store": JobRegistry()}, InvalidValue, "store .*: expected a URL, or a JobStore"),
    ({"jobs": [Report()]}, InvalidValue, "jobs .*: expected a JobRegistry"),
    ({"clock": datetime.now}, InvalidValue, "clock .*: expected a Clock"),
    ({"namespace": "acme"}, TypeError, r"'namespace': expected store, .* open_store\(url, namespace="),
    ({"keys": {"a": b"a secret 16 byte"}}, InvalidValue, "^keys 'dict': expected PayloadKeys, or None$"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), SCHEDULERS, ids=[message for _, _, message in SCHEDULERS])
def test_a_scheduler_is_made_of_what_it_needs_or_not_at_all(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """What is wrong with it is said when it is made, and keys are not shown."""
    with pytest.raises(error, match=message):
        StdScheduler(**arguments)


async def test_before_the_start_it_is_said_that_a_scheduler_opens_its_store() -> None:
    """The store is not open, because the scheduler is not started."""
    with pytest.raises(StoreClosed, match="a scheduler opens its store when it starts"):
        await StdScheduler(MemoryStore(), jobs=_registry()).schedule_job("a", "report")


ELSEWHERE: list[Call] = [
    lambda s: s.schedule_job("a", "report"),
    lambda s: s.get_job_slugs(),
    lambda s: s.pause_job("a"),
    lambda s: s.why("a"),
    lambda s: s.drain(),
    lambda s: s.close(),
]


@pytest.mark.parametrize("call", ELSEWHERE, ids=["schedule_job", "get_job_slugs", "pause_job", "why", "drain", "close"])
async def test_a_scheduler_refuses_another_event_loop_than_its_own(call: Call) -> None:
    """As in a thread with a loop of its own.

    There a driver's connections would fail in words about futures.
    """

    async def elsewhere(scheduler: StdScheduler) -> None:
        await call(scheduler)

    async with StdScheduler(MemoryStore(), jobs=_registry()) as scheduler:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            called = pool.submit(lambda: asyncio.run(elsewhere(scheduler)))
            with pytest.raises(WrongLoop, match=r"await it there, use BlockingScheduler, or, in a job's thread, blocking_scheduler_from"):
                await asyncio.wrap_future(called)
        assert await scheduler.get_job_slugs() == []
