"""Fetching without an event loop: the same stream, read and acknowledged in any thread."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from duly.scheduler import AlreadyAcknowledged, BlockingFetchedTask, BlockingScheduler, NewTask
from duly.stores import MemoryStore, RunQuery, RunStatus
from support.fetching import KIND
from support.schedulers import HOUR, LEASE
from support.waiting import wait_until


@pytest.fixture(name="scheduler")
def running_scheduler() -> Iterator[BlockingScheduler]:
    """A running scheduler, on real time."""
    with BlockingScheduler(MemoryStore(), lease=LEASE, poll=HOUR, grace=timedelta(seconds=5)) as scheduler:
        yield scheduler


def statuses(scheduler: BlockingScheduler) -> list[RunStatus]:
    """Return how the runs in the history ended, oldest first."""
    return [run.status for run in reversed(scheduler.runs(RunQuery()).items)]


def schedule(scheduler: BlockingScheduler, *slugs: str) -> None:
    """Schedule one-offs that are due at once."""
    scheduler.schedule_jobs([NewTask(slug, KIND, remote=True) for slug in slugs])


def test_each_acknowledgement_returns_once_it_is_written(scheduler: BlockingScheduler) -> None:
    """Commit, retry and fail, read and called in this thread."""
    schedule(scheduler, "a")
    with scheduler.fetch(KIND) as tasks:
        next(tasks).retry(after=timedelta(0), payload=b"again")
        assert statuses(scheduler) == [RunStatus.RETRIED]
        task = next(tasks)
        assert (task.payload, task.attempt) == (b"again", 2)
        task.commit(result="done")
        assert statuses(scheduler) == [RunStatus.RETRIED, RunStatus.DONE]
        schedule(scheduler, "b")
        next(tasks).fail("no")
        assert scheduler.get_scheduled_job("b").last_error == "no"


def test_threads_share_a_stream_and_acknowledge_each_others_tasks(scheduler: BlockingScheduler) -> None:
    """Each task comes to one reader; what it read, a pool commits."""
    slugs = [f"{number:02}" for number in range(40)]
    schedule(scheduler, *slugs)
    seen: list[str] = []

    def read(tasks: Iterator[BlockingFetchedTask]) -> None:
        for task in tasks:
            seen.append(task.slug)
            pool.submit(task.commit)

    with ThreadPoolExecutor(4) as pool, scheduler.fetch(KIND, max_in_flight=8) as tasks:
        readers = [threading.Thread(target=read, args=(iter(tasks),)) for _ in range(3)]
        for reader in readers:
            reader.start()
        wait_until(lambda: not scheduler.get_job_slugs())
        tasks.close()
        for reader in readers:
            reader.join()
    assert sorted(seen) == slugs
    assert statuses(scheduler) == [RunStatus.DONE] * 40


def test_a_break_gives_back_what_was_read(scheduler: BlockingScheduler) -> None:
    """The stream, which nobody has any more, is collected in this thread, and ended in the scheduler's."""
    schedule(scheduler, "a")
    for task in scheduler.fetch(KIND):
        kept = task
        break
    wait_until(lambda: statuses(scheduler) == [RunStatus.CANCELLED])
    with pytest.raises(AlreadyAcknowledged):
        kept.commit()
    assert scheduler.get_scheduled_job("a").attempt == 0


def test_closing_the_scheduler_ends_the_iteration_of_every_thread(scheduler: BlockingScheduler) -> None:
    """One that waits, and one that comes later."""
    tasks = scheduler.fetch(KIND)
    read: list[BlockingFetchedTask] = []
    reader = threading.Thread(target=lambda: read.extend(tasks))
    reader.start()
    scheduler.close()
    reader.join(10)
    assert not reader.is_alive()
    assert [*read, *tasks] == []
    tasks.close()
