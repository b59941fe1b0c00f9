"""The scheduler for programs without asyncio."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import timedelta

import pytest

from duly.jobs import FunctionJob, JobContext, JobRegistry, Task
from duly.scheduler import (
    BlockingScheduler,
    Event,
    JobAlreadyScheduled,
    JobNotFound,
    NotMainThread,
    RunEnded,
    SchedulerClosed,
    StdScheduler,
    TriggerNeverFires,
    WrongThread,
)
from duly.stores import MemoryStore, RunQuery, RunStatus, TaskQuery
from duly.stores.base import JobStore
from support.blocking_calls import ANYWHERE, CALLS
from support.schedulers import HOUR, LEASE, threads_of
from support.waiting import wait_until


@pytest.fixture
def jobs() -> JobRegistry:
    """A registry with a kind that does nothing."""
    registry = JobRegistry()
    registry.job("work")(lambda: None)
    return registry


def a_scheduler(jobs: JobRegistry | None = None, store: JobStore | None = None) -> BlockingScheduler:
    """Return one with a short lease, on real time."""
    return BlockingScheduler(MemoryStore() if store is None else store, jobs=jobs, lease=LEASE, poll=HOUR, grace=timedelta(seconds=5))


@pytest.fixture(name="scheduler")
def running_scheduler(jobs: JobRegistry) -> Iterator[BlockingScheduler]:
    """A running scheduler."""
    with a_scheduler(jobs) as scheduler:
        yield scheduler


def public(face: type) -> dict[str, object]:
    """Return the public members of a class by name."""
    classes = [each for each in reversed(face.__mro__) if each is not object]
    return {name: member for each in classes for name, member in vars(each).items() if not name.startswith("_")}


# -- the same face


def test_it_has_every_method_of_the_asyncio_one() -> None:
    """So that none is forgotten; only the loops, which tests turn by hand, are not for other threads."""
    expected = {*public(StdScheduler), "jobs", "config"} - {"running_node"}
    assert set(public(BlockingScheduler)) == expected


def test_every_method_has_the_same_parameters_and_result() -> None:
    """By its signature: names, kinds, defaults and types.

    Where one iterates with `async for`, the other does with `for`.
    """
    for name, member in public(StdScheduler).items():
        if inspect.isfunction(member):
            expected = str(inspect.signature(member)).replace("AsyncIterator", "Iterator").replace("Fetching", "BlockingFetching")
            assert str(inspect.signature(getattr(BlockingScheduler, name))) == expected, name
    assert str(inspect.signature(BlockingScheduler)) == str(inspect.signature(StdScheduler))


def test_the_table_of_calls_is_complete() -> None:
    """The tests of threads and forks go through every method there is."""
    methods = {name for name, member in public(BlockingScheduler).items() if inspect.isfunction(member)}
    assert set(CALLS) | ANYWHERE == methods


def test_its_life_and_its_tasks(jobs: JobRegistry) -> None:
    """Each method does what it does on the other face."""
    events: list[Event] = []
    scheduler = a_scheduler(jobs)
    leave = scheduler.subscribe(events.append)
    scheduler.job("other")(lambda: None)
    scheduler.register_job(FunctionJob.of("third", lambda: None))
    scheduler.scheduled("declared", trigger="@every 1h")(lambda: None)
    with scheduler:
        assert scheduler.jobs is jobs
        assert scheduler.node == scheduler.config.node
        assert scheduler.get_job_slugs() == ["declared"]
        assert scheduler.schedule_job("a", "work", delay=HOUR)
        assert not scheduler.schedule_job("a", "work", if_exists="keep")
        assert scheduler.schedule_jobs([]) == []
        assert scheduler.get_scheduled_job("a").kind == "work"
        assert "is not due until" in scheduler.why("a")
        assert [task.slug for task in scheduler.search_jobs(TaskQuery(kinds=("work",))).items] == ["a"]
        assert scheduler.count_jobs(TaskQuery()) == 2
        assert [task.slug for task in scheduler.iterate_jobs(TaskQuery(limit=1))] == ["a", "declared"]
        scheduler.delete_job("a")
        scheduler.schedule_job("b", "other")
        wait_until(lambda: events)
        wait_until(lambda: scheduler.runs(RunQuery()).items)
        assert [run.status for run in scheduler.runs(RunQuery()).items] == [RunStatus.DONE]
        assert [run.slug for run in scheduler.iterate_runs(RunQuery(limit=1))] == ["b"]
        wait_until(lambda: [node.name for node in scheduler.nodes()] == [scheduler.node])
        assert scheduler.clear() == 1
        leave()
    assert [type(event).__name__ for event in events] == ["NodeStarted", "RunStarted", "RunEnded"]


def test_errors_come_through(scheduler: BlockingScheduler) -> None:
    """As they are."""
    scheduler.schedule_job("t", "work", delay=HOUR)
    with pytest.raises(JobAlreadyScheduled):
        scheduler.schedule_job("t", "work")
    with pytest.raises(JobNotFound):
        scheduler.delete_job("u")


# -- threads


def test_every_call_from_its_own_loop_is_refused() -> None:
    """It could only wait for itself; the error names the call."""
    jobs, refused = JobRegistry(), dict[str, BaseException]()
    jobs.job("work")(lambda: None)

    @jobs.job("calls")
    async def calls() -> None:
        for name, call in CALLS.items():
            try:
                call(scheduler)
            except (WrongThread, NotMainThread) as error:
                refused[name] = error

    with a_scheduler(jobs) as scheduler:
        scheduler.schedule_job("c", "calls")
        wait_until(lambda: scheduler.runs(RunQuery()).items)
        assert scheduler.get_job_slugs() == []
    assert isinstance(refused.pop("run"), NotMainThread)
    assert set(refused) == set(CALLS) - {"run", "stop_now"}
    for name, error in refused.items():
        assert str(error).startswith(f"{name}() was called from the scheduler's own event loop")


def test_a_job_in_a_thread_may_call_it() -> None:
    """Also when every one of several calls at once."""
    jobs, written = JobRegistry(), list[bool]()
    jobs.job("next")(lambda: None)

    @jobs.job("chain")
    def chain(ctx: JobContext, task: Task) -> None:
        written.append(scheduler.schedule_job(f"after {task.slug}", "next"))

    with a_scheduler(jobs) as scheduler:
        for number in range(10):
            scheduler.schedule_job(str(number), "chain")
        wait_until(lambda: len(scheduler.runs(RunQuery()).items) == 20)
    assert written == [True] * 10


def test_many_threads_may_call_it_at_once(scheduler: BlockingScheduler) -> None:
    """Each gets its own answer."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: scheduler.schedule_job(str(number), "work", delay=HOUR), range(200)))
        tasks = list(threads.map(lambda number: scheduler.get_scheduled_job(str(number)).slug, range(200)))
    assert tasks == [str(number) for number in range(200)]


def test_run_off_the_main_thread_says_so(jobs: JobRegistry) -> None:
    """Before anything is started."""
    scheduler = a_scheduler(jobs)
    with ThreadPoolExecutor(1) as threads, pytest.raises(NotMainThread, match=r"elsewhere use start\(\) and close\(\)"):
        threads.submit(scheduler.run).result()
    assert threads_of(scheduler.node) == []


def test_a_call_that_is_under_way_when_it_is_closed_does_not_hang(jobs: JobRegistry) -> None:
    """It is cancelled."""
    asked = threading.Event()

    class Hanging(MemoryStore):
        async def get(self, slug: str) -> Task:
            asked.set()
            await asyncio.Event().wait()
            return await super().get(slug)

    scheduler = a_scheduler(jobs, Hanging())
    scheduler.start()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(scheduler.get_scheduled_job, "t")
        assert asked.wait(10)
        scheduler.close()
        with pytest.raises(CancelledError):
            call.result(10)


# -- life


def test_before_its_start_and_after_its_end_it_says_that_it_is_not_running(jobs: JobRegistry) -> None:
    """Draining, hurrying and closing what does not run is no error."""
    scheduler = a_scheduler(jobs)
    for _ in range(2):
        for name in sorted(set(CALLS) - {"start", "drain", "stop_now", "close", "run"}):
            with pytest.raises(SchedulerClosed, match="is not running"):
                CALLS[name](scheduler)
        scheduler.drain()
        scheduler.stop_now()
        scheduler.close()
        scheduler.start()
        scheduler.close()


def test_nothing_is_left_of_it(jobs: JobRegistry) -> None:
    """No thread, and no call at the interpreter's exit; it can be started again."""
    scheduler = a_scheduler(jobs)
    for number in range(3):
        scheduler.start()
        scheduler.start()
        scheduler.schedule_job(str(number), "work")
        wait_until(lambda: not scheduler.get_job_slugs())
        scheduler.close()
        scheduler.close()
        wait_until(lambda: not threads_of(scheduler.node))


def test_it_drains_and_goes_on(scheduler: BlockingScheduler) -> None:
    """Tasks can be scheduled while it is drained; a start runs them."""
    scheduler.drain()
    scheduler.schedule_job("t", "work")
    assert scheduler.runs(RunQuery()).items == []
    scheduler.start()
    wait_until(lambda: scheduler.runs(RunQuery()).items)


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    """Its thread is ended, the store closed."""
    jobs = JobRegistry()
    jobs.scheduled("past", trigger="@at 2001-01-01T00:00:00Z")(lambda: None)
    scheduler = a_scheduler(jobs)
    with pytest.raises(TriggerNeverFires), scheduler:
        pass
    assert threads_of(scheduler.node) == []
    with pytest.raises(SchedulerClosed):
        scheduler.get_job_slugs()


def test_closing_twice_at_once_is_closing_once(jobs: JobRegistry) -> None:
    """From two threads; both return when it is closed."""
    scheduler = a_scheduler(jobs)
    scheduler.start()
    with ThreadPoolExecutor(2) as threads:
        for closing in [threads.submit(scheduler.close) for _ in range(2)]:
            closing.result(10)
    assert threads_of(scheduler.node) == []


def test_starting_twice_at_once_is_starting_once(jobs: JobRegistry) -> None:
    """From two threads; there is one event loop."""
    scheduler = a_scheduler(jobs)
    with ThreadPoolExecutor(2) as threads:
        for starting in [threads.submit(scheduler.start) for _ in range(2)]:
            starting.result(10)
    assert len([name for name in threads_of(scheduler.node) if name == f"duly-{scheduler.node}"]) == 1
    scheduler.close()
    assert threads_of(scheduler.node) == []


def test_it_can_be_closed_in_mid_drain_and_started_again(jobs: JobRegistry) -> None:
    """As often as one likes: each time in a new event loop."""
    began = threading.Event()

    @jobs.job("endless")
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    scheduler = a_scheduler(jobs)
    with ThreadPoolExecutor(1) as threads:
        for number in range(3):
            began.clear()
            scheduler.start()
            scheduler.schedule_job(str(number), "endless")
            assert began.wait(10)
            draining = threads.submit(scheduler.drain, HOUR)
            wait_until(lambda: not scheduler._std.running_node.dispatcher.is_locking)
            scheduler.close()
            draining.result(10)


def test_an_error_in_the_context_drains(jobs: JobRegistry) -> None:
    """What runs comes to its end first."""
    began, events = threading.Event(), list[Event]()

    @jobs.job("slow")
    def slow(ctx: JobContext) -> None:
        began.set()
        ctx.stop.wait(timedelta(seconds=0.2))

    scheduler = a_scheduler(jobs)
    scheduler.subscribe(events.append)

    def body() -> None:
        with scheduler:
            scheduler.schedule_job("s", "slow")
            assert began.wait(10)
            raise KeyError

    with pytest.raises(KeyError):
        body()
    (ended,) = [event for event in events if isinstance(event, RunEnded)]
    assert ended.run.status is RunStatus.DONE
    wait_until(lambda: not threads_of(scheduler.node))
