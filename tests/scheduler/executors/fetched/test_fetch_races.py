"""Fetched tasks where two things come at once.

A reader and an ended lease, an acknowledgement and a shutdown, an outage and its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from duly.jobs import TaskOptions
from duly.scheduler import AlreadyAcknowledged, FetchedTask, Fetching, LockLost, NodeStopped, StdScheduler
from duly.scheduler.rules.endings import Interrupted
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import Held, MemoryStore, RunQuery, RunStatus, StoreUnavailable
from support.driven import NOON, Driven
from support.fetching import KIND, a_node, read, read_in_vain, schedule, written
from support.schedulers import HOUR, ScriptedStore, a_scheduler, heard, unreachable

MINUTE = timedelta(minutes=1)

Acknowledging = Callable[[FetchedTask], Awaitable[None]]

ACKS: dict[str, tuple[Acknowledging, RunStatus]] = {
    "commit": (lambda task: task.commit(payload=b"new"), RunStatus.DONE),
    "retry": (lambda task: task.retry(after=HOUR, payload=b"new"), RunStatus.RETRIED),
    "fail": (lambda task: task.fail("no", payload=b"new"), RunStatus.FAILED),
}


async def down(_: Sequence[Held]) -> None:
    """Fail the heartbeat."""
    raise StoreUnavailable("the question was lost")


# -- an acknowledgement, and something that would cut the run short


@pytest.mark.parametrize("how", ACKS)
async def test_an_acknowledgement_that_was_given_is_written_although_the_scheduler_is_closed_at_once(how: str) -> None:
    """It says how the run ended: there is nothing left to be cut short."""
    acknowledge, status = ACKS[how]
    store = MemoryStore()
    async with store.sibling() as after, a_scheduler(store) as scheduler:
        events = heard(scheduler)
        await scheduler.schedule_job("a", KIND, trigger="@every 1h", delay=timedelta(0), remote=True)
        task = await anext(tasks := scheduler.fetch(KIND))
        await asyncio.gather(acknowledge(task), scheduler.close())
        assert [run.status for run in (await after.runs(RunQuery())).items] == [status]
        assert (await after.get("a")).payload == b"new"
        assert [each async for each in tasks] == []
    assert [event.cut_short for event in events if isinstance(event, NodeStopped)] == [0]


@pytest.mark.parametrize(("how", "status"), [("commit", RunStatus.DONE), ("retry", RunStatus.FAILED), ("fail", RunStatus.FAILED)])
async def test_a_stop_that_comes_after_an_acknowledgement_ends_no_run(how: str, status: RunStatus) -> None:
    """Only the retry is not made: the task was asked to stop."""
    acknowledge, _ = ACKS[how]
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, trigger="@every 1h", delay=timedelta(0), remote=True)
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        acknowledging = asyncio.ensure_future(acknowledge(task))
        await asyncio.sleep(0)
        assert await node.scheduler.stop_job("a")
        await node.turn(3)
        await asyncio.wait_for(acknowledging, 5)
        assert await node.statuses() == [status]
        assert (await node.scheduler.get_scheduled_job("a")).payload == b"new"


async def test_a_run_that_is_cut_short_at_the_moment_of_its_reading_cannot_be_acknowledged() -> None:
    """Nobody is told that the word stands, and it does not."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        await node.turn()
        task = await anext(tasks)
        (run,) = node.scheduler.running_node.runs
        run.end_early(Interrupted("the test says so"))
        with pytest.raises(AlreadyAcknowledged, match="the test says so"):
            await task.fail("no")
        await node.turn(2)
        assert await node.statuses() == [RunStatus.CANCELLED]


async def test_what_cannot_be_written_any_more_is_told_also_when_the_stream_was_left_before() -> None:
    """Nobody waits for ever for a store that is gone."""
    store = ScriptedStore()
    async with a_scheduler(store) as scheduler:
        await scheduler.schedule_job("a", KIND, remote=True)
        async with scheduler.fetch(KIND) as tasks:
            task = await anext(tasks)
            store.script.answers.extend([unreachable] * 1000)
            acknowledging = asyncio.ensure_future(task.commit())
            await asyncio.sleep(0)
        await scheduler.close()
        with pytest.raises(LockLost):
            await asyncio.wait_for(acknowledging, 5)


async def test_an_acknowledgement_long_after_the_run_was_over_still_says_why() -> None:
    """That the lease has ended since is no news."""
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, options=TaskOptions(time_limit=MINUTE), remote=True)
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        await run_due(node.scheduler, until=NOON + 10 * MINUTE)
        with pytest.raises(AlreadyAcknowledged, match="stopped at its time limit of 0:01:00"):
            await task.commit()


# -- outages


async def acknowledged_in_an_outage(node: Driven, tasks: Fetching) -> "asyncio.Future[None]":
    """Return the acknowledgement of a task that was given just before the store was gone for two leases."""
    await schedule(node, "a")
    task = await read(node, tasks)
    node.store.script.answers.append(unreachable)
    node.store.script.extend.append(down)
    acknowledging = asyncio.ensure_future(task.commit())
    await node.scheduler.running_node.runs.rest()
    with suppress(StoreUnavailable):
        await node.turn()
    node.clock.advance(2 * node.scheduler.config.lease)
    with suppress(StoreUnavailable):
        await node.scheduler.running_node.heartbeat.run_once()
    await asyncio.sleep(0)
    assert not acknowledging.done()
    return acknowledging


async def test_an_acknowledgement_outlasts_an_outage_that_is_longer_than_the_lease() -> None:
    """Nobody else took the task meanwhile."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        acknowledging = await acknowledged_in_an_outage(node, tasks)
        await node.turn()
        await asyncio.wait_for(acknowledging, 5)
        assert await node.statuses() == [RunStatus.DONE]


async def test_an_acknowledgement_is_refused_when_another_node_took_the_task_in_the_outage() -> None:
    """That one's acknowledgement counts."""
    async with a_node() as node, a_node(beside=node) as other:
        streams = node.scheduler.fetch(KIND), other.scheduler.fetch(KIND)
        acknowledging = await acknowledged_in_an_outage(node, streams[0])
        task = await read(other, streams[1])
        await node.turn()
        with pytest.raises(LockLost):
            await asyncio.wait_for(acknowledging, 5)
        assert await written(other, task.commit()) == [None]
        assert await node.statuses() == [RunStatus.LOST, RunStatus.DONE]


# -- what an acknowledgement may change


async def test_a_payload_that_is_kept_may_be_larger_than_this_node_allows() -> None:
    """A program with a higher limit scheduled it; only a new one is held against the limit."""
    store, clock = MemoryStore(), ManualClock(NOON)
    async with StdScheduler(store.sibling(), clock=clock) as publisher, StdScheduler(store, clock=clock, payload_limit=10) as scheduler:
        await publisher.schedule_job("a", KIND, payload=bytes(100), remote=True)
        tasks = scheduler.fetch(KIND)
        await scheduler.running_node.turn_by_hand()
        task = await anext(tasks)
        acknowledging = asyncio.ensure_future(task.commit())
        await asyncio.sleep(0)
        await scheduler.running_node.turn_by_hand()
        await acknowledging
        assert [run.status for run in (await scheduler.runs(RunQuery())).items] == [RunStatus.DONE]


@pytest.mark.parametrize("name", ["kind", "slug", "payloads"])
async def test_nothing_else_can_be_changed_with_an_acknowledgement(name: str) -> None:
    """A slip of the pen is refused, and the task still in hand."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        with pytest.raises(TypeError, match=f"cannot be changed in {name}"):
            await task.commit(**{name: "other"})  # type: ignore[arg-type]  # what the test is about
        assert await written(node, task.commit()) == [None]


async def test_a_one_off_becomes_a_schedule_by_its_acknowledgement() -> None:
    """It is not removed, and fires by its new trigger."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        assert await written(node, task.commit(trigger="@every 1h")) == [None]
        node.clock.advance(HOUR)
        assert (await read(node, tasks)).fire_time == NOON + HOUR


# -- why nothing happens


async def test_why_tells_of_a_task_that_nobody_reads() -> None:
    """While it waits to be read, when it was handed back, and as it is once it is in hand."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a")
        await node.turn()
        assert "for somebody to read it, attempt 1" in await node.scheduler.why("a")
        await run_due(node.scheduler, until=NOON + 4 * node.scheduler.config.lease)
        assert "but this node locks no more of its kind until somebody reads what it fetches" in await node.scheduler.why("a")
        await read_in_vain(tasks)
        task = await read(node, tasks)
        assert f"is running on node {node.scheduler.node}" in await node.scheduler.why("a")
        assert await written(node, task.commit()) == [None]
