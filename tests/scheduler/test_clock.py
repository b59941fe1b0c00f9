"""The machine's clock, and the clock that follows the store's."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import StdScheduler, StoreClock, SystemClock
from duly.scheduler.testing import ManualClock
from duly.stores import Exchange
from support.schedulers import HOUR, SECOND, Call, OffsetClock, ScriptedStore
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def local() -> ManualClock:
    """A machine's clock that the test moves."""
    return ManualClock(NOON)


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def reply(clock: StoreClock, local: ManualClock, *, ahead: timedelta, there: timedelta, back: timedelta) -> None:
    """Let the store, whose clock is `ahead`, be asked and answer."""
    sent = local.monotonic()
    local.advance(there)
    store_now = local.now() + ahead
    local.advance(back)
    clock.observe(store_now, sent=sent, received=local.monotonic())


async def test_the_system_clock_is_in_utc_and_runs() -> None:
    """It is the machine's."""
    clock = SystemClock()
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
    assert clock.runs


async def test_a_delay_that_is_not_positive_calls_back_at_once_but_not_from_here() -> None:
    """So that a callback never runs inside the call that asks for it."""
    called: list[str] = []
    SystemClock().call_later(-SECOND, lambda: called.append("back"))
    assert called == []
    await wait_until_async(lambda: called == ["back"])


async def test_a_cancelled_timer_never_rings() -> None:
    """The callback does not come."""
    called: list[str] = []
    SystemClock().call_later(timedelta(0), lambda: called.append("cancelled")).cancel()
    SystemClock().call_later(MILLISECOND, lambda: called.append("kept"))
    await wait_until_async(lambda: called)
    assert called == ["kept"]


def test_until_the_first_reply_it_is_the_machines_time(local: ManualClock) -> None:
    """A store without a clock leaves it so."""
    clock = StoreClock(local)
    clock.observe(None, sent=0, received=1)
    assert (clock.now(), clock.skew) == (NOON, timedelta(0))
    local.advance(HOUR)
    assert clock.now() == NOON + HOUR


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_it_follows_a_store_that_is_an_hour_off(local: ManualClock, ahead: timedelta) -> None:
    """The cluster's time counts, and it goes on by itself."""
    clock = StoreClock(local)
    reply(clock, local, ahead=ahead, there=5 * MILLISECOND, back=5 * MILLISECOND)
    assert clock.now() == local.now() + ahead
    local.advance(HOUR)
    assert clock.now() == local.now() + ahead
    assert clock.skew == ahead


def test_it_is_wrong_by_at_most_half_a_round_trip(local: ManualClock) -> None:
    """However unequal the ways there and back are."""
    for there, back in ((0, 100), (100, 0), (30, 70)):
        clock = StoreClock(local)
        reply(clock, local, ahead=HOUR, there=there * MILLISECOND, back=back * MILLISECOND)
        assert abs(clock.skew - HOUR) <= 50 * MILLISECOND


def test_of_sixteen_replies_the_quickest_is_believed(local: ManualClock) -> None:
    """A slow one after it does not spoil the time.

    Once it is older than sixteen replies, it counts no more.
    """
    clock = StoreClock(local)
    reply(clock, local, ahead=HOUR, there=MILLISECOND, back=MILLISECOND)
    for _ in range(15):
        reply(clock, local, ahead=HOUR, there=timedelta(0), back=SECOND)
        assert clock.skew == HOUR
    reply(clock, local, ahead=HOUR, there=timedelta(0), back=SECOND)
    assert clock.skew == HOUR - 500 * MILLISECOND


def test_a_jump_of_the_machines_wall_clock_does_not_move_it() -> None:
    """Only monotonic time is added to what the store said."""

    class Jumping(ManualClock):
        jumped = timedelta(0)

        def now(self) -> datetime:
            return super().now() + self.jumped

    local = Jumping(NOON)
    clock = StoreClock(local)
    clock.observe(NOON, sent=0, received=0)
    local.jumped = -HOUR
    local.advance(SECOND)
    assert clock.now() == NOON + SECOND


def test_replies_may_come_in_two_threads_at_once(local: ManualClock, impatient_threads: None) -> None:
    """The heartbeat's and the dispatcher's: both ask the same store."""
    clock, failures = StoreClock(local), list[Exception]()

    def observe() -> None:
        try:
            for _ in range(10_000):
                clock.observe(NOON, sent=0, received=1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
            failures.append(error)

    threads = [threading.Thread(target=observe) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
async def test_a_node_whose_wall_clock_is_an_hour_off_fires_on_time(offset: timedelta) -> None:
    """It goes by the store's clock, from its first start on."""

    class Timed(ScriptedStore):
        async def now(self) -> datetime:
            return datetime.now(UTC)

        async def do(self, call: Call) -> Exchange:
            return evolve(await super().do(call), store_now=datetime.now(UTC))

    jobs, fires = JobRegistry(), list[tuple[datetime, datetime]]()

    @jobs.job("note")
    async def note(ctx: JobContext) -> None:
        await asyncio.sleep(0)
        fires.append((ctx.fire_time, datetime.now(UTC)))

    async with StdScheduler(Timed(), jobs=jobs, clock=OffsetClock(offset), poll=HOUR) as scheduler:
        asked = datetime.now(UTC)
        await scheduler.schedule_job("note", "note", delay=200 * MILLISECOND)
        await wait_until_async(lambda: fires)
    ((fire_time, fired),) = fires
    assert abs(fire_time - asked - 200 * MILLISECOND) < 100 * MILLISECOND
    assert fire_time <= fired < fire_time + SECOND


@pytest.mark.parametrize("step", [8 * SECOND, 600 * SECOND, -8 * SECOND, -HOUR])
async def test_a_step_of_the_stores_clock_is_told_once_and_followed_at_once(local: ManualClock, step: timedelta) -> None:
    """Also by a reply that was slower than those of before."""
    steps: list[timedelta] = []
    clock = StoreClock(local, on_step=steps.append)
    for _ in range(3):
        reply(clock, local, ahead=timedelta(0), there=MILLISECOND, back=MILLISECOND)
    for _ in range(3):
        reply(clock, local, ahead=step, there=20 * MILLISECOND, back=20 * MILLISECOND)

    (told,) = steps
    assert abs(told - step) <= 50 * MILLISECOND
    assert abs(clock.now() - local.now() - step) <= 20 * MILLISECOND
    assert (clock.stepped_ahead_at > 0) == (step > timedelta(0))


async def test_a_slow_reply_is_no_step(local: ManualClock) -> None:
    """What a round trip can explain is none, nor is a drift."""
    steps: list[timedelta] = []
    clock = StoreClock(local, on_step=steps.append)
    reply(clock, local, ahead=timedelta(0), there=MILLISECOND, back=MILLISECOND)
    reply(clock, local, ahead=timedelta(0), there=20 * SECOND, back=timedelta(0))
    reply(clock, local, ahead=timedelta(0), there=timedelta(0), back=20 * SECOND)
    reply(clock, local, ahead=0.5 * SECOND, there=MILLISECOND, back=MILLISECOND)

    assert steps == []
