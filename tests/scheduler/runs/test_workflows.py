"""Workflows: a job goes on with its next step."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import (
    Fail,
    InvalidValue,
    JobContext,
    JobRegistry,
    RetryPolicy,
    Task,
    TaskOptions,
    TaskState,
    Then,
)
from duly.scheduler.rules.endings import Returned
from duly.scheduler.rules.outcomes import outcome_of
from duly.scheduler.testing import run_due
from duly.stores import RunStatus
from duly.triggers import END_OF_TIME, TICK
from support.driven import NOON
from support.tasks import DAY, HOUR, MINUTE, SECOND, a_one_off, finish, held
from support.workflows import Steps, begun, on, over, raising, runs_of

# -- the next step ----------------------------------------------------------------------------------------------------------------------


async def test_each_step_is_a_fire_of_its_own() -> None:
    """At its own time, with its own key, as a first attempt; after the last the task is finished and gone."""
    jobs = Steps(on(1, after=3 * DAY), on(2, after=7 * DAY), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + 30 * DAY)

        days = [NOON, NOON + 3 * DAY, NOON + 10 * DAY]
        assert jobs.seen == [(step, day, 1, f"w@{day.isoformat()}") for step, day in enumerate(days)]
        assert [(run.fire_time, run.status) for run in await runs_of(node)] == [(day, RunStatus.DONE) for day in days]
        assert await node.scheduler.get_job_slugs() == []


async def test_between_two_steps_the_row_holds_the_state() -> None:
    """Payload and format version, written with the end of the step; what is not given stays."""
    jobs = Steps(lambda _, task: task.then(payload=b"1", payload_version=2, after=HOUR, result="one"), on(2, after=HOUR))
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        task = await node.scheduler.get_scheduled_job("w")
        assert (task.payload, task.payload_version, task.result) == (b"1", 2, "one")
        assert (task.run_at, task.due_at, task.state, task.lease_id) == (NOON + HOUR, NOON + HOUR, TaskState.SCHEDULED, None)

        await run_due(node.scheduler, until=NOON + HOUR)
        task = await node.scheduler.get_scheduled_job("w")
        assert (task.payload, task.payload_version, task.result) == (b"2", 2, None)
        assert [run.result for run in await runs_of(node)] == ["one", None]


async def test_the_next_step_counts_from_the_end_of_this_one() -> None:
    """On the scheduler's clock, however long the step took."""
    jobs = JobRegistry()

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Then:
        await ctx.sleep(5 * MINUTE)
        return task.then(after=HOUR)

    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + 10 * MINUTE)
        assert (await node.scheduler.get_scheduled_job("w")).run_at == NOON + HOUR + 5 * MINUTE


async def test_the_next_step_follows_at_once_by_default() -> None:
    """For a fire time of its own all the same, on a clock that stands still."""
    jobs = Steps(on(1), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + SECOND)
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen] == [(0, NOON), (1, NOON + TICK)]


async def test_each_step_has_a_budget_of_retries_of_its_own() -> None:
    """And one key in all its attempts."""
    jobs = Steps(
        lambda ctx, task: on(1, after=HOUR)(ctx, task) if ctx.attempt == 2 else raising(ValueError())(ctx, task),
        lambda ctx, task: over(ctx, task) if ctx.attempt == 2 else raising(ValueError())(ctx, task),
        retry=RetryPolicy(limit=1),
    )
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + 2 * HOUR)
        assert await node.statuses() == [RunStatus.RETRIED, RunStatus.DONE] * 2
    assert [(step, attempt) for step, _, attempt, _ in jobs.seen] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert len({key for *_, key in jobs.seen}) == 2


async def test_a_schedule_that_goes_on_with_a_step_keeps_its_own_times() -> None:
    """The step comes in between, and its trigger goes on as it would have."""
    jobs = Steps(on(1, after=MINUTE), lambda _, task: evolve(task, payload=b"0"))
    async with begun(jobs, trigger="@every 1h") as node:
        await run_due(node.scheduler, until=NOON + 2 * HOUR + MINUTE)
    fires = [NOON + HOUR, NOON + HOUR + MINUTE, NOON + 2 * HOUR, NOON + 2 * HOUR + MINUTE]
    assert [fire_time for _, fire_time, *_ in jobs.seen] == fires


async def test_a_step_that_comes_after_a_fire_of_its_schedule_takes_its_place() -> None:
    """By the misfire policy: both have passed when it is due, and the latest is run.

    What is not is on record.
    """
    jobs = Steps(on(1, after=90 * MINUTE), over)
    async with begun(jobs, trigger="@every 1h") as node:
        await run_due(node.scheduler, until=NOON + 2 * HOUR + 30 * MINUTE)
        (skipped,) = [run for run in await runs_of(node) if run.status is RunStatus.SKIPPED]
        assert (skipped.fire_time, skipped.count) == (NOON + 2 * HOUR, 1)
    assert [fire_time for _, fire_time, *_ in jobs.seen] == [NOON + HOUR, NOON + 2 * HOUR + 30 * MINUTE]


async def test_the_most_fires_of_a_workflow_are_its_most_steps() -> None:
    """Then it is finished, whatever its job says."""
    jobs = Steps(on(0, after=HOUR))
    async with begun(jobs, options=TaskOptions(max_fires=3)) as node:
        await run_due(node.scheduler, until=NOON + DAY)
        assert await node.scheduler.get_job_slugs() == []
    assert len(jobs.seen) == 3


async def test_a_step_that_comes_too_late_ends_the_workflow() -> None:
    """With a grace time of its own alone; the history says that it was skipped."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs, options=TaskOptions(misfire_grace_time=MINUTE)) as node:
        await run_due(node.scheduler)
        node.clock.advance(2 * HOUR)
        await run_due(node.scheduler)
        assert await node.scheduler.get_job_slugs() == []
        assert await node.statuses() == [RunStatus.DONE, RunStatus.SKIPPED]


async def test_a_workflow_may_begin_after_a_delay_of_its_trigger() -> None:
    """`@after` says when its first step is, and has no further word."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs, trigger="@after 1 hour") as node:
        await run_due(node.scheduler, until=NOON + DAY)
        assert await node.scheduler.get_job_slugs() == []
    assert [fire_time for _, fire_time, *_ in jobs.seen] == [NOON + HOUR, NOON + 2 * HOUR]


def test_a_step_is_later_than_the_one_before_when_the_clock_went_back() -> None:
    """Or its key would be that one's."""
    row = held(a_one_off(), now=a_one_off().run_at)
    ended = evolve(finish(row, Returned(row.then())), ended_at=row.run_at - HOUR)
    following = outcome_of(row, ended, None).next
    assert following is not None
    assert following.run_at == row.run_at + TICK


def test_a_step_after_the_end_of_time_is_at_it() -> None:
    """As a retry is."""
    row = held(a_one_off())
    ended = evolve(finish(row, Returned(row.then(after=HOUR))), ended_at=END_OF_TIME - MINUTE)
    following = outcome_of(row, ended, None).next
    assert following is not None
    assert following.run_at == END_OF_TIME


def test_a_step_may_leave_an_empty_state() -> None:
    """Which is not none."""
    assert a_one_off(payload=b"p").then(payload=b"").payload == b""


def test_what_is_stored_is_a_task() -> None:
    """Not what the job returned to say so."""
    row = held(a_one_off())
    following = outcome_of(row, finish(row, Returned(row.then(after=HOUR))), None).next
    assert type(following) is Task


@pytest.mark.parametrize("after", [-TICK, 3600, None, timedelta.max], ids=repr)
def test_a_wait_that_is_none_is_refused_at_once(after: Any) -> None:  # noqa: ANN401 - good or bad
    """In the job, whose run then fails."""
    with pytest.raises(InvalidValue, match="after"):
        a_one_off().then(after=after)


def test_a_step_keeps_what_it_is_not_told() -> None:
    """All but the result, which is each step's own."""
    task = evolve(held(a_one_off(payload=b"p", payload_version=3)), result="of the step before")
    going_on = task.then()
    assert isinstance(going_on, Then)
    assert (going_on.payload, going_on.payload_version, going_on.result, going_on.after) == (b"p", 3, None, timedelta(0))
    assert going_on.slug == task.slug


# -- people, between and within the steps -----------------------------------------------------------------------------------------------


async def test_a_workflow_that_is_deleted_between_two_steps_is_gone() -> None:
    """The step that was to come does not."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        await node.scheduler.delete_job("w")
        await run_due(node.scheduler, until=NOON + DAY)
    assert len(jobs.seen) == 1


async def test_between_two_steps_there_is_nothing_to_stop() -> None:
    """The answer says so, and the workflow goes on; to hold it, pause it."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        assert not await node.scheduler.stop_job("w")
        await node.scheduler.pause_job("w")
        await run_due(node.scheduler, until=NOON + DAY)
        assert len(jobs.seen) == 1

        await node.scheduler.resume_job("w")
        await run_due(node.scheduler)
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen] == [(0, NOON), (1, NOON + HOUR)]


async def test_a_step_that_is_stopped_is_set_aside_and_restarted_for_the_same_fire() -> None:
    """With its state and its key; what it spawned until then is not created."""
    gate = asyncio.Event()
    jobs = JobRegistry()
    keys: list[tuple[bytes, str]] = []

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Task | Then:
        if task.payload != b"1":
            return task.then(payload=b"1", after=HOUR)
        keys.append((task.payload, ctx.run_key))
        ctx.spawn(f"child-{len(keys)}", "steps", delay=DAY)
        await ctx.sleep(timedelta(0))
        await gate.wait()
        return task

    async with begun(jobs) as node:
        await run_due(node.scheduler)
        node.clock.advance(HOUR)
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        assert await node.scheduler.stop_job("w")
        await run_due(node.scheduler)
        assert (await node.scheduler.get_scheduled_job("w")).state is TaskState.FAILED

        gate.set()
        await node.scheduler.restart_job("w")
        await run_due(node.scheduler, until=NOON + 2 * HOUR)
        assert await node.scheduler.get_job_slugs() == ["child-2"]
    assert keys == [(b"1", f"w@{(NOON + HOUR).isoformat()}")] * 2


async def test_a_step_that_failed_for_good_is_restarted_for_the_same_fire() -> None:
    """Days later it is still that step."""
    jobs = Steps(on(1, after=HOUR), raising(Fail("the server is gone")))
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + DAY)
        jobs.bodies = (*jobs.bodies[:1], over)
        await node.scheduler.restart_job("w")
        await run_due(node.scheduler)
        assert await node.scheduler.get_job_slugs() == []
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen[1:]] == [(1, NOON + HOUR)] * 2
