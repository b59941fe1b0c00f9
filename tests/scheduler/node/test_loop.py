"""A loop turns, pauses, and outlives whatever a turn raises."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobRegistry
from duly.scheduler import Event, LoopEnded, LoopFailed, LoopRecovered, RunEnded, StdScheduler
from duly.scheduler.node.loop import Loop, backoff, jittered
from duly.scheduler.node.node import RunningNode
from duly.scheduler.testing import ManualClock
from duly.stores import MemoryStore, StoreUnavailable
from support.schedulers import HOUR, LEASE, SECOND, heard, some_services
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Turning:
    """A loop on a manual clock whose turns answer from a list, and then with an hour."""

    def __init__(self, *answers: timedelta | BaseException) -> None:
        self.clock = ManualClock(NOON)
        services = some_services(self.clock)
        self.events: list[Event] = []
        services.events.listen(self.events.append)
        self.answers, self.turns = deque(answers), 0
        self.loop = Loop("test", self._turn, services)
        self.running = self.loop.start()

    async def _turn(self) -> timedelta:
        self.turns += 1
        answer = self.answers.popleft() if self.answers else HOUR
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def rest(self) -> None:
        """Let the event loop turn until this loop surely pauses."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Stop."""
        self.loop.stop()
        await self.running


async def test_a_loop_pauses_as_long_as_its_turn_says() -> None:
    """And then turns again."""
    turning = Turning(SECOND, 2 * SECOND)
    await turning.rest()
    assert turning.turns == 1
    turning.clock.advance(SECOND)
    await turning.rest()
    assert turning.turns == 2
    turning.clock.advance(SECOND)
    await turning.rest()
    assert turning.turns == 2
    await turning.end()


async def test_a_ring_ends_the_pause() -> None:
    """Also one that came while the turn was under way."""
    turning = Turning()
    turning.loop.wake.ring()
    await turning.rest()
    assert turning.turns == 1, "a ring before the turn is answered by it"
    turning.loop.wake.ring()
    await turning.rest()
    assert turning.turns == 2
    await turning.end()


async def test_a_ring_during_a_turn_makes_another_one() -> None:
    """It may be about what the turn had seen before."""
    turning = Turning()
    services = some_services(turning.clock)
    turns: list[int] = []

    async def turn() -> timedelta:
        turns.append(len(turns))
        if len(turns) == 1:
            loop.wake.ring()
        return HOUR

    loop = Loop("test", turn, services)
    running = asyncio.create_task(loop.run())
    await turning.rest()
    assert len(turns) == 2
    loop.stop()
    await running
    await turning.end()


async def test_a_turn_that_fails_is_told_and_tried_again_after_a_backoff() -> None:
    """The error is in the event; the loop goes on."""
    error = StoreUnavailable("gone")
    turning = Turning(error)
    await turning.rest()
    (event,) = turning.events
    assert isinstance(event, LoopFailed)
    assert (event.loop, event.error) == ("test", error)
    turning.clock.advance(backoff(1) * 2)
    await turning.rest()
    assert turning.turns == 2
    assert turning.events == [event, LoopRecovered(node=event.node, loop="test")]
    await turning.end()


async def test_no_ring_ends_a_backoff() -> None:
    """Work that comes in does not make an outage a storm."""
    turning = Turning(ValueError("a fault"))
    for _ in range(5):
        await turning.rest()
        turning.loop.wake.ring()
    assert turning.turns == 1
    await turning.end()


async def test_a_good_turn_begins_the_backoff_anew() -> None:
    """Each outage has short pauses first."""
    turning = Turning(*[ValueError()] * 5, timedelta(0), ValueError())
    while turning.answers:
        await turning.rest()
        assert turning.clock.next_timer is not None
        pause = turning.clock.next_timer - turning.clock.now()
        turning.clock.move_to(turning.clock.next_timer)
    assert pause <= timedelta(milliseconds=50)
    await turning.end()


@pytest.mark.parametrize("answer", [HOUR, ValueError("a fault")])
async def test_stopping_ends_a_pause_and_a_backoff(answer: timedelta | Exception) -> None:
    """At once, on a clock that stands still."""
    turning = Turning(answer)
    await turning.rest()
    await turning.end()
    assert turning.turns == 1


async def test_stopping_lets_the_turn_that_is_under_way_finish() -> None:
    """What it wrote, it also hears of."""
    gate, finished = asyncio.Event(), list[str]()

    async def turn() -> timedelta:
        await gate.wait()
        finished.append("turn")
        return timedelta(0)

    loop = Loop("test", turn, some_services(ManualClock(NOON)))
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    loop.stop()
    await asyncio.sleep(0)
    assert not running.done()
    gate.set()
    await running
    assert finished == ["turn"]


async def test_a_loop_may_be_stopped_from_a_thread() -> None:
    """In its pause."""
    turning = Turning()
    await turning.rest()
    await asyncio.to_thread(turning.loop.stop_from_thread)
    await wait_until_async(turning.running.done)


async def test_a_loop_that_is_stopped_before_it_runs_does_not_turn() -> None:
    """There is nothing to finish."""
    turning = Turning()
    await turning.end()
    assert turning.turns == 0


def test_the_backoff_doubles_and_is_bounded() -> None:
    """From 50 ms to 5 s, each shortened by up to a half; an outage of days does not overflow it."""
    for failures, longest in [(1, 0.05), (2, 0.1), (3, 0.2), (7, 3.2), (8, 5), (10_000, 5)]:
        spans = [backoff(failures).total_seconds() for _ in range(50)]
        assert longest / 2 <= min(spans) <= max(spans) <= longest


def test_jitter_only_shortens() -> None:
    """By at most the fraction that is given."""
    spans = [jittered(SECOND, by=0.25) for _ in range(100)]
    assert 0.75 * SECOND <= min(spans) < max(spans) <= SECOND


async def test_a_retry_ends_one_backoff_and_no_other() -> None:
    """What fails again waits again."""
    turning = Turning(*[StoreUnavailable("gone")] * 2)
    turning.loop.retry()  # nothing has failed: without effect
    await turning.rest()
    assert turning.turns == 1
    turning.loop.retry()
    await turning.rest()
    assert turning.turns == 2
    await turning.end()


# -- loops that end though nobody stopped them


def _why_ended(loop: Loop) -> str | None:
    return loop.ended


def _why_unready(node: RunningNode) -> str | None:
    return node.unready


@pytest.mark.parametrize("error", [GeneratorExit("out"), None])
async def test_a_loop_that_ends_unexpectedly_is_told_and_started_again(error: BaseException | None) -> None:
    """Because something ended its coroutine, or somebody cancelled its task."""
    turning = Turning(*([] if error is None else [error]))
    await turning.rest()
    if error is None:
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "duly test"]
        task.cancel()
        await turning.rest()
    (ended,) = turning.events
    assert isinstance(ended, LoopEnded)
    assert (ended.loop, ended.error) == ("test", error)
    assert _why_ended(turning.loop) == ("it was cancelled" if error is None else "GeneratorExit: out")
    turns = turning.turns
    await turning.rest()
    assert turning.turns == turns, "not before the backoff is over"
    turning.clock.advance(backoff(1) * 2)
    await turning.rest()
    assert turning.turns == turns + 1
    assert _why_ended(turning.loop) is None
    assert isinstance(turning.events[-1], LoopRecovered)
    await turning.end()


async def test_what_a_turn_awaited_may_be_cancelled_and_the_loop_goes_on() -> None:
    """It is a failure of the turn like any other."""
    turning = Turning(asyncio.CancelledError())
    await turning.rest()
    assert [type(event) for event in turning.events] == [LoopFailed]
    turning.clock.advance(backoff(1) * 2)
    await turning.rest()
    assert turning.turns == 2
    await turning.end()


async def test_a_loop_may_be_stopped_while_it_waits_to_be_started_again() -> None:
    """It is not started any more."""
    turning = Turning(GeneratorExit())
    await turning.rest()
    assert turning.loop.ended is not None
    await turning.end()
    turning.clock.advance(HOUR)
    await turning.rest()
    assert turning.turns == 1


async def test_a_node_whose_loop_ended_is_not_ready_and_says_so_until_it_works_again() -> None:
    """A program that cancels whatever runs in its event loop does not stop its node for good."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    async with StdScheduler(MemoryStore(), jobs=jobs, lease=LEASE, poll=HOUR) as scheduler:
        events, node = heard(scheduler), scheduler.running_node
        assert _why_unready(node) is None
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await wait_until_async(lambda: sum(isinstance(event, LoopEnded) for event in events) == 3)
        assert _why_unready(node) == "the loop 'listen' of this node ended unexpectedly and is started again: it was cancelled"
        await scheduler.schedule_job("a", "work")
        assert "but the loop 'listen' of this node ended unexpectedly" in await scheduler.why("a")
        await wait_until_async(lambda: any(isinstance(event, RunEnded) for event in events))
        await wait_until_async(lambda: node.unready is None)


async def test_a_heartbeat_that_ended_is_started_again_in_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the node is not ready."""
    failing = [GeneratorExit("out"), GeneratorExit("out")]

    async with StdScheduler(MemoryStore(), lease=LEASE, poll=HOUR) as scheduler:
        events, node, reasons = heard(scheduler), scheduler.running_node, list[str | None]()
        assert node._thread is not None
        heartbeat = node._thread._heartbeat
        turn = heartbeat.turn

        async def fail() -> timedelta:
            if failing:
                raise failing.pop()
            return await turn()

        monkeypatch.setattr(heartbeat, "turn", fail)
        node.listen(lambda event: reasons.append(node.unready) if isinstance(event, LoopEnded) else None)
        await wait_until_async(lambda: any(isinstance(event, LoopRecovered) and event.loop == "heartbeat" for event in events))
        await wait_until_async(lambda: node.unready is None)
    assert reasons == ["the loop 'heartbeat' of this node ended unexpectedly and is started again: GeneratorExit: out"] * 2
