"""How many runs of a kind all nodes have together, when the kind has a limit over all of them."""

import asyncio
import random
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, TaskState
from duly.scheduler import BlockingScheduler, LeaseLost, LoopFailed, NewTask
from duly.stores import MemoryStore, StoreUnavailable
from support.driven import Driven
from support.schedulers import LEASE as SHORT
from support.schedulers import SECOND, a_scheduler, busy, obey, silent, unreachable
from support.sharers import KIND, Sharers, sharing
from support.waiting import wait_until_async

LEASE = timedelta(seconds=30)
BEAT = LEASE / 3
PAUSE = timedelta(seconds=5)


def limits_of(node: Driven) -> tuple[str | None, int]:
    """Return what a node says of its limit, and how many slots it believes to hold."""
    limits = node.scheduler.running_node.limits
    return limits.is_full(KIND), limits.slots.held(KIND)


# -- the limit


async def test_all_nodes_together_run_no_more_than_the_limit() -> None:
    """However much room each has."""
    async with sharing(3, limit=2) as sharers:
        await sharers.schedule(9)
        for number in (0, 1, 2, 0, 1, 2):
            await sharers.exchange(number)
        assert (sharers.live(0), await sharers.leased()) == (2, 2)
        assert limits_of(sharers.nodes[0])[0] == limits_of(sharers.nodes[1])[0] == "2 of 2 slots of its kind are taken over all nodes"


async def test_a_successor_is_locked_in_the_exchange_that_writes_the_run() -> None:
    """Its slot is handed on."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        await sharers.end(0)
        await sharers.exchange(0)
        call = sharers.nodes[0].store.script.exchanges[-1]
        assert (len(call.outcomes), sharers.ran, sharers.live(0)) == (1, [(0, "t000"), (0, "t001")], 1)


async def test_a_slot_is_not_asked_for_when_nothing_is_due() -> None:
    """It would cost a round trip, and a bill."""
    async with sharing(1, limit=2) as sharers:
        await sharers.nodes[0].scheduler.schedule_job("later", KIND, delay=SECOND)
        await sharers.exchange(0)
        assert sharers.nodes[0].store.script.wishes == []
        assert await sharers.nodes[0].dispatcher._turn() == SECOND


async def test_slots_that_a_lock_did_not_use_are_given_back_at_once() -> None:
    """Another node has them at its next exchange."""
    async with sharing(2, limit=3) as sharers:
        await sharers.schedule(1)
        await sharers.exchange(0)
        assert limits_of(sharers.nodes[0]) == (None, 1)
        await sharers.schedule(2, "u")
        await sharers.exchange(1)
        assert (sharers.live(0), sharers.live(1)) == (1, 2)


async def test_the_slot_of_a_run_without_a_successor_is_given_back_when_it_is_written() -> None:
    """A node holds none for what may come."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(1)
        await sharers.exchange(0)
        await sharers.end(0)
        await sharers.exchange(0)
        await sharers.schedule(1, "u")
        await sharers.exchange(1)
        assert sharers.ran == [(0, "t000"), (1, "u000")]


async def test_an_outcome_that_is_still_to_be_written_keeps_its_slot() -> None:
    """Its lease is held until then."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        await sharers.end(0)
        sharers.nodes[0].store.script.answers.append(busy)
        await sharers.exchange(1)
        assert (sharers.live(1), await sharers.leased()) == (0, 1)


async def test_what_a_lock_without_an_answer_may_have_locked_keeps_its_slot_until_the_lease_ends() -> None:
    """The node has given the call up before, because it would not trust what it locked any more."""
    async with sharing(1, limit=1) as sharers:
        (node,) = sharers.nodes
        await sharers.schedule(2)
        node.store.script.answers.append(silent)
        with suppress(StoreUnavailable):
            await sharers.exchange(0)
        node.clock.advance(LEASE - node.scheduler.config.margin)
        await sharers.exchange(0)
        assert (sharers.live(0), await sharers.leased()) == (0, 1)
        node.clock.advance(node.scheduler.config.margin)
        await sharers.exchange(0)
        assert (sharers.live(0), await sharers.leased()) == (1, 1)


async def test_a_closed_node_leaves_its_slots_to_the_others() -> None:
    """Without the wait for the end of a lease."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        await sharers.nodes[0].scheduler.drain(timedelta(0))
        await sharers.exchange(1)
        assert [number for number, _ in sharers.ran] == [0, 1]


# -- waiting


async def test_a_node_without_a_slot_asks_again_after_a_pause() -> None:
    """It does not spin meanwhile, and its other kinds are not held up."""
    async with sharing(2, limit=1) as sharers:
        waiting = sharers.nodes[1]
        await sharers.schedule(2)
        await sharers.exchange(0)
        before = len(waiting.store.script.wishes)
        await sharers.exchange(1)
        await waiting.scheduler.schedule_job("f", "free")
        await sharers.exchange(1)
        await sharers.exchange(1)
        pause = await waiting.dispatcher._turn()
        assert len(waiting.store.script.wishes) - before == 1
        assert PAUSE / 2 <= pause <= PAUSE
        assert (1, "f") in sharers.ran
        waiting.clock.advance(PAUSE)
        await sharers.exchange(1)
        assert len(waiting.store.script.wishes) - before == 2


async def test_a_node_that_has_some_slots_waits_for_more_as_well() -> None:
    """It asks again after a pause, not in between."""
    async with sharing(2, limit=2) as sharers:
        for number in (0, 1):
            await sharers.schedule(1, f"n{number}-")
            await sharers.exchange(number)
        await sharers.schedule(5)
        await sharers.exchange(1)
        asked = len(sharers.nodes[1].store.script.wishes)
        await sharers.exchange(1)
        assert (sharers.live(0), sharers.live(1)) == (1, 1)
        assert len(sharers.nodes[1].store.script.wishes) == asked


async def test_a_node_that_waited_and_has_its_slot_does_not_ask_any_more() -> None:
    """An instant that has passed is nothing to wait for."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        await sharers.exchange(1)
        await sharers.nodes[0].scheduler.drain(timedelta(0))
        sharers.nodes[1].clock.advance(PAUSE)
        await sharers.exchange(1)
        assert sharers.live(1) == 1
        assert sharers.nodes[1].scheduler.running_node.limits.next_ask is None


async def test_a_kind_whose_slots_cannot_be_asked_for_holds_up_no_other() -> None:
    """It is told, and tried again after a pause."""
    async with sharing(1, limit=1) as sharers:
        (node,) = sharers.nodes

        async def unavailable() -> None:
            raise StoreUnavailable("contended")

        node.store.script.slots.append(unavailable)
        await sharers.schedule(1)
        await node.scheduler.schedule_job("f", "free")
        await sharers.exchange(0)
        assert [slug for _, slug in sharers.ran] == ["f"]
        assert [event.loop for event in node.events if isinstance(event, LoopFailed)] == ["slots"]
        node.store.script.slots.clear()
        node.clock.advance(PAUSE)
        await sharers.exchange(0)
        assert [slug for _, slug in sharers.ran] == ["f", "t000"]


# -- leases of slots


async def test_a_slot_is_kept_for_as_long_as_its_run_works() -> None:
    """It is renewed at every heartbeat."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        for _ in range(9):
            sharers.nodes[0].clock.advance(BEAT)
            await sharers.beat(0)
            await sharers.exchange(1)
        assert (sharers.live(0), sharers.live(1)) == (1, 0)


async def test_the_slots_of_a_node_that_died_are_free_within_a_lease() -> None:
    """Nobody renews them."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(2)
        await sharers.exchange(0)
        await sharers.nodes[0].scheduler.running_node.kill()
        sharers.nodes[0].clock.advance(LEASE - SECOND)
        await sharers.exchange(1)
        assert sharers.live(1) == 0
        sharers.nodes[0].clock.advance(PAUSE)
        await sharers.exchange(1)
        assert sharers.live(1) == 1


async def test_a_run_whose_slot_cannot_be_renewed_is_cut_short_with_its_lease() -> None:
    """Its lease is not extended either: whoever gets the slot next finds no run with a lease under it."""
    async with sharing(2, limit=1) as sharers:
        first = sharers.nodes[0]
        failing = True

        async def unavailable() -> None:
            if failing:
                raise StoreUnavailable("contended")

        await sharers.schedule(2)
        await sharers.exchange(0)
        first.store.script.slots.append(unavailable)
        for _ in range(3):
            first.clock.advance(BEAT)
            await sharers.beat(0)
        failing = False
        assert len(first.of(LeaseLost)) == 1
        assert await sharers.leased() == 0
        await sharers.exchange(1)
        assert sharers.live(1) == 1


async def test_the_end_of_a_slot_is_never_moved_back() -> None:
    """A lock that was planned before a heartbeat, and asked for after it, keeps what that one gave."""
    async with sharing(1, limit=2) as sharers:
        (node,) = sharers.nodes
        slots = node.scheduler.running_node.limits.slots
        await sharers.schedule(1)
        await sharers.exchange(0)
        planned = node.clock.now()
        node.clock.advance(BEAT)
        await sharers.beat(0)
        await slots.get(planned, [KIND])
        node.clock.advance(LEASE - SECOND)
        assert await node.store.slots(node.clock.now(), "other", KIND, 2, 2, LEASE) == 1


async def test_a_job_that_blocks_its_event_loop_keeps_its_slot() -> None:
    """Slots are renewed beside the loop, as leases are."""
    began, gate, ran = threading.Event(), threading.Event(), list[str]()
    store, blocking, other = MemoryStore(), JobRegistry(), JobRegistry()

    @blocking.job(KIND, global_limit=1)
    async def block() -> None:
        began.set()
        assert gate.wait(30)

    @other.job(KIND, global_limit=1)
    async def note(ctx: JobContext) -> None:
        ran.append(ctx.slug)

    with BlockingScheduler(store.sibling(), jobs=blocking, lease=SHORT, poll=SECOND / 10) as first:
        first.schedule_job("a", KIND)
        assert await asyncio.to_thread(began.wait, 10)
        async with a_scheduler(store, other, poll=SECOND / 10) as second:
            await second.schedule_job("b", KIND)
            overdue = datetime.now(UTC) + 3 * SHORT
            await wait_until_async(lambda: datetime.now(UTC) > overdue)
            assert ran == []
            gate.set()
            await wait_until_async(lambda: ran == ["b"])


# -- fairness


async def test_a_node_with_an_endless_backlog_lets_others_have_slots() -> None:
    """Each node runs its part within a few leases, and no second passes without a run."""
    async with sharing(3, limit=1) as sharers:
        await live(sharers, seconds=300)
        shares = [sum(number == each for number, _ in sharers.ran) for each in range(3)]
        assert min(shares) >= 10
        assert sum(shares) >= 300 * 0.8


async def test_a_node_that_had_a_slot_for_a_lease_leaves_the_next_one_to_others() -> None:
    """And says so."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(3)
        await sharers.exchange(0)
        for _ in range(3):
            sharers.nodes[0].clock.advance(BEAT)
            for node in sharers.nodes:
                await node.scheduler.running_node.heartbeat.run_once()
        await sharers.end(0)
        await sharers.exchange(0)
        assert limits_of(sharers.nodes[0]) == ("this node leaves the slots of its kind to other nodes for a moment", 0)
        await sharers.exchange(1)
        assert (sharers.live(0), sharers.live(1)) == (0, 1)


async def test_a_node_alone_never_rests() -> None:
    """There is nobody to leave a slot to."""
    async with sharing(1, limit=1) as sharers:
        await live(sharers, seconds=200)
        assert len(sharers.ran) == 200


async def live(sharers: Sharers, *, seconds: int) -> None:
    """Let every node live as its loops would, with runs that take a second and a backlog that never ends."""
    await sharers.schedule(1000)
    for second in range(seconds):
        for number in range(len(sharers.nodes)):
            await sharers.end(number)
            await sharers.exchange(number)
            if second % 10 == 0:
                await sharers.nodes[number].scheduler.running_node.heartbeat.run_once()
        assert await sharers.leased() <= 1
        sharers.nodes[0].clock.advance(SECOND)


# -- the law


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_no_more_leases_are_valid_at_once_than_the_limit(seed: int) -> None:
    """Runs end or hang, heartbeats come or not, answers are lost, nodes die.

    Sometimes slots cannot be asked for.
    """
    chance = random.Random(seed)  # noqa: S311 - a test's
    reached = set[int]()
    async with sharing(4, limit=3, concurrency=4) as sharers:
        store, clock = sharers.nodes[0].store, sharers.nodes[0].clock
        alive = list(range(4))

        async def moody() -> None:
            if chance.random() < 0.2:
                raise StoreUnavailable("contended")

        store.script.slots.append(moody)
        await sharers.schedule(200)
        for _ in range(250):
            number = chance.choice(alive)
            deed = chance.choices(["exchange", "end", "beat", "wait", "die"], [8, 4, 4, 6, 0.05])[0]
            if deed == "exchange":
                store.script.answers.append(chance.choices([obey, silent, unreachable], [20, 1, 1])[0])
                with suppress(StoreUnavailable):
                    await sharers.exchange(number)
            elif deed == "end":
                await end_one(sharers, number, chance)
            elif deed == "beat":
                await sharers.nodes[number].scheduler.running_node.heartbeat.run_once()
                await asyncio.sleep(0)
            elif deed == "wait":
                clock.advance(SECOND * chance.choice([0.1, 1, 4]))
            elif len(alive) > 1:
                alive.remove(number)
                await sharers.nodes[number].scheduler.running_node.kill()
            store.script.answers.clear()
            reached.add(await sharers.leased())
    assert max(reached) == 3


async def end_one(sharers: Sharers, number: int, chance: random.Random) -> None:
    """Let one of a node's runs end, if it has any at work."""
    runs = [run.task.slug for run in sharers.nodes[number].scheduler.running_node.runs if not run.has_ended]
    if runs:
        await sharers.end(number, chance.choice(runs))


async def test_tasks_that_wait_for_a_slot_stay_untouched() -> None:
    """No attempt is counted, and nothing is written to them."""
    async with sharing(2, limit=1) as sharers:
        await sharers.schedule(1)
        await sharers.exchange(0)
        await sharers.nodes[0].scheduler.schedule_jobs([NewTask("waits", KIND)])
        before = await sharers.nodes[1].scheduler.get_scheduled_job("waits")
        await sharers.exchange(1)
        assert await sharers.nodes[1].scheduler.get_scheduled_job("waits") == before
        assert before.state is not TaskState.RUNNING
