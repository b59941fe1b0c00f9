"""Bells and time limits, on a clock that the test moves."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import TimeLimitExceeded
from duly.scheduler import SystemClock
from duly.scheduler.testing import ManualClock
from duly.scheduler.waiting import Wake, sleep, within
from support.schedulers import HOUR, SECOND
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon."""
    return ManualClock(NOON)


async def turns(count: int = 10) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Work:
    """Work that never ends by itself, and tells what happened to it."""

    def __init__(self) -> None:
        self.is_running = False
        self.has_cleaned_up = False

    async def run(self) -> None:
        """Wait for ever; clean up in several turns of the loop."""
        self.is_running = True
        try:
            await asyncio.Event().wait()
        finally:
            await turns(3)
            self.has_cleaned_up = True


# -- sleep and Wake


async def test_a_sleep_ends_when_the_clock_says(clock: ManualClock) -> None:
    """Not a microsecond before."""
    sleeping = asyncio.create_task(sleep(clock, SECOND))
    await turns()
    clock.advance(SECOND - timedelta(microseconds=1))
    await turns()
    assert not sleeping.done()
    clock.advance(timedelta(microseconds=1))
    await sleeping


async def test_a_ring_before_the_wait_counts(clock: ManualClock) -> None:
    """What happens between looking and sleeping is not missed."""
    wake = Wake(clock)
    wake.ring()
    assert await wake.wait(None)


async def test_a_cleared_ring_does_not_count(clock: ManualClock) -> None:
    """The sleeper waits for the next."""
    wake = Wake(clock)
    wake.ring()
    wake.clear()
    waiting = asyncio.create_task(wake.wait(SECOND))
    await turns()
    clock.advance(SECOND)
    assert await waiting is False


async def test_a_ring_wakes_the_sleeper_before_its_time(clock: ManualClock) -> None:
    """And leaves no timer behind."""
    wake = Wake(clock)
    waiting = asyncio.create_task(wake.wait(HOUR))
    await turns()
    wake.ring()
    assert await waiting is True
    assert clock.next_timer is None


async def test_a_wait_that_is_cancelled_leaves_no_timer(clock: ManualClock) -> None:
    """The bell can be waited for again."""
    wake = Wake(clock)
    waiting = asyncio.create_task(wake.wait(HOUR))
    await turns()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert clock.next_timer is None
    wake.ring()
    assert await wake.wait(None)


async def test_a_ring_may_come_from_a_thread() -> None:
    """It reaches the sleeper in its own loop."""
    wake = Wake(SystemClock())
    waiting = asyncio.create_task(wake.wait(None))
    await turns()
    await asyncio.to_thread(wake.ring_from_thread)
    assert await asyncio.wait_for(waiting, 10)


def test_a_ring_for_a_loop_that_is_closed_is_no_error(clock: ManualClock) -> None:
    """There is nobody left to wake."""

    async def make() -> Wake:
        return Wake(clock)

    asyncio.run(make()).ring_from_thread()


# -- within


@pytest.mark.parametrize("limit", [None, SECOND])
async def test_work_that_ends_in_time_gives_its_value(clock: ManualClock, limit: timedelta | None) -> None:
    """The timer is gone with it."""

    async def work() -> str:
        await turns()
        return "value"

    assert await within(clock, limit, work()) == "value"
    assert clock.next_timer is None


async def test_work_that_takes_too_long_is_cancelled_and_awaited(clock: ManualClock) -> None:
    """The error comes when the work is gone."""
    work = Work()
    bounded = asyncio.create_task(within(clock, SECOND, work.run()))
    await wait_until_async(lambda: work.is_running)
    clock.advance(SECOND)
    with pytest.raises(TimeLimitExceeded, match="0:00:01") as caught:
        await bounded
    assert work.has_cleaned_up
    assert caught.value.limit == SECOND


async def test_who_wants_to_know_of_the_limit_is_told_before_the_work_is_cancelled(clock: ManualClock) -> None:
    """So that the work can see why."""
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    running = asyncio.create_task(within(clock, SECOND, work(), on_limit=lambda limit: told.append(str(limit))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.advance(SECOND)
    with pytest.raises(TimeLimitExceeded):
        await running
    assert told == ["stopped at its time limit of 0:00:01", "cancelled"]


async def test_a_limit_of_nothing_is_passed_at_once(clock: ManualClock) -> None:
    """The work may begin, and is cancelled."""
    with pytest.raises(TimeLimitExceeded):
        await within(clock, timedelta(0), Work().run())


@pytest.mark.parametrize("limit", [None, SECOND])
async def test_cancelling_from_outside_cancels_the_work_and_waits_for_it(clock: ManualClock, limit: timedelta | None) -> None:
    """It stays a cancelling."""
    work = Work()
    bounded = asyncio.create_task(within(clock, limit, work.run()))
    await wait_until_async(lambda: work.is_running)
    bounded.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded
    assert work.has_cleaned_up
    assert clock.next_timer is None


async def test_cancelling_from_outside_counts_more_than_the_limit(clock: ManualClock) -> None:
    """When both come at the same moment."""
    work = Work()
    bounded = asyncio.create_task(within(clock, SECOND, work.run()))
    await wait_until_async(lambda: work.is_running)
    clock.advance(SECOND)
    bounded.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded
    assert work.has_cleaned_up


async def test_an_error_of_the_work_is_passed_on(clock: ManualClock) -> None:
    """As it is."""

    async def work() -> None:
        await turns()
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner"):
        await within(clock, SECOND, work())
    assert clock.next_timer is None


async def test_work_that_ends_otherwise_on_being_cancelled_counts_as_it_ended(clock: ManualClock) -> None:
    """A value is a value, and an error an error, also after the limit."""

    async def work(*, fails: bool) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if fails:
                raise ValueError("in the clean-up") from None
        return "late"

    bounded = [asyncio.create_task(within(clock, SECOND, work(fails=fails))) for fails in (False, True)]
    await turns()
    clock.advance(SECOND)
    value, error = await asyncio.gather(*bounded, return_exceptions=True)
    assert value == "late"
    assert isinstance(error, ValueError)


async def test_work_that_cancels_itself_has_not_passed_its_limit(clock: ManualClock) -> None:
    """The cancelling is passed on."""

    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await within(clock, SECOND, work())


@pytest.mark.parametrize(("inner", "outer"), [(1, 2), (2, 1)])
async def test_of_two_limits_the_shorter_one_is_told(clock: ManualClock, inner: int, outer: int) -> None:
    """Wherever it stands."""
    work = Work()
    bounded = asyncio.create_task(within(clock, outer * SECOND, within(clock, inner * SECOND, work.run())))
    await wait_until_async(lambda: work.is_running)
    clock.advance(SECOND)
    with pytest.raises(TimeLimitExceeded) as caught:
        await bounded
    assert caught.value.limit == SECOND
    assert clock.next_timer is None
