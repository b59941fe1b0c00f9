"""Jobs in the user's own executors: pools of threads and of processes."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from duly.jobs import JobContext, JobRegistry, RetryPolicy, Task
from duly.scheduler import RunAbandoned
from duly.scheduler.executors.pool import NoLine
from duly.scheduler.rules.endings import Interrupted, Returned, Stopped
from duly.stores import RunQuery
from support import remote_jobs
from support.remote import Remote, apart, began, ended, error_of, result_of, word_in
from support.schedulers import SECOND, a_scheduler, heard
from support.waiting import wait_until_async

LIMIT = SECOND / 5
AT_WORK = "abandoned: its executor cannot kill it, and it may still be at work: a possible double"


@pytest.fixture
async def runner() -> AsyncIterator[Remote]:
    """A runner."""
    async with apart() as runner:
        yield runner


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """A pool with one thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """A pool with one process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield pool


class Unsure(Executor):
    """An executor that begins at once, and says of everything that it is cancelled, as Dask's does."""

    def submit(self, *_: object, **__: object) -> "Future[object]":  # type: ignore[override]  # nobody asks for more
        """Begin, as far as anybody can tell."""
        return Future()


# -- threads


async def test_a_job_in_a_pool_of_threads_has_its_runs_own_context(runner: Remote, threads: ThreadPoolExecutor) -> None:
    """Here, in the pool's thread, with the live lease."""
    told = json.loads(await runner.result(remote_jobs.report, threads))
    assert told[:2] == ["task", "kind"]
    assert told[-4:-1] == [None, True, os.getpid()]
    assert told[-1].startswith("ThreadPoolExecutor")


async def test_a_coroutine_in_a_pool_of_threads_has_a_loop_of_its_own(runner: Remote, threads: ThreadPoolExecutor) -> None:
    """It can sleep there."""
    assert "ThreadPoolExecutor" in await runner.result(remote_jobs.report_async, threads)


async def test_a_job_in_a_pool_of_threads_is_told_to_end(runner: Remote, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    """And may come to a good end."""
    live = runner.start(remote_jobs.obedient, threads, payload=tmp_path / "began")
    await began(tmp_path / "began")
    live.end_early(Stopped("asked to"))
    assert json.loads(result_of(await ended(live))) == ["asked to", True]


async def test_a_coroutine_in_a_pool_of_threads_is_cancelled(runner: Remote, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    """Its run counts as what it was ended for."""
    live = runner.start(remote_jobs.obedient_async, threads, payload=tmp_path / "began")
    await began(tmp_path / "began")
    live.end_early(Stopped("asked to"))
    assert await ended(live) == Stopped("asked to")
    assert word_in(tmp_path / "began") == "cleaned up: asked to"


async def test_a_job_past_its_limit_is_given_up_as_a_possible_double(runner: Remote, threads: ThreadPoolExecutor) -> None:
    """It takes up room until it ends, and is told of as an event."""
    gate = threading.Event()
    text = error_of(await ended(runner.start(lambda: gate.wait(10), threads, limit=LIMIT)))
    assert text.endswith(f"stopped at its time limit of {LIMIT}; {AT_WORK}")
    assert runner.runner.abandoned_of() == 1
    (event,) = runner.events
    assert isinstance(event, RunAbandoned)
    assert (event.node, event.slug, event.run_id, event.abandoned) == ("n", "task", "lease.0", 1)
    assert event.level == logging.WARNING
    assert str(event) == f"task 'task' given up at work: stopped at its time limit of {LIMIT} (1 of these take up room here)"
    gate.set()
    await wait_until_async(lambda: runner.runner.abandoned_of() == 0)


async def test_a_job_that_has_not_begun_is_no_double(runner: Remote, threads: ThreadPoolExecutor) -> None:
    """The pool has no thread for it before its limit; it never runs."""
    gate, seen = threading.Event(), list[str]()
    first = threads.submit(gate.wait, 10)
    text = error_of(await ended(runner.start(lambda: seen.append("ran"), threads, limit=LIMIT)))
    assert text.endswith(f"stopped at its time limit of {LIMIT}")
    assert (runner.runner.abandoned_of(), runner.events) == (0, [])
    gate.set()
    first.result()
    threads.submit(int).result()
    assert seen == []


async def test_what_is_abandoned_at_the_end_says_so(runner: Remote, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    """As at the end of a shutdown's grace."""
    gate = threading.Event()

    def work(_: JobContext, task: Task) -> None:
        remote_jobs.began(task)
        gate.wait(10)

    live = runner.start(work, threads, payload=tmp_path / "began")
    await began(tmp_path / "began")
    live.end_early(Interrupted("the end"))
    live.abandon()
    assert await ended(live) == Interrupted(f"the end; {AT_WORK}")
    gate.set()


async def test_an_executor_that_only_promises_to_cancel_is_not_believed(runner: Remote) -> None:
    """What it was given may be at work somewhere, though nobody can see how long."""
    assert error_of(await ended(runner.start(remote_jobs.nothing, Unsure(), limit=LIMIT))).endswith(AT_WORK)
    assert (runner.runner.abandoned_of(), len(runner.events)) == (0, 1)


async def test_a_pool_that_was_shut_down_fails_the_run(runner: Remote) -> None:
    """The node goes on."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    text = error_of(await runner.run(remote_jobs.nothing, pool))
    assert "ThreadPoolExecutor did not run job 'kind': RuntimeError: cannot schedule new futures after shutdown" in text


async def test_what_a_pool_cancels_when_it_is_shut_down_has_failed(runner: Remote) -> None:
    """It was never run."""
    gate, pool = threading.Event(), ThreadPoolExecutor(1)
    pool.submit(gate.wait, 10)
    live = runner.start(remote_jobs.nothing, pool)
    await wait_until_async(lambda: pool._work_queue.qsize() == 1)
    pool.shutdown(wait=False, cancel_futures=True)
    assert "did not run job 'kind': CancelledError" in error_of(await ended(live))
    gate.set()


# -- processes


async def test_a_job_in_a_pool_of_processes_has_a_copy_of_its_context(runner: Remote, processes: ProcessPoolExecutor) -> None:
    """In another process, under the lease as it was."""
    *told, _, valid, pid, _ = json.loads(await runner.result(remote_jobs.report, processes))
    noon = "2030-01-01T12:00:00+00:00"
    assert told == ["task", "kind", "n", noon, 3, "lease.0", f"task@{noon}"]
    assert valid
    assert pid != os.getpid()


async def test_a_coroutine_in_a_pool_of_processes_runs_there(runner: Remote, processes: ProcessPoolExecutor) -> None:
    """In a loop of its own."""
    assert int((await runner.result(remote_jobs.report_async, processes)).split()[0]) != os.getpid()


async def test_an_error_in_a_pool_of_processes_comes_back_as_text(runner: Remote, processes: ProcessPoolExecutor) -> None:
    """Also one that cannot be pickled."""
    assert "Unsendable: no pickle takes this" in error_of(await runner.run(remote_jobs.Raising(remote_jobs.Unsendable), processes))


async def test_a_lease_is_valid_there_only_as_long_as_it_was_known_to_be(
    runner: Remote, processes: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """No heartbeat reaches a foreign process, nor a stop."""
    await runner.run(remote_jobs.nothing, processes)
    file = tmp_path / "began"
    live = runner.start(remote_jobs.lease_lasts, processes, payload=file)
    live.lease.trusted_until = runner.clock.monotonic() + 1
    await began(file)
    live.lease.trusted_until += 60
    live.lease.extend(live.lease.held, 0.0)
    live.end_early(Stopped("asked to"))
    assert json.loads(result_of(await ended(live))) == [None, False]


async def test_a_wait_for_a_stop_that_cannot_come_needs_a_bound(runner: Remote, processes: ProcessPoolExecutor) -> None:
    """It would be for ever."""
    assert await runner.result(remote_jobs.waits_in_vain, processes) == "False"
    assert "stop.wait() needs a timeout here" in error_of(await runner.run(remote_jobs.waits_for_ever, processes))
    assert NoLine().reason is None


async def test_a_job_that_a_pool_cannot_pickle_fails_its_run(runner: Remote, processes: ProcessPoolExecutor) -> None:
    """The pool says why; it serves the next."""
    assert "ProcessPoolExecutor did not run job 'kind': TypeError: cannot pickle" in error_of(
        await runner.run(remote_jobs.Locked(), processes)
    )
    assert isinstance(await runner.run(remote_jobs.nothing, processes), Returned)


async def test_a_broken_pool_fails_its_runs_and_nothing_else(runner: Remote) -> None:
    """The one that broke it, and every later one."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert "BrokenProcessPool" in error_of(await runner.run(remote_jobs.dies, pool))
        assert "BrokenProcessPool" in error_of(await runner.run(remote_jobs.nothing, pool))
    assert isinstance(await runner.run(remote_jobs.nothing, "thread"), Returned)


# -- in a scheduler


async def test_a_closed_scheduler_leaves_the_users_pool_open(threads: ThreadPoolExecutor) -> None:
    """It is the user's."""
    registry = JobRegistry()
    registry.job("nothing", executor=threads)(remote_jobs.nothing)
    async with a_scheduler(jobs=registry) as scheduler:
        await scheduler.schedule_job("nothing", "nothing")
        await wait_until_async(lambda: not scheduler.running_node.runs)
    assert threads.submit(int).result() == 0


@pytest.mark.parametrize("place", ["thread", "pool"])
async def test_a_job_that_was_given_up_takes_up_room_until_it_ends(place: str, threads: ThreadPoolExecutor) -> None:
    """The next starts then, and not before: at once, not at the next poll."""
    registry, gate, seen = JobRegistry(), threading.Event(), list[str]()
    only_once = RetryPolicy(limit=0)

    @registry.job("stuck", executor=threads if place == "pool" else "thread", time_limit=LIMIT, retry=only_once)
    def stuck() -> None:
        gate.wait(10)

    @registry.job("next")
    async def following() -> None:
        seen.append("ran")

    async with a_scheduler(jobs=registry, concurrency=1) as scheduler:
        events = heard(scheduler)
        await scheduler.schedule_job("stuck", "stuck")
        await wait_until_async(lambda: [each for each in events if isinstance(each, RunAbandoned)])
        await scheduler.schedule_job("next", "next")
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), LIMIT.total_seconds())
        assert seen == []
        gate.set()
        await wait_until_async(lambda: seen)
        (run,) = [run for run in (await scheduler.runs(RunQuery())).items if run.slug == "stuck"]
        assert (run.error or "").endswith("a possible double")


async def test_a_coroutine_in_a_thread_has_a_loop_of_its_own(runner: Remote) -> None:
    """It may block there; and it is cancelled when its run should end."""
    assert "duly-job-n" in await runner.result(remote_jobs.report_async, "thread")


async def test_a_coroutine_in_a_thread_is_cancelled_when_it_should_end(runner: Remote, tmp_path: Path) -> None:
    """Its run counts as what it was ended for."""
    live = runner.start(remote_jobs.obedient_async, "thread", payload=tmp_path / "began")
    await began(tmp_path / "began")
    live.end_early(Stopped("asked to"))
    assert await ended(live) == Stopped("asked to")
    assert word_in(tmp_path / "began") == "cleaned up: asked to"


async def test_a_coroutine_in_a_thread_that_cancels_itself_has_failed(runner: Remote) -> None:
    """Nobody else wanted it to end."""
    assert "CancelledError" in error_of(await runner.run(remote_jobs.cancels_itself, "thread"))
