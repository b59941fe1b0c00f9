"""Handlers by target, and one-offs for them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import frozen

from duly.jobs import (
    Consistency,
    Fail,
    InvalidDelay,
    InvalidSlug,
    InvalidValue,
    JobAlreadyRegistered,
    JobContext,
    JobNotRegistered,
    JobRegistry,
    RetryPolicy,
    Task,
    TaskOptions,
    TaskState,
)
from duly.jobs.registered import JobSettings
from duly.scheduler import BlockingScheduler, JobAlreadyScheduled, NaiveDatetime, StdScheduler
from duly.scheduler.testing import run_due
from duly.stores import Exchange, MemoryStore, RunQuery, RunStatus
from support.driven import NOON, Noting, driven
from support.schedulers import Call, ScriptedStore
from support.waiting import wait_until, wait_until_async

MINUTE = timedelta(minutes=1)


async def test_at_runs_the_handler_of_its_target_once_with_the_data() -> None:
    """At its time, not before."""
    seen = list[tuple[bytes, datetime]]()
    async with driven(JobRegistry()) as node:
        node.scheduler.handle("mail", lambda ctx, task: seen.append((task.payload, ctx.fire_time)))
        slug = await node.scheduler.at(NOON + MINUTE, "mail", b"to Ada")
        await run_due(node.scheduler, until=NOON + timedelta(seconds=59))
        assert (await node.scheduler.get_scheduled_job(slug)).run_at == NOON + MINUTE
        assert seen == []
        await run_due(node.scheduler, until=NOON + timedelta(days=1))
        assert seen == [(b"to Ada", NOON + MINUTE)]
        assert await node.scheduler.get_job_slugs() == []


async def test_in_counts_from_now() -> None:
    """By the scheduler's clock."""
    async with driven(Noting()) as node:
        slug = await node.scheduler.in_(MINUTE, "note")
        assert (await node.scheduler.get_scheduled_job(slug)).run_at == NOON + MINUTE


async def test_every_id_is_new_and_begins_with_its_target() -> None:
    """Also where the target's name leaves no room: an id is a slug, which has its greatest length."""
    registry = Noting()
    registry.job("k" * 255)(lambda: None)
    async with driven(registry) as node:
        ids = [await node.scheduler.in_(MINUTE, kind) for kind in ("note", "note", "k" * 255)]
        assert len(set(ids)) == 3
        assert ids[0].startswith("note:")
        assert ids[2].startswith("kkk")
        assert sorted(ids) == await node.scheduler.get_job_slugs()


async def test_a_slug_that_is_given_is_the_id() -> None:
    """And is scheduled once."""
    async with driven(Noting()) as node:
        assert await node.scheduler.in_(MINUTE, "note", slug="mine", metadata={"team": "a"}) == "mine"
        assert (await node.scheduler.get_scheduled_job("mine")).metadata == {"team": "a"}
        with pytest.raises(JobAlreadyScheduled):
            await node.scheduler.in_(MINUTE, "note", slug="mine")


async def test_options_count_beside_those_of_the_job() -> None:
    """What is not said stays as the job has it; without any the task has the job's."""
    registry, policy = JobRegistry(), RetryPolicy(limit=1, min_backoff=MINUTE, max_backoff=2 * MINUTE, age_limit=3 * MINUTE)
    registry.job("mail", time_limit=MINUTE)(lambda: None)
    async with driven(registry) as node:
        own = await node.scheduler.in_(MINUTE, "mail", retry=policy, consistency="at_most_once")
        plain = await node.scheduler.in_(MINUTE, "mail")
        options = [(await node.scheduler.get_scheduled_job(slug)).options for slug in (own, plain)]
    assert options[0] == TaskOptions(retry=policy, consistency=Consistency.AT_MOST_ONCE, time_limit=MINUTE)
    assert options[1] == registry.get("mail").options


async def test_a_target_whose_job_has_a_trigger_is_run_once_all_the_same() -> None:
    """The trigger is for its schedules."""
    registry, ran = JobRegistry(), list[datetime]()
    registry.job("mail", trigger="@every 1s")(lambda ctx: ran.append(ctx.fire_time))
    async with driven(registry) as node:
        await node.scheduler.in_(MINUTE, "mail")
        await node.scheduler.at(NOON - MINUTE, "mail")
        await run_due(node.scheduler, until=NOON + 2 * MINUTE)
        assert ran == [NOON - MINUTE, NOON + MINUTE]
        assert await node.scheduler.get_job_slugs() == []


@pytest.mark.parametrize("settings", [{"misfire": "skip"}, {"overlap": "allow"}, {"retry": RetryPolicy(limit=0)}, {"max_fires": 5}])
async def test_what_a_job_says_of_its_schedules_does_not_count_for_its_one_offs(settings: JobSettings) -> None:
    """It runs however late, under its own slug, and is kept when it fails for good."""
    registry, ran = JobRegistry(), list[str]()

    @registry.job("mail", trigger="@every 1s", **settings)
    def mail(ctx: JobContext, task: Task) -> None:
        ran.append(ctx.slug)
        if task.payload:
            raise Fail("no such address")

    async with driven(registry) as node:
        late = await node.scheduler.at(NOON - timedelta(hours=1), "mail")
        failing = await node.scheduler.in_(MINUTE, "mail", b"to nobody")
        await run_due(node.scheduler, until=NOON + 2 * MINUTE)
        assert ran == [late, failing]
        assert (await node.scheduler.get_scheduled_job(failing)).state is TaskState.FAILED
        assert await node.scheduler.get_job_slugs() == [failing]


@pytest.mark.parametrize("option", [{"retries": 3}, {"trigger": "@every 1s"}, {"if_exists": "keep"}, {"options": TaskOptions()}])
async def test_an_option_that_nobody_knows_is_refused(option: dict[str, Any]) -> None:
    """As a wrong keyword of any function: what was asked for must not be dropped in silence."""
    async with driven(Noting()) as node:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{next(iter(option))}'"):
            await node.scheduler.in_(MINUTE, "note", **option)
        assert await node.scheduler.get_job_slugs() == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda scheduler: scheduler.at(datetime(2030, 1, 1), "note"), NaiveDatetime),  # noqa: DTZ001 - that is the point
        (lambda scheduler: scheduler.in_(-MINUTE, "note"), InvalidDelay),
        (lambda scheduler: scheduler.in_(5, "note"), InvalidDelay),
        (lambda scheduler: scheduler.in_(MINUTE, "nobody"), JobNotRegistered),
        (lambda scheduler: scheduler.in_(MINUTE, "note", time_limit=-MINUTE), InvalidValue),
        (lambda scheduler: scheduler.in_(MINUTE, "note", slug=""), InvalidSlug),
    ],
)
async def test_bad_input_is_refused_and_nothing_written(call: Callable[[StdScheduler], Awaitable[str]], error: type[Exception]) -> None:
    """With the error of `schedule_job`."""
    async with driven(Noting()) as node:
        with pytest.raises(error):
            await call(node.scheduler)
        assert await node.scheduler.get_job_slugs() == []


async def test_a_target_that_only_other_nodes_handle_is_scheduled_when_that_is_said() -> None:
    """A program that only publishes."""
    async with driven(JobRegistry()) as node:
        slug = await node.scheduler.at(datetime(2031, 1, 1, tzinfo=UTC), "elsewhere", remote=True)
        assert (await node.scheduler.get_scheduled_job(slug)).kind == "elsewhere"


# -- handlers


async def test_there_is_one_handler_for_each_target() -> None:
    """A second one is refused until the first is gone."""
    async with driven(JobRegistry()) as node:
        deregister = node.scheduler.handle("mail", lambda: None)
        with pytest.raises(JobAlreadyRegistered):
            node.scheduler.handle("mail", lambda: None)
        deregister()
        node.scheduler.handle("mail", lambda: None)


async def test_a_handler_may_take_payloads_of_a_class() -> None:
    """As any function that is registered."""

    @frozen
    class Letter:
        to: str

    seen = list[object]()
    async with driven(JobRegistry()) as node:
        node.scheduler.handle("mail", lambda _, letter: seen.append(letter), payload_type=Letter)
        await node.scheduler.in_(MINUTE, "mail", Letter("Ada"))
        await run_due(node.scheduler, until=NOON + MINUTE)
    assert seen == [Letter("Ada")]


async def test_a_new_handler_takes_over_while_the_old_one_still_runs() -> None:
    """Each run ends with the function that it began with, and the schedule goes on."""
    registry = Noting()
    gate, ran = registry.gated(), list[str]()
    async with driven(registry) as node:
        await node.scheduler.schedule_job("schedule", "gated", trigger="@every 1h", at=NOON)
        await node.dispatcher.run_once()
        await wait_until_async(lambda: registry.noted)
        registry.deregister_job("gated")
        node.scheduler.handle("gated", lambda ctx: ran.append(ctx.slug))
        await node.scheduler.in_(timedelta(0), "gated", slug="beside")
        await node.dispatcher.run_once()
        await wait_until_async(lambda: ran)
        gate.set()
        await node.turn(2)
        assert (registry.noted, ran) == (["schedule"], ["beside"])
        assert await node.statuses() == [RunStatus.DONE] * 2
        await run_due(node.scheduler, until=NOON + timedelta(hours=1))
        assert ran == ["beside", "schedule"]


async def test_deregistering_twice_does_not_remove_the_handler_that_came_after() -> None:
    """Each callable removes its own."""
    async with driven(JobRegistry()) as node:
        deregister = node.scheduler.handle("mail", lambda: None)
        deregister()
        deregister()
        node.scheduler.handle("mail", lambda: None)
        deregister()
        assert node.scheduler.jobs.kinds == ("mail",)


async def test_a_node_without_the_handler_leaves_the_tasks_alone() -> None:
    """Neither locked nor deleted, whatever else it runs; the next handler runs them."""
    jobs, ran = Noting(), list[str]()
    async with driven(jobs) as node:
        node.scheduler.handle("mail", lambda: ran.append("first"))()
        await node.scheduler.in_(timedelta(0), "mail", slug="letter", remote=True)
        created = await node.scheduler.get_scheduled_job("letter")
        await node.scheduler.in_(timedelta(0), "note", slug="beside")
        await run_due(node.scheduler, until=NOON + MINUTE)
        assert (ran, jobs.noted) == ([], ["beside"])
        assert await node.scheduler.get_scheduled_job("letter") == created
        node.scheduler.handle("mail", lambda: ran.append("second"))
        await run_due(node.scheduler, until=NOON + 2 * MINUTE)
        assert ran == ["second"]


async def test_a_run_under_way_ends_as_any_other_when_its_handler_is_removed() -> None:
    """Its outcome is written, its schedule goes on for the nodes that know it."""
    registry = Noting()
    gate = registry.gated()
    async with driven(registry) as node:
        await node.scheduler.schedule_job("schedule", "gated", trigger="@every 1h", at=NOON)
        await node.dispatcher.run_once()
        await wait_until_async(lambda: registry.noted)
        registry.deregister_job("gated")
        gate.set()
        await node.turn(2)
        assert await node.statuses() == [RunStatus.DONE]
        assert (await node.scheduler.get_scheduled_job("schedule")).run_at == NOON + timedelta(hours=1)


async def test_a_task_that_is_just_being_locked_when_its_handler_goes_is_handed_back() -> None:
    """No attempt is counted."""
    registry, gate = Noting(), asyncio.Event()

    async def late(store: ScriptedStore, call: Call) -> Exchange:
        exchange = await store.do(call)
        registry.deregister_job("note")
        gate.set()
        return exchange

    async with driven(registry, late) as node:
        await node.scheduler.schedule_job("t", "note")
        await node.turn(2)
        task = await node.scheduler.get_scheduled_job("t")
        assert gate.is_set()
        assert (registry.noted, task.lease_id, task.attempt) == ([], None, 0)


async def test_a_running_task_of_a_kind_with_a_limit_keeps_its_slot_when_the_kind_is_deregistered() -> None:
    """Or another node could begin one more than there may be."""
    registry = Noting()

    @registry.job("shared", global_limit=1)
    async def shared(ctx: JobContext) -> None:
        await ctx.sleep(timedelta(hours=1))

    async with driven(registry) as node:
        await node.scheduler.schedule_job("t", "shared")
        await node.turn()
        registry.deregister_job("shared")
        lease = node.scheduler.config.lease
        for _ in range(4):
            node.clock.advance(lease / 2)
            await node.scheduler.running_node.heartbeat.run_once()
        other = await node.store.slots(node.clock.now(), "other", "shared", 1, 1, lease)
        assert (len(node.scheduler.running_node.runs), other) == (1, 0)


async def test_the_kinds_that_a_node_announces_follow_its_handlers() -> None:
    """At its next announcement."""
    async with driven(Noting()) as node:
        leave = node.scheduler.handle("mail", lambda: None)
        await node.scheduler.running_node.heartbeat.run_once()
        assert (await node.scheduler.nodes())[0].kinds == ("note", "mail")
        leave()
        node.clock.advance(node.scheduler.config.lease)
        await node.scheduler.running_node.heartbeat.run_once()
        assert (await node.scheduler.nodes())[0].kinds == ("note",)


def test_a_declared_task_is_not_created_any_more_when_its_kind_is_deregistered() -> None:
    """A start would otherwise refuse it."""
    registry = JobRegistry()
    registry.scheduled("tick", trigger="@every 1s")(lambda: None)
    registry.deregister_job("tick")
    assert (registry.kinds, registry.declared) == ((), ())
    with pytest.raises(JobNotRegistered):
        registry.deregister_job("tick")


# -- life


async def test_when_drained_new_tasks_can_be_registered_and_none_is_run_until_the_restart() -> None:
    """Then it can safely be closed."""
    async with driven(Noting()) as node:
        await node.scheduler.drain()
        slug = await node.scheduler.in_(timedelta(0), "note")
        assert (await node.scheduler.get_scheduled_job(slug)).lease_id is None
        assert await node.statuses() == []
        await node.scheduler.start()
        await run_due(node.scheduler, until=NOON + MINUTE)
        assert await node.statuses() == [RunStatus.DONE]
        await node.scheduler.drain()
        await node.scheduler.close()


async def test_each_execution_is_one_event_and_one_run_to_iterate_over() -> None:
    """Its retries too."""
    registry = JobRegistry()

    @registry.job("mail", retry=RetryPolicy(limit=1, delays=[MINUTE]))
    def mail(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise RuntimeError("not yet")

    async with driven(registry) as node:
        slug = await node.scheduler.in_(timedelta(0), "mail")
        await run_due(node.scheduler, until=NOON + 2 * MINUTE)
        runs = [run.status async for run in node.scheduler.iterate_runs(RunQuery(slug=slug, limit=1))]
        assert runs == [RunStatus.DONE, RunStatus.RETRIED]
        assert [type(event).__name__ for event in node.events if event.slug == slug] == ["RunStarted", "RunEnded"] * 2


def test_the_blocking_scheduler_has_them_too() -> None:
    """On real time."""
    seen = list[bytes]()
    with BlockingScheduler(MemoryStore()) as scheduler:
        deregister = scheduler.handle("mail", lambda _, task: seen.append(task.payload))
        scheduler.in_(timedelta(0), "mail", b"one")
        scheduler.at(datetime(2020, 1, 1, tzinfo=UTC), "mail", b"two")
        wait_until(lambda: len(seen) == 2)
        deregister()
        assert scheduler.jobs.kinds == ()
    assert sorted(seen) == [b"one", b"two"]


async def test_what_is_scheduled_by_its_class_is_known_by_its_kind() -> None:
    """A target is a kind."""

    class Mail:
        kind = "mail"

        def execute(self, _: JobContext, task: Task, /) -> Task:
            return task

    async with StdScheduler(MemoryStore()) as scheduler:
        scheduler.register_job(Mail())
        assert (await scheduler.in_(MINUTE, Mail)).startswith("mail:")
