"""A whole schedule in a unit test: a manual clock, and what is due is run."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from attrs import evolve

from duly.jobs import Consistency, FunctionJob, Job, JobContext, JobRegistry, RetryPolicy, Task, TaskState
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import LockRequest, MemoryStore, RunQuery, RunStatus
from duly.triggers import CronTrigger, SimpleTrigger

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def a_scheduler(jobs: JobRegistry) -> tuple[StdScheduler, ManualClock]:
    """Return a scheduler in memory whose clock stands at the start of 2030."""
    clock = ManualClock(START)
    return StdScheduler(MemoryStore(), jobs=jobs, clock=clock), clock


async def test_twenty_five_hours_of_schedule_run_in_order_each_at_its_time() -> None:
    """Every fire of every schedule, once, at the instant it is for."""
    jobs = JobRegistry()
    fires: list[tuple[str, datetime, datetime]] = []

    @jobs.job("note")
    async def note(ctx: JobContext) -> None:
        fires.append((ctx.slug, ctx.fire_time, clock.now()))

    scheduler, clock = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("hourly", "note", trigger=CronTrigger("0 * * * *"))
        await scheduler.schedule_job("daily", "note", trigger=CronTrigger("30 9 * * *"))
        ended = await run_due(scheduler, until=START + 25 * HOUR)

    expected = sorted(
        [("hourly", START + number * HOUR) for number in range(1, 26)] + [("daily", START + 9.5 * HOUR)], key=lambda fire: fire[1]
    )
    assert [(slug, fire_time) for slug, fire_time, _ in fires] == expected
    assert all(fire_time == now for _, fire_time, now in fires)
    assert ended == 26


async def test_a_fixed_delay_lies_between_the_end_of_a_run_and_the_next_fire() -> None:
    """Retries included: the run is over when the last attempt has ended."""
    jobs = JobRegistry()
    runs: list[tuple[datetime, int]] = []

    @jobs.scheduled("slow", trigger="FIXED_DELAY=yes @every 60m", retry=RetryPolicy(limit=1, min_backoff=MINUTE, max_backoff=MINUTE))
    async def slow(ctx: JobContext) -> None:
        runs.append((ctx.fire_time, ctx.attempt))
        await ctx.sleep(10 * MINUTE)
        if len(runs) == 2:
            raise ValueError("the second run fails once")

    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await run_due(scheduler, until=START + 4 * HOUR)
        skipped = (await scheduler.runs(RunQuery(statuses=(RunStatus.SKIPPED,)))).items

    second, third = START + HOUR + 70 * MINUTE, START + HOUR + 70 * MINUTE + 10 * MINUTE + MINUTE + 10 * MINUTE + HOUR
    assert runs == [(START + HOUR, 1), (second, 1), (second, 2), (third, 1)]
    assert skipped == []


async def test_what_is_scheduled_after_a_while_fires_once_and_is_not_moved_by_declaring_it_again() -> None:
    """A service that declares it at every start does not put it off for ever."""
    jobs = JobRegistry()
    runs: list[datetime] = []

    @jobs.scheduled("remind", trigger="@after 2 hours")
    async def remind(ctx: JobContext) -> None:
        runs.append(ctx.fire_time)

    clock, store = ManualClock(START), MemoryStore()
    for _ in range(3):
        async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
            await run_due(scheduler, until=clock.now() + 50 * MINUTE)
    assert runs == [START + 2 * HOUR]
    async with StdScheduler(store, jobs=JobRegistry(), clock=clock) as scheduler:
        assert await scheduler.get_job_slugs() == []


async def test_a_first_registration_does_not_fire_at_once() -> None:
    """A schedule begins with its next fire time."""
    jobs = JobRegistry()
    runs: list[datetime] = []

    @jobs.scheduled("tick", trigger="@every 60s")
    def tick(ctx: JobContext) -> None:
        runs.append(ctx.fire_time)

    scheduler, clock = a_scheduler(jobs)
    async with scheduler:
        await run_due(scheduler)
        assert runs == []
        await run_due(scheduler, until=clock.now() + MINUTE)
    assert runs == [START + MINUTE]


async def test_a_fire_that_was_missed_while_nobody_ran_is_run_once_at_start() -> None:
    """The latest of the missed ones, with its own fire time.

    The others leave one skipped run with their count.
    """
    jobs = JobRegistry()
    runs: list[datetime] = []

    @jobs.scheduled("tick", trigger=SimpleTrigger(MINUTE))
    async def tick(ctx: JobContext) -> None:
        runs.append(ctx.fire_time)

    clock, store = ManualClock(START), MemoryStore()
    async with StdScheduler(store, jobs=jobs, clock=clock):
        pass
    clock.advance(10.5 * MINUTE)
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await run_due(scheduler)
        assert runs == [START + 10 * MINUTE]
        (skipped,) = (await scheduler.runs(RunQuery(statuses=(RunStatus.SKIPPED,)))).items
        assert (skipped.count, skipped.fire_time) == (9, START + MINUTE)
        assert (await scheduler.get_scheduled_job("tick")).run_at == START + 11 * MINUTE


async def test_a_fire_that_passes_during_a_run_is_skipped() -> None:
    """Overlap: the schedule goes on with the first fire after the run, and the dropped ones are on record."""
    jobs = JobRegistry()
    fires: list[datetime] = []

    @jobs.scheduled("slow", trigger="@every 10s")
    async def slow(ctx: JobContext) -> None:
        fires.append(ctx.fire_time)
        await ctx.sleep(25 * SECOND)

    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await run_due(scheduler, until=START + 75 * SECOND)
        skipped = (await scheduler.runs(RunQuery(statuses=(RunStatus.SKIPPED,)))).items
    assert fires == [START + 10 * SECOND, START + 40 * SECOND, START + 70 * SECOND]
    assert [run.count for run in skipped] == [2, 2]


async def test_a_lease_is_kept_while_a_job_sleeps_for_hours() -> None:
    """The heartbeat is part of what is driven."""
    jobs = JobRegistry()
    attempts: list[int] = []

    @jobs.job("long")
    async def long(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        await ctx.sleep(3 * HOUR)

    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("long", "long")
        await run_due(scheduler, until=START + 4 * HOUR)
        (run,) = (await scheduler.runs(RunQuery())).items
    assert attempts == [1]
    assert (run.status, run.finished_at - run.started_at) == (RunStatus.DONE, 3 * HOUR)


async def test_a_failing_one_off_is_retried_with_backoff_and_then_set_aside() -> None:
    """As often as its policy says, later each time; it is kept with its error."""
    jobs = JobRegistry()
    attempts: list[tuple[int, datetime]] = []

    @jobs.job("fail", retry=RetryPolicy(limit=3))
    async def fail(ctx: JobContext) -> None:
        attempts.append((ctx.attempt, clock.now()))
        raise ValueError("no luck")

    scheduler, clock = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("f", "fail", payload=b"precious")
        await run_due(scheduler, until=START + HOUR)
        task = await scheduler.get_scheduled_job("f")
        history = (await scheduler.runs(RunQuery())).items

    assert [attempt for attempt, _ in attempts] == [1, 2, 3, 4]
    waits = [later - earlier for (_, earlier), (_, later) in pairwise(attempts)]
    assert all(SECOND <= wait <= 2**number * SECOND for number, wait in enumerate(waits, start=1))
    assert (task.state, task.payload, task.due_at) == (TaskState.FAILED, b"precious", None)
    assert "ValueError: no luck" in (task.last_error or "")
    assert [run.status for run in reversed(history)] == [RunStatus.RETRIED] * 3 + [RunStatus.FAILED]


async def test_a_failing_schedule_waits_for_its_next_fire() -> None:
    """After its last retry; the failure is on record."""
    jobs = JobRegistry()

    @jobs.scheduled("s", trigger="@every 1h", retry=RetryPolicy(limit=0))
    def always_fails() -> None:
        raise RuntimeError("broken")

    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await run_due(scheduler, until=START + 2.5 * HOUR)
        task = await scheduler.get_scheduled_job("s")
        history = (await scheduler.runs(RunQuery())).items
    assert [run.status for run in history] == [RunStatus.FAILED, RunStatus.FAILED]
    assert (task.state, task.run_at) == (TaskState.SCHEDULED, START + 3 * HOUR)


async def test_a_job_that_returns_none_is_removed_even_with_a_trigger() -> None:
    """The contract of `execute`; a function without a return carries on instead."""
    jobs = JobRegistry()

    class Once(Job):
        kind = "once"
        removes_itself = True

        async def execute(self, ctx: JobContext, task: Task, /) -> None:
            return None

    jobs.register_job(Once(), trigger="@every 1m")
    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("o", Once)
        await run_due(scheduler, until=START + HOUR)
        assert await scheduler.get_job_slugs() == []
        assert len((await scheduler.runs(RunQuery())).items) == 1


async def test_a_returned_task_keeps_its_payload_and_result() -> None:
    """State from run to run; every other field that a job changes is ignored."""
    jobs = JobRegistry()

    class Count(Job):
        kind = "count"

        def execute(self, ctx: JobContext, task: Task, /) -> Task:
            number = int(task.payload) + 1
            return evolve(task, payload=str(number).encode(), result=f"counted {number}", paused=True, attempt=7)

    jobs.register_job(Count(), trigger="@every 1m")
    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("c", "count", payload=b"0")
        await run_due(scheduler, until=START + 3 * MINUTE)
        task = await scheduler.get_scheduled_job("c")
    assert (task.payload, task.result, task.paused, task.attempt) == (b"3", "counted 3", False, 0)


async def test_a_job_that_moves_its_next_run_sleeps_until_then() -> None:
    """A workflow between two steps: a one-off that is returned with another fire time stays."""
    jobs = JobRegistry()
    steps: list[tuple[bytes, datetime]] = []

    class Steps(Job):
        kind = "steps"

        async def execute(self, ctx: JobContext, task: Task, /) -> Task:
            steps.append((task.payload, clock.now()))
            return task if task.payload == b"2" else evolve(task, payload=b"2", run_at=clock.now() + 3 * HOUR)

    jobs.register_job(Steps())
    scheduler, clock = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("w", "steps", payload=b"1")
        await run_due(scheduler, until=START + 10 * HOUR)
        assert await scheduler.get_job_slugs() == []
    assert steps == [(b"1", START), (b"2", START + 3 * HOUR)]


async def test_a_moved_run_does_not_shift_the_schedule() -> None:
    """The anchor moves along the trigger's own fires only."""
    jobs = JobRegistry()
    fires: list[datetime] = []

    class Mover(Job):
        kind = "mover"

        async def execute(self, ctx: JobContext, task: Task, /) -> Task:
            fires.append(ctx.fire_time)
            return evolve(task, run_at=ctx.fire_time + 90 * MINUTE) if len(fires) == 1 else task

    jobs.register_job(Mover(), trigger="@every 1h")
    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("m", "mover")
        await run_due(scheduler, until=START + 4 * HOUR)
    assert fires == [START + HOUR, START + 2.5 * HOUR, START + 3 * HOUR, START + 4 * HOUR]


async def test_a_first_fire_of_its_own_comes_before_the_trigger() -> None:
    """`delay` sets the first fire; the trigger counts on from there."""
    jobs = JobRegistry()
    fires: list[datetime] = []
    jobs.register_job(_noting("j", fires), trigger=SimpleTrigger(HOUR))
    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("now", "j", delay=timedelta(0))
        await scheduler.schedule_job("at", "j", at=START + 90 * MINUTE)
        await run_due(scheduler, until=START + 3 * HOUR)
    assert sorted(fires) == [START, START + HOUR, START + 1.5 * HOUR, START + 2 * HOUR, START + 2.5 * HOUR, START + 3 * HOUR]


async def test_a_time_limit_ends_a_coroutine() -> None:
    """On the scheduler's clock; the run counts as failed."""
    jobs = JobRegistry()
    ends: list[datetime] = []

    @jobs.job("stuck", time_limit=MINUTE, retry=RetryPolicy(limit=0))
    async def stuck(ctx: JobContext) -> None:
        try:
            await ctx.sleep(HOUR)
        finally:
            ends.append(clock.now())

    scheduler, clock = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("s", "stuck")
        await run_due(scheduler, until=START + 2 * HOUR)
        task = await scheduler.get_scheduled_job("s")
    assert ends == [START + MINUTE]
    assert "time limit of 0:01:00" in (task.last_error or "")


async def test_draining_refunds_what_it_cuts_short() -> None:
    """The run is recorded as cancelled, and another node runs the same fire as the same attempt."""
    jobs = JobRegistry()
    attempts: list[tuple[int, str]] = []

    @jobs.job("long")
    async def long(ctx: JobContext) -> None:
        attempts.append((ctx.attempt, ctx.run_key))
        await ctx.sleep(HOUR)

    clock, store = ManualClock(START), MemoryStore()
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("l", "long")
        await run_due(scheduler)
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await run_due(scheduler, until=START + 2 * HOUR)
        history = (await scheduler.runs(RunQuery())).items
    assert attempts == [(1, "l@2030-01-01T00:00:00+00:00")] * 2
    assert [run.status for run in reversed(history)] == [RunStatus.CANCELLED, RunStatus.DONE]


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_lost_run_is_run_again_or_never_as_the_task_says(consistency: Consistency) -> None:
    """At least once: by the next node, as the next attempt at the same fire.

    At most once: it is set aside.
    """
    jobs = JobRegistry()
    attempts: list[int] = []
    jobs.register_job(_counting("work", attempts), consistency=consistency)
    clock, store = ManualClock(START), MemoryStore()
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("w", "work")
        await store.lock(START, _request_of_a_node_that_dies())
        await run_due(scheduler, until=START + HOUR)
        history = (await scheduler.runs(RunQuery())).items
        slugs = await scheduler.get_job_slugs()
    statuses = [run.status for run in sorted(history, key=lambda run: run.attempt)]
    if consistency is Consistency.AT_LEAST_ONCE:
        assert (attempts, statuses, slugs) == ([2], [RunStatus.LOST, RunStatus.DONE], [])
    else:
        assert (attempts, statuses, slugs) == ([], [RunStatus.LOST, RunStatus.FAILED], ["w"])


async def test_a_task_that_crashed_its_node_three_times_is_set_aside() -> None:
    """However many retries it has left."""
    jobs = JobRegistry()
    attempts: list[int] = []
    jobs.register_job(_counting("work", attempts), retry=RetryPolicy(limit=None))
    clock, store = ManualClock(START), MemoryStore()
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("w", "work")
        for _ in range(3):
            assert len(await store.lock(clock.now(), _request_of_a_node_that_dies())) == 1
            clock.advance(MINUTE)
        await run_due(scheduler, until=clock.now() + HOUR)
        task = await scheduler.get_scheduled_job("w")
    assert (attempts, task.state, task.crashes) == ([], TaskState.FAILED, 3)
    assert "crashed 3 times" in (task.last_error or "")


async def test_driving_a_scheduler_with_a_real_clock_is_refused() -> None:
    """It would wait for nothing."""
    async with StdScheduler(MemoryStore()) as scheduler:
        with pytest.raises(TypeError, match="ManualClock"):
            await run_due(scheduler)


async def test_threads_are_waited_for() -> None:
    """A plain function really works in its thread while the clock stands still."""
    jobs = JobRegistry()
    done: list[str] = []

    @jobs.job("thread")
    def work() -> None:
        time.sleep(0.05)  # the work: in real time, which the test has to wait for
        done.append("done")

    scheduler, _ = a_scheduler(jobs)
    async with scheduler:
        await scheduler.schedule_job("t", "thread")
        assert await run_due(scheduler) == 1
    assert done == ["done"]


def _noting(kind: str, fires: list[datetime]) -> Job:
    async def note(ctx: JobContext) -> None:
        await asyncio.sleep(0)
        fires.append(ctx.fire_time)

    return FunctionJob.of(kind, note)


def _counting(kind: str, attempts: list[int]) -> Job:
    return FunctionJob.of(kind, lambda ctx: attempts.append(ctx.attempt))


def _request_of_a_node_that_dies() -> LockRequest:
    return LockRequest(node="dies", rooms={"work": 1}, lease=30 * SECOND, token=uuid4().hex)
