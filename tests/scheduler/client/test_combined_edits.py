"""Combinations of policies, edits and ends of runs that once lost, doubled or wedged a fire."""

import asyncio
import threading
from concurrent.futures import Executor, Future
from datetime import timedelta
from typing import Any, Unpack

import pytest
from attrs import evolve

from duly.jobs import Consistency, Fail, JobContext, JobRegistry, Misfire, Overlap, RetryPolicy, TaskOptions, TaskState
from duly.jobs.registered import JobSettings
from duly.scheduler import StdScheduler, SystemClock
from duly.scheduler.executors import PoolExecutor, ThreadExecutor
from duly.scheduler.executors.remote import Answer
from duly.scheduler.testing import ManualClock, kill, run_due
from duly.stores import Exchange, Run, RunQuery
from support.contexts import context
from support.driven import NOON, Noting, driven
from support.live_runs import a_run
from support.schedulers import Call, a_scheduler
from support.tasks import a_one_off, held
from support.waiting import wait_until_async

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LATE_RETRY = RetryPolicy(limit=1, delays=[HOUR])


async def history(scheduler: StdScheduler) -> list[Run]:
    """Return every run, oldest first."""
    return [*reversed((await scheduler.runs(RunQuery())).items)]


async def fires(scheduler: StdScheduler) -> list[tuple[str, timedelta]]:
    """Return status and fire time from noon on of every run, oldest first."""
    return [(run.status.value, run.fire_time - NOON) for run in await history(scheduler)]


class Failing(JobRegistry):
    """A registry with the kind `fails`, whose job fails as long as `is_bad`."""

    def __init__(self, **settings: Unpack[JobSettings]) -> None:
        super().__init__()
        self.is_bad = True
        self.seen: list[timedelta] = []
        self.job("fails", **settings)(self.fails)

    async def fails(self, ctx: JobContext) -> None:
        """Fail, or note the fire time."""
        self.seen.append(ctx.fire_time - NOON)
        if self.is_bad:
            raise ValueError("boom")


# -- moved


async def test_a_failed_one_off_that_is_moved_runs_once() -> None:
    """The fire that it was set aside with is the one that was moved, not a second one."""
    jobs = Failing(retry=RetryPolicy(limit=0))
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails")
        await run_due(node.scheduler)
        assert (await node.scheduler.get_scheduled_job("s")).state is TaskState.FAILED
        jobs.is_bad = False
        await node.scheduler.reschedule_job("s", delay=HOUR)
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert await fires(node.scheduler) == [("failed", timedelta(0)), ("done", HOUR)]


async def test_a_waiting_fire_that_is_moved_runs_once() -> None:
    """A fire that waits for its turn is moved, not copied."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 0 * * *")
        await node.scheduler.trigger_job("s")
        await node.scheduler.reschedule_job("s", delay=HOUR)
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert await fires(node.scheduler) == [("done", HOUR)]


async def test_a_waiting_fire_that_was_moved_while_it_ran_at_most_once_is_not_run_again_after_a_crash() -> None:
    """The lock consumed it, wherever its next run was moved to."""
    jobs, began = JobRegistry(), []

    @jobs.job("once", consistency=Consistency.AT_MOST_ONCE)
    async def once(ctx: JobContext) -> None:
        began.append(ctx.fire_time - NOON)
        await ctx.sleep(10 * HOUR)

    async with driven(jobs) as first, driven(jobs, beside=first) as second:
        await first.scheduler.schedule_job("s", "once", trigger="0 0 * * *")
        await first.scheduler.trigger_job("s")
        await run_due(first.scheduler)
        await first.scheduler.reschedule_job("s", at=NOON + 5 * HOUR)
        await kill(first.scheduler)
        first.clock.advance(10 * MINUTE)
        await run_due(second.scheduler)
        first.clock.move_to(NOON + 5 * HOUR)
        await run_due(second.scheduler, until=NOON + 20 * HOUR)

        assert began.count(timedelta(0)) == 1, began


async def test_run_now_of_a_schedule_whose_waiting_fires_were_moved_is_run_now() -> None:
    """What waits is no reason to wait for the moved run."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *", options=TaskOptions(misfire=Misfire.FIRE_ALL))
        node.clock.advance(3 * HOUR)
        await node.turn()
        node.dispatcher.is_locking = False
        await node.turn()
        node.dispatcher.is_locking = True
        assert (await node.scheduler.get_scheduled_job("s")).owed == (NOON + 2 * HOUR, NOON + 3 * HOUR)
        await node.scheduler.reschedule_job("s", delay=5 * HOUR)
        before = len(jobs.noted)
        await node.scheduler.trigger_job("s")
        await run_due(node.scheduler)

        assert len(jobs.noted) > before


async def test_a_schedule_that_is_moved_while_its_fires_are_spawned_stays_moved() -> None:
    """An edit between the lock and the write is not lost."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *", options=TaskOptions(overlap=Overlap.ALLOW))
        node.clock.advance(HOUR)
        await node.dispatcher.run_once()
        await node.scheduler.reschedule_job("s", at=NOON + 5.5 * HOUR)
        await node.turn(2)

        assert (await node.scheduler.get_scheduled_job("s")).run_at == NOON + 5.5 * HOUR


# -- restarted, stopped, paused


async def test_a_one_off_that_is_restarted_while_it_waits_for_its_retry_is_run() -> None:
    """Though its grace time has passed by then: its first lock was in time."""
    jobs = Failing(retry=LATE_RETRY, misfire_grace_time=MINUTE)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails")
        await run_due(node.scheduler, until=NOON + 10 * MINUTE)
        jobs.is_bad = False
        await node.scheduler.restart_job("s")
        await run_due(node.scheduler)

        assert await fires(node.scheduler) == [("retried", timedelta(0)), ("done", timedelta(0))]


async def test_a_schedule_that_is_restarted_while_it_waits_for_its_retry_is_run_for_the_same_fire() -> None:
    """Not for a later one that passed meanwhile."""
    jobs = Failing(retry=RetryPolicy(limit=1, delays=[2 * HOUR]))
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails", trigger="0 * * * *")
        await run_due(node.scheduler, until=NOON + 2.5 * HOUR)
        jobs.is_bad = False
        await node.scheduler.restart_job("s")
        await run_due(node.scheduler)

        assert jobs.seen == [HOUR, HOUR]


async def test_an_interrupted_fire_that_is_handed_back_stays_the_same_fire() -> None:
    """A node that cut it short, and one that gave it back unrun, leave it to a third."""
    jobs, seen = JobRegistry(), []

    @jobs.job("slow", misfire=Misfire.SKIP)
    async def slow(ctx: JobContext) -> None:
        seen.append(ctx.fire_time - NOON)
        await ctx.sleep(MINUTE)

    async with driven(jobs) as first, driven(jobs, beside=first) as second, driven(jobs, beside=first) as third:
        await first.scheduler.schedule_job("s", "slow", trigger="0 0 * * *", at=NOON)
        await run_due(first.scheduler)
        await first.scheduler.drain(timedelta(0))
        first.clock.advance(SECOND)
        lock = second.store.do

        async def stopping(call: Call) -> Exchange:
            exchange = await lock(call)
            second.dispatcher.is_locking = False
            return exchange

        second.store.do = stopping  # type: ignore[method-assign]
        await second.turn()
        await second.turn()
        first.clock.advance(10 * MINUTE)
        await run_due(third.scheduler)

        assert seen == [timedelta(0)] * 2


async def test_a_stopped_run_that_fails_before_it_hears_of_it_is_not_retried() -> None:
    """Somebody asked on another node; the run ended by itself before the heartbeat."""
    jobs, gate, runs = JobRegistry(), asyncio.Event(), []

    @jobs.job("fails")
    async def fails(ctx: JobContext) -> None:
        runs.append(ctx.attempt)
        await ctx.sleep(timedelta(0))
        await gate.wait()
        raise ValueError("boom")

    async with driven(jobs) as node, driven(jobs, beside=node) as other:
        await node.scheduler.schedule_job("s", "fails", trigger="0 0 * * *", at=NOON)
        running = asyncio.ensure_future(node.turn())
        await wait_until_async(lambda: bool(runs))
        assert await other.scheduler.stop_job("s")
        gate.set()
        await running
        await run_due(node.scheduler, until=NOON + HOUR)

        assert runs == [1]


async def test_a_fire_that_is_stopped_before_it_runs_is_recorded_at_its_own_time() -> None:
    """Not at the end of the run before it."""
    jobs = Noting()
    async with driven(jobs) as node, driven(jobs, beside=node) as other:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        await run_due(node.scheduler, until=NOON + HOUR)
        node.clock.advance(HOUR)
        do = node.store.do

        async def stopped_at_once(call: Call) -> Exchange:
            exchange = await do(call)
            node.dispatcher.is_locking = False
            if exchange.tasks:
                await other.scheduler.stop_job("s")
            return exchange

        node.store.do = stopped_at_once  # type: ignore[method-assign]
        await node.turn(3)
        node.store.do = do  # type: ignore[method-assign]
        node.dispatcher.is_locking = True
        await run_due(other.scheduler)

        (run,) = [run for run in await history(other.scheduler) if run.status == "cancelled"]
        assert run.fire_time == NOON + 2 * HOUR
        assert run.started_at >= run.fire_time


async def test_pausing_takes_back_a_run_now() -> None:
    """Also while the run that was asked for waits for its retry."""
    jobs = Failing(retry=LATE_RETRY)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails", trigger="0 0 * * *")
        await node.scheduler.trigger_job("s")
        await run_due(node.scheduler)
        await node.scheduler.pause_job("s")
        await run_due(node.scheduler, until=NOON + 3 * HOUR)

        assert len(jobs.seen) == 1


async def test_why_tells_that_a_paused_task_is_run_once_because_somebody_asked() -> None:
    """It does not wait until it is resumed."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 0 * * *")
        await node.scheduler.pause_job("s")
        await node.scheduler.trigger_job("s")

        assert "is due since" in await node.scheduler.why("s")


async def test_why_does_not_say_that_a_run_is_for_the_time_that_the_next_one_was_moved_to() -> None:
    """That is another run."""
    jobs = JobRegistry()

    @jobs.job("slow")
    async def slow(ctx: JobContext) -> None:
        await ctx.sleep(HOUR)

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "slow", trigger="0 0 * * *", at=NOON)
        await run_due(node.scheduler)
        await node.scheduler.reschedule_job("s", at=NOON + 5 * HOUR)

        assert "for its fire at 2030-01-01T17:00:00" not in await node.scheduler.why("s")


async def test_run_now_of_a_paused_task_that_lost_its_run_does_not_run_an_at_most_once_fire_again() -> None:
    """The lost fire stays lost."""
    jobs, began = JobRegistry(), []

    @jobs.job("once", consistency=Consistency.AT_MOST_ONCE)
    async def once(ctx: JobContext) -> None:
        began.append(ctx.fire_time - NOON)
        await ctx.sleep(timedelta(seconds=30))

    async with driven(jobs) as first, driven(jobs, beside=first) as second:
        await first.scheduler.schedule_job("s", "once", trigger="0 * * * *")
        await run_due(first.scheduler, until=NOON + HOUR)
        await first.scheduler.pause_job("s")
        await kill(first.scheduler)
        first.clock.advance(10 * MINUTE)
        await run_due(second.scheduler)
        await second.scheduler.trigger_job("s")
        await run_due(second.scheduler, until=NOON + 1.5 * HOUR)
        await second.scheduler.resume_job("s")
        await run_due(second.scheduler, until=NOON + 1.75 * HOUR)

        assert began.count(HOUR) == 1, began


async def test_run_now_of_a_task_that_is_paused_while_it_runs_is_run_when_that_has_ended() -> None:
    """As it is when the task was paused before."""
    jobs = Noting()
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "gated", trigger="0 0 * * *", at=NOON)
        running = asyncio.ensure_future(node.turn())
        await wait_until_async(lambda: jobs.noted == ["s"])
        await node.scheduler.pause_job("s")
        node.clock.advance(SECOND)
        await node.scheduler.trigger_job("s")
        gate.set()
        await running
        await run_due(node.scheduler)

        assert jobs.noted == ["s", "s"]


# -- how runs end


async def test_the_reason_of_an_ending_may_be_an_exception() -> None:
    """`raise Fail(error)` fails the run, and does not set a schedule aside."""
    jobs = JobRegistry()

    @jobs.job("fails")
    async def fails() -> None:
        raise Fail(ValueError("boom"))  # type: ignore[arg-type]

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails", trigger="0 * * * *", at=NOON)
        await run_due(node.scheduler)

        assert (await node.scheduler.get_scheduled_job("s")).state is TaskState.SCHEDULED
        assert [run.error for run in await history(node.scheduler)] == ["boom"]


async def test_a_job_that_cancels_its_own_task_has_failed() -> None:
    """Its run ends; it does not hold its lease for ever."""
    jobs = JobRegistry()

    @jobs.job("selfish", retry=RetryPolicy(limit=0))
    async def selfish() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with a_scheduler(jobs=jobs) as scheduler:
        await scheduler.schedule_job("s", "selfish")

        async def has_failed() -> bool:
            return [run.status for run in await history(scheduler)] == ["failed"]

        await wait_until_async(has_failed)


async def test_a_thread_that_answers_in_the_turn_in_which_it_is_given_up_takes_up_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot would never come back."""
    loop, answered, gate = asyncio.get_running_loop(), threading.Event(), threading.Event()
    call_soon = loop.call_soon_threadsafe

    def told(*arguments: Any) -> asyncio.Handle:  # noqa: ANN401 - as it is called
        handle = call_soon(*arguments)
        answered.set()
        return handle

    monkeypatch.setattr(loop, "call_soon_threadsafe", told)
    jobs, executor = JobRegistry(), ThreadExecutor("t")

    @jobs.job("waits")
    def waits() -> None:
        gate.wait()

    task = a_one_off()
    running = asyncio.ensure_future(executor.execute(a_run(task, SystemClock()), jobs.get("waits").job, context(task)))
    await asyncio.sleep(0)
    gate.set()
    answered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    executor.close()

    assert executor.abandoned_of() == 0


async def test_a_future_that_is_done_in_the_turn_in_which_it_is_given_up_takes_up_no_room() -> None:
    """The same, in an executor of the user's."""
    future: Future[Answer] = Future()

    class Begun(Executor):
        def submit(self, *_: object, **__: object) -> "Future[Answer]":  # type: ignore[override]  # nobody asks for more
            future.set_running_or_notify_cancel()
            return future

    clock, task = ManualClock(NOON), held(a_one_off(run_at=NOON))
    executor = PoolExecutor(clock, lambda: None)
    registered = evolve(Noting().get("note"), executor=Begun())
    running = asyncio.ensure_future(executor.execute(a_run(task, clock, registered=registered), registered.job, context(task)))
    await asyncio.sleep(0)
    future.set_result(Answer(task))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)

    assert executor.abandoned_of() == 0
