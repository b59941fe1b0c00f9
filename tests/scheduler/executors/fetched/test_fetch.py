"""Tasks that are fetched: read by a subscriber, and ended by an acknowledgement."""

import asyncio
from datetime import timedelta

import pytest

from duly.jobs import JobRegistry, PayloadTooLarge, RetryPolicy, TaskOptions, TaskState
from duly.scheduler import (
    AlreadyAcknowledged,
    InvalidValue,
    JobAlreadyRegistered,
    KindFetched,
    LockLost,
    RunEnded,
    RunStarted,
    SchedulerClosed,
    StdScheduler,
    TriggerError,
)
from duly.scheduler.executors.fetched.delivery import Ack
from duly.scheduler.testing import run_due
from duly.stores import MemoryStore, RunQuery, RunStatus
from support.driven import NOON
from support.fetching import KIND, a_node, read, schedule, written
from support.schedulers import HOUR, SECOND, edit

MINUTE = timedelta(minutes=1)


# -- what an acknowledgement does


async def test_a_one_off_that_is_committed_is_done_and_removed() -> None:
    """Its result stays in the history; it started when it was read, not when it was locked."""
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, payload=b"disk", metadata={"team": "x"}, remote=True)
        tasks = node.scheduler.fetch(KIND)
        await node.turn()
        assert node.of(RunStarted) == []
        node.clock.advance(SECOND)
        task = await read(node, tasks)
        assert (task.slug, task.kind, task.payload, dict(task.metadata)) == ("a", KIND, b"disk", {"team": "x"})
        assert (task.attempt, task.fire_time, task.stop_reason) == (1, NOON, None)
        assert task.run_key == f"a@{NOON.isoformat()}"
        assert task.lease_valid()
        assert await written(node, task.commit(result="42 files")) == [None]
        assert await node.scheduler.get_job_slugs() == []
        (run,) = (await node.scheduler.runs(RunQuery())).items
    assert (run.id, run.status, run.result, run.started_at) == (task.run_id, RunStatus.DONE, "42 files", NOON + SECOND)
    assert len(node.of(RunStarted)) == len(node.of(RunEnded)) == 1


async def test_a_schedule_that_is_committed_waits_for_its_next_fire() -> None:
    """And is fetched again then, with the payload that the acknowledgement left."""
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, trigger="@every 1h", remote=True)
        tasks = node.scheduler.fetch(KIND)
        node.clock.advance(HOUR)
        task = await read(node, tasks)
        assert await written(node, task.commit(payload=b"next", payload_version=2)) == [None]
        node.clock.advance(HOUR)
        again = await read(node, tasks)
    assert (again.payload, again.task.payload_version, again.fire_time) == (b"next", 2, NOON + 2 * HOUR)


async def test_a_retry_comes_again_after_its_wait() -> None:
    """As the next attempt at the same fire."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        assert await written(node, task.retry(after=MINUTE, reason="the disk is full")) == [None]
        assert (await node.scheduler.get_scheduled_job("a")).retry_at == NOON + MINUTE
        node.clock.advance(MINUTE)
        again = await read(node, tasks)
        assert (again.attempt, again.fire_time) == (2, NOON)
        assert await node.statuses() == [RunStatus.RETRIED]
        (run,) = (await node.scheduler.runs(RunQuery())).items
    assert run.error == "the disk is full"


async def test_a_failure_is_final() -> None:
    """A one-off is set aside, with the reason."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        assert await written(node, task.fail("no such disk")) == [None]
        failed = await node.scheduler.get_scheduled_job("a")
        assert await node.statuses() == [RunStatus.FAILED]
    assert (failed.state, failed.last_error) == (TaskState.FAILED, "no such disk")


@pytest.mark.parametrize("ending", ["commit", "retry", "fail"])
async def test_every_acknowledgement_may_change_the_task_in_the_same_write(ending: str) -> None:
    """Payload, its version, result and trigger; the one exchange that ends the run writes them."""
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, trigger="@every 1h", options=TaskOptions(retry=RetryPolicy(limit=1)), remote=True)
        tasks = node.scheduler.fetch(KIND)
        node.clock.advance(HOUR)
        task = await read(node, tasks)
        before = await node.scheduler.get_scheduled_job("a")
        acks = {
            "commit": lambda: task.commit(payload=b"p", payload_version=3, result="r", trigger="@every 10m"),
            "retry": lambda: task.retry(payload=b"p", payload_version=3, result="r", trigger="@every 10m"),
            "fail": lambda: task.fail("no", payload=b"p", payload_version=3, result="r", trigger="@every 10m"),
        }
        assert await written(node, acks[ending]()) == [None]
        after = await node.scheduler.get_scheduled_job("a")
    assert (after.payload, after.payload_version, after.result, after.trigger) == (b"p", 3, "r", "@every 10m")
    assert after.version == before.version + 1
    assert (after.retry_at is not None) if ending == "retry" else (after.run_at == NOON + HOUR + timedelta(minutes=10))


async def test_what_was_edited_meanwhile_and_what_is_acknowledged_are_both_kept() -> None:
    """The decision is made anew on the edited row, with the changes of the acknowledgement."""
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, trigger="@every 1h", remote=True)
        tasks = node.scheduler.fetch(KIND)
        node.clock.advance(HOUR)
        task = await read(node, tasks)
        acking = asyncio.ensure_future(task.commit(payload=b"mine"))
        await node.scheduler.running_node.runs.rest()
        await edit(node.store, "a", node.clock.now(), metadata={"by": "another"})
        await node.turn(2)
        await acking
        after = await node.scheduler.get_scheduled_job("a")
    assert (after.payload, dict(after.metadata)) == (b"mine", {"by": "another"})


async def test_acknowledgements_that_come_together_are_written_together() -> None:
    """In one exchange, which also locks what comes next."""
    async with a_node() as node:
        await schedule(node, *"abcde")
        tasks = node.scheduler.fetch(KIND)
        fetched = [await read(node, tasks) for _ in range(5)]
        before = len(node.store.script.exchanges)
        assert await written(node, *(task.commit() for task in fetched)) == [None] * 5
        calls = node.store.script.exchanges[before:]
    assert [len(call.outcomes) for call in calls] == [5]


@pytest.mark.parametrize("changes", [{"trigger": "@every nothing"}, {"payload": bytes(2**21)}, {"payload_version": 0}])
async def test_a_change_that_cannot_be_kept_leaves_the_task_in_hand(changes: dict[str, object]) -> None:
    """The next acknowledgement counts."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        with pytest.raises((TriggerError, PayloadTooLarge, InvalidValue)):
            await task.commit(**changes)  # type: ignore[arg-type]  # what the test is about
        assert await written(node, task.commit()) == [None]


async def test_an_acknowledgement_stands_also_if_its_caller_is_cancelled() -> None:
    """It was given; only the wait for the write is over."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        acking = asyncio.ensure_future(task.commit())
        await asyncio.sleep(0)
        acking.cancel()
        await node.turn(2)
        assert await node.statuses() == [RunStatus.DONE]


# -- what is refused


async def test_a_second_acknowledgement_is_refused() -> None:
    """Whether the first is written or not."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        first, second = await written(node, task.commit(), task.fail("no"))
        assert first is None
        assert isinstance(second, AlreadyAcknowledged)
        with pytest.raises(AlreadyAcknowledged, match="acknowledged before"):
            await task.commit()
        assert await node.statuses() == [RunStatus.DONE]


@pytest.mark.parametrize("is_noticed", [False, True])
async def test_an_acknowledgement_after_the_lease_was_lost_says_so(*, is_noticed: bool) -> None:
    """Nothing is written by it; whether the heartbeat has ended the run by then or not."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        node.clock.advance(HOUR)
        if is_noticed:
            node.scheduler.running_node.heartbeat.cut_untrusted()
            await node.scheduler.running_node.runs.rest()
        assert not task.lease_valid()
        with pytest.raises(LockLost):
            await task.commit()


async def test_an_acknowledgement_that_the_store_refuses_says_that_the_lease_was_lost() -> None:
    """The node still trusted the lease when it was given, and the row was another's when it was written."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        task = await read(node, tasks)
        await node.store.delete("a")
        (refused,) = await written(node, task.commit())
    assert isinstance(refused, LockLost)
    assert (refused.slug, refused.lease_id) == ("a", task.run_id)


async def test_no_acknowledgement_is_taken_by_another_subscriptions_flusher() -> None:
    """Of the same kind or another.

    Only who was handed a task can acknowledge it, and each row gets its own answer.
    """
    async with a_node() as node:
        await schedule(node, "a", "b")
        await schedule(node, "c", kind="letter")
        streams = [node.scheduler.fetch(kind, max_in_flight=1) for kind in (KIND, KIND, "letter")]
        fetched = [await read(node, tasks) for tasks in streams]
        assert sorted(task.slug for task in fetched) == ["a", "b", "c"]
        for index, tasks in enumerate(streams):
            for other in {0, 1, 2} - {index}:
                with pytest.raises(AlreadyAcknowledged, match="not in the hands of this subscription"):
                    await tasks._subscription.acknowledge(fetched[other]._delivery, Ack(payload_limit=1))
        assert await written(node, *(task.commit(result=f"by {index}") for index, task in enumerate(fetched))) == [None] * 3
        runs = (await node.scheduler.runs(RunQuery())).items
    assert {run.slug: run.result for run in runs} == {task.slug: f"by {index}" for index, task in enumerate(fetched)}


async def test_a_kind_with_a_job_cannot_be_fetched() -> None:
    """Which of the two a task went to would be a matter of chance."""
    jobs = JobRegistry()
    jobs.job(KIND)(lambda: None)
    async with a_node(jobs) as node:
        with pytest.raises(JobAlreadyRegistered, match="cannot be fetched as well"):
            node.scheduler.fetch(KIND)


async def test_a_kind_that_is_fetched_cannot_get_a_job_until_its_last_subscription_has_ended() -> None:
    """Neither by the scheduler nor by its registry."""
    async with a_node() as node:
        first, second = node.scheduler.fetch(KIND), node.scheduler.fetch(KIND)
        await first.aclose()
        for register in (node.scheduler.job, node.scheduler.jobs.job):
            with pytest.raises(KindFetched, match="end the subscriptions"):
                register(KIND)(lambda: None)
        await second.aclose()
        node.scheduler.job(KIND)(lambda: None)
        assert KIND in node.scheduler.jobs


@pytest.mark.parametrize("most", [0, -1, True, 1.5])
async def test_a_bound_that_is_none_is_refused(most: int) -> None:
    """By its name, and nothing is registered."""
    async with a_node() as node:
        with pytest.raises(InvalidValue, match="max_in_flight"):
            node.scheduler.fetch(KIND, max_in_flight=most)
        assert KIND not in node.scheduler.running_node.here.kinds


async def test_a_scheduler_that_is_not_running_fetches_nothing() -> None:
    """It would lock nothing."""
    with pytest.raises(SchedulerClosed):
        StdScheduler(MemoryStore()).fetch(KIND)


# -- how many, and to whom


async def test_no_more_are_locked_than_may_be_in_flight() -> None:
    """Read or unread; an acknowledgement makes room for the next, in the exchange that writes it."""
    async with a_node() as node:
        await schedule(node, *"abcde")
        tasks = node.scheduler.fetch(KIND, max_in_flight=2)
        task = await read(node, tasks)
        await node.turn()
        assert len(node.scheduler.running_node.runs) == 2
        assert await written(node, task.commit()) == [None]
        assert sorted(run.task.slug for run in node.scheduler.running_node.runs) == ["b", "c"]


async def test_subscriptions_of_one_kind_share_its_tasks_each_within_its_own_bound() -> None:
    """Each task goes to one of them; who holds as many as allowed waits, though more are there."""
    async with a_node() as node:
        await schedule(node, *"abcde")
        small, great = node.scheduler.fetch(KIND, max_in_flight=1), node.scheduler.fetch(KIND, max_in_flight=3)
        one = await read(node, small)
        assert len(node.scheduler.running_node.runs) == 4
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(small.read(), 0.01)
        others = [await read(node, great) for _ in range(3)]
        assert sorted(task.slug for task in (one, *others)) == ["a", "b", "c", "d"]


async def test_a_reader_who_was_cancelled_takes_nothing_along() -> None:
    """What comes after that is for the next one."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tasks.read(), 0.01)
        await schedule(node, "a")
        assert (await read(node, tasks)).slug == "a"


async def test_a_scheduler_with_the_same_registry_leaves_what_another_one_fetches_alone() -> None:
    """A registry is shared; a subscription is one scheduler's own."""
    jobs = JobRegistry()
    async with a_node(jobs) as node, a_node(jobs, beside=node) as other:
        tasks = node.scheduler.fetch(KIND)
        await schedule(node, "a")
        await other.turn()
        assert not other.scheduler.running_node.runs
        assert (await read(node, tasks)).slug == "a"


async def test_a_task_of_a_kind_that_is_fetched_here_is_not_remote() -> None:
    """The kind is known."""
    async with a_node() as node:
        tasks = node.scheduler.fetch(KIND)
        await node.scheduler.schedule_job("a", KIND)
        assert (await read(node, tasks)).slug == "a"


# -- how a run ends that is not acknowledged


async def test_a_time_limit_counts_from_the_reading() -> None:
    """However long it waited to be read.

    Then the task says why it is over, and its acknowledgement is refused.
    """
    async with a_node() as node:
        await node.scheduler.schedule_job("a", KIND, options=TaskOptions(time_limit=MINUTE), remote=True)
        tasks = node.scheduler.fetch(KIND)
        await run_due(node.scheduler, until=NOON + 2 * node.scheduler.config.lease)
        task = await read(node, tasks)
        reasons = []
        for span in (MINUTE - SECOND, SECOND):
            await run_due(node.scheduler, until=node.clock.now() + span)
            reasons.append(task.stop_reason)
        assert reasons == [None, "stopped at its time limit of 0:01:00"]
        with pytest.raises(AlreadyAcknowledged, match="time limit"):
            await task.commit()
        assert await node.statuses() == [RunStatus.RETRIED]


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_task_that_is_stopped_is_over_read_or_not(*, is_read: bool) -> None:
    """It is on record as cancelled."""
    async with a_node() as node:
        await schedule(node, "a")
        tasks = node.scheduler.fetch(KIND)
        await node.turn()
        task = await tasks.read() if is_read else None
        assert await node.scheduler.stop_job("a")
        await node.turn(3)  # ended, decided on, and decided anew, because the request was an edit
        assert await node.statuses() == [RunStatus.CANCELLED]
        if task is not None:
            with pytest.raises(AlreadyAcknowledged, match="somebody asked for it to be stopped"):
                await task.commit()
