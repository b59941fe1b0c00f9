"""An observer cannot stop the observed, whatever it raises and however slow it is."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from duly.jobs import JobRegistry, RunLogFilter
from duly.scheduler import BlockingScheduler, Event, EventsDropped, RunEnded, RunStarted, StdScheduler
from duly.scheduler.events import subscribers
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore
from support.contexts import NOON
from support.schedulers import ScriptedStore, a_scheduler, heard, threads_of, unreachable
from support.waiting import wait_until, wait_until_async


class Quit(BaseException):
    """Not an Exception."""


class Raising(logging.Handler):
    """A handler that raises, as long as it is told to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error
        self.calls = 0
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Raise."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.lines.append(record.getMessage())


@contextmanager
def attached(handler: logging.Handler) -> Iterator[None]:
    """Attach a handler to the logger of the library."""
    logger = logging.getLogger("duly")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.mark.parametrize("error", [RuntimeError("disk full"), Quit(), SystemExit(1), GeneratorExit(), asyncio.CancelledError()])
async def test_a_log_handler_that_raises_stops_no_loop(error: BaseException, capfd: pytest.CaptureFixture[str]) -> None:
    """In an outage and at the ends of runs; afterwards the log says how many lines it lost."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    store = ScriptedStore(unreachable, unreachable)
    store.script.extend.append(_unreachable)
    scheduler, handler = a_scheduler(store, jobs), Raising(error)
    events = heard(scheduler)
    with attached(handler):
        async with scheduler:
            await scheduler.schedule_job("a", "work")
            await wait_until_async(lambda: any(isinstance(event, RunEnded) for event in events))
            handler.error = None
            await scheduler.schedule_job("b", "work")
            await wait_until_async(lambda: sum(isinstance(event, RunEnded) for event in events) == 2)
            assert scheduler.running_node.unready is None
    assert handler.calls > 5
    assert any(line.endswith("lines of this log could not be written") for line in handler.lines)
    assert capfd.readouterr().err.count("duly: the log failed: ") == 1


async def _unreachable(_: object) -> None:
    raise OSError("no answer")


@pytest.mark.parametrize("error", [RuntimeError("no"), Quit(), SystemExit(1), GeneratorExit(), asyncio.CancelledError()])
async def test_a_subscriber_that_raises_is_told_of_the_next_event(error: BaseException) -> None:
    """Whatever it raises; its thread goes on, and so do the runs."""
    jobs, told = JobRegistry(), list[Event]()
    jobs.job("work")(lambda: None)
    scheduler = a_scheduler(jobs=jobs)

    def fail(event: Event) -> None:
        told.append(event)
        raise error

    scheduler.subscribe(fail)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("a", "work")
        await wait_until_async(lambda: any(isinstance(event, RunEnded) for event in events))
    assert told == events


async def test_a_slow_subscriber_delays_no_run_and_no_drain() -> None:
    """It is in the middle of the first event when the last run has ended."""
    jobs, gate, told = JobRegistry(), threading.Event(), list[Event]()
    jobs.job("work")(lambda: None)
    scheduler = a_scheduler(jobs=jobs)

    def slow(event: Event) -> None:
        gate.wait()
        told.append(event)

    scheduler.subscribe(slow)
    events = heard(scheduler)
    async with scheduler:
        for number in range(20):
            await scheduler.schedule_job(f"task/{number}", "work")
        await wait_until_async(lambda: sum(isinstance(event, RunEnded) for event in events) == 20)
        assert told == []
    assert told == [], "the drain did not wait for it, for longer than a moment"
    gate.set()
    await wait_until_async(lambda: told == events)
    await wait_until_async(lambda: not threads_of(scheduler.node))


async def test_what_a_slow_subscriber_misses_is_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To itself, in the place of the events, and in the log."""
    monkeypatch.setattr(subscribers, "QUEUE_LIMIT", 3)
    gate, told = threading.Event(), list[Event]()
    scheduler = a_scheduler()
    publish = scheduler._services.publish

    def slow(event: Event) -> None:
        told.append(event)
        gate.wait()

    scheduler.subscribe(slow)
    events = [EventsDropped(node="other", count=number) for number in range(1, 11)]
    publish(events[0])
    await wait_until_async(lambda: told == events[:1])
    for event in events[1:]:
        publish(event)
    gate.set()
    missed = EventsDropped(node="other", count=6)
    await wait_until_async(lambda: told == [*events[:4], missed])
    publish(events[0])
    await wait_until_async(lambda: told == [*events[:4], missed, events[0]])
    assert [record.getMessage() for record in caplog.records].count(f"other: {missed}") == 2, "once of its own, once for this one"
    await scheduler.close()
    await wait_until_async(lambda: not threads_of("duly-subscriber-other"))


async def test_a_subscriber_has_heard_everything_when_time_was_driven_and_after_a_drain() -> None:
    """So that a test may look at once."""
    jobs, told = JobRegistry(), list[Event]()
    jobs.job("work")(lambda: None)
    scheduler = StdScheduler(MemoryStore(), jobs=jobs, clock=ManualClock(NOON))
    scheduler.subscribe(told.append)
    events = heard(scheduler)
    await scheduler.start()
    await scheduler.schedule_job("a", "work")
    await run_due(scheduler)
    assert [type(event) for event in told][-2:] == [RunStarted, RunEnded]
    await scheduler.drain()
    assert told == events
    await scheduler.close()
    await scheduler.start()  # its thread has ended, and starts again
    await scheduler.drain()
    assert told == events
    await scheduler.close()


def test_a_subscriber_may_call_its_blocking_scheduler() -> None:
    """It has a thread of its own, and not that of the event loop."""
    jobs, slugs = JobRegistry(), list[list[str]]()
    jobs.job("work")(lambda: None)
    scheduler = BlockingScheduler(jobs=jobs)

    def look(event: Event) -> None:
        if isinstance(event, RunEnded):
            slugs.append(scheduler.get_job_slugs())

    scheduler.subscribe(look)
    with scheduler:
        scheduler.schedule_job("a", "work")
        wait_until(lambda: bool(slugs))
    assert slugs == [[]]


async def test_the_lines_of_the_node_carry_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """By the names that `RunLogFilter` gives the lines of the job, which leaves them as they are."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    caplog.set_level(logging.DEBUG, "duly")
    async with StdScheduler(MemoryStore(), jobs=jobs, clock=ManualClock(NOON)) as scheduler:
        await scheduler.schedule_job("a", "work")
        await run_due(scheduler)
    began, ended = [record for record in caplog.records if "task 'a'" in record.getMessage()]
    for record in (began, ended):
        RunLogFilter().filter(record)
        facts = {name: record.__dict__[name] for name in ("slug", "kind", "attempt", "fire_time")}
        assert facts == {"slug": "a", "kind": "work", "attempt": 1, "fire_time": NOON.isoformat()}
    assert began.__dict__["run_id"] == ended.__dict__["run_id"] != "-"
