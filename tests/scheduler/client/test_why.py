"""What a scheduler that is asked for the reason puts together.

Its own state, the other nodes, the trigger of the job's code.
"""

from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import FunctionJob, JobContext, JobRegistry, Task
from duly.scheduler import JobNotFound, StdScheduler
from duly.scheduler.client.why import ask_why
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, Node
from duly.triggers import Trigger
from support.lives import Work
from support.schedulers import HOUR, ScriptedStore, a_scheduler, broken, some_services
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def test_a_task_that_does_not_exist_is_not_found() -> None:
    """As everywhere."""
    async with StdScheduler(MemoryStore(), clock=ManualClock(NOON)) as scheduler:
        with pytest.raises(JobNotFound):
            await scheduler.why("nobody")


async def test_a_run_and_the_slots_of_this_node_are_seen() -> None:
    """One runs, the other has no room."""
    work = Work()
    async with a_scheduler(jobs=work.registry, concurrency=1) as scheduler:
        await scheduler.schedule_job("first", "work")
        await wait_until_async(lambda: work.began)
        await scheduler.schedule_job("second", "work")
        first, second = await scheduler.why("first"), await scheduler.why("second")
        work.gate.set()
    assert first.startswith(f"Task 'first' is running on node {scheduler.node} since ")
    assert second.endswith("but this node is full: 1 of 1 slot is taken.")


async def test_a_node_that_stops_says_so() -> None:
    """While it drains, and once it has: then no node is running."""
    work = Work()
    scheduler = a_scheduler(jobs=work.registry)
    async with scheduler:
        await scheduler.schedule_job("first", "work")
        await wait_until_async(lambda: work.began)
        scheduler.running_node.dispatcher.is_locking = False
        await scheduler.schedule_job("second", "work")
        stopping = await scheduler.why("second")
        work.gate.set()
        await scheduler.drain()
        stopped = await scheduler.why("second")
    assert stopping.endswith("but this node is stopping.")
    assert stopped.endswith("but no node is running.")


async def test_a_store_that_refuses_to_lock_is_named() -> None:
    """The error of the last turn is the reason."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    store = ScriptedStore(*[broken] * 1000)
    async with a_scheduler(store, jobs) as scheduler:
        await scheduler.schedule_job("t", "work")
        await wait_until_async(lambda: scheduler.running_node.dispatcher.loop.failure)
        sentence = await scheduler.why("t")
        store.script.answers.clear()
    assert sentence.endswith("but this node's last try to lock failed with RuntimeError: a fault of the store.")


async def test_other_nodes_are_known_by_what_they_announced() -> None:
    """One that knows the kind has not locked it yet."""
    store = MemoryStore()
    async with StdScheduler(store, clock=ManualClock(NOON)) as scheduler:
        await scheduler.schedule_job("t", "work", remote=True)
        alone = await scheduler.why("t")
        await store.announce(Node(name="n1", kinds=("work",), started_at=NOON, seen_at=NOON, until=NOON + HOUR))
        together = await scheduler.why("t")
    assert alone.endswith("but no live node knows its kind 'work'.")
    assert together.endswith("and node n1, which knows its kind, has not locked it yet.")


async def test_a_limit_of_its_kind_is_passed_on() -> None:
    """As a clause, by whoever counts."""
    services = some_services(ManualClock(NOON))
    async with services.store, StdScheduler(services.store.sibling(), clock=ManualClock(NOON)) as scheduler:
        await scheduler.schedule_job("t", "work", remote=True)
        here = scheduler.running_node.here
        scheduler.jobs.job("work")(lambda: None)
        sentence = await ask_why("t", services, scheduler.running_node.here, lambda kind: f"{kind} is at its limit of 3")
    assert "work" not in here.kinds
    assert sentence.endswith("but work is at its limit of 3.")


class Moon(Trigger):
    """A trigger of one's own, without a text."""

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the next full moon."""
        return prev + timedelta(days=29)

    def __repr__(self) -> str:
        return "at full moon"


async def test_a_trigger_in_the_code_of_a_job_is_described() -> None:
    """By the node that has it."""
    jobs = JobRegistry()
    jobs.register_job(FunctionJob.of("howl", lambda: None), trigger=Moon())
    async with StdScheduler(MemoryStore(), jobs=jobs, clock=ManualClock(NOON)) as scheduler:
        await scheduler.schedule_job("wolf", "howl")
        sentence = await scheduler.why("wolf")
    assert sentence == "Task 'wolf' is not due until 2030-01-30T12:00:00+00:00 (in 29 d), by its trigger: at full moon."


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_trigger_in_a_row_is_described(*, is_known: bool) -> None:
    """Whether this node knows the task's kind or not; one that cannot be read is shown as it stands."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    store, clock = MemoryStore(), ManualClock(NOON)
    async with StdScheduler(store, jobs=jobs, clock=clock) as writer:
        await writer.schedule_job("t", "work", trigger="@every 1h")
        async with StdScheduler(store.sibling(), jobs=jobs if is_known else None, clock=clock) as scheduler:
            readable = await scheduler.why("t")
            await writer.delete_job("t")
            await store.create(NOON, [Task(slug="t", kind="work", trigger="@moon full", run_at=NOON + HOUR, anchor=NOON)])
            unreadable = await scheduler.why("t")
    assert readable.endswith("by its trigger: every hour.")
    assert unreadable.endswith("by its trigger '@moon full', which this node cannot follow.")


async def test_a_task_that_was_handed_back_says_by_whom_and_why() -> None:
    """The note is in the row."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    clock, store = ManualClock(NOON), MemoryStore()
    async with StdScheduler(store, jobs=jobs, clock=clock, node="n1") as scheduler:
        await store.create(NOON, [Task(slug="t", kind="work", trigger="@moon full", run_at=NOON, anchor=NOON)])
        await run_due(scheduler)
        sentence = await scheduler.why("t")
    assert sentence.startswith(
        "Task 't' waits until 2030-01-01T12:01:00+00:00 (in 1 min): handed back unrun by n1: this node cannot follow"
    )


async def test_a_job_may_ask_about_itself() -> None:
    """It is running."""
    jobs, told = JobRegistry(), list[str]()
    clock = ManualClock(NOON)
    scheduler = StdScheduler(MemoryStore(), jobs=jobs, clock=clock, node="n1")

    @jobs.job("ask")
    async def ask(ctx: JobContext) -> None:
        told.append(await scheduler.why(ctx.slug))

    async with scheduler:
        await scheduler.schedule_job("t", "ask")
        await run_due(scheduler)
    assert told == [
        (
            "Task 't' is running on node n1 since 2030-01-01T12:00:00+00:00 (less than 1 s ago) "
            "for its fire at 2030-01-01T12:00:00+00:00, attempt 1."
        )
    ]
