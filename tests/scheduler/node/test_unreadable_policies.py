"""Tasks that a node cannot read, under every policy and operation.

There may be many of them, beside tasks that it can read.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import frozen

from duly.jobs import JobContext, JobRegistry, Task
from duly.scheduler import NewTask, RunReturned, StdScheduler
from duly.scheduler.testing import ManualClock
from duly.stores import JobNotFound, JobStore, MemoryStore, RunQuery
from duly.stores.rules.unreadable import UNREADABLE_PAUSE, UNREADABLE_PAUSE_MAX
from support.schedulers import heard
from support.typed_jobs import Order

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@frozen
class Node:
    """A scheduler whose loop is turned by the test, and which fires its job was run for."""

    scheduler: StdScheduler
    got: list[tuple[str, datetime]]

    async def turn(self) -> None:
        """Run what is due now, and what comes of it."""
        await self.scheduler.running_node.turn_by_hand()

    async def task(self) -> Task:
        """The task `t`."""
        return await self.scheduler.get_scheduled_job("t")


@asynccontextmanager
async def a_node(store: JobStore, clock: ManualClock, *, version: int, **options: Any) -> AsyncIterator[Node]:  # noqa: ANN401 - of the kind
    """Start a node that reads up to that version of the payload."""
    got: list[tuple[str, datetime]] = []

    async def note(ctx: JobContext, order: Order) -> None:
        got.append((ctx.slug, ctx.fire_time))

    jobs = JobRegistry()
    jobs.job("k", payload_type=Order, payload_version=version, upgrade=lambda _, data: data, **options)(note)
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, concurrency=10) as scheduler:
        yield Node(scheduler, got)


@pytest.fixture
def clock() -> ManualClock:
    """It stands at noon."""
    return ManualClock(NOON)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """What both nodes have."""
    async with MemoryStore() as store:
        yield store


@asynccontextmanager
async def two_releases(store: JobStore, clock: ManualClock, **options: Any) -> AsyncIterator[tuple[Node, Node]]:  # noqa: ANN401 - of the kind
    """Start a node that cannot read what the other one schedules, and that one."""
    async with a_node(store, clock, version=1, **options) as old, a_node(store, clock, version=2, **options) as new:
        yield old, new


def at(*minutes: int) -> list[tuple[str, datetime]]:
    """The fires of `t` at these minutes after noon."""
    return [("t", NOON + minute * MINUTE) for minute in minutes]


# -- policies


@pytest.mark.parametrize(
    ("options", "fires"),
    [
        ({"misfire": "fire_once"}, at(5)),
        ({"misfire": "fire_all"}, at(1, 2, 3, 4, 5)),
        ({"misfire": "skip"}, at(5)),
        ({"misfire": "fire_all", "catch_up_limit": 2}, at(4, 5)),
        ({"misfire": "fire_all", "max_fires": 2}, at(1, 2)),
        ({"overlap": "queue_all"}, at(5)),
        ({"consistency": "at_most_once"}, at(5)),
    ],
)
async def test_a_schedule_that_was_not_read_goes_on_as_if_nobody_had_run_it(
    store: MemoryStore,
    clock: ManualClock,
    options: dict[str, Any],
    fires: list[tuple[str, datetime]],
) -> None:
    """Its misfire policy decides, as of the first lock by a node that reads it.

    No look in vain counts for anything.
    """
    async with two_releases(store, clock, **options) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"), trigger="@every 1m")
        for _ in range(4):
            clock.advance(MINUTE)
            await old.turn()
        clock.advance(MINUTE)
        await new.turn()

        assert (old.got, new.got) == ([], fires)
        assert {run.attempt for run in (await new.scheduler.runs(RunQuery(slug="t"))).items if run.started_at >= NOON + 5 * MINUTE} <= {
            0,
            1,
        }


async def test_a_one_off_that_came_too_late_meanwhile_is_still_there_for_who_can_read_it(store: MemoryStore, clock: ManualClock) -> None:
    """It is over only when such a node says so."""
    async with two_releases(store, clock, misfire_grace_time=MINUTE) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"))
        clock.advance(HOUR)
        await old.turn()
        assert (await old.task()).last_error is not None
        clock.advance(HOUR)
        await new.turn()

        assert (old.got, new.got) == ([], [])
        with pytest.raises(JobNotFound):
            await new.task()


async def test_a_task_that_runs_at_most_once_is_run_once(store: MemoryStore, clock: ManualClock) -> None:
    """A lock consumes it, and is given back here."""
    async with two_releases(store, clock, consistency="at_most_once") as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"))
        await old.turn()
        clock.advance(UNREADABLE_PAUSE)
        await new.turn()

        assert (old.got, new.got) == ([], at(0))


# -- operations


async def test_a_paused_task_that_is_run_now_stays_paused_and_asked_for(store: MemoryStore, clock: ManualClock) -> None:
    """Until a node that reads it runs it, for this once."""
    async with two_releases(store, clock) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"), trigger="@every 1h")
        await new.scheduler.pause_job("t")
        await old.scheduler.trigger_job("t")
        await old.turn()
        clock.advance(UNREADABLE_PAUSE)
        await new.turn()

        assert new.got == at(0)
        assert (await new.task()).paused
        assert (await new.task()).due_at is None


async def test_a_pause_holds_and_what_follows_it_is_looked_at_anew(store: MemoryStore, clock: ManualClock) -> None:
    """While it is put off."""
    async with two_releases(store, clock) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"))
        await old.turn()
        await old.scheduler.pause_job("t")
        clock.advance(HOUR)
        await new.turn()
        assert new.got == []
        await old.scheduler.resume_job("t")
        await new.turn()

        assert new.got == at(0)


@pytest.mark.parametrize("operation", ["restart_job", "trigger_job"])
async def test_what_is_put_off_is_due_at_once_when_somebody_asks(store: MemoryStore, clock: ManualClock, operation: str) -> None:
    """For the fire that it waits for."""
    async with two_releases(store, clock) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"))
        await old.turn()
        await getattr(old.scheduler, operation)("t")
        await new.turn()

        assert new.got == at(0)


async def test_what_is_put_off_can_be_moved_and_deleted(store: MemoryStore, clock: ManualClock) -> None:
    """It waits for its new time, and is gone when it is to be."""
    async with two_releases(store, clock) as (old, new):
        await new.scheduler.schedule_job("t", "k", payload=Order("anvil"))
        await old.turn()
        moved = await old.scheduler.reschedule_job("t", delay=HOUR)
        assert moved.due_at == NOON + HOUR
        await old.scheduler.delete_job("t")
        clock.advance(2 * HOUR)
        await new.turn()

        assert new.got == []


# -- many


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 1}, {"global_limit": 2}])
async def test_what_cannot_be_read_does_not_starve_what_can(store: MemoryStore, clock: ManualClock, options: dict[str, Any]) -> None:
    """Of the same kind, due later, behind many times what a call locks.

    Each of the many is looked at once.
    """
    async with two_releases(store, clock, **options) as (old, new):
        many = [NewTask(f"new:{number:02}", "k", payload=Order("anvil")) for number in range(95)]
        await new.scheduler.schedule_jobs(many)
        clock.advance(timedelta(seconds=1))
        await old.scheduler.schedule_job("old", "k", payload=Order("anvil"))
        events = heard(old.scheduler)
        await old.turn()

        assert [slug for slug, _ in old.got] == ["old"]
        assert len([event for event in events if isinstance(event, RunReturned)]) == 95


async def test_what_one_of_two_nodes_cannot_read_is_run_by_the_other(store: MemoryStore, clock: ManualClock) -> None:
    """Whichever of them is first, each is run once, by the one; and within the longest pause."""
    async with two_releases(store, clock) as (old, new):
        await new.scheduler.schedule_jobs([NewTask(f"{number:02}", "k", payload=Order("anvil")) for number in range(100)])
        await old.scheduler.running_node.dispatcher.run_once()  # locks as many as it has room for
        await new.turn()
        await old.turn()
        clock.advance(UNREADABLE_PAUSE_MAX)
        await new.turn()

        assert old.got == []
        assert sorted(slug for slug, _ in new.got) == [f"{number:02}" for number in range(100)]
