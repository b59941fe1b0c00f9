"""What is fetched is never lost: unread, dropped, left behind or drained, it comes again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from attrs import frozen

from duly.jobs import Consistency, TaskOptions, TaskState
from duly.scheduler import AlreadyAcknowledged, FetchedTask, LeaseLost, NewTask, RunReturned, RunStarted, StdScheduler
from duly.scheduler.testing import run_due
from duly.stores import Exchange, JobStore, MemoryStore, RunQuery, RunStatus
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.postgres import PostgresStore
from support.driven import NOON, Driven
from support.fetching import KIND, a_node, read, schedule, written
from support.schedulers import SECOND, Call, ScriptedStore, a_scheduler
from support.waiting import wait_until_async

Leaving = Callable[[Driven, list[FetchedTask]], Awaitable[None]]

ONCE = TaskOptions(consistency=Consistency.AT_MOST_ONCE)


async def settled(node: Driven) -> None:
    """Let what was dropped, and what ended by that, be written."""
    await asyncio.sleep(0)
    await node.turn(2)


# -- unread


async def test_what_nobody_reads_for_three_leases_is_handed_back_as_if_it_had_never_been_locked() -> None:
    """No run, no attempt, and this node locks no more of it until somebody reads.

    Another node can have it.
    """
    async with a_node() as node, a_node(beside=node) as other:
        lease = node.scheduler.config.lease
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a")
        await run_due(node.scheduler, until=NOON + 3 * lease - SECOND)
        assert [run.task.slug for run in node.scheduler.running_node.runs] == ["a"]
        await run_due(node.scheduler, until=NOON + 4 * lease)
        task = await node.scheduler.get_scheduled_job("a")
        assert (task.lease_id, task.attempt, task.first_run_at, task.crashes) == (None, 0, None, 0)
        assert (node.of(RunStarted), node.of(LeaseLost), await node.statuses()) == ([], [], [])
        assert [str(event).rpartition(": ")[2] for event in node.of(RunReturned)] == ["nobody read it for 3 leases"]
        elsewhere = other.scheduler.fetch(KIND)
        assert (await read(other, elsewhere)).attempt == 1
        await schedule(node, "b")
        with suppress(TimeoutError):
            await asyncio.wait_for(tasks.read(), 0.01)
        assert (await read(node, tasks)).slug == "b"


async def test_what_was_read_keeps_its_lease_although_nobody_reads_on() -> None:
    """For ten leases; only what is unread goes back."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a", "b")
        task = await read(node, tasks)
        await run_due(node.scheduler, until=NOON + 10 * node.scheduler.config.lease)
        assert [run.task.slug for run in node.scheduler.running_node.runs] == ["a"]
        assert task.lease_valid()
        assert await written(node, task.commit()) == [None]
        assert (await node.scheduler.get_scheduled_job("b")).attempt == 0


# -- read, and dropped


async def test_what_is_dropped_without_an_acknowledgement_is_run_again() -> None:
    """After a lease, so that who drops it each time does not do so without a pause.

    Recorded as cancelled, its attempt refunded.
    """
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a")
        task: FetchedTask | None = await read(node, tasks)
        del task
        await settled(node)
        assert (await node.scheduler.get_scheduled_job("a")).due_at == NOON + node.scheduler.config.lease
        node.clock.advance(node.scheduler.config.lease)
        again = await read(node, tasks)
        assert (again.slug, again.attempt) == ("a", 1)
        (run,) = (await node.scheduler.runs(RunQuery())).items
    assert (run.status, run.error) == (RunStatus.CANCELLED, "its subscriber dropped it without an acknowledgement")


async def test_the_fires_that_pass_while_a_dropped_one_waits_overlap_with_it() -> None:
    """As with one that waits for its retry: no node was missing."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await node.scheduler.schedule_job("a", KIND, trigger="@every 10s", at=NOON)
        task: FetchedTask | None = await read(node, tasks)
        del task
        await settled(node)
        node.clock.advance(node.scheduler.config.lease)
        again = await read(node, tasks)
        assert again.fire_time == NOON
        assert await written(node, again.commit()) == [None]
        skipped = [run for run in (await node.scheduler.runs(RunQuery())).items if run.status is RunStatus.SKIPPED]
        assert [(run.count, run.error) for run in skipped] == [
            (3, "overlap: 3 passed while the run before, its retries included, was still going")
        ]
        assert (await node.scheduler.get_scheduled_job("a")).run_at == NOON + 40 * SECOND


async def test_at_most_once_what_is_dropped_is_not_run_again() -> None:
    """It may have been done."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await node.scheduler.schedule_job("a", KIND, options=ONCE)
        task: FetchedTask | None = await read(node, tasks)
        del task
        await settled(node)
        assert (await node.scheduler.get_scheduled_job("a")).state is TaskState.FAILED


async def test_what_was_acknowledged_may_be_dropped() -> None:
    """The acknowledgement is what counts."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a")
        task: FetchedTask | None = await read(node, tasks)
        assert task is not None
        acking = asyncio.ensure_future(task.commit())
        del task
        await settled(node)
        await acking
        assert await node.statuses() == [RunStatus.DONE]


# -- the stream is left


async def leave_by_break(node: Driven, kept: list[FetchedTask]) -> None:
    """Read one task of a stream that nobody else has."""
    async for task in node.scheduler.fetch(KIND):
        kept.append(task)
        break


async def leave_by_error(node: Driven, kept: list[FetchedTask]) -> None:
    """Raise in the loop, and catch it."""
    with suppress(ZeroDivisionError):
        async for task in node.scheduler.fetch(KIND):
            kept.append(task)
            1 / 0  # noqa: B018 - the point


async def leave_the_context(node: Driven, kept: list[FetchedTask]) -> None:
    """Leave a stream that goes on to exist."""
    async with node.scheduler.fetch(KIND) as tasks:
        kept.append(await anext(tasks))
    await tasks.aclose()
    assert [task async for task in tasks] == []


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_the_context])
async def test_a_stream_that_is_left_gives_back_what_is_unread_and_what_is_in_hand(leave: Leaving) -> None:
    """The one unrun, the other as interrupted.

    The node knows the kind no more, so that others get its tasks.
    """
    async with a_node() as node:
        await schedule(node, "a", "b", "c")
        kept: list[FetchedTask] = []
        leaving = asyncio.ensure_future(leave(node, kept))
        await asyncio.sleep(0)
        await node.turn()
        await asyncio.wait_for(leaving, 5)
        await settled(node)
        with pytest.raises(AlreadyAcknowledged, match="its subscription ended before it was acknowledged"):
            await kept[0].commit()
        stored = [await node.scheduler.get_scheduled_job(slug) for slug in "abc"]
        assert [(task.lease_id, task.attempt) for task in stored] == [(None, 0)] * 3
        assert await node.statuses() == [RunStatus.CANCELLED]
        assert KIND not in node.scheduler.running_node.here.kinds
        assert not node.scheduler.running_node.runs


async def test_a_subscription_that_is_left_leaves_to_the_others_what_they_have_room_for() -> None:
    """What is more goes back unrun."""
    async with a_node() as node:
        await schedule(node, *"abcde")
        first, second = node.scheduler.fetch(KIND, max_in_flight=3), node.scheduler.fetch(KIND, max_in_flight=2)
        await node.turn()
        await first.aclose()
        await settled(node)
        assert len(node.scheduler.running_node.runs) == 2
        assert [await read(node, second), await read(node, second)]
        assert len(node.of(RunReturned)) == 3


async def test_what_a_lock_on_its_way_brings_after_the_last_subscription_ended_is_handed_back() -> None:
    """The kind is not known here any more when the answer comes."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)

        async def locked_and_left(store: ScriptedStore, call: Call) -> Exchange:
            exchange = await store.do(call)
            await tasks.aclose()
            return exchange

        node.store.script.answers.append(locked_and_left)
        await node.turn()
        await settled(node)
        task = await node.scheduler.get_scheduled_job("a")
    assert (task.lease_id, task.attempt) == (None, 0)


# -- the node stops


async def test_a_drain_ends_the_stream_and_lets_what_is_in_hand_be_acknowledged() -> None:
    """Within the grace; what is unread goes back at once, unrun."""
    store = MemoryStore()
    scheduler = a_scheduler(store)
    async with scheduler:
        await scheduler.schedule_jobs([NewTask(slug, KIND, remote=True) for slug in "ab"])
        tasks = scheduler.fetch(KIND)
        task = await anext(tasks)
        await wait_until_async(lambda: len(scheduler.running_node.runs) == 2)
        draining = asyncio.ensure_future(scheduler.drain())
        await asyncio.sleep(0)
        assert [each async for each in tasks] == []
        await task.commit()
        await draining
        async with store.sibling() as after:
            left = await after.get_slugs(prefix="", limit=10, after=None)
            (other,) = [await after.get(slug) for slug in left]
            runs = (await after.runs(RunQuery())).items
    assert (other.slug, other.attempt) == ("b", 0)
    assert [(run.slug, run.status) for run in runs] == [("a", RunStatus.DONE)]


async def test_what_outlasts_the_grace_is_interrupted_and_can_be_fetched_after_the_next_start() -> None:
    """Its attempt refunded."""
    scheduler = a_scheduler()
    async with scheduler:
        await scheduler.schedule_job("a", KIND, remote=True)
        tasks = scheduler.fetch(KIND)
        task = await anext(tasks)
        await scheduler.drain(timedelta(0))
        with pytest.raises(AlreadyAcknowledged):
            await task.commit()
        await scheduler.start()
        assert (await anext(scheduler.fetch(KIND))).attempt == 1


# -- on real servers


@frozen
class Consumer:
    """A program that fetches, and notes what it was handed."""

    scheduler: StdScheduler
    seen: list[str]

    async def consume(self) -> None:
        """Commit whatever comes; every seventh at the second attempt."""
        async with self.scheduler.fetch(KIND, max_in_flight=8) as tasks:
            async for task in tasks:
                self.seen.append(task.run_id)
                if task.attempt == 1 and int(task.slug) % 7 == 0:
                    await task.retry(after=timedelta(0))
                else:
                    await task.commit(result=self.scheduler.node)


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("firestore", marks=pytest.mark.firestore)])
def stores(request: pytest.FixtureRequest) -> list[JobStore]:
    """Two stores on one namespace of each server."""
    namespace = uuid4().hex
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return [PostgresStore(url, namespace=namespace, schema="fetching") for _ in range(2)]
    target = Target(project=request.getfixturevalue("firestore_project"))
    return [FirestoreStore(target, namespace=namespace) for _ in range(2)]


async def test_two_consumers_are_handed_no_task_twice_and_acknowledge_all(stores: list[JobStore]) -> None:
    """Each in a scheduler of its own: every run is in one consumer's hands, and every task is done."""
    count = 70
    consumers = [Consumer(StdScheduler(store, poll=SECOND, node=f"consumer {number}"), []) for number, store in enumerate(stores)]
    first, second = (each.scheduler for each in consumers)
    async with first, second:
        await first.schedule_jobs([NewTask(str(number), KIND, remote=True) for number in range(count)])
        consuming = [asyncio.ensure_future(each.consume()) for each in consumers]

        async def are_all_done() -> bool:
            return not await first.get_job_slugs()

        await wait_until_async(are_all_done, 30 * SECOND)
        runs = (await first.runs(RunQuery(limit=1000))).items
        await asyncio.gather(first.drain(), second.drain())
        await asyncio.gather(*consuming)
    seen = [run_id for each in consumers for run_id in each.seen]
    assert len(seen) == len(set(seen)) == count + count // 7
    assert sorted(seen) == sorted(run.id for run in runs)
    assert sorted(run.slug for run in runs if run.status is RunStatus.DONE) == sorted(map(str, range(count)))
