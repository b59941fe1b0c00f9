"""How many runs of a kind a node has at once, when the kind has a limit of its own."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, RetryPolicy
from duly.scheduler import BlockingScheduler, NewTask, StdScheduler
from duly.scheduler.testing import run_due
from duly.stores import MemoryStore, RunStatus
from support.driven import NOON, Driven, Noting, driven
from support.schedulers import SECOND, ScriptedStore, a_scheduler
from support.waiting import wait_until_async


class Capped(Noting):
    """Notes what runs, of a kind that has a limit; each run ends when its gate is opened."""

    def __init__(self, limit: int = 2) -> None:
        """Register the kind `capped`."""
        super().__init__()
        self.gates: dict[str, asyncio.Event] = {}
        self.job("capped", max_concurrency=limit)(self._wait)

    async def _wait(self, ctx: JobContext) -> None:
        self.noted.append(ctx.slug)
        self.gates[ctx.slug] = asyncio.Event()
        await self.gates[ctx.slug].wait()


async def schedule(node: Driven, count: int, kind: str = "capped") -> None:
    """Schedule so many tasks of a kind."""
    await node.scheduler.schedule_jobs([NewTask(f"{kind} {number}", kind) for number in range(count)])


async def exchange(node: Driven, noted: int) -> None:
    """Exchange once, and wait until so many runs in all have begun."""
    await node.dispatcher.run_once()
    await wait_until_async(lambda: len(node.scheduler.jobs.noted) == noted)  # type: ignore[attr-defined]  # a Noting


async def test_no_more_runs_of_a_kind_than_its_limit() -> None:
    """However much room the node has."""
    jobs = Capped(limit=2)
    async with driven(jobs) as node:
        await schedule(node, 5)
        await exchange(node, 2)
        await exchange(node, 2)
        assert len(node.scheduler.running_node.runs) == 2
        open_gates(jobs)


@pytest.mark.parametrize(("here", "over_all"), [(1, 3), (3, 1)])
async def test_a_kind_with_both_limits_keeps_to_the_lower(here: int, over_all: int) -> None:
    """Its own on this node, and the one over all nodes."""
    jobs = Noting()
    gate = asyncio.Event()

    @jobs.job("both", max_concurrency=here, global_limit=over_all)
    async def both(ctx: JobContext) -> None:
        jobs.noted.append(ctx.slug)
        await gate.wait()

    async with driven(jobs) as node:
        await schedule(node, 5, "both")
        await exchange(node, 1)
        await exchange(node, 1)
        assert len(node.scheduler.running_node.runs) == 1
        gate.set()


async def test_no_slot_is_asked_for_a_kind_of_which_nothing_is_due_beside_one_that_is() -> None:
    """Whether it has a task for later or none at all."""
    jobs = Noting()
    for kind in ("due", "later", "none"):
        jobs.job(kind, global_limit=1)(jobs.note)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("a", "due")
        await node.scheduler.schedule_job("b", "later", delay=SECOND)
        await node.turn()
        assert jobs.noted == ["a"]
        assert {kind for kind, _ in node.store.script.wishes} == {"due"}


async def test_a_kind_at_its_limit_costs_no_exchange_until_a_run_ends() -> None:
    """What is due of it is not asked for, so that nothing spins."""
    jobs = Capped(limit=1)
    async with driven(jobs) as node:
        await schedule(node, 3)
        await exchange(node, 1)
        pause = await node.dispatcher._turn()
        asked = len(node.store.script.exchanges)
        assert set(requested(node)) == {"note"}
        assert pause >= 0.75 * node.scheduler.config.poll
        assert asked == 2
        open_gates(jobs)


async def test_a_kind_at_its_limit_is_asked_for_again_in_the_exchange_that_writes_its_run() -> None:
    """The successor is locked in the same round trip."""
    jobs = Capped(limit=1)
    async with driven(jobs) as node:
        await schedule(node, 2)
        await exchange(node, 1)
        open_gates(jobs)
        await wait_until_async(lambda: node.dispatcher.unwritten)
        await exchange(node, 2)
        call = node.store.script.exchanges[-1]
        assert (len(call.outcomes), len(node.scheduler.running_node.runs)) == (1, 1)
        open_gates(jobs)


async def test_a_kind_at_its_limit_leaves_its_share_to_the_others() -> None:
    """The node is not idle for it."""
    jobs = Capped(limit=1)
    async with driven(jobs, concurrency=6) as node:
        await schedule(node, 6)
        await schedule(node, 9, "note")
        await exchange(node, 6)
        assert len(jobs.gates) == 1
        open_gates(jobs)


async def test_a_waiting_retry_holds_no_slot() -> None:
    """It is not locked: others of its kind run meanwhile."""
    jobs, ran = JobRegistry(), list[str]()

    @jobs.job("capped", max_concurrency=1, retry=RetryPolicy(limit=3, min_backoff=timedelta(hours=1), max_backoff=timedelta(hours=1)))
    async def capped(ctx: JobContext) -> None:
        ran.append(ctx.slug)
        if ctx.slug == "fails":
            raise ValueError

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("fails", "capped")
        await node.turn(2)
        await node.scheduler.schedule_job("other", "capped")
        await node.turn(2)
        assert (ran, set(await node.statuses())) == (["fails", "other"], {RunStatus.RETRIED, RunStatus.DONE})


async def test_a_thread_that_was_given_up_holds_its_slot_until_it_ends() -> None:
    """It cannot be killed, and still works."""
    jobs, gate, began = JobRegistry(), threading.Event(), list[str]()

    @jobs.job("capped", max_concurrency=1, time_limit=SECOND, retry=RetryPolicy(limit=0))
    def capped(ctx: JobContext) -> None:
        began.append(ctx.slug)
        assert gate.wait(30)

    async with driven(jobs) as node:
        await schedule(node, 2)
        await node.dispatcher.run_once()
        await wait_until_async(lambda: len(began) == 1)
        node.clock.advance(SECOND)
        await wait_until_async(lambda: node.dispatcher.unwritten)
        await node.turn(2)
        assert (len(began), len(node.scheduler.running_node.runs)) == (1, 0)
        gate.set()
        await wait_until_async(lambda: not node.scheduler.running_node.limits.taken("capped"))
        await node.turn(2)
        assert len(began) == 2


async def test_it_says_at_which_limit_a_kind_is() -> None:
    """In the part of a sentence that tells why a task does not run."""
    jobs = Capped(limit=1)
    async with driven(jobs) as node:
        limits = node.scheduler.running_node.limits
        await schedule(node, 2)
        assert limits.is_full("capped") is None
        await exchange(node, 1)
        assert limits.is_full("capped") == "1 of 1 slots of its kind are taken on this node"
        assert (limits.is_full("note"), limits.is_full("unknown")) == (None, None)
        open_gates(jobs)


async def test_other_kinds_fire_in_time_while_a_kind_is_at_its_limit() -> None:
    """Also when a clock is moved by hand, from one fire to the next."""
    jobs = Noting()

    @jobs.job("capped", max_concurrency=1)
    async def capped(ctx: JobContext) -> None:
        await ctx.sleep(timedelta(minutes=10))

    async with driven(jobs) as node:
        await schedule(node, 3)
        await node.scheduler.schedule_job("t", "note", delay=timedelta(minutes=1))
        await run_due(node.scheduler, until=NOON + timedelta(minutes=5))
        assert jobs.noted == ["t"]
        await run_due(node.scheduler, until=NOON + timedelta(minutes=31))
        assert await node.statuses() == [RunStatus.DONE] * 4


async def test_a_running_scheduler_keeps_the_limit_and_does_not_spin() -> None:
    """On real time.

    A backlog runs one after the other, at about one exchange a run and one look at the other kinds.
    """
    jobs, at_once, seen = Noting(), set[str](), list[int]()

    @jobs.job("capped", max_concurrency=2)
    async def capped(ctx: JobContext) -> None:
        at_once.add(ctx.slug)
        seen.append(len(at_once))
        await asyncio.sleep(0.005)  # the work: long enough for runs that may overlap to do so
        at_once.remove(ctx.slug)

    store = ScriptedStore()
    async with a_scheduler(store, jobs) as scheduler:
        await scheduler.schedule_jobs([NewTask(str(number), "capped") for number in range(20)])
        await wait_until_async(lambda: len(seen) == 20 and not scheduler.running_node.runs)
    assert max(seen) == 2
    assert len(store.script.exchanges) <= 3 * 20


async def test_a_full_kind_lets_a_running_scheduler_sleep() -> None:
    """Nothing is asked for while its one run goes on, and what is due of it waits."""
    jobs, store = Capped(limit=1), ScriptedStore()
    async with a_scheduler(store, jobs) as scheduler:
        await scheduler.schedule_jobs([NewTask(str(number), "capped") for number in range(2)])
        await wait_until_async(lambda: jobs.noted)
        overdue = datetime.now(UTC) + 0.3 * SECOND
        await wait_until_async(lambda: datetime.now(UTC) > overdue)
        assert len(store.script.exchanges) <= 5
        open_gates(jobs)
        await wait_until_async(lambda: len(jobs.noted) == 2)
        open_gates(jobs)


@pytest.mark.parametrize("scheduler", [StdScheduler(MemoryStore()), BlockingScheduler(MemoryStore())])
def test_every_face_registers_limits(scheduler: StdScheduler | BlockingScheduler) -> None:
    """They are handed on to the registry."""
    scheduler.job("function", max_concurrency=1)(open_gates)
    scheduler.scheduled("tick", trigger="@every 5s", global_limit=2)(open_gates)

    assert scheduler.jobs.get("function").max_concurrency == 1
    assert scheduler.jobs.get("tick").global_limit == 2


def open_gates(jobs: Capped) -> None:
    """Let every run end that waits."""
    for gate in jobs.gates.values():
        gate.set()


def requested(node: Driven) -> dict[str, int]:
    """Return the rooms of the last exchange."""
    request = node.store.script.exchanges[-1].request
    return dict(request.rooms) if request else {}
