"""A scheduler's life on real time.

Started, sharing a store with others, closed, and nothing left of it.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry
from duly.scheduler import (
    NewTask,
    NotMainThread,
    SchedulerClosed,
    StdScheduler,
    StoreClosed,
    TriggerNeverFires,
)
from duly.scheduler.testing import kill
from duly.stores import MemoryStore, RunQuery, RunStatus, StoreUnavailable
from duly.triggers import SimpleTrigger
from support.lives import QUICK, Work, nothing_is_left_of, takes_less_than
from support.schedulers import (
    SECOND,
    a_scheduler,
)
from support.waiting import wait_until_async


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    """Jobs, all of which are let go after the test."""
    work = Work()
    yield work
    work.gate.set()
    work.thread_gate.set()


# -- together


async def test_each_fire_runs_once_however_many_schedulers_there_are() -> None:
    """Five of them, a fire every 50 ms for two seconds: none is doubled, and none is lost."""
    store, jobs, fires = MemoryStore(), JobRegistry(), Counter[tuple[str, datetime]]()

    @jobs.scheduled("loop", trigger=SimpleTrigger(timedelta(milliseconds=50)))
    async def in_loop(ctx: JobContext) -> None:
        await asyncio.sleep(0)
        fires[ctx.slug, ctx.fire_time] += 1

    @jobs.scheduled("thread", trigger=SimpleTrigger(timedelta(milliseconds=50)))
    def in_thread(ctx: JobContext) -> None:
        fires[ctx.slug, ctx.fire_time] += 1

    began = datetime.now(UTC)
    schedulers = [a_scheduler(store.sibling(), jobs, lease=2 * SECOND) for _ in range(5)]
    await asyncio.gather(*(scheduler.start() for scheduler in schedulers))
    await wait_until_async(lambda: datetime.now(UTC) - began > 2 * SECOND)
    await asyncio.gather(*(scheduler.drain() for scheduler in schedulers))
    history = (await schedulers[0].runs(RunQuery(limit=1000))).items
    await asyncio.gather(*(scheduler.close() for scheduler in schedulers))

    assert set(fires.values()) == {1}
    assert {run.status for run in history} <= {RunStatus.DONE, RunStatus.SKIPPED}
    for slug in ("loop", "thread"):
        accounted = sum(run.count for run in history if run.slug == slug)
        assert 38 <= accounted <= 60, "each fire has run, or is on record as skipped"
        ran = sorted(fire_time for name, fire_time in fires if name == slug)
        assert sorted(run.fire_time for run in history if run.slug == slug and run.status is RunStatus.DONE) == ran


async def test_a_scheduler_is_safe_to_use_from_its_own_jobs(work: Work) -> None:
    """They run in its loop."""
    done: list[bool] = []

    @work.registry.job("chain")
    async def chain(ctx: JobContext) -> None:
        done.append(await scheduler.schedule_job("next", "work"))

    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.schedule_job("first", "chain")
        await wait_until_async(lambda: work.began)
        work.gate.set()
    assert (done, work.began) == ([True], [("next", 1)])


# -- before, after, and again


async def test_after_a_drain_tasks_can_be_scheduled_and_a_start_runs_them(work: Work) -> None:
    """The store stays open until the scheduler is closed."""
    work.gate.set()
    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.drain()
        with pytest.raises(SchedulerClosed):
            _ = scheduler.running_node
        await scheduler.schedule_job("t", "work")
        assert work.began == []
        await scheduler.start()
        await wait_until_async(lambda: work.began)
    await nothing_is_left_of(scheduler)


async def test_it_is_started_and_closed_as_often_as_one_likes(work: Work) -> None:
    """Twice is once; and closed without a start it is closed."""
    scheduler = a_scheduler(jobs=work.registry)
    await scheduler.close()
    for _ in range(2):
        await scheduler.start()
        running_node = scheduler.running_node
        await scheduler.start()
        assert scheduler.running_node is running_node
        await scheduler.close()
        await scheduler.close()
        with pytest.raises(StoreClosed):
            await scheduler.get_job_slugs()
    await nothing_is_left_of(scheduler)


async def test_an_error_in_the_context_drains_and_closes(work: Work) -> None:
    """And is raised."""
    scheduler = a_scheduler(jobs=work.registry)

    async def body() -> None:
        async with scheduler:
            await scheduler.schedule_job("t", "work")
            await wait_until_async(lambda: work.began)
            work.gate.set()
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        await body()
    await nothing_is_left_of(scheduler)
    with pytest.raises(StoreClosed):
        await scheduler.get_job_slugs()


async def test_the_store_is_closed_also_when_draining_fails(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops and the heartbeat are stopped, and the error is raised."""
    scheduler = a_scheduler(jobs=work.registry)

    async def fail(_: object) -> None:
        raise StoreUnavailable("in the drain")

    with pytest.raises(StoreUnavailable, match="in the drain"):
        async with scheduler:
            monkeypatch.setattr(scheduler.running_node, "drain", fail)
    await nothing_is_left_of(scheduler)
    with pytest.raises(StoreClosed):
        await scheduler.get_job_slugs()


async def test_a_scheduler_that_was_cut_off_closes_at_once(work: Work) -> None:
    """There is nothing to wait for; what it ran is left to its lease."""
    store = MemoryStore()
    scheduler = a_scheduler(store, work.registry)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        await kill(scheduler)
        async with takes_less_than(QUICK):
            await scheduler.close()
    await nothing_is_left_of(scheduler)
    async with store:
        assert (await store.get("t")).node == scheduler.node


async def test_a_start_that_fails_leaves_nothing_open() -> None:
    """The declared task has no fire time; the context is never entered, and could not close."""
    jobs = JobRegistry()
    jobs.scheduled("past", trigger="@at 2001-01-01T00:00:00Z")(lambda: None)
    scheduler = a_scheduler(jobs=jobs)
    with pytest.raises(TriggerNeverFires):
        async with scheduler:
            pass
    with pytest.raises(StoreClosed):
        await scheduler.get_job_slugs()
    await nothing_is_left_of(scheduler)


async def test_hundreds_of_runs_leave_nothing_behind() -> None:
    """No run is kept, no task, and few threads."""
    jobs, threads = JobRegistry(), set[str]()
    jobs.job("loop")(asyncio.Event)
    jobs.job("thread")(lambda: threads.add(threading.current_thread().name))
    scheduler = a_scheduler(jobs=jobs, concurrency=5)
    async with scheduler:
        await scheduler.schedule_jobs([NewTask(f"{kind} {number}", kind) for kind in ("thread",) for number in range(300)])
        await wait_until_async(lambda: _is_empty(scheduler))
        await wait_until_async(lambda: not scheduler.running_node.runs)
        assert len(threads) <= 5
    await nothing_is_left_of(scheduler)


async def _is_empty(scheduler: StdScheduler) -> bool:
    return not await scheduler.get_job_slugs()


def test_run_needs_the_main_thread() -> None:
    """The error says what to do instead, before anything is started."""
    scheduler, errors = a_scheduler(), list[Exception]()

    def run() -> None:
        try:
            asyncio.run(scheduler.run())
        except NotMainThread as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (error,) = errors
    assert "start() and close()" in str(error)
