"""Trouble that lasts is told in three lines, whoever meets it and however often."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

import pytest

from duly.jobs import JobRegistry
from duly.scheduler import Event, LoopEnded, LoopFailed, LoopRecovered, NodeStopped, RunEnded
from duly.scheduler.events.log import EventLog
from duly.scheduler.testing import ManualClock
from duly.stores import Exchange, Extended, Held, LockRequest, MemoryStore, Outcome, StoreUnavailable
from support.contexts import NOON
from support.schedulers import LEASE, SECOND, a_scheduler, heard
from support.waiting import wait_until_async

MINUTE = timedelta(minutes=1)
AWAY = StoreUnavailable("the server is gone\nDETAIL: it does not answer")


def failed(loop: str, error: BaseException = AWAY) -> LoopFailed:
    """A failure of a loop."""
    return LoopFailed(node="n", loop=loop, error=error)


def recovered(loop: str) -> LoopRecovered:
    """The end of it."""
    return LoopRecovered(node="n", loop=loop)


class Told:
    """The log of a node on a clock moved by hand."""

    def __init__(self, caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> None:
        self.clock, self._caplog = ManualClock(NOON), caplog
        self.log = EventLog(self.clock)
        caplog.set_level(level, "duly")

    def tell(self, *events: Event) -> list[str]:
        """Return the lines that these events make."""
        self._caplog.clear()
        for event in events:
            self.log.tell(event)
        return [f"{record.levelname} {record.getMessage()}" for record in self._caplog.records]


def test_an_outage_is_told_when_it_begins_once_a_minute_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """All loops share its lines."""
    told = Told(caplog)
    assert told.tell(failed("dispatch"), failed("heartbeat"), failed("listen"), failed("dispatch")) == [
        "ERROR n: dispatch: StoreUnavailable: the server is gone"
    ]
    lines = []
    for _ in range(25):
        told.clock.advance(5 * SECOND)
        lines += told.tell(failed("dispatch"), failed("heartbeat"))
    assert lines == [
        "ERROR n: dispatch: StoreUnavailable: the server is gone (for 1 min now)",
        "ERROR n: dispatch: StoreUnavailable: the server is gone (for 2 min now)",
    ]
    assert told.tell(recovered("dispatch"), failed("dispatch"), recovered("dispatch"), recovered("heartbeat")) == [
        *["INFO n: dispatch: works again"] * 2,
        "INFO n: heartbeat: works again",
    ]
    assert told.tell(recovered("listen")) == [
        "WARNING n: listen: works again after 2 min 5 s (dispatch: StoreUnavailable: the server is gone)"
    ]
    assert told.tell(failed("prune")) == ["ERROR n: prune: StoreUnavailable: the server is gone"], "the next one begins anew"


def test_the_tracebacks_of_an_outage_are_detail(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure has one, at DEBUG."""
    told = Told(caplog, logging.DEBUG)
    detail = "DEBUG n: traceback of {}: StoreUnavailable: the server is gone"
    assert told.tell(failed("dispatch"), failed("listen")) == [
        "ERROR n: dispatch: StoreUnavailable: the server is gone",
        detail.format("dispatch"),
        detail.format("listen"),
    ]
    assert [record.exc_info is not None for record in caplog.records] == [False, True, True]


def test_a_fault_that_repeats_is_told_with_its_traceback_once(caplog: pytest.LogCaptureFixture) -> None:
    """Then once a minute; another fault is another trouble."""
    told = Told(caplog)
    assert told.tell(*[failed("prune", ValueError("odd"))] * 3) == ["ERROR n: prune: ValueError: odd"]
    assert caplog.records[0].exc_info is not None
    assert told.tell(failed("prune", KeyError("even"))) == ["ERROR n: prune: KeyError: 'even'"]
    told.clock.advance(MINUTE)
    assert told.tell(failed("prune", ValueError("odd"))) == ["ERROR n: prune: ValueError: odd (for 1 min now)"]
    assert told.tell(recovered("prune")) == [
        "WARNING n: prune: works again after 1 min (prune: ValueError: odd)",
        "WARNING n: prune: works again after 1 min (prune: KeyError: 'even')",
    ]


def test_a_loop_that_ended_and_a_node_that_stopped_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """The trouble of a node ends with it."""
    told = Told(caplog)
    told.tell(failed("dispatch"))
    assert told.tell(NodeStopped(node="n", cut_short=0, left=0)) == ["INFO n: stopped; 0 runs cut short, 0 tasks left to the leases"]
    assert told.tell(failed("dispatch")) == ["ERROR n: dispatch: StoreUnavailable: the server is gone"]
    assert told.tell(LoopEnded(node="n", loop="dispatch", error=None), LoopEnded(node="n", loop="trust", error=GeneratorExit())) == [
        "ERROR n: dispatch: ended unexpectedly, and is started again: it was cancelled",
        "ERROR n: trust: ended unexpectedly, and is started again: GeneratorExit",
    ]


class FlakyStore(MemoryStore):
    """A store that is away while it is told to be, for all who use it."""

    def __init__(self) -> None:
        super().__init__()
        self.away: list[StoreUnavailable] = []

    def tenant(self, namespace: str) -> Self:
        """Return another object on the same store."""
        other = super().tenant(namespace)
        other.away = self.away
        return other

    def _check(self) -> None:
        if self.away:
            raise self.away[0]

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Fail, while it is away."""
        self._check()
        return await super().exchange(now, outcomes, request)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Fail, while it is away."""
        self._check()
        return await super().extend(now, held, lease)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Fail, while it is away."""
        self._check()
        return await super().prune(before, keep, limit)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Fail, while it is away."""
        self._check()
        async with super().listen() as rings:
            yield rings


async def test_a_node_tells_of_an_outage_in_two_lines_and_of_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """Its loops fail many times, each with its own backoff."""
    jobs, store = JobRegistry(), FlakyStore()
    jobs.job("work")(lambda: None)
    scheduler = a_scheduler(store, jobs, lease=LEASE)
    events = heard(scheduler)
    store.away.append(AWAY)
    async with scheduler:
        await scheduler.schedule_job("a", "work")
        await wait_until_async(lambda: {event.loop for event in events if isinstance(event, LoopFailed)} >= {"dispatch", "listen", "prune"})
        await wait_until_async(lambda: sum(isinstance(event, LoopFailed) for event in events) > 12)
        store.away.clear()
        await wait_until_async(lambda: any(isinstance(event, RunEnded) for event in events))
        await wait_until_async(lambda: sum(isinstance(event, LoopRecovered) for event in events) >= 3)
    lines = [record for record in caplog.records if record.name == "duly" and record.levelno >= logging.WARNING]
    assert [record.levelname for record in lines] == ["ERROR", "WARNING"]
    assert "works again after" in lines[1].getMessage()
