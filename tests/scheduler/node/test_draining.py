"""What a scheduler does with its work before it stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobRegistry
from duly.scheduler import LoopFailed, NewTask
from duly.stores import Exchange, MemoryStore, RunQuery, RunStatus, StoreUnavailable, TaskQuery
from support.lives import QUICK, Work, nothing_is_left_of, takes_less_than
from support.schedulers import (
    HOUR,
    LEASE,
    SECOND,
    Answer,
    Call,
    ScriptedStore,
    a_scheduler,
    after,
    busy,
    edit,
    heard,
    silent,
    tasks_of_the_library,
    unreachable,
)
from support.waiting import wait_until_async


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    """Jobs, all of which are let go after the test."""
    work = Work()
    yield work
    work.gate.set()
    work.thread_gate.set()


# -- draining


@pytest.mark.parametrize("kind", ["work", "thread"])
async def test_draining_waits_for_what_runs_and_takes_no_more(work: Work, kind: str) -> None:
    """The run comes to its end and is written; what is due meanwhile stays."""
    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.schedule_job("first", kind)
        await wait_until_async(lambda: work.began)
        draining = asyncio.create_task(scheduler.drain(10 * SECOND))
        await asyncio.sleep(0)
        await scheduler.schedule_job("second", kind)
        assert not draining.done()
        work.gate.set()
        work.thread_gate.set()
        async with takes_less_than(QUICK):
            await draining
        assert work.began == [("first", 1)]
        (run,) = (await scheduler.runs(RunQuery())).items
        assert (run.slug, run.status) == ("first", RunStatus.DONE)
        assert await scheduler.get_job_slugs() == ["second"]
        await nothing_is_left_of(scheduler)


async def test_what_is_not_done_after_the_grace_is_cut_short_and_refunded(work: Work) -> None:
    """A coroutine is cancelled, a thread told and then given up.

    Both runs are on record, and cost no attempt.
    """
    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.schedule_jobs([NewTask("coroutine", "work"), NewTask("stuck", "thread")])
        await wait_until_async(lambda: len(work.began) == 2)
        async with takes_less_than(2 * QUICK):
            await scheduler.drain(timedelta(milliseconds=100))
        history = (await scheduler.runs(RunQuery())).items
        assert {run.slug: run.status for run in history} == dict.fromkeys(("coroutine", "stuck"), RunStatus.CANCELLED)
        assert [task.attempt for task in (await scheduler.search_jobs(TaskQuery())).items] == [0, 0]
        assert "its thread cannot be killed" in next(run.error or "" for run in history if run.slug == "stuck")
        work.thread_gate.set()
        await nothing_is_left_of(scheduler)


async def test_leases_are_kept_until_the_end_of_the_drain(work: Work) -> None:
    """Another node that is eager for the task does not get it while its run comes to its end."""
    store, other_work = MemoryStore(), Work()
    scheduler, eager = a_scheduler(store, work.registry), a_scheduler(store.sibling(), other_work.registry, poll=0.05 * SECOND)
    async with scheduler, eager:
        await eager.drain()
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        draining = asyncio.create_task(scheduler.drain(10 * SECOND))
        await eager.start()
        began = time.monotonic()
        await wait_until_async(lambda: time.monotonic() - began > 2.5 * LEASE.total_seconds())
        work.gate.set()
        await draining
        (run,) = (await eager.runs(RunQuery())).items
    assert (run.status, run.node, other_work.began) == (RunStatus.DONE, scheduler.node, [])


async def test_what_was_locked_while_the_drain_began_is_handed_back(work: Work) -> None:
    """Unrun, its attempt refunded."""
    store, answer = ScriptedStore(), asyncio.Event()
    async with a_scheduler(store, work.registry) as scheduler:
        store.script.answers.append(after(answer))
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: scheduler.running_node.dispatcher._unanswered)
        draining = asyncio.create_task(scheduler.drain())
        await asyncio.sleep(0)
        answer.set()
        async with takes_less_than(QUICK):
            await draining
        task = await scheduler.get_scheduled_job("t")
        assert (task.attempt, task.lease_id, work.began) == (0, None, [])
        assert (await scheduler.runs(RunQuery())).items == []


async def test_what_was_locked_by_a_call_whose_answer_was_lost_as_the_drain_began_is_handed_back(work: Work) -> None:
    """The call is repeated until it is answered: no lease is left to end by itself, as a crash would."""
    store, gate = ScriptedStore(), asyncio.Event()

    async def lost_after_the_gate(store: ScriptedStore, call: Call) -> Exchange:
        await store.do(call)
        await gate.wait()
        raise StoreUnavailable("the answer was lost")

    async with a_scheduler(store, work.registry) as scheduler:
        store.script.answers.extend([lost_after_the_gate, unreachable, silent])
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: scheduler.running_node.dispatcher._unanswered)
        draining = asyncio.create_task(scheduler.drain())
        await asyncio.sleep(0)
        gate.set()
        async with takes_less_than(2 * QUICK):
            await draining
        task = await scheduler.get_scheduled_job("t")
        assert (task.attempt, task.lease_id, work.began) == (0, None, [])
        assert (await scheduler.runs(RunQuery())).items == []


@pytest.mark.parametrize("answers", [[busy, busy], [unreachable] * 3, [silent, unreachable]], ids=["busy", "outage", "lost answers"])
async def test_an_outcome_that_cannot_be_written_at_first_is_written_before_the_drain_ends(work: Work, answers: list[Answer]) -> None:
    """Somebody else's transaction held the row, or the store was away for a moment."""
    store = ScriptedStore()
    async with a_scheduler(store, work.registry) as scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        store.script.answers.extend(answers)
        work.gate.set()
        await scheduler.drain()
        assert [run.status for run in (await scheduler.runs(RunQuery())).items] == [RunStatus.DONE]
        assert await scheduler.get_job_slugs() == []


async def test_what_is_cut_short_after_an_edit_is_decided_on_the_edited_task(work: Work) -> None:
    """The outcome is refused as edited, and comes again: refunded, and with the edit."""
    store = MemoryStore()
    async with a_scheduler(store, work.registry) as scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        await edit(store, "t", datetime.now(UTC), metadata={"edited": "yes"})
        await scheduler.drain(timedelta(0))
        task = await scheduler.get_scheduled_job("t")
        assert [run.status for run in (await scheduler.runs(RunQuery())).items] == [RunStatus.CANCELLED]
        assert (task.attempt, task.lease_id, task.metadata) == (0, None, {"edited": "yes"})


async def test_the_last_call_does_not_wait_for_a_backoff(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is back, and the dispatcher was to ask it again later than the node will live."""
    monkeypatch.setattr("duly.scheduler.node.loop.backoff", lambda _: HOUR)
    store = ScriptedStore()
    async with a_scheduler(store, work.registry) as scheduler:
        events = heard(scheduler)
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        store.script.answers.append(unreachable)
        scheduler.running_node.dispatcher.loop.wake.ring()
        await wait_until_async(lambda: any(isinstance(event, LoopFailed) for event in events))
        await scheduler.drain(timedelta(0))
        assert [run.status for run in (await scheduler.runs(RunQuery())).items] == [RunStatus.CANCELLED]


async def test_a_coroutine_that_ignores_its_cancelling_is_on_record_as_cut_short(work: Work) -> None:
    """As a thread is that cannot be killed.

    Left to its lease, its run would count as lost, and as a crash.
    """
    began = asyncio.Event()

    @work.registry.job("stubborn")
    async def stubborn() -> None:
        began.set()
        while not work.gate.is_set():
            with suppress(asyncio.CancelledError):
                await work.gate.wait()

    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.schedule_job("t", "stubborn")
        await began.wait()
        async with takes_less_than(7 * QUICK):
            await scheduler.drain(timedelta(0))
        task, history = await scheduler.get_scheduled_job("t"), (await scheduler.runs(RunQuery())).items
    assert [run.status for run in history] == [RunStatus.CANCELLED]
    assert "may still be at work" in (history[0].error or "")
    assert (task.attempt, task.crashes, task.lease_id) == (0, 0, None)
    work.gate.set()
    await wait_until_async(lambda: not tasks_of_the_library())


async def test_an_idle_scheduler_drains_at_once_even_in_the_middle_of_an_exchange() -> None:
    """There is nothing to wait for but the answer."""
    store, answer, jobs = ScriptedStore(), asyncio.Event(), JobRegistry()
    jobs.job("any")(lambda: None)
    scheduler = a_scheduler(store, jobs, grace=20 * SECOND)
    await scheduler.start()
    await wait_until_async(lambda: store.script.exchanges)
    store.script.answers.append(after(answer))
    scheduler.running_node.dispatcher.loop.wake.ring()
    await wait_until_async(lambda: scheduler.running_node.dispatcher._unanswered)
    async with takes_less_than(QUICK):
        draining = asyncio.create_task(scheduler.drain())
        await asyncio.sleep(0)
        answer.set()
        await draining
    await scheduler.close()


async def test_draining_does_not_spin_while_something_is_due(work: Work) -> None:
    """It waits for what runs, and for nothing else."""
    async with a_scheduler(jobs=work.registry) as scheduler:
        await scheduler.schedule_jobs([NewTask("t", "work"), NewTask("soon", "work", delay=0.1 * SECOND)])
        await wait_until_async(lambda: work.began)
        dispatcher = scheduler.running_node.dispatcher
        draining = asyncio.create_task(scheduler.drain(10 * SECOND))
        overdue = datetime.now(UTC) + 0.4 * SECOND
        await wait_until_async(lambda: datetime.now(UTC) > overdue)
        assert dispatcher.limits.turns <= 10
        work.gate.set()
        await draining


async def test_hurrying_ends_the_grace(work: Work) -> None:
    """As a second Ctrl-C does."""
    async with a_scheduler(jobs=work.registry) as scheduler:
        scheduler.stop_now()  # nobody drains: without effect
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: work.began)
        draining = asyncio.create_task(scheduler.drain(HOUR))
        await asyncio.sleep(0)
        async with takes_less_than(2 * QUICK):
            scheduler.stop_now()
            await draining


async def test_an_outage_holds_a_hurried_drain_up_for_seconds_only(work: Work) -> None:
    """What cannot be written is left to its lease."""
    store = ScriptedStore()
    scheduler = a_scheduler(store, work.registry)
    await scheduler.start()
    await scheduler.schedule_job("t", "work")
    await wait_until_async(lambda: work.began)
    store.script.answers.extend([unreachable] * 1000)
    work.gate.set()
    async with takes_less_than(5 * QUICK):
        draining = asyncio.create_task(scheduler.drain(20 * SECOND))
        await asyncio.sleep(0)
        scheduler.stop_now()
        await draining
    await scheduler.close()
    await nothing_is_left_of(scheduler)


async def test_closing_during_a_drain_cuts_it_short_and_waits_for_it(work: Work) -> None:
    """The store is closed when the last outcome is written, not before."""
    store = MemoryStore()
    scheduler = a_scheduler(store, work.registry)
    await scheduler.start()
    await scheduler.schedule_job("t", "work")
    await wait_until_async(lambda: work.began)
    draining = asyncio.create_task(scheduler.drain(HOUR))
    await asyncio.sleep(0)
    async with takes_less_than(2 * QUICK):
        await scheduler.close()
    assert draining.done()
    await nothing_is_left_of(scheduler)
    async with store:
        assert [run.status for run in (await store.runs(RunQuery())).items] == [RunStatus.CANCELLED]


async def test_a_drain_that_is_cancelled_can_be_closed_all_the_same(work: Work) -> None:
    """Somebody bounded it by a timeout of their own: nothing of it stays behind."""
    scheduler = a_scheduler(jobs=work.registry)
    await scheduler.start()
    await scheduler.schedule_job("t", "work")
    await wait_until_async(lambda: work.began)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await scheduler.drain(HOUR)
    await scheduler.close()
    await nothing_is_left_of(scheduler)
