"""Readers of fetched tasks.

What reaches them when others leave, when leases end, and when the node stops.
"""

import asyncio
from datetime import timedelta

import pytest

from duly.scheduler import NewTask, RunReturned, SchedulerClosed
from duly.stores import Exchange
from support.fetching import KIND, a_node, read, read_in_vain, schedule, written
from support.schedulers import Call, ScriptedStore, a_scheduler, heard
from support.waiting import wait_until_async


async def test_what_comes_to_be_read_when_its_lease_cannot_be_trusted_goes_back_unrun() -> None:
    """Also if the heartbeat extends the lease just after that: it must not stay in nobody's hands."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        await node.turn()
        node.clock.advance(node.scheduler.config.lease - node.scheduler.config.margin)
        await read_in_vain(tasks)
        await node.scheduler.running_node.heartbeat.run_once()
        await node.turn()
        task = await read(node, tasks)
        assert (task.slug, task.attempt, await node.statuses()) == ("a", 1, [])


async def test_a_reader_who_gave_up_leaves_nothing_behind() -> None:
    """A program may look into a quiet stream every second for a year."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await read_in_vain(tasks)
        assert not tasks._subscription._waiters


async def test_a_reader_does_not_stumble_over_a_run_that_other_code_of_the_program_cancelled() -> None:
    """What was cancelled before it was read goes back, and is read when it comes again."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        await node.turn()
        reading = asyncio.ensure_future(tasks.read())
        (run,) = node.scheduler.running_node.runs
        assert run.working is not None
        run.working.cancel()
        await asyncio.sleep(0)
        await node.turn(2)
        task = await asyncio.wait_for(reading, 5)
        assert task is not None
        assert task.attempt == 1


async def test_what_a_lock_on_its_way_brings_beyond_the_room_that_is_left_is_handed_back() -> None:
    """A subscription ended meanwhile, and the other one holds no more than it may."""
    async with a_node() as node:
        await schedule(node, *"abc")
        leaving, staying = node.scheduler.fetch(KIND, max_in_flight=2), node.scheduler.fetch(KIND, max_in_flight=1)

        async def locked_and_left(store: ScriptedStore, call: Call) -> Exchange:
            exchange = await store.do(call)
            await leaving.aclose()
            return exchange

        node.store.script.answers.append(locked_and_left)
        await node.turn(2)
        assert len(node.scheduler.running_node.runs) == 1
        assert (await read(node, staying)).slug in "abc"
        assert len(node.of(RunReturned)) == 2


async def test_a_reader_who_holds_as_many_as_he_may_goes_on_when_one_of_them_is_over() -> None:
    """Without an acknowledgement.

    It was stopped, and what another subscription had room for was waiting to be read.
    """
    async with a_node() as node:
        await schedule(node, "a", "b")
        reader, idle = node.scheduler.fetch(KIND, max_in_flight=1), node.scheduler.fetch(KIND, max_in_flight=1)
        first = await read(node, reader)
        reading = asyncio.ensure_future(reader.read())
        await node.turn()
        assert not reading.done()
        assert await node.scheduler.stop_job(first.slug)
        second = await asyncio.wait_for(reading, 5)
        assert second is not None
        assert {first.slug, second.slug} == {"a", "b"}
        await idle.aclose()


async def test_what_was_handed_back_takes_up_no_room() -> None:
    """The subscriptions that are left get what is due, and nothing is locked in vain."""
    async with a_node() as node:
        await schedule(node, *"abcd")
        leaving, staying = node.scheduler.fetch(KIND, max_in_flight=2), node.scheduler.fetch(KIND, max_in_flight=2)
        await node.turn()
        await leaving.aclose()
        await node.turn()
        for _ in range(2):
            task = await read(node, staying)
            assert await written(node, task.commit()) == [None]
        assert len(node.scheduler.running_node.runs) == 2
        assert len(node.of(RunReturned)) == 2


async def test_who_reads_again_after_a_while_need_not_wait_for_the_poll() -> None:
    """The node looks at once for what it had stopped to lock."""
    async with a_scheduler() as scheduler:
        events = heard(scheduler)
        tasks = scheduler.fetch(KIND)
        await scheduler.schedule_job("a", KIND, remote=True)
        await wait_until_async(lambda: any(isinstance(event, RunReturned) for event in events))
        await wait_until_async(lambda: not scheduler.running_node.runs)
        assert (await asyncio.wait_for(anext(tasks), 5)).slug == "a"


async def test_the_end_of_a_stream_ends_the_wait_of_its_readers() -> None:
    """Of all that share it."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        reading = [asyncio.ensure_future(tasks.read()) for _ in range(2)]
        await asyncio.sleep(0)
        await tasks.aclose()
        assert await asyncio.wait_for(asyncio.gather(*reading), 5) == [None, None]


# -- the end


@pytest.mark.parametrize("is_offered", [False, True])
async def test_what_is_unread_at_the_beginning_of_a_drain_is_handed_back_at_once(*, is_offered: bool) -> None:
    """Also what was locked just before, and comes to its desk when nothing is given out any more.

    The drain waits for neither.
    """
    async with a_node() as node, node.store.sibling() as after:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        await node.dispatcher.run_once()
        if is_offered:
            await node.scheduler.running_node.runs.rest()
        await node.scheduler.drain()
        assert [str(event).rpartition(": ")[2] for event in node.of(RunReturned)] == ["this node is stopping, and nobody had read it"]
        assert ((await after.get("a")).attempt, [each async for each in tasks]) == (0, [])


async def test_a_drain_ends_the_wait_of_a_reader_while_a_task_is_in_hand() -> None:
    """They need not wait until that is acknowledged; and there is no new stream."""
    async with a_scheduler() as scheduler:
        await scheduler.schedule_jobs([NewTask("a", KIND, delay=timedelta(0), remote=True)])
        tasks = scheduler.fetch(KIND)
        task = await anext(tasks)
        reading = asyncio.ensure_future(tasks.read())
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(scheduler.drain())
        assert await asyncio.wait_for(reading, 1) is None
        assert not draining.done()
        with pytest.raises(SchedulerClosed):
            scheduler.fetch(KIND)
        await task.commit()
        await draining


async def test_no_timer_outlives_a_run() -> None:
    """Else a busy stream would keep what it handed out for three leases."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        assert await written(node, task.commit()) == [None]
        assert node.clock.next_timer is None
