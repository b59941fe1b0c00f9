"""Leases are kept as long as they should be, and no longer.

Beside a blocked event loop, and whatever the store does.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import JobContext, JobRegistry, Request, RetryPolicy, Task, TaskOptions
from duly.scheduler import BlockingScheduler, Event, LeaseLost, LoopFailed, NodeStarted, NodeStopped, RunStarted
from duly.scheduler.node.heartbeat import STANDSTILL, Heartbeat
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.testing import ManualClock
from duly.stores import Extended, Held, LockRequest, MemoryStore, Node, RunQuery, RunStatus, StoreUnavailable
from duly.stores.base import JobStore
from support.contexts import task_with
from support.live_runs import a_run
from support.schedulers import HOUR, LEASE, SECOND, ScriptedStore, a_scheduler, edit, heard, some_services, threads_of
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LIMIT = timedelta(minutes=10)


# -- on real time


async def test_a_job_that_blocks_the_event_loop_for_three_leases_runs_once() -> None:
    """Another scheduler, in a thread with a loop of its own.

    It takes whatever it can get, and never gets this.
    """
    lease, store, ran = 0.8 * SECOND, MemoryStore(), list[str]()

    def a_registry(node: str) -> JobRegistry:
        jobs = JobRegistry()

        @jobs.job("block")
        async def block() -> None:
            ran.append(node)
            time.sleep(3 * lease.total_seconds())  # noqa: ASYNC251 - the point

        return jobs

    scheduler = a_scheduler(store, a_registry("first"), lease=lease)
    events = heard(scheduler)
    eager = BlockingScheduler(store.sibling(), jobs=a_registry("second"), lease=lease, poll=0.05 * SECOND)
    async with scheduler:
        await scheduler.schedule_job("b", "block")
        await wait_until_async(lambda: any(isinstance(event, RunStarted) for event in events))
        await asyncio.to_thread(eager.start)  # the loop is free for a moment, and blocked while the other one starts
        try:
            await wait_until_async(lambda: not scheduler.running_node.runs)
            (run,) = (await scheduler.runs(RunQuery())).items
        finally:
            await asyncio.to_thread(eager.close)
    assert ran == ["first"]
    assert (run.status, run.attempt) == (RunStatus.DONE, 1)
    assert run.finished_at - run.started_at >= 3 * lease
    assert not [event for event in events if isinstance(event, LeaseLost)]


class Watched:
    """A registry whose job tells what happens to it; `in_thread` says where it works."""

    def __init__(self, *, in_thread: bool = False) -> None:
        self.registry = JobRegistry()
        self.contexts: list[JobContext] = []
        self.ends: list[str] = []
        self.registry.job("work", retry=RetryPolicy(limit=0))(self._block if in_thread else self._wait)

    async def _wait(self, ctx: JobContext) -> None:
        self.contexts.append(ctx)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ends.append(f"cancelled: {ctx.stop_reason}")
            raise

    def _block(self, ctx: JobContext) -> None:
        self.contexts.append(ctx)
        ctx.stop.wait(10 * SECOND)
        self.ends.append(f"told: {ctx.stop_reason}")


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_lost_lease_ends_the_run(*, in_thread: bool) -> None:
    """A coroutine is cancelled, a thread is told; it is published, and nothing is written."""
    watched, store = Watched(in_thread=in_thread), MemoryStore()
    scheduler = a_scheduler(store, watched.registry)
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: watched.contexts)
        (ctx,) = watched.contexts
        assert ctx.lease_valid()
        await take_over(store, "t")
        await wait_until_async(lambda: watched.ends and not scheduler.running_node.runs)
        assert not ctx.lease_valid()
        task = await scheduler.get_scheduled_job("t")
        history = (await scheduler.runs(RunQuery())).items
    (lost,) = [event for event in events if isinstance(event, LeaseLost)]
    assert (lost.error.slug, lost.error.lease_id) == ("t", ctx.run_id)
    assert watched.ends[0].startswith("told: its lease was lost" if in_thread else "cancelled: its lease was lost")
    assert task.node == "thief"
    assert [run.status for run in history] == [RunStatus.LOST]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_request_to_stop_ends_the_run(*, in_thread: bool) -> None:
    """Seen at a heartbeat; the run counts as cancelled, a thread's as it ends."""
    watched, store = Watched(in_thread=in_thread), MemoryStore()
    async with a_scheduler(store, watched.registry) as scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: watched.contexts)
        await edit(store, "t", datetime.now(UTC), request=Request.STOP)
        await wait_until_async(lambda: watched.ends and not scheduler.running_node.runs)
        (run,) = (await scheduler.runs(RunQuery())).items
    assert "somebody asked for it to be stopped" in watched.ends[0]
    assert run.status is (RunStatus.DONE if in_thread else RunStatus.CANCELLED)


async def unreachable(_: Sequence[Held]) -> None:
    """Do not answer."""
    raise StoreUnavailable("gone")


@pytest.mark.parametrize("hangs", [False, True])
async def test_trust_ends_before_the_lease_without_any_answer_of_the_store(*, hangs: bool) -> None:
    """The job is cut short before another node could take its task.

    Also while a call of the heartbeat hangs.
    """
    watched, store, lease, is_back = Watched(), ScriptedStore(), 1.5 * SECOND, threading.Event()

    async def hang(_: Sequence[Held]) -> None:
        await wait_until_async(is_back.is_set)

    store.script.extend.append(hang if hangs else unreachable)
    scheduler = a_scheduler(store, watched.registry, lease=lease, grace=timedelta(0))
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        locked = datetime.now(UTC)
        await wait_until_async(lambda: watched.ends)
        ended = datetime.now(UTC)
        assert not watched.contexts[0].lease_valid()
        store.script.extend.clear()
        is_back.set()
    (lost,) = [event for event in events if isinstance(event, LeaseLost)]
    assert "could not be extended in time" in lost.reason
    assert lost.error.lease_id == watched.contexts[0].run_id
    assert ended < locked + lease


async def test_a_run_that_was_cut_short_in_an_outage_is_written_if_nobody_took_it() -> None:
    """Its attempt is refunded, and it runs again."""
    watched, store = Watched(), ScriptedStore()
    store.script.extend.append(unreachable)
    scheduler = a_scheduler(store, watched.registry, grace=timedelta(0))
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: watched.ends)
        store.script.extend.clear()
        await wait_until_async(lambda: len(watched.contexts) >= 2)
        assert watched.contexts[1].attempt == 1
        assert (await scheduler.runs(RunQuery())).items[-1].status is RunStatus.CANCELLED
    assert any(isinstance(event, LoopFailed) and event.loop == "heartbeat" for event in events)


async def test_a_store_that_cannot_be_opened_for_the_heartbeat_does_not_end_it() -> None:
    """It is tried again; leases are kept once it answers."""

    class Late(ScriptedStore):
        opened = 0

        async def open(self) -> None:
            Late.opened += 1
            if Late.opened in (2, 3):
                raise StoreUnavailable("no connection yet")
            await super().open()

    watched = Watched()
    scheduler = a_scheduler(Late(), watched.registry, grace=timedelta(0))
    events = heard(scheduler)
    async with scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: watched.contexts)
        began = time.monotonic()
        await wait_until_async(lambda: time.monotonic() - began > 2 * LEASE.total_seconds())
        assert watched.contexts[0].lease_valid()
    failures = [event.loop for event in events if isinstance(event, LoopFailed)]
    assert failures == ["heartbeat", "heartbeat"]


async def test_the_node_is_announced_while_it_lives_and_takes_leave() -> None:
    """With its kinds, its host and process; afterwards the others know that it is gone."""
    store = MemoryStore()
    scheduler = a_scheduler(store, Watched().registry)
    async with store.sibling() as other:
        async with scheduler:
            await wait_until_async(scheduler.nodes)
            (node,) = await scheduler.nodes()
            assert (node.name, node.kinds) == (scheduler.node, ("work",))
            assert set(node.info) == {"host", "pid", "version"}
            await wait_until_async(lambda: _is_seen_again(other, node))
        assert await other.nodes() == []
    assert threads_of(scheduler.node) == []


async def _is_seen_again(store: JobStore, node: Node) -> bool:
    (again,) = await store.nodes()
    return again.seen_at > node.seen_at and again.started_at == node.started_at


async def test_a_node_that_was_never_announced_takes_no_leave() -> None:
    """A short life is no error."""
    scheduler = a_scheduler(MemoryStore())
    events = heard(scheduler)
    for _ in range(20):
        await scheduler.start()
        await scheduler.close()
    assert [type(event) for event in events] == [NodeStarted, NodeStopped] * 20


async def take_over(store: JobStore, slug: str) -> Task:
    """Lock a task as a node does whose clock is far ahead."""
    async with store.sibling() as other:
        request = LockRequest(node="thief", rooms={"work": 10}, lease=HOUR, token="thief")  # noqa: S106 - no password
        (task,) = await other.lock(datetime.now(UTC) + HOUR, request)
    assert task.slug == slug
    return task


# -- by hand


class Beating:
    """A heartbeat on a manual clock, and runs whose tasks are locked in its store."""

    def __init__(self) -> None:
        self.clock, self.store = ManualClock(NOON), ScriptedStore()
        self.services = some_services(self.clock, self.store, lease=30 * SECOND, grace=20 * SECOND)
        self.runs = LiveRuns(self.clock)
        self.events: list[Event] = []
        self.services.events.listen(self.events.append)
        self.heartbeat = Heartbeat(self.services, self.runs, Node(name="n", started_at=NOON, seen_at=NOON, until=NOON))

    async def lock(self, slug: str, *, limit: timedelta | None = None, started: bool = True) -> LiveRun:
        """Return a run of a task that is locked now, and begun."""
        now = self.clock.now()
        await self.store.create(now, [evolve(task_with(slug=slug), run_at=now, anchor=now, options=TaskOptions(time_limit=limit))])
        (task,) = await self.store.lock(now, LockRequest(node="n", rooms={"kind": 1}, lease=30 * SECOND, token=slug))
        run = a_run(task, self.clock, trusted_for=27.0)
        if started:
            run.begin()
        self.runs.add(run)
        return run

    async def beat_for(self, span: timedelta) -> None:
        """Beat every ten seconds; the event loop turns in between."""
        until = self.clock.now() + span
        while self.clock.now() < until:
            self.clock.advance(10 * SECOND)
            await self.heartbeat.run_once()
            await asyncio.sleep(0)

    @property
    def last(self) -> list[str]:
        """The slugs that the latest heartbeat extended."""
        return self.store.script.extended[-1] if self.store.script.extended else []


@pytest.fixture
async def beating() -> AsyncIterator[Beating]:
    """A heartbeat with an open store."""
    beating = Beating()
    async with beating.store:
        yield beating


async def test_a_run_is_kept_as_long_as_it_takes(beating: Beating) -> None:
    """Without a time limit, for ever; trust is counted from before the request was sent."""
    run = await beating.lock("t")
    await beating.beat_for(HOUR)
    assert beating.last == ["t"]
    assert run.lease.trusted_until == beating.clock.monotonic() + 27
    assert (await beating.store.get("t")).due_at == beating.clock.now() + 30 * SECOND


async def test_a_run_is_not_kept_past_its_limit_and_grace(beating: Beating) -> None:
    """It should have ended: another node may try.

    It is cut short when its lease cannot be trusted any more.
    """
    run = await beating.lock("t", limit=LIMIT)
    await beating.beat_for(LIMIT + 20 * SECOND)
    assert (beating.last, run.is_trusted) == (["t"], True)
    extended = len(beating.store.script.extended)
    await beating.beat_for(20 * SECOND)
    assert run.is_trusted
    await beating.beat_for(10 * SECOND)
    assert len(beating.store.script.extended) == extended
    assert (run.lease.is_lost, run.stop.reason) == (True, "its lease was lost: it could not be extended in time")


async def test_a_task_that_is_not_started_within_a_lease_is_not_kept(beating: Beating) -> None:
    """Nobody works on it here; others shall have it."""
    await beating.lock("t", started=False)
    await beating.beat_for(30 * SECOND)
    assert beating.last == ["t"]
    extended = len(beating.store.script.extended)
    await beating.beat_for(30 * SECOND)
    assert len(beating.store.script.extended) == extended


async def test_nothing_is_kept_once_the_event_loop_has_stood_still_for_ten_leases(beating: Beating) -> None:
    """Nothing here will end any more; when the loop turns again, new runs are kept again."""
    run = await beating.lock("t")
    await beating.beat_for(10 * SECOND)
    while beating.clock.monotonic() <= 10 + STANDSTILL * 30:
        beating.clock.advance(10 * SECOND)
        await stand_still(beating.heartbeat)
    extended = len(beating.store.script.extended)
    for _ in range(3):
        beating.clock.advance(10 * SECOND)
        await stand_still(beating.heartbeat)
    assert len(beating.store.script.extended) == extended
    assert run.lease.is_lost
    await asyncio.sleep(0)
    beating.runs.remove(run, is_written=True)
    await beating.store.delete("t")
    await beating.lock("u")
    await beating.beat_for(20 * SECOND)
    assert beating.last == ["u"]


async def stand_still(heartbeat: Heartbeat) -> None:
    """Beat as in another thread, while the scheduler's loop does not turn."""
    home, heartbeat._home = heartbeat._home, Still()  # type: ignore[assignment]  # a loop that stands still
    await heartbeat.run_once()
    heartbeat._home = home


class Still:
    """An event loop that calls nothing."""

    def call_soon_threadsafe(self, *_: object) -> None:
        """Call nothing."""


async def test_a_busy_row_is_tried_again_well_before_the_lease_ends(beating: Beating) -> None:
    """Neither kept nor lost."""
    run = await beating.lock("t")

    async def extend(now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        return Extended(kept=[], lost=[], busy=list(held), store_now=None)

    beating.store.extend = extend  # type: ignore[method-assign]  # somebody else's transaction holds the row
    assert await beating.heartbeat.turn() <= beating.services.config.heartbeat / 3
    assert not run.lease.is_lost
    assert beating.events == []


async def test_a_run_that_has_ended_is_kept_until_it_is_written(beating: Beating) -> None:
    """And it is not called lost when its outcome was written just then: the exchange's answer tells."""
    run = await beating.lock("t")
    run.end()
    await beating.beat_for(HOUR)
    assert beating.last == ["t"]
    await beating.store.delete("t")
    await beating.beat_for(HOUR)
    assert (run.lease.is_lost, beating.events) == (False, [])


async def test_a_node_announces_itself_once_a_lease(beating: Beating) -> None:
    """For two leases, so that one announcement may be late."""
    await beating.heartbeat.run_once()
    for seconds, seen in ((20, 0), (10, 30), (20, 30), (10, 60)):
        await beating.beat_for(seconds * SECOND)
        (node,) = await beating.store.nodes()
        assert node.seen_at == NOON + seen * SECOND
        assert node.until - node.seen_at == 60 * SECOND
    await beating.heartbeat.farewell()
    assert await beating.store.nodes() == []


async def test_a_node_whose_announcement_had_no_answer_takes_leave_too(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may know of it all the same, and would take it for alive for two leases more."""
    announce = beating.store.announce

    async def silent(node: Node) -> None:
        await announce(node)
        raise StoreUnavailable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(beating.store, "announce", silent)
        with pytest.raises(StoreUnavailable):
            await beating.heartbeat.run_once()
    assert [node.name for node in await beating.store.nodes()] == ["n"]
    await beating.heartbeat.farewell()
    assert await beating.store.nodes() == []
