"""The scheduler of the context: in jobs, wherever they run, and where a program sets it."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from duly.jobs import ExecutorChoice, JobRegistry
from duly.scheduler import (
    BlockingScheduler,
    NopScheduler,
    NoScheduler,
    RunEnded,
    SchedulerClosed,
    StdScheduler,
    WrongThread,
    blocking_scheduler_from_context,
    scheduler_context,
    scheduler_from_context,
)
from duly.stores import MemoryStore, NopStore, RunQuery, RunStatus, StoreClosed
from support import remote_jobs
from support.schedulers import a_scheduler
from support.waiting import wait_until, wait_until_async

NOW = timedelta(0)


def test_outside_of_every_scheduler_there_is_none() -> None:
    """Unless the caller names one to fall back on: what is scheduled must not be lost in silence."""
    nop, blocking = NopScheduler(), BlockingScheduler(NopStore())
    with pytest.raises(NoScheduler, match="inside a job"):
        scheduler_from_context()
    with pytest.raises(NoScheduler, match="inside a job"):
        blocking_scheduler_from_context()
    assert scheduler_from_context(nop) is nop
    assert blocking_scheduler_from_context(blocking) is blocking


async def test_a_program_sets_it_for_its_coroutines() -> None:
    """Also for those that it starts; the innermost one counts."""
    outer, inner = StdScheduler(MemoryStore()), NopScheduler()

    async def find() -> object:
        return scheduler_from_context()

    with scheduler_context(outer):
        with scheduler_context(inner):
            assert await asyncio.create_task(find()) is inner
        assert list(await asyncio.gather(find(), find())) == [outer, outer]
    with pytest.raises(NoScheduler):
        await find()


async def test_a_thread_of_a_program_has_it_with_blocking_methods() -> None:
    """One that took a copy of the context, as `asyncio.to_thread` does."""
    async with a_scheduler() as scheduler:
        scheduler.handle("mail", lambda: None)
        with scheduler_context(scheduler):
            slug = await asyncio.to_thread(lambda: blocking_scheduler_from_context().in_(timedelta(days=1), "mail"))
        assert await scheduler.get_job_slugs() == [slug]


async def test_a_coroutine_job_schedules_by_the_scheduler_that_runs_it() -> None:
    """In the event loop."""
    registry, seen = JobRegistry(), list[object]()
    registry.job("next")(lambda: None)

    @registry.job("first")
    async def first() -> None:
        seen.append(scheduler_from_context())
        await scheduler_from_context().in_(timedelta(days=1), "next", slug="n")

    async with a_scheduler(jobs=registry) as scheduler:
        await scheduler.in_(NOW, "first")
        await wait_until_async(lambda: seen)
        await wait_until_async(scheduler.get_job_slugs)
        assert (seen, await scheduler.get_job_slugs()) == ([scheduler], ["n"])


def first() -> None:
    """Schedule the next, from a thread."""
    blocking_scheduler_from_context().in_(timedelta(days=1), "next", slug="n")


def _scheduled_by(place: ExecutorChoice) -> list[str]:
    """Run `first` in a place under a blocking scheduler, and return what is scheduled after it."""
    registry = JobRegistry()
    registry.job("next")(lambda: None)
    registry.job("first", executor=place)(first)
    with BlockingScheduler(MemoryStore(), jobs=registry) as scheduler:
        scheduler.in_(NOW, "first")
        wait_until(lambda: scheduler.runs(RunQuery()).items)
        return scheduler.get_job_slugs()


def test_a_job_in_a_thread_schedules_by_the_scheduler_that_runs_it() -> None:
    """By blocking calls, which its event loop serves."""
    assert _scheduled_by("auto") == ["n"]


def test_a_job_in_a_pool_of_threads_does_too() -> None:
    """It has its run's context."""
    with ThreadPoolExecutor(1) as pool:
        assert _scheduled_by(pool) == ["n"]


async def test_a_coroutine_in_a_loop_of_its_own_schedules_by_blocking_calls() -> None:
    """The scheduler cannot be awaited in another event loop than its own."""
    registry, problems = JobRegistry(), list[str]()

    @registry.job("first", executor="thread")
    async def other_loop() -> None:
        try:
            scheduler_from_context()
        except NoScheduler as error:
            problems.append(error.problem)
        blocking_scheduler_from_context().in_(timedelta(days=1), "first", slug="n")

    async with a_scheduler(jobs=registry) as scheduler:
        await scheduler.in_(NOW, "first")
        await wait_until_async(lambda: scheduler.get_job_slugs(prefix="n"))
    assert problems == ["it cannot be awaited here, outside its event loop: use blocking_scheduler_from_context()"]


async def test_a_blocking_call_in_the_event_loop_is_refused() -> None:
    """It could only wait for itself."""
    async with a_scheduler() as scheduler:
        with scheduler_context(scheduler), pytest.raises(WrongThread, match=r"nodes\(\) was called"):
            blocking_scheduler_from_context().nodes()


async def test_a_job_in_a_process_of_its_own_has_none() -> None:
    """Its run fails with a clear error."""
    registry, ended = JobRegistry(), list[RunEnded]()
    registry.job("apart", executor="process")(remote_jobs.find_scheduler)
    async with a_scheduler(jobs=registry) as scheduler:
        scheduler.subscribe(lambda event: ended.append(event) if isinstance(event, RunEnded) else None)
        await scheduler.in_(NOW, "apart", consistency="at_most_once")
        await wait_until_async(lambda: ended, timedelta(seconds=30))
    assert ended[0].run.status is RunStatus.FAILED
    assert "a job in another process has none" in str(ended[0].run.error)


def test_a_blocking_scheduler_is_set_for_its_program() -> None:
    """As it is; and it is no scheduler to be awaited."""
    scheduler = BlockingScheduler(MemoryStore())
    with scheduler_context(scheduler):
        assert blocking_scheduler_from_context() is scheduler
        with pytest.raises(NoScheduler, match="cannot be awaited"):
            scheduler_from_context()


def test_where_no_event_loop_ran_there_are_no_blocking_calls() -> None:
    """Nothing could serve them."""
    with scheduler_context(NopScheduler()), pytest.raises(NoScheduler, match="no event loop ran"):
        blocking_scheduler_from_context()


def test_a_thread_without_a_copy_of_the_context_has_none() -> None:
    """As of every context variable."""
    problems = list[BaseException]()

    def find(get: Callable[[], object]) -> None:
        try:
            get()
        except NoScheduler as error:
            problems.append(error)

    with scheduler_context(BlockingScheduler(MemoryStore())):
        thread = threading.Thread(target=find, args=[blocking_scheduler_from_context])
        thread.start()
        thread.join()
    assert len(problems) == 1


def test_a_thread_that_outlives_its_event_loop_is_told_so() -> None:
    """It would wait for ever for a loop that nobody turns any more, closed or not."""
    loop, gate, told, problems = asyncio.new_event_loop(), threading.Event(), threading.Event(), list[BaseException]()

    async def main() -> None:
        async with a_scheduler(grace=timedelta(0)) as scheduler:

            @scheduler.job("outliving")
            def outliving() -> None:
                scheduler_of_run = blocking_scheduler_from_context()
                began.set()
                gate.wait(10)
                problems.append(_error_of(scheduler_of_run.nodes))
                told.set()

            began = threading.Event()
            await scheduler.in_(NOW, "outliving")
            await wait_until_async(began.is_set)

    loop.run_until_complete(main())
    gate.set()
    assert told.wait(10)
    loop.close()
    assert [type(problem) for problem in problems] == [SchedulerClosed]


def _error_of(call: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test says which it is
        call()
    return caught.value


async def test_of_two_schedulers_each_job_has_its_own() -> None:
    """Also where one job has the other scheduler run another, and a program has set one of them."""
    seen = list[tuple[str, object]]()
    async with a_scheduler() as outer, a_scheduler() as inner:

        @inner.job("inner")
        def inside() -> None:
            seen.append(("inner", blocking_scheduler_from_context()._std))

        @outer.job("outer")
        async def outside() -> None:
            with scheduler_context(inner):
                await scheduler_from_context().in_(NOW, "inner")
            seen.append(("outer", scheduler_from_context()))

        with scheduler_context(inner):
            await outer.in_(NOW, "outer")
            await wait_until_async(lambda: len(seen) == 2)
        assert dict(seen) == {"outer": outer, "inner": inner}


async def test_what_a_job_left_behind_finds_its_scheduler_closed() -> None:
    """A coroutine that it started has its context, and outlives both."""
    left = list["asyncio.Task[str]"]()
    gate = asyncio.Event()

    async def later() -> str:
        await gate.wait()
        return await scheduler_from_context().in_(NOW, "first")

    async with a_scheduler() as scheduler:
        scheduler.handle("first", lambda: None)

        @scheduler.job("starting")
        async def starting() -> None:
            left.append(asyncio.create_task(later()))

        await scheduler.in_(NOW, "starting")
        await wait_until_async(lambda: left)
    gate.set()
    with pytest.raises(StoreClosed):
        await left[0]


def test_a_fork_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the variable, but the scheduler's threads and connections stayed with the parent."""
    with scheduler_context(BlockingScheduler(MemoryStore())):
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(NoScheduler, match="a job in another process has none"):
            blocking_scheduler_from_context()
