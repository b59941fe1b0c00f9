"""What a job logs while it runs in a scheduler says which run it is in."""

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, RunFacts, current_run
from duly.scheduler import Event, RunEnded, RunStarted, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("time_limit", [None, timedelta(minutes=1)])
async def test_a_job_knows_its_run_in_a_coroutine_and_in_a_thread(time_limit: timedelta | None) -> None:
    """Wherever it works, with a time limit and without.

    The event of its begin belongs to it, no other does.
    """
    jobs, seen, told = JobRegistry(), list[RunFacts | None](), list[RunFacts | None]()
    contexts: list[JobContext] = []

    @jobs.job("coroutine", time_limit=time_limit)
    async def in_loop(ctx: JobContext) -> None:
        contexts.append(ctx)
        seen.append(current_run())

    @jobs.job("thread", time_limit=time_limit)
    def in_thread(ctx: JobContext) -> None:
        assert threading.current_thread() is not threading.main_thread()
        contexts.append(ctx)
        seen.append(current_run())

    def look(event: Event) -> None:
        if isinstance(event, RunStarted | RunEnded):
            told.append(current_run())

    async with StdScheduler(MemoryStore(), jobs=jobs, clock=ManualClock(NOON)) as scheduler:
        scheduler.subscribe(look)
        await scheduler.schedule_job("c", "coroutine")
        await run_due(scheduler)
        await scheduler.schedule_job("t", "thread")
        await run_due(scheduler)
    assert seen == [ctx.facts for ctx in contexts]
    assert [facts and (facts.slug, facts.kind, facts.attempt, facts.fire_time) for facts in seen] == [
        ("c", "coroutine", 1, NOON),
        ("t", "thread", 1, NOON),
    ]
    assert told == [seen[0], None, seen[1], None]  # its begin is told inside the run, its end outside
    assert current_run() is None


async def test_the_log_of_a_job_says_which_attempt_it_is_in(caplog: pytest.LogCaptureFixture) -> None:
    """The same fire time, the next attempt, another run."""
    jobs = JobRegistry()

    @jobs.job("report")
    async def report(ctx: JobContext) -> None:
        ctx.log.info("began")
        if ctx.attempt == 1:
            raise ValueError("no luck")

    caplog.set_level(logging.INFO, "duly.job.report")
    async with StdScheduler(MemoryStore(), jobs=jobs, clock=ManualClock(NOON)) as scheduler:
        await scheduler.schedule_job("report:emea", "report")
        await run_due(scheduler, until=NOON + timedelta(minutes=1))
    records = [record for record in caplog.records if record.name == "duly.job.report"]
    assert [record.getMessage() for record in records] == [
        "report:emea attempt 1 for 2030-01-01T12:00:00+00:00: began",
        "report:emea attempt 2 for 2030-01-01T12:00:00+00:00: began",
    ]
    assert len({record.__dict__["run_id"] for record in records}) == 2
