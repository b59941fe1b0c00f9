"""What the dispatcher makes of the store's answers, and of those that do not come."""

import asyncio
from datetime import timedelta

import pytest

from duly.jobs import TaskState
from duly.scheduler import LeaseLost, LoopFailed, RunEnded
from duly.stores import RunStatus, StoreUnavailable
from support.driven import NOON, Noting, driven
from support.schedulers import SECOND, Answer, ScriptedStore, a_scheduler, broken, busy, edit, heard, obey, silent, unreachable
from support.waiting import wait_until_async


@pytest.fixture
def jobs() -> Noting:
    """Jobs that note the slugs they are run for."""
    return Noting()


# -- answers that are lost


@pytest.mark.parametrize("fails", [unreachable, silent])
async def test_a_lock_without_an_answer_is_repeated_as_it_was(jobs: Noting, fails: Answer) -> None:
    """The same instant, the same token: whether it had happened or not, the task is locked once."""
    async with driven(jobs, fails) as node:
        await node.scheduler.schedule_job("t", "note")
        with pytest.raises(StoreUnavailable):
            await node.turn()
        node.clock.advance(SECOND)
        await node.turn(2)
        first, second, _ = node.store.script.exchanges
        assert first == second
        assert (jobs.noted, await node.statuses()) == (["t"], [RunStatus.DONE])


@pytest.mark.parametrize("fails", [unreachable, silent])
async def test_an_outcome_without_an_answer_is_repeated_as_it_was(jobs: Noting, fails: Answer) -> None:
    """It counts once, and is told once."""
    async with driven(jobs, obey, fails) as node:
        await node.scheduler.schedule_job("t", "note")
        await node.turn()
        with pytest.raises(StoreUnavailable):
            await node.turn()
        node.clock.advance(SECOND)
        await node.turn(2)
        _, first, second, *_ = node.store.script.exchanges
        assert first == second
        assert await node.statuses() == [RunStatus.DONE]
        assert len(node.of(RunEnded)) == 1
        assert not node.of(LeaseLost)
        assert len(node.scheduler.running_node.runs) == 0


async def test_a_run_that_ends_in_an_outage_is_handed_in_with_the_repeated_call(jobs: Noting) -> None:
    """Nothing waits for a second round trip."""
    gate = jobs.gated()
    async with driven(jobs, obey, silent) as node:
        await node.scheduler.schedule_job("t", "gated")
        await node.dispatcher.run_once()
        await node.scheduler.schedule_job("u", "note")
        with pytest.raises(StoreUnavailable):
            await node.dispatcher.run_once()
        gate.set()
        await wait_until_async(lambda: node.dispatcher.unwritten == 2)
        await node.turn()
        _, first, second = node.store.script.exchanges
        assert (first.now, first.request, len(first.outcomes)) == (second.now, second.request, 0)
        assert [outcome.task.slug for outcome in second.outcomes] == ["t"]
        assert jobs.noted == ["t", "u"]


@pytest.mark.parametrize(("fails", "statuses"), [(unreachable, [RunStatus.DONE]), (silent, [RunStatus.LOST, RunStatus.DONE])])
async def test_after_an_outage_longer_than_a_lease_the_call_is_a_new_one(jobs: Noting, fails: Answer, statuses: list[RunStatus]) -> None:
    """Repeated as it was, it would lock tasks under leases that have ended.

    Any other node would count them as lost.
    """
    async with driven(jobs, fails) as node:
        await node.scheduler.schedule_job("t", "note")
        with pytest.raises(StoreUnavailable):
            await node.turn()
        node.clock.advance(node.scheduler.config.lease + SECOND)
        await node.turn(2)
        first, second, _ = node.store.script.exchanges
        assert first.request is not None
        assert second.request is not None
        assert (second.now, second.request.token != first.request.token) == (node.clock.now(), True)
        assert (jobs.noted, await node.statuses()) == (["t"], statuses)


async def test_a_failure_that_is_final_is_not_repeated(jobs: Noting) -> None:
    """The next call is a new one; what ended was written by itself meanwhile."""
    async with driven(jobs, obey, broken) as node:
        await node.scheduler.schedule_job("t", "note")
        await node.turn()
        with pytest.raises(RuntimeError):
            await node.turn()
        await node.turn()
        _, first, second = node.store.script.exchanges
        assert first.request is not None
        assert second.request is not None
        assert first.request.token != second.request.token
        assert (len(first.outcomes), second.outcomes) == (1, ())
        assert await node.statuses() == [RunStatus.DONE]


@pytest.mark.parametrize("fails", [unreachable, silent, broken])
async def test_no_failure_ends_the_loop(jobs: Noting, fails: Answer) -> None:
    """It is told, and the task runs after a short backoff, once."""
    store = ScriptedStore(fails, fails)
    scheduler = a_scheduler(store, jobs)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "note")
        await wait_until_async(lambda: any(isinstance(event, RunEnded) for event in events))
    failures = [event for event in events if isinstance(event, LoopFailed)]
    assert [failure.loop for failure in failures] == ["dispatch", "dispatch"]
    assert jobs.noted == ["t"]


# -- outcomes that are refused


async def test_an_outcome_on_an_edited_row_is_decided_again(jobs: Noting) -> None:
    """On the row as it is now: the edit stands, and the run counts."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "gated", trigger="@every 1h", delay=timedelta(0))
        await node.dispatcher.run_once()
        await edit(node.store, "t", NOON, paused=True, metadata={"by": "hand"})
        gate.set()
        await node.turn(3)
        task = await node.scheduler.get_scheduled_job("t")
        assert (task.paused, task.metadata, task.fires, task.due_at) == (True, {"by": "hand"}, 1, None)
        assert (await node.statuses(), len(node.of(RunEnded))) == ([RunStatus.DONE], 1)
        assert len(node.scheduler.running_node.runs) == 0


async def test_an_outcome_on_an_edited_row_is_handed_in_again_at_once(jobs: Noting) -> None:
    """Not at the poll: the loop is rung for what was decided anew."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "gated")
        await node.dispatcher.run_once()
        await edit(node.store, "t", NOON, metadata={"by": "hand"})
        gate.set()
        await node.scheduler.running_node.runs.rest()
        node.dispatcher.loop.wake.clear()
        await node.dispatcher.run_once()
        assert node.dispatcher.unwritten == 1
        assert await asyncio.wait_for(node.dispatcher.loop.wake.wait(None), 5)


async def test_an_edit_that_this_node_cannot_read_sets_the_task_aside(jobs: Noting) -> None:
    """A newer node wrote a trigger of its own language: neither the task nor its neighbours are lost."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        for slug in ("t", "u"):
            await node.scheduler.schedule_job(slug, "gated", trigger="@every 1h", delay=timedelta(0))
        await node.dispatcher.run_once()
        await edit(node.store, "t", NOON, trigger="@moon full")
        await node.scheduler.schedule_job("v", "note")
        gate.set()
        await node.turn(4)
        task, neighbour = await node.scheduler.get_scheduled_job("t"), await node.scheduler.get_scheduled_job("u")
        assert (task.state, neighbour.fires, jobs.noted) == (TaskState.FAILED, 1, ["t", "u", "v"])
        assert "@moon" in (task.last_error or "")
        assert len(node.scheduler.running_node.runs) == 0


async def test_an_outcome_on_a_busy_row_is_handed_in_again_soon(jobs: Noting) -> None:
    """Not at once, and not at the poll."""
    async with driven(jobs, obey, busy) as node:
        await node.scheduler.schedule_job("t", "note")
        await node.turn()
        assert 0.05 * SECOND <= await node.dispatcher._turn() <= 0.1 * SECOND
        assert (await node.statuses(), node.of(RunEnded)) == ([], [])
        await node.turn()
        assert (await node.statuses(), len(node.of(RunEnded))) == ([RunStatus.DONE], 1)


async def test_an_outcome_that_comes_too_late_changes_nothing(jobs: Noting) -> None:
    """The task was deleted while it ran: told once as lost, and not recorded."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "gated")
        await node.dispatcher.run_once()
        await node.scheduler.delete_job("t")
        gate.set()
        await node.turn(2)
        (event,) = node.of(LeaseLost)
        assert isinstance(event, LeaseLost)
        assert event.error.slug == "t"
        assert (await node.statuses(), len(node.scheduler.running_node.runs)) == ([], 0)
