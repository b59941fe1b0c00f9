"""The clock that tests move by hand, and jobs that wait on it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import evolve

from duly.jobs import JobContext, JobRegistry, RetryPolicy, TimeLimitExceeded
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import Exchange, LockRequest, MemoryStore, Outcome, RunQuery, RunStatus
from duly.triggers import NaiveDatetime
from support.schedulers import HOUR, SECOND

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon."""
    return ManualClock(NOON)


def a_scheduler(clock: ManualClock, jobs: JobRegistry) -> StdScheduler:
    """Return a scheduler in memory on the clock."""
    return StdScheduler(MemoryStore(), jobs=jobs, clock=clock)


async def test_timers_ring_in_the_order_of_their_instants(clock: ManualClock) -> None:
    """Those of one instant in the order in which they were asked for."""
    rung: list[str] = []
    for name, delay in (("late", 3), ("first", 1), ("second", 1), ("middle", 2), ("never", 4)):
        clock.call_later(delay * SECOND, lambda name=name: rung.append(name))  # type: ignore[misc]  # the default binds the loop's value
    clock.advance(3 * SECOND)
    assert rung == [], "callbacks come when the loop turns"
    await asyncio.sleep(0)
    assert rung == ["first", "second", "middle", "late"]
    assert clock.next_timer == NOON + 4 * SECOND


async def test_a_timer_that_is_cancelled_never_rings(clock: ManualClock) -> None:
    """Not even between the move and the loop's turn; and it is not the next one."""
    rung: list[str] = []
    early, late = (clock.call_later(delay * SECOND, lambda: rung.append("rung")) for delay in (1, 2))
    early.cancel()
    assert clock.next_timer == NOON + 2 * SECOND
    clock.advance(2 * SECOND)
    late.cancel()
    await asyncio.sleep(0)
    assert rung == []
    assert clock.next_timer is None


async def test_a_delay_that_is_not_positive_needs_no_move(clock: ManualClock) -> None:
    """It rings at the loop's next turn."""
    rung: list[str] = []
    clock.call_later(timedelta(0), lambda: rung.append("now"))
    clock.call_later(-SECOND, lambda: rung.append("past"))
    assert rung == []
    await asyncio.sleep(0)
    assert rung == ["now", "past"]


def test_both_its_times_move_together(clock: ManualClock) -> None:
    """Wall and monotonic."""
    clock.advance(HOUR)
    assert (clock.now(), clock.monotonic()) == (NOON + HOUR, 3600.0)
    assert not clock.runs


def test_it_cannot_be_moved_back(clock: ManualClock) -> None:
    """Time that went back would fire twice; the error names both instants."""
    with pytest.raises(ValueError, match=r"2030-01-01T12:00:00\+00:00 cannot be moved back to 2030-01-01T11:59:59"):
        clock.advance(-SECOND)


def test_its_instants_are_aware_and_become_utc() -> None:
    """As everywhere."""
    with pytest.raises(NaiveDatetime):
        ManualClock(datetime(2030, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(NaiveDatetime):
        ManualClock().move_to(datetime(2031, 1, 1))  # noqa: DTZ001 - the point
    paris = ManualClock(datetime(2030, 1, 1, 13, tzinfo=timezone(HOUR)))
    assert (paris.now(), paris.now().tzinfo) == (NOON, UTC)


async def test_a_job_sleeps_twice_and_each_sleep_takes_its_time(clock: ManualClock) -> None:
    """The clock stops at each of them."""
    jobs, seen = JobRegistry(), list[datetime]()

    @jobs.job("two")
    async def two(ctx: JobContext) -> None:
        for _ in range(2):
            await ctx.sleep(10 * SECOND)
            seen.append(clock.now())

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("t", "two")
        assert await run_due(scheduler, until=NOON + HOUR) == 1
    assert seen == [NOON + 10 * SECOND, NOON + 20 * SECOND]
    assert clock.now() == NOON + HOUR


async def test_a_job_bounds_its_own_sleep(clock: ManualClock) -> None:
    """The shorter of nested limits ends it, at its instant, and the job goes on."""
    jobs, seen = JobRegistry(), list[tuple[object, datetime]]()

    @jobs.job("bounded")
    async def bounded(ctx: JobContext) -> None:
        for inner, outer in ((5, 10), (10, 5)):
            try:
                await ctx.within(outer * SECOND, ctx.within(inner * SECOND, ctx.sleep(HOUR)))
            except TimeLimitExceeded as error:
                seen.append((error.limit, clock.now()))
        await ctx.within(HOUR, ctx.sleep(SECOND))
        seen.append(("slept", clock.now()))

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("b", "bounded")
        assert await run_due(scheduler, until=NOON + HOUR) == 1
    assert seen == [(5 * SECOND, NOON + 5 * SECOND), (5 * SECOND, NOON + 10 * SECOND), ("slept", NOON + 11 * SECOND)]


async def test_a_job_sleeps_in_two_places_at_once(clock: ManualClock) -> None:
    """Both sleeps end at their own instants."""
    jobs, seen = JobRegistry(), list[tuple[int, datetime]]()

    @jobs.job("both")
    async def both(ctx: JobContext) -> None:
        async def one(seconds: int) -> None:
            await ctx.sleep(seconds * SECOND)
            seen.append((seconds, clock.now()))

        await asyncio.gather(one(20), one(10), one(10))

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("b", "both")
        assert await run_due(scheduler, until=NOON + HOUR) == 1
    assert seen == [(10, NOON + 10 * SECOND), (10, NOON + 10 * SECOND), (20, NOON + 20 * SECOND)]


async def test_a_sleep_that_is_cancelled_no_longer_counts_as_asleep(clock: ManualClock) -> None:
    """The job is at work again, and is waited for."""
    jobs, seen = JobRegistry(), list[str]()

    @jobs.job("cancels")
    async def cancels(ctx: JobContext) -> None:
        sleeping = asyncio.create_task(ctx.sleep(HOUR))
        await asyncio.sleep(0)
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        await asyncio.to_thread(seen.append, "worked")

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("c", "cancels")
        assert await run_due(scheduler) == 1
    assert seen == ["worked"]
    assert clock.next_timer is None


async def test_without_an_end_the_clock_stays_where_it_is(clock: ManualClock) -> None:
    """Only what is due now is run; a job that sleeps is left asleep."""
    jobs, seen = JobRegistry(), list[str]()

    @jobs.job("sleeper")
    async def sleeper(ctx: JobContext) -> None:
        seen.append("began")
        await ctx.sleep(SECOND)
        seen.append("ended")

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("now", "sleeper")
        await scheduler.schedule_job("later", "sleeper", delay=SECOND)
        assert await run_due(scheduler) == 0
        assert (seen, clock.now()) == (["began"], NOON)
        assert await run_due(scheduler, until=NOON + 2 * SECOND) == 2
    assert sorted(seen) == ["began", "began", "ended", "ended"]


async def test_what_is_due_at_the_end_is_run_too(clock: ManualClock) -> None:
    """`until` is part of the span."""
    jobs = JobRegistry()
    jobs.job("j", trigger="@every 1h")(lambda: None)
    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("j", "j")
        assert await run_due(scheduler, until=NOON + HOUR) == 1


async def test_with_room_for_one_run_every_kind_is_run(clock: ManualClock) -> None:
    """At its own instant: kinds that had no room in one lock have it in the next."""
    jobs, seen = JobRegistry(), list[tuple[str, datetime]]()
    for kind in ("a", "b", "c"):
        jobs.job(kind)(lambda ctx: seen.append((ctx.kind, clock.now())))
    async with StdScheduler(MemoryStore(), jobs=jobs, clock=clock, concurrency=1) as scheduler:
        for kind in ("c", "b", "a"):
            await scheduler.schedule_job(kind, kind, delay=SECOND)
        assert await run_due(scheduler, until=NOON + HOUR) == 3
    assert sorted(seen) == [(kind, NOON + SECOND) for kind in ("a", "b", "c")]


async def test_leaving_with_a_sleeping_job_cuts_it_short_without_waiting(clock: ManualClock) -> None:
    """No real time passes for the grace; the run is on record."""
    jobs, store = JobRegistry(), MemoryStore()

    @jobs.job("long")
    async def long(ctx: JobContext) -> None:
        await ctx.sleep(HOUR)

    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("l", "long")
        await run_due(scheduler)
    async with store:
        (run,) = (await store.runs(RunQuery())).items
        assert (run.status, (await store.get("l")).attempt) == (RunStatus.CANCELLED, 0)


async def test_a_failure_backs_off_on_the_clock(clock: ManualClock) -> None:
    """Hours of retries in a moment."""
    jobs, seen = JobRegistry(), list[datetime]()

    @jobs.job("fails", retry=RetryPolicy(limit=12))
    async def fails() -> None:
        seen.append(clock.now())
        raise ValueError

    async with a_scheduler(clock, jobs) as scheduler:
        await scheduler.schedule_job("f", "fails")
        assert await run_due(scheduler, until=NOON + 24 * HOUR) == 13
    assert seen == sorted(set(seen))


class ElsewhereStore(MemoryStore):
    """A store whose own clock says something else than the test's."""

    async def now(self) -> datetime:
        """Return it."""
        return NOON + 1000 * HOUR

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Answer with it."""
        return evolve(await super().exchange(now, outcomes, request), store_now=await self.now())


async def test_a_clock_that_is_moved_by_hand_is_the_time_whatever_the_stores_clock_says() -> None:
    """So that the same test runs on PostgreSQL and Firestore, whose servers know the true time."""
    jobs = JobRegistry()
    fires: list[datetime] = []

    @jobs.scheduled("hourly", trigger="@every 1h")
    async def hourly(ctx: JobContext) -> None:
        fires.append(ctx.fire_time)

    async with StdScheduler(ElsewhereStore(), jobs=jobs, clock=ManualClock(NOON)) as scheduler:
        await run_due(scheduler, until=NOON + 2 * HOUR)

    assert fires == [NOON + HOUR, NOON + 2 * HOUR]
