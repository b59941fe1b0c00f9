"""What people get wrong inside a job, on a fetched task, with a clock of their own.

It is said in words, by the run or at the call.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import InvalidValue, JobContext, JobRegistry, RetryPolicy, Task
from duly.scheduler import AlreadyAcknowledged, BlockingScheduler, CalledInJob, NaiveDatetime, StdScheduler, TriggerError, WrongLoop
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import InvalidStoreURL, MemoryStore, RunQuery, open_store
from duly.triggers import fire_times, first_delay
from support.waiting import wait_until, wait_until_async

NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - the mistake
Anything = Any
"""What a program without a type checker passes."""


async def _sleep(ctx: Anything) -> None:
    await ctx.sleep(5)


async def _within(ctx: Anything) -> None:
    await ctx.within(5, asyncio.sleep(0))


def _wait(ctx: Anything) -> None:
    ctx.stop.wait(5)


def _spawn(ctx: Anything) -> None:
    ctx.spawn("other", "report", dealy=5)


def _other(_: JobContext, task: Task) -> Task:
    return evolve(task, slug="other")


def _result(_: JobContext, task: Anything) -> object:
    return evolve(task, result=5)


JOBS: list[tuple[Callable[..., object], str]] = [
    (_sleep, "InvalidValue: delay 5: expected a timedelta"),
    (_within, "InvalidValue: limit 5: expected a timedelta"),
    (_wait, "InvalidValue: timeout 5: expected a timedelta"),
    (_spawn, "TypeError: spawn() got an unexpected keyword argument 'dealy': expected trigger, at, delay"),
    (_other, "InvalidResult: job 'report' returned task 'other' in a run of 'report:emea': expected its Task to go on"),
    (_result, "InvalidValue: result or error 'int': expected text, or None"),
]


@pytest.mark.parametrize(("function", "message"), JOBS, ids=[function.__name__ for function, _ in JOBS])
@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited")
async def test_what_a_job_does_wrong_stands_in_its_run(function: Callable[..., object], message: str) -> None:
    """The run has failed, and its error says what was expected."""
    registry, clock = JobRegistry(), ManualClock()
    registry.job("report", retry=RetryPolicy(limit=0))(function)
    async with StdScheduler(MemoryStore(), jobs=registry, clock=clock) as scheduler:
        await scheduler.schedule_job("report:emea", "report")
        await run_due(scheduler)
        (run,) = (await scheduler.runs(RunQuery())).items
    assert message in (run.error or "")


async def test_a_fetched_task_is_not_acknowledged_from_another_event_loop() -> None:
    """Nothing has become of it by that: it is still in hand."""
    async with StdScheduler(MemoryStore()) as scheduler, scheduler.fetch("backup") as tasks:
        await scheduler.schedule_job("backup:emea", "backup", remote=True)
        task = await tasks.read()
        assert task is not None
        with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(WrongLoop):
            await asyncio.wrap_future(pool.submit(lambda: asyncio.run(task.commit())))
        await task.commit()
        with pytest.raises(AlreadyAcknowledged, match="acknowledged before"):
            await task.commit()


async def test_run_due_takes_an_aware_instant() -> None:
    """A naive one would be compared with the clock in words about offsets."""
    async with StdScheduler(MemoryStore(), clock=ManualClock()) as scheduler:
        with pytest.raises(NaiveDatetime, match=r"^until must be an aware datetime"):
            await run_due(scheduler, until=NAIVE)


PLAIN: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: ManualClock().advance(5), InvalidValue, "span 5: expected a timedelta"),  # type: ignore[arg-type]
    (lambda: next(fire_times("@daily", ManualClock().now())), TriggerError, r"'@daily'.* for the text of one, parse_trigger\(text\)"),  # type: ignore[arg-type]
    (lambda: first_delay("@daily", ManualClock().now()), TriggerError, r"is no trigger; .* for the text of one, parse_trigger\(text\)"),  # type: ignore[arg-type]
    (lambda: open_store(None), InvalidStoreURL, "'None': expected text that begins with a scheme: memory://"),  # type: ignore[arg-type]
    (lambda: open_store("postgresql://localhost/app?shema=x"), InvalidStoreURL, "after . only schema= and libpq's parameters"),
]


@pytest.mark.parametrize(("call", "error", "message"), PLAIN, ids=[message for _, _, message in PLAIN])
def test_a_plain_mistake_is_named(call: Callable[[], object], error: type[Exception], message: str) -> None:
    """With what was given, and what is expected there."""
    with pytest.raises(error, match=message):
        call()


# -- a job that stops its own scheduler


@pytest.mark.parametrize("limit", [None, timedelta(hours=1)])
@pytest.mark.parametrize("call", ["close", "drain"])
async def test_a_job_that_awaits_the_end_of_its_own_scheduler_is_refused(call: str, limit: timedelta | None) -> None:
    """It would wait for itself; the node goes on."""
    jobs, errors = JobRegistry(), list[CalledInJob]()
    scheduler = StdScheduler(MemoryStore(), jobs=jobs)

    @jobs.job("stopping", time_limit=limit)
    async def stop() -> None:
        try:
            await getattr(scheduler, call)()
        except CalledInJob as error:
            errors.append(error)

    async with scheduler:
        await scheduler.schedule_job("a", "stopping")
        await wait_until_async(lambda: bool(errors))
        await scheduler.schedule_job("b", "stopping")
        await wait_until_async(lambda: len(errors) == 2)
    assert [(error.call, error.slug) for error in errors] == [(call, "a"), (call, "b")]
    assert str(errors[0]).startswith(f"{call}() was called by the job of task 'a', for whose end it would wait: let the program")


async def test_a_task_that_a_job_starts_may_stop_the_scheduler() -> None:
    """The job does not wait for it."""
    jobs, stopping = JobRegistry(), list[asyncio.Task[None]]()
    scheduler = StdScheduler(MemoryStore(), jobs=jobs)

    @jobs.job("stopping")
    async def stop() -> None:
        stopping.append(asyncio.create_task(scheduler.drain()))

    await scheduler.start()
    await scheduler.schedule_job("a", "stopping")
    await wait_until_async(lambda: bool(stopping) and stopping[0].done())
    await stopping[0]
    assert await scheduler.get_job_slugs() == []
    await scheduler.close()


@pytest.mark.parametrize("executor", ["thread", "pool", "loop"])
@pytest.mark.parametrize("call", ["close", "drain"])
def test_a_job_that_waits_for_the_end_of_its_own_blocking_scheduler_is_refused(call: str, executor: str) -> None:
    """In a thread, in a pool of the user's, and through a thread that a coroutine waits for."""
    jobs, errors = JobRegistry(), list[CalledInJob]()
    scheduler = BlockingScheduler(MemoryStore(), jobs=jobs)

    def stop() -> None:
        try:
            getattr(scheduler, call)()
        except CalledInJob as error:
            errors.append(error)

    async def stop_and_wait() -> None:
        await asyncio.to_thread(stop)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        jobs.job("stopping", executor=pool if executor == "pool" else "auto")(stop_and_wait if executor == "loop" else stop)
        with scheduler:
            scheduler.schedule_job("a", "stopping")
            wait_until(lambda: bool(errors))
    assert [(error.call, error.slug) for error in errors] == [(call, "a")]


async def test_a_job_may_stop_another_scheduler() -> None:
    """It waits for other jobs than itself."""
    jobs, closed = JobRegistry(), list[str]()
    other = StdScheduler(MemoryStore())

    @jobs.job("stopping")
    async def stop() -> None:
        await other.close()
        closed.append("other")

    async with StdScheduler(MemoryStore(), jobs=jobs) as scheduler:
        await other.start()
        await scheduler.schedule_job("a", "stopping")
        await wait_until_async(lambda: bool(closed))
