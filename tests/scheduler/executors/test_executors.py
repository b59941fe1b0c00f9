"""Jobs in threads and in the event loop, without a scheduler around them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar

import pytest

from duly.jobs import FunctionJob, InvalidResult, Job, JobContext, Task, Then
from duly.scheduler import SystemClock
from duly.scheduler.executors import CoroutineExecutor, ThreadExecutor
from support.contexts import context, task_with
from support.live_runs import a_run
from support.waiting import wait_until, wait_until_async

TASK = task_with(b"payload")
COLOUR = ContextVar("colour", default="none")


class Leave(BaseException):
    """Not an Exception."""


@pytest.fixture
async def threads() -> AsyncIterator[ThreadExecutor]:
    """An executor that is closed after the test, whose threads then end."""
    executor = ThreadExecutor("test-executor")
    yield executor
    executor.close()
    await wait_until_async(lambda: not names())


def names() -> list[str]:
    """Return the names of the executor's threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("test-executor")]


def a_job(function: Callable[..., object]) -> FunctionJob:
    """Make a job of a function."""
    return FunctionJob.of("test", function)


async def run(executor: ThreadExecutor | CoroutineExecutor, function: Callable[..., object]) -> Task | Then | None:
    """Run a function as a job."""
    return await executor.execute(a_run(TASK, SystemClock()), a_job(function), context(TASK))


class Blocking:
    """A function that works until it is let go."""

    def __init__(self) -> None:
        self.started, self.gate = threading.Event(), threading.Event()

    def __call__(self) -> None:
        """Work."""
        self.started.set()
        assert self.gate.wait(10)


# -- threads


async def test_a_function_runs_in_a_thread_and_its_task_comes_back(threads: ThreadExecutor) -> None:
    """Not in the loop's."""
    seen: list[str] = []

    def work(ctx: JobContext, task: Task) -> Task:
        seen.append(threading.current_thread().name)
        return task

    assert await run(threads, work) is TASK
    assert seen == ["test-executor-1"]


async def test_a_thread_serves_one_job_after_another(threads: ThreadExecutor) -> None:
    """No thread is started while one is idle."""
    seen = set[str]()
    for _ in range(20):
        await run(threads, lambda: seen.add(threading.current_thread().name))
    assert seen == {"test-executor-1"}


async def test_as_many_jobs_work_at_once_as_there_are(threads: ThreadExecutor) -> None:
    """Each in a thread of its own; none waits for another."""
    barrier = threading.Barrier(8)
    await asyncio.gather(*(run(threads, lambda: barrier.wait(10)) for _ in range(8)), return_exceptions=True)
    assert not barrier.broken
    assert len(names()) == 8


async def test_a_job_works_in_a_copy_of_the_context(threads: ThreadExecutor) -> None:
    """It sees the caller's variables, and changes only its own."""
    seen: list[str] = []

    def work() -> None:
        seen.append(COLOUR.get())
        COLOUR.set("red")

    COLOUR.set("blue")
    await run(threads, work)
    await run(threads, work)
    assert (seen, COLOUR.get()) == (["blue", "blue"], "blue")


async def test_an_error_comes_back_as_it_is(threads: ThreadExecutor) -> None:
    """With its traceback."""

    def fail() -> None:
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner") as caught:
        await run(threads, fail)
    assert "fail" in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize("error", [SystemExit(3), Leave(), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration(), GeneratorExit()])
async def test_what_is_no_ordinary_error_is_one_here(threads: ThreadExecutor, error: BaseException) -> None:
    """It ends the job, not the thread or the loop; and it is never taken for a cancelling, or lost."""

    def leave() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await asyncio.wait_for(run(threads, leave), 10)
    assert await run(threads, lambda: None) is TASK
    assert names() == ["test-executor-1"]


async def test_a_function_that_returns_a_coroutine_is_awaited_in_the_loop(threads: ThreadExecutor) -> None:
    """As a function that wraps another does."""
    seen: list[threading.Thread] = []

    async def inner(task: Task) -> Task:
        seen.append(threading.current_thread())
        return task

    assert await run(threads, lambda _, task: inner(task)) is TASK
    assert seen == [threading.current_thread()]


async def test_what_is_no_task_is_refused(threads: ThreadExecutor) -> None:
    """From either executor."""

    class Wrong(Job):
        kind = "wrong"

        def execute(self, ctx: JobContext, task: Task, /) -> Task:
            return "done"  # type: ignore[return-value]  # the point

    for executor in (threads, CoroutineExecutor()):
        with pytest.raises(InvalidResult, match="returned str"):
            await executor.execute(a_run(TASK, SystemClock()), Wrong(), context(TASK))


async def test_a_cancelled_job_is_abandoned_until_its_thread_ends(threads: ThreadExecutor) -> None:
    """Its answer is dropped, and it takes up room so long."""
    job = Blocking()
    running = asyncio.create_task(run(threads, job))
    await wait_until_async(job.started.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert threads.abandoned_of() == 1
    job.gate.set()
    await wait_until_async(lambda: threads.abandoned_of() == 0)


async def test_a_job_that_ends_just_when_it_is_cancelled_is_not_abandoned(threads: ThreadExecutor) -> None:
    """Its thread is free: nothing takes up room."""
    job = Blocking()
    running = asyncio.create_task(run(threads, job))
    await wait_until_async(job.started.is_set)
    settle = threads._settle

    def settle_and_cancel(done: "asyncio.Future[object]", run_id: str, returned: object, error: BaseException | None) -> None:
        settle(done, run_id, returned, error)
        running.cancel()

    threads._settle = settle_and_cancel  # type: ignore[method-assign]  # to cancel in this very turn of the loop
    job.gate.set()
    await asyncio.gather(running, return_exceptions=True)
    assert threads.abandoned_of() == 0


def test_a_job_that_outlives_its_event_loop_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody left to be told."""
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    job, executor = Blocking(), ThreadExecutor("test-executor")

    async def abandon() -> None:
        running = asyncio.create_task(run(executor, job))
        await wait_until_async(job.started.is_set)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(abandon())
    job.gate.set()
    executor.close()
    wait_until(lambda: not names())
    assert failures == []


async def test_a_closed_executor_lets_its_threads_end_after_their_work() -> None:
    """Idle ones at once."""
    executor, job = ThreadExecutor("test-executor"), Blocking()
    running = asyncio.create_task(run(executor, job))
    await wait_until_async(job.started.is_set)
    await run(executor, lambda: None)
    executor.close()
    await wait_until_async(lambda: len(names()) == 1)
    job.gate.set()
    assert await running is TASK
    await wait_until_async(lambda: not names())


async def test_its_threads_do_not_keep_the_process(threads: ThreadExecutor) -> None:
    """They are daemons."""
    seen: list[bool] = []
    await run(threads, lambda: seen.append(threading.current_thread().daemon))
    assert seen == [True]


# -- the event loop


async def test_a_coroutine_runs_in_the_loop() -> None:
    """Where it was awaited."""
    seen: list[asyncio.AbstractEventLoop] = []

    async def work(ctx: JobContext, task: Task) -> Task:
        seen.append(asyncio.get_running_loop())
        return task

    assert await run(CoroutineExecutor(), work) is TASK
    assert seen == [asyncio.get_running_loop()]


async def test_cancelling_the_run_cancels_the_coroutine() -> None:
    """And waits for it."""
    seen: list[str] = []

    async def work() -> None:
        seen.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    running = asyncio.create_task(run(CoroutineExecutor(), work))
    await wait_until_async(lambda: seen)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["began", "cleaned up"]


@pytest.mark.parametrize("error", [SystemExit(3), Leave()])
async def test_a_coroutine_cannot_end_the_event_loop(error: BaseException) -> None:
    """What would tear it down is an error of the job; only Ctrl-C is not the job's own."""

    async def leave() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await run(CoroutineExecutor(), leave)
