"""What happens is told to whoever wants to hear it, and to the log."""

import logging
from collections.abc import AsyncIterator

import pytest

from duly.jobs import JobRegistry, RetryPolicy
from duly.scheduler import (
    Event,
    LoopFailed,
    NewTask,
    NodeStarted,
    NodeStopped,
    RunEnded,
    RunStarted,
)
from support.lives import Work
from support.schedulers import (
    ScriptedStore,
    a_scheduler,
    heard,
    unreachable,
)
from support.waiting import wait_until_async


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    """Jobs, all of which are let go after the test."""
    work = Work()
    yield work
    work.gate.set()
    work.thread_gate.set()


# -- events


async def test_a_subscriber_that_fails_is_logged_and_stays(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """The others are told all the same, and so is it the next time; the runs go on."""
    work.gate.set()
    scheduler, told = a_scheduler(jobs=work.registry), list[Event]()

    def fail(event: Event) -> None:
        told.append(event)
        raise ZeroDivisionError

    leave = scheduler.subscribe(fail)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: len(events) == 3)
        leave()
        await scheduler.schedule_job("u", "work")
        await wait_until_async(lambda: len(events) == 5)
    assert [type(event) for event in events] == [NodeStarted, *[RunStarted, RunEnded] * 2, NodeStopped]
    assert told == events[:3], "what happened before it left was still told"
    failures = [record for record in caplog.records if record.exc_info and record.exc_info[0] is ZeroDivisionError]
    assert len(failures) == 3


async def test_what_happens_is_logged_as_loud_as_it_matters(caplog: pytest.LogCaptureFixture) -> None:
    """A start is detail, a good end news; failures for good and faults of loops are errors."""
    jobs = JobRegistry()
    jobs.job("good")(lambda: None)

    @jobs.job("bad", retry=RetryPolicy(limit=0))
    def bad() -> None:
        raise ValueError("no luck")

    async def broken(_: ScriptedStore, __: object) -> None:
        raise RuntimeError("a fault of the store")

    caplog.set_level(logging.DEBUG, "duly")
    store = ScriptedStore(unreachable, broken)  # type: ignore[arg-type]  # it never answers
    scheduler = a_scheduler(store, jobs)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_jobs([NewTask("g", "good"), NewTask("b", "bad")])
        await wait_until_async(lambda: len([event for event in events if isinstance(event, RunEnded)]) == 2)

    told = [(record.levelname, record.getMessage().removeprefix(f"{scheduler.node}: ")) for record in caplog.records]
    levels = {message.split(" for ")[0]: level for level, message in told}
    assert levels["task 'g' (good) runs"] == "DEBUG"
    assert levels["task 'g' (good) done"] == "INFO"
    assert levels["task 'b' (bad) failed"] == "ERROR"
    (failed,) = [message for level, message in told if level == "ERROR" and message.startswith("task 'b'")]
    first, _, rest = failed.partition("\n")
    assert first.endswith("attempt 1: ValueError: no luck")
    assert rest.startswith("Traceback")
    (end,) = [record for record in caplog.records if record.getMessage().endswith(rest)]
    assert (end.__dict__["slug"], end.__dict__["kind"], end.__dict__["attempt"]) == ("b", "bad", 1)
    assert levels["dispatch: StoreUnavailable: the question was lost"] == "ERROR"
    assert levels["dispatch: RuntimeError: a fault of the store"] == "ERROR"
    tracebacks = [record.levelname for record in caplog.records if record.exc_info]
    assert tracebacks == ["DEBUG", "ERROR"], "the traceback of an outage is detail, that of a fault is not"
    assert [event.loop for event in events if isinstance(event, LoopFailed)] == ["dispatch", "dispatch"]
