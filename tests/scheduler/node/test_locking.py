"""When a node asks for work, how much it takes, and what it leaves to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, Task
from duly.scheduler import NewTask, RunReturned, RunStarted, StdScheduler
from duly.scheduler.node.dispatcher import SUSPECT_PAUSE, SUSPECT_STEP
from duly.stores import LockRequest
from duly.stores.base import JobStore
from duly.stores.rules.unreadable import UNREADABLE_PAUSE
from duly.triggers import CountsFrom, Trigger
from support.driven import NOON, Driven, Noting, driven
from support.schedulers import HOUR, SECOND, ScriptedStore, a_scheduler, after, always_due
from support.waiting import wait_until_async


@pytest.fixture
def jobs() -> Noting:
    """Jobs that note the slugs they are run for."""
    return Noting()


# -- when to ask


async def test_something_due_that_is_not_to_be_had_is_asked_for_after_a_pause(jobs: Noting) -> None:
    """An empty lock never spins."""
    async with driven(jobs, always_due) as node:
        assert 0.05 * SECOND <= await node.dispatcher._turn() <= 0.1 * SECOND


async def test_it_sleeps_exactly_until_the_next_is_due(jobs: Noting) -> None:
    """Unless that is later than the poll."""
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "note", delay=SECOND)
        assert await node.dispatcher._turn() == SECOND
        await node.scheduler.delete_job("t")
        poll = node.scheduler.config.poll
        assert 0.75 * poll <= await node.dispatcher._turn() <= poll


async def test_more_is_asked_for_at_once_while_there_is_more(jobs: Noting) -> None:
    """A backlog is worked off without a pause."""
    async with driven(jobs, concurrency=3) as node:
        await node.scheduler.schedule_jobs([NewTask(str(number), "note") for number in range(7)])
        await node.turn()
        assert await node.dispatcher._turn() == timedelta(0)


async def test_an_idle_second_costs_no_exchange(jobs: Noting) -> None:
    """Neither does the wait for something that is due in it."""
    store = ScriptedStore()
    async with a_scheduler(store, jobs) as scheduler:
        await scheduler.schedule_job("later", "note", delay=HOUR)
        await scheduler.schedule_job("soon", "note", delay=SECOND)
        await falls_asleep(scheduler)
        before = len(store.script.exchanges)
        await wait_until_async(lambda: jobs.noted)
        assert len(store.script.exchanges) - before <= 5


async def test_what_it_schedules_itself_runs_at_once(jobs: Noting) -> None:
    """The poll is an hour away, and the store never tells."""
    async with a_scheduler(Deaf(), jobs) as scheduler:
        await falls_asleep(scheduler)
        await scheduler.schedule_job("t", "note")
        await wait_until_async(lambda: jobs.noted)


async def test_what_others_schedule_runs_at_once(jobs: Noting) -> None:
    """The store tells; the poll is an hour away."""
    store = ScriptedStore()
    async with a_scheduler(store, jobs) as scheduler, store.sibling() as other:
        await falls_asleep(scheduler)
        await create_soon(other)
        await wait_until_async(lambda: jobs.noted)


async def test_what_nobody_told_is_found_by_the_poll(jobs: Noting) -> None:
    """The hint is lost; the poll is the net."""
    store = Deaf()
    async with a_scheduler(store, jobs, poll=0.2 * SECOND) as scheduler, store.sibling() as other:
        await falls_asleep(scheduler)
        await create_soon(other)
        await wait_until_async(lambda: jobs.noted)


@pytest.mark.parametrize("kinds", [3, 8])
async def test_with_less_room_than_kinds_each_kind_is_asked_for_without_delay(jobs: Noting, kinds: int) -> None:
    """Those that had no room in one exchange are asked for in the next; then it sleeps."""
    for number in range(kinds - 1):
        jobs.job(str(number))(jobs.note)
    store = ScriptedStore()
    async with a_scheduler(store, jobs, concurrency=1) as scheduler:
        for number in range(kinds - 1):
            before = len(store.script.exchanges)
            await scheduler.schedule_job(f"of {number}", str(number))
            await wait_until_async(lambda number=number: f"of {number}" in jobs.noted)  # binds the number
            assert len(store.script.exchanges) - before <= 3 * kinds
        await wait_until_async(lambda: not scheduler.running_node.runs)
        await scheduler.schedule_job("soon", "0", delay=0.5 * SECOND)
        before = len(store.script.exchanges)
        await wait_until_async(lambda: "soon" in jobs.noted)
        assert len(store.script.exchanges) - before <= 5 * kinds


# -- what to take


async def test_no_more_runs_at_once_than_allowed() -> None:
    """And all of them run in the end."""
    jobs, at_once, seen = JobRegistry(), set[str](), list[int]()

    @jobs.job("work")
    async def work(ctx: JobContext) -> None:
        at_once.add(ctx.slug)
        seen.append(len(at_once))
        await asyncio.sleep(0.005)  # the work: long enough for runs that may overlap to do so
        at_once.remove(ctx.slug)

    async with a_scheduler(jobs=jobs, concurrency=3) as scheduler:
        await scheduler.schedule_jobs([NewTask(str(number), "work") for number in range(20)])
        await wait_until_async(lambda: len(seen) == 20)
    assert max(seen) == 3


async def test_a_kind_that_is_not_registered_is_never_asked_for(jobs: Noting) -> None:
    """Its tasks stay untouched for a node that knows it."""
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("foreign", "other", remote=True)
        before = await node.scheduler.get_scheduled_job("foreign")
        await node.turn(2)
        assert [set(call.request.rooms) for call in node.store.script.exchanges if call.request] == [{"note"}] * 2
        assert await node.scheduler.get_scheduled_job("foreign") == before


async def test_a_node_without_jobs_asks_for_nothing() -> None:
    """It only schedules."""
    async with driven(JobRegistry()) as node:
        await node.turn()
        assert node.store.script.exchanges == []


async def test_a_busy_kind_does_not_starve_a_quiet_one(jobs: Noting) -> None:
    """However long its backlog: the quiet one runs at the very next lock."""
    jobs.job("busy")(lambda: None)
    async with driven(jobs, concurrency=4) as node:
        await node.scheduler.schedule_jobs([NewTask(f"busy {number}", "busy") for number in range(100)])
        await node.turn(3)
        await node.scheduler.schedule_job("quiet", "note")
        await node.turn()
        assert jobs.noted == ["quiet"]


async def die_twice_with(node: Driven) -> None:
    """Let two nodes, one after the other, die with all that is due."""
    for number in range(2):
        await node.store.lock(node.clock.now(), LockRequest(node="dies", rooms={"work": 9}, lease=SECOND, token=f"dead {number}"))
        node.clock.advance(SECOND)


async def test_all_that_one_node_lost_is_taken_over_at_once() -> None:
    """It need not be the fault of any of them."""
    jobs = Noting()
    async with driven(jobs) as node:
        await node.scheduler.schedule_jobs([NewTask(str(number), "note") for number in range(50)])
        await node.store.lock(NOON, LockRequest(node="dies", rooms={"note": 50}, lease=SECOND, token="dead"))  # noqa: S106 - no password
        node.clock.advance(SECOND)
        await node.turn()
        assert len(jobs.noted) == 50


async def test_suspects_run_one_at_a_time() -> None:
    """A task that lost two runs may bring down its node.

    The others of its sort are handed back, and none loses its attempt.
    """
    jobs, gates = JobRegistry(), dict[str, asyncio.Event]()

    @jobs.job("work")
    async def work(ctx: JobContext) -> None:
        gates[ctx.slug] = asyncio.Event()
        await gates[ctx.slug].wait()

    async with driven(jobs) as node:
        await node.scheduler.schedule_jobs([NewTask(slug, "work") for slug in ("a", "b", "c")])
        await die_twice_with(node)
        await node.scheduler.schedule_job("sound", "work")
        ran: list[str] = []
        for _ in range(3):
            await node.dispatcher.run_once()
            await node.dispatcher.run_once()
            await wait_until_async(lambda: {"sound", *ran} < set(gates))
            (suspect,) = set(gates) - {"sound", *ran}
            ran.append(suspect)
            await node.dispatcher.run_once()
            gates[suspect].set()
            await wait_until_async(lambda: node.dispatcher.unwritten)
            await node.dispatcher.run_once()
            node.clock.advance(SUSPECT_PAUSE)
        assert sorted(ran) == ["a", "b", "c"]
        assert len(node.of(RunReturned)) == 3 + 2
        started = [event for event in node.of(RunStarted) if isinstance(event, RunStarted)]
        assert {event.task.slug: event.task.attempt for event in started} == {"a": 3, "b": 3, "c": 3, "sound": 1}
        gates["sound"].set()


async def test_a_suspect_begins_when_the_way_back_of_the_others_is_written() -> None:
    """It may end the process at once: what its node still held then would lose a run that it never had."""
    jobs, held_beside = JobRegistry(), list[list[str]]()

    @jobs.job("work")
    async def work(ctx: JobContext) -> None:
        others = {"a", "b", "c"} & set(await node.store.get_slugs()) - {ctx.slug}
        held_beside.append([slug for slug in others if (await node.store.get(slug)).lease_id])

    async with driven(jobs) as node:
        await node.scheduler.schedule_jobs([NewTask(slug, "work") for slug in ("a", "b", "c")])
        await die_twice_with(node)
        for _ in range(3):
            await node.turn(3)
            node.clock.advance(SUSPECT_STEP)
        assert held_beside == [[], [], []]


async def test_a_task_whose_trigger_this_node_cannot_read_is_handed_back(jobs: Noting) -> None:
    """Unrun, no attempt counted, put off for a node that can; its neighbours run."""
    async with driven(jobs) as node:
        await node.store.create(NOON, [Task(slug="t", kind="note", trigger="@moon full", run_at=NOON, anchor=NOON)])
        await node.scheduler.schedule_job("u", "note")
        await node.turn(2)
        task = await node.scheduler.get_scheduled_job("t")
        assert (jobs.noted, task.attempt, task.due_at) == (["u"], 0, NOON + UNREADABLE_PAUSE)
        assert "@moon" in (task.last_error or "")
        assert len(node.of(RunReturned)) == 1


async def test_a_trigger_that_fails_harms_no_neighbour(jobs: Noting) -> None:
    """It may be anybody's code: what is due runs, and only its own task is set aside."""

    class Crooked(Trigger):
        def next_fire_time(self, prev: datetime) -> datetime | None:
            if prev >= NOON:
                raise ZeroDivisionError
            return NOON

        def to_text(self) -> None:
            return None

    jobs.job("crooked", trigger=Crooked())(jobs.note)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "crooked", at=NOON)
        node.clock.advance(SECOND)
        await node.scheduler.schedule_job("u", "note")
        await node.turn(2)
        assert sorted(jobs.noted) == ["t", "u"]
        assert len(node.scheduler.running_node.runs) == 0
        assert "ZeroDivisionError" in ((await node.scheduler.get_scheduled_job("t")).last_error or "")


async def test_a_trigger_that_cannot_even_be_asked_is_handed_back_and_harms_no_neighbour(jobs: Noting) -> None:
    """Whatever it raises: the others of the same lock start all the same, and the fire burns no attempt."""

    class Moody(Trigger):
        broken = False

        def next_fire_time(self, prev: datetime) -> datetime:
            return prev + SECOND

        @property
        def counts_from(self) -> CountsFrom:
            if self.broken:
                raise ZeroDivisionError
            return CountsFrom.FIRE

    moody = Moody()
    jobs.job("moody", trigger=moody)(jobs.note)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "moody")
        await node.scheduler.schedule_job("u", "note", delay=SECOND)
        node.clock.advance(SECOND)
        moody.broken = True
        await node.turn(2)

        assert jobs.noted == ["u"]
        (handed_back,) = node.of(RunReturned)
        assert isinstance(handed_back, RunReturned)
        assert "cannot follow its trigger" in handed_back.reason
        assert (await node.scheduler.get_scheduled_job("t")).attempt == 0


# -- in batches


async def test_runs_that_end_during_an_exchange_ride_on_the_next(jobs: Noting) -> None:
    """All of them in one, without a timer."""
    gate, answer = jobs.gated(), asyncio.Event()
    store = ScriptedStore()
    async with a_scheduler(store, jobs) as scheduler:
        await scheduler.schedule_jobs([NewTask(str(number), "gated") for number in range(5)])
        await wait_until_async(lambda: len(jobs.noted) == 5)
        store.script.answers.append(after(answer))
        await scheduler.schedule_job("later", "note", delay=HOUR)
        await wait_until_async(lambda: not store.script.answers)
        held_up = len(store.script.exchanges)
        gate.set()
        await wait_until_async(lambda: scheduler.running_node.dispatcher.unwritten == 5 + 1)
        answer.set()
        await wait_until_async(lambda: not scheduler.running_node.runs)
        assert [len(call.outcomes) for call in store.script.exchanges[held_up - 1 : held_up + 1]] == [0, 5]


async def test_a_full_node_asks_for_nothing_until_a_run_ends(jobs: Noting) -> None:
    """It does not spin while something is due and there is no room."""
    gate, store = jobs.gated(), ScriptedStore()
    async with a_scheduler(store, jobs, concurrency=1) as scheduler:
        await scheduler.schedule_jobs([NewTask("first", "gated"), NewTask("second", "gated")])
        await wait_until_async(lambda: jobs.noted)
        turns, exchanges = scheduler.running_node.dispatcher.limits.turns, len(store.script.exchanges)
        await scheduler.schedule_job("soon", "note", delay=0.2 * SECOND)
        overdue = datetime.now(UTC) + 0.4 * SECOND
        await wait_until_async(lambda: datetime.now(UTC) > overdue)
        assert scheduler.running_node.dispatcher.limits.turns - turns <= 5
        assert len(store.script.exchanges) - exchanges <= 2
        gate.set()
        await wait_until_async(lambda: len(jobs.noted) == 3)


class Deaf(ScriptedStore):
    """A store that cannot tell that something is due."""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Never yield."""
        yield _nothing()


async def _nothing() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield


async def falls_asleep(scheduler: StdScheduler) -> None:
    """Wait until the dispatcher has asked, and waits to be woken."""
    await wait_until_async(lambda: scheduler.running_node.dispatcher.loop.wake._sleeper is not None)


async def create_soon(store: JobStore) -> None:
    """Create a task that is due, past every scheduler."""
    now = datetime.now(UTC)
    await store.create(now, [Task(slug="t", kind="note", run_at=now, anchor=now)])
