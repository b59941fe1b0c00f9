"""A run has further tasks created in the write of its end."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from duly.jobs import (
    Cancel,
    Fail,
    InvalidJob,
    InvalidSlug,
    InvalidValue,
    Job,
    JobContext,
    JobNotRegistered,
    JobRegistry,
    PayloadTooLarge,
    Task,
    Then,
)
from duly.scheduler import InvalidSchedule, RunEnded
from duly.scheduler.rules.endings import Interrupted, Raised, Returned
from duly.scheduler.rules.outcomes import outcome_of, without_next
from duly.scheduler.testing import run_due
from duly.stores import RunStatus
from duly.triggers import TICK, NaiveDatetime, TriggerError
from support.driven import NOON, driven
from support.tasks import DAY, HOUR, MINUTE, SECOND, a_one_off, a_schedule, finish, held, trigger_of
from support.workflows import Steps, begun, on, over, raising, runs_of, spawning

CHILD = a_one_off(slug="child")


async def test_what_a_run_spawns_is_created_in_the_write_of_its_end() -> None:
    """One outcome holds both; the child counts from the end of its parent's run."""
    jobs = Steps(spawning("c", on(0, after=DAY), payload=b"x", delay=HOUR, metadata={"k": "v"}))
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        child = await node.scheduler.get_scheduled_job("c")
        assert (child.kind, child.payload, child.metadata, child.run_at) == ("child", b"x", {"k": "v"}, NOON + HOUR)
        (outcome,) = [outcome for call in node.store.script.exchanges for outcome in call.outcomes]
        assert [task.slug for task in outcome.spawn] == ["c"]


async def test_a_spawned_task_counts_from_the_end_of_the_run() -> None:
    """Not from the call: it is created then."""
    jobs = JobRegistry()

    @jobs.job("steps")
    async def steps(ctx: JobContext) -> None:
        ctx.spawn("delayed", "steps", delay=HOUR)
        ctx.spawn("hourly", "steps", trigger="@every 1h")
        ctx.spawn("at", "steps", at=NOON + DAY)
        await ctx.sleep(5 * MINUTE)

    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + 10 * MINUTE)
        found = {slug: (await node.scheduler.get_scheduled_job(slug)).run_at for slug in ("at", "delayed", "hourly")}
    later = NOON + HOUR + 5 * MINUTE
    assert found == {"at": NOON + DAY, "delayed": later, "hourly": later}


async def test_a_spawned_task_that_is_due_runs() -> None:
    """Here on the same node, without anything else to wake it."""
    async with begun(Steps(spawning("c", over))) as node:
        await run_due(node.scheduler)
        assert [run.status for run in await runs_of(node, "c")] == [RunStatus.DONE]


async def test_a_job_that_has_its_task_removed_may_spawn() -> None:
    """Its run is done; that a schedule goes with it is warned of all the same."""
    jobs = Steps()
    jobs.register_job(_Removed())
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("w", "removed", trigger="@every 1h")
        await run_due(node.scheduler, until=NOON + HOUR)
        assert await node.scheduler.get_job_slugs() == ["c"]
        (ended,) = [event for event in node.events if isinstance(event, RunEnded)]
        assert "because the job returned None" in ended.warning


class _Removed(Job):
    kind = "removed"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task | None:
        ctx.spawn("c", "child", delay=DAY)
        return {task.slug: None}[ctx.slug]  # nobody can see beforehand that it removes its task


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError(), RunStatus.RETRIED), (Fail("for good"), RunStatus.FAILED), (Cancel("not wanted"), RunStatus.CANCELLED)],
    ids=["retried", "failed", "cancelled"],
)
async def test_a_run_that_is_not_done_spawns_nothing(error: Exception, status: RunStatus) -> None:
    """The next attempt asks anew."""
    async with begun(Steps(spawning("child", raising(error)))) as node:
        await node.turn(2)
        assert await node.statuses() == [status]
        assert "child" not in await node.scheduler.get_job_slugs()


def test_a_run_that_is_cut_short_spawns_nothing() -> None:
    """Only an ending that says what the job returned has anything to create."""
    row = held(a_one_off())
    assert [outcome_of(row, finish(row, ending), None).spawn for ending in (Interrupted("shutdown"), Raised("boom"))] == [(), ()]


async def test_a_slug_that_exists_is_kept() -> None:
    """So is one that is asked for twice; the workflow's own is made anew when it ends."""

    def body(ctx: JobContext, task: Task) -> Task:
        for slug, payload in (("there", b"new"), ("twice", b"1"), ("twice", b"2"), ("w", b"anew")):
            ctx.spawn(slug, "child", payload=payload, delay=DAY)
        return task

    async with begun(Steps(body)) as node:
        await node.scheduler.schedule_job("there", "child", payload=b"old", delay=HOUR)
        await run_due(node.scheduler)
        payloads = [(slug, (await node.scheduler.get_scheduled_job(slug)).payload) for slug in ("there", "twice", "w")]
    assert payloads == [("there", b"old"), ("twice", b"1"), ("w", b"anew")]


def test_what_was_spawned_is_not_lost_when_the_trigger_fails() -> None:
    """The run is done; only nobody can tell when the task fires next."""
    row = held(a_schedule())
    for task in (row, None):
        outcome = without_next(row, finish(row, Returned(task, (CHILD,))), "its trigger failed")
        assert (outcome.spawn, [run.status for run in outcome.runs]) == ((CHILD,), [RunStatus.DONE])


def test_a_schedule_that_ends_a_fire_spawns() -> None:
    """With each of its fires, if its job says so."""
    row = held(a_schedule())
    assert outcome_of(row, finish(row, Returned(row, (CHILD,))), trigger_of(row)).spawn == (CHILD,)


async def test_what_was_spawned_is_not_lost_by_an_edit_in_between() -> None:
    """The outcome is refused, decided anew on the edited task, and brings the same along."""
    jobs = JobRegistry()
    gate = asyncio.Event()

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Task | Then:
        ctx.spawn("c", "steps", delay=DAY)
        await ctx.sleep(timedelta(0))
        await gate.wait()
        return task.then(after=HOUR)

    async with begun(jobs) as node:
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        await node.scheduler.pause_job("w")
        gate.set()
        await run_due(node.scheduler)
        task = await node.scheduler.get_scheduled_job("w")
        assert (task.paused, task.run_at) == (True, NOON + HOUR)
        assert await node.scheduler.get_job_slugs() == ["c", "w"]


REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"job": "nobody's"}, JobNotRegistered),
    ({"job": print}, InvalidJob),
    ({"slug": ""}, InvalidSlug),
    ({"payload": "text"}, InvalidValue),
    ({"payload": bytes(2**19)}, PayloadTooLarge),
    ({"at": NOON, "delay": HOUR}, InvalidSchedule),
    ({"at": NOON.replace(tzinfo=None)}, NaiveDatetime),
    ({"trigger": "whenever"}, TriggerError),
    ({"when": NOON}, TypeError),
]


@pytest.mark.parametrize(("asked", "error"), REFUSED, ids=[f"{next(iter(asked))} {error.__name__}" for asked, error in REFUSED])
async def test_what_cannot_be_scheduled_is_refused_at_the_call(asked: dict[str, Any], error: type[Exception]) -> None:
    """With the errors of `schedule_job`; what was asked for before is created if the job goes on."""

    def body(ctx: JobContext, task: Task) -> Task:
        ctx.spawn("good", "child", delay=DAY)
        with pytest.raises(error):
            ctx.spawn(**{"slug": "bad", "job": "child", **asked})
        return task

    async with begun(Steps(body)) as node:
        await run_due(node.scheduler)
        assert await node.scheduler.get_job_slugs() == ["good"]


async def test_a_job_or_its_class_names_the_kind() -> None:
    """As for `schedule_job`; a kind of other nodes is asked for by `remote=True`."""

    def body(ctx: JobContext, task: Task) -> Task:
        ctx.spawn("a", _Removed, delay=DAY)
        ctx.spawn("b", _Removed(), delay=DAY)
        ctx.spawn("c", "theirs", delay=DAY, remote=True)
        return task

    jobs = Steps(body)
    jobs.register_job(_Removed())
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        assert [(await node.scheduler.get_scheduled_job(slug)).kind for slug in "abc"] == ["removed", "removed", "theirs"]


async def test_several_threads_of_a_job_may_spawn() -> None:
    """None of their calls is lost."""
    jobs = JobRegistry()

    @jobs.job("steps")
    def steps(ctx: JobContext) -> None:
        def spawn(name: str) -> None:
            for number in range(20):
                ctx.spawn(f"{name}-{number}", "steps", delay=DAY)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(spawn, "abcd"))

    async with begun(jobs) as node:
        await run_due(node.scheduler)
        assert len(await node.scheduler.get_job_slugs()) == 80


async def test_what_a_job_makes_of_its_objects_later_is_not_spawned() -> None:
    """Each call is kept as it was made."""

    def body(ctx: JobContext, task: Task) -> Task:
        metadata = {}
        for name in "ab":
            metadata["name"] = name
            ctx.spawn(name, "child", delay=DAY, metadata=metadata)
        metadata.clear()
        return task

    async with begun(Steps(body)) as node:
        await run_due(node.scheduler)
        found = [(await node.scheduler.get_scheduled_job(slug)).metadata for slug in "ab"]
    assert found == [{"name": "a"}, {"name": "b"}]


async def test_a_task_that_spawns_its_own_slug_has_another_key_then() -> None:
    """Also on a clock that stands still."""

    def body(ctx: JobContext, task: Task) -> Task:
        ctx.spawn("w", "steps", payload=b"1")
        return task

    jobs = Steps(body, over)
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + SECOND)
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen] == [(0, NOON), (1, NOON + TICK)]


async def test_a_task_that_spawns_its_own_slug_for_later_has_it_then() -> None:
    """At the time that was asked for."""

    def body(ctx: JobContext, task: Task) -> Task:
        ctx.spawn("w", "steps", delay=DAY)
        return task

    async with begun(Steps(body)) as node:
        await run_due(node.scheduler)
        assert (await node.scheduler.get_scheduled_job("w")).run_at == NOON + DAY


async def test_an_object_is_spawned_as_it_was_at_the_call() -> None:
    """With the version of its class."""

    @dataclass
    class Order:
        item: str

    jobs = JobRegistry()
    jobs.job("ship", payload_type=Order, payload_version=3)(lambda _, __: None)

    @jobs.job("steps")
    async def steps(ctx: JobContext) -> None:
        order = Order("anvil")
        ctx.spawn("o", "ship", payload=order, delay=DAY)
        order.item = "piano"

    async with begun(jobs) as node:
        await run_due(node.scheduler)
        child = await node.scheduler.get_scheduled_job("o")
    assert (child.payload, child.payload_version) == (b'{"item":"anvil"}', 3)


async def test_a_spawned_task_of_a_limited_kind_is_asked_for_at_once() -> None:
    """Whether any was due was asked before it was there."""

    def body(ctx: JobContext, task: Task) -> Task:
        ctx.spawn("c", "limited")
        return task

    jobs = Steps(body)
    jobs.job("limited", global_limit=1)(lambda: None)
    async with begun(jobs) as node:
        await node.turn()
        assert await node.dispatcher._turn() == timedelta(0)
