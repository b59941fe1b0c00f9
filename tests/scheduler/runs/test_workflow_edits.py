"""What people ask of a workflow within a step and between two, and what accidents leave of it.

No step is lost, doubled or renamed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import cycle

import pytest
from attrs import evolve

from duly.jobs import Consistency, Fail, JobContext, JobRegistry, Task, TaskOptions, TaskState, Then
from duly.scheduler import NewTask, StdScheduler
from duly.scheduler.rules.edits import run_now
from duly.scheduler.rules.endings import Returned
from duly.scheduler.rules.outcomes import outcome_of
from duly.scheduler.testing import run_due
from duly.stores import RunStatus
from duly.stores.rules import transitions
from duly.triggers import TICK
from support.driven import NOON, Driven
from support.tasks import DAY, HOUR, LEASE, SECOND, a_one_off, finish, held
from support.workflows import Steps, begun, on, over, raising

Seen = tuple[int, datetime, str]
AFTER = (3 * DAY, 7 * DAY)


class Onboarding(JobRegistry):
    """A workflow of three steps, of which one waits for a gate.

    `moves` has it say an instant instead of a span.
    """

    def __init__(self, gated: int, *, moves: bool = False) -> None:
        super().__init__()
        self.gate, self.gated, self.moves = asyncio.Event(), gated, moves
        self.seen: list[Seen] = []
        self.job("steps")(self._step)

    async def _step(self, ctx: JobContext, task: Task) -> Task | Then:
        step = int(task.payload or b"0")
        self.seen.append((step, ctx.fire_time, ctx.run_key))
        if step == self.gated:
            await ctx.sleep(timedelta(0))
            await self.gate.wait()
        if step == len(AFTER):
            return task
        payload = b"%d" % (step + 1)
        if self.moves:
            return evolve(task, payload=payload, run_at=ctx.fire_time + AFTER[step])
        return task.then(payload=payload, after=AFTER[step])


@asynccontextmanager
async def within(jobs: Onboarding) -> AsyncIterator[Driven]:
    """A scheduler a second into the gated step."""
    at = NOON + sum(AFTER[: jobs.gated], timedelta(0))
    async with begun(jobs) as node:
        if at > NOON:
            await run_due(node.scheduler, until=at - SECOND)
            node.clock.advance(SECOND)
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        node.clock.advance(SECOND)
        yield node


def times(seen: Sequence[Seen]) -> list[tuple[int, timedelta]]:
    """Each step, and how long after noon it was."""
    return [(step, fire_time - NOON) for step, fire_time, _ in seen]


# -- run now ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [False, True], ids=["then", "run_at"])
@pytest.mark.parametrize("asked", [1, 2], ids=["once", "twice"])
async def test_run_now_within_a_step_lets_the_next_one_follow_at_once(moves: bool, asked: int) -> None:  # noqa: FBT001 - a parameter
    """In its place: no further step, and the last one is done once, as long after it as the job says."""
    jobs = Onboarding(0, moves=moves)
    async with within(jobs) as node:
        for _ in range(asked):
            await node.scheduler.trigger_job("w")
            node.clock.advance(SECOND)
        jobs.gate.set()
        await run_due(node.scheduler, until=NOON + 60 * DAY)
        assert await node.scheduler.get_job_slugs() == []
    ended = timedelta(0) if moves else asked * SECOND
    assert times(jobs.seen) == [(0, timedelta(0)), (1, SECOND), (2, SECOND + ended + 7 * DAY)]


async def test_run_now_within_the_last_step_runs_it_once_more() -> None:
    """For a fire of its own, as of every one-off: whoever asks for it then has it."""
    jobs = Onboarding(2)
    async with within(jobs) as node:
        await node.scheduler.trigger_job("w")
        jobs.gate.set()
        await run_due(node.scheduler, until=NOON + 60 * DAY)
        assert await node.scheduler.get_job_slugs() == []
    assert times(jobs.seen)[2:] == [(2, 10 * DAY), (2, 10 * DAY + SECOND)]


async def test_run_now_within_a_step_of_a_paused_workflow_runs_the_next_one_for_this_once() -> None:
    """Then it is paused as before."""
    jobs = Onboarding(0)
    async with within(jobs) as node:
        await node.scheduler.pause_job("w")
        await node.scheduler.trigger_job("w")
        jobs.gate.set()
        await run_due(node.scheduler, until=NOON + 60 * DAY)
        assert times(jobs.seen) == [(0, timedelta(0)), (1, SECOND)]


REQUESTS: list[Callable[[StdScheduler], Awaitable[Task]]] = [
    lambda scheduler: scheduler.trigger_job("w"),
    lambda scheduler: scheduler.reschedule_job("w", delay=timedelta(0)),
    lambda scheduler: scheduler.reschedule_job("w", at=NOON),
]


@pytest.mark.parametrize("ask", REQUESTS, ids=["run now", "moved to now", "moved to the step before"])
async def test_a_step_that_is_moved_ahead_has_a_key_of_its_own(ask: Callable[[StdScheduler], Awaitable[Task]]) -> None:
    """Also on a clock that stands still, at which the step before was run."""
    jobs = Steps(on(1, after=DAY), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler)
        await ask(node.scheduler)
        await run_due(node.scheduler, until=NOON + SECOND)
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen] == [(0, NOON), (1, NOON + TICK)]


async def test_a_first_step_is_moved_to_where_it_is_asked_for() -> None:
    """There is none before it, also when it has failed."""
    jobs = Steps(raising(Fail("for good")))
    async with begun(jobs, delay=DAY) as node:
        assert (await node.scheduler.reschedule_job("w", at=NOON - HOUR)).run_at == NOON - HOUR
        assert (await node.scheduler.trigger_job("w")).run_at == NOON - HOUR
        await run_due(node.scheduler)
        assert (await node.scheduler.reschedule_job("w", at=NOON - DAY)).run_at == NOON - DAY


async def test_a_schedule_is_moved_to_where_it_is_asked_for() -> None:
    """It may be made to run a fire of before once more."""
    async with begun(Steps(over), trigger="@every 1h") as node:
        await run_due(node.scheduler, until=NOON + HOUR)
        assert (await node.scheduler.reschedule_job("w", at=NOON)).run_at == NOON


def test_a_step_that_was_asked_for_by_a_slow_clock_has_a_key_of_its_own() -> None:
    """Later than that of the step within which it was asked for."""
    row = held(a_one_off())
    asked = transitions.edit(row, run_now(row, None, row.run_at - SECOND), now=row.run_at)
    following = outcome_of(asked, finish(row, Returned(row.then(after=HOUR))), None).next
    assert following is not None
    assert (following.run_at, following.owed) == (row.run_at + TICK, ())


async def test_a_last_step_that_was_asked_to_run_again_and_later_too_does_both() -> None:
    """Two people asked for a run each, and the job for none."""
    jobs = Onboarding(2)
    async with within(jobs) as node:
        await node.scheduler.reschedule_job("w", delay=DAY)
        await node.scheduler.trigger_job("w")
        jobs.gate.set()
        await run_due(node.scheduler, until=NOON + 60 * DAY)
    assert times(jobs.seen)[2:] == [(2, 10 * DAY), (2, 10 * DAY + SECOND), (2, 11 * DAY + SECOND)]


# -- edits ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("moves", "at"), [(False, NOON + SECOND + 3 * DAY), (True, NOON + 3 * DAY)], ids=["then", "run_at"])
async def test_the_step_says_when_the_next_one_is_whatever_it_was_moved_to_meanwhile(moves: bool, at: datetime) -> None:  # noqa: FBT001
    """The job speaks last."""
    jobs = Onboarding(0, moves=moves)
    async with within(jobs) as node:
        await node.scheduler.reschedule_job("w", delay=HOUR)
        jobs.gate.set()
        await run_due(node.scheduler)
        assert (await node.scheduler.get_scheduled_job("w")).run_at == at


@pytest.mark.parametrize(("own", "kept"), [({}, b"edited"), ({"payload": b"1"}, b"1")], ids=["no payload", "a payload"])
async def test_of_a_payload_that_is_edited_within_a_step_the_steps_own_is_kept(own: dict[str, bytes], kept: bytes) -> None:
    """If it has one; what else was edited stays either way."""
    jobs, gate = JobRegistry(), asyncio.Event()

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Then:
        await ctx.sleep(timedelta(0))
        await gate.wait()
        return task.then(after=HOUR, **own)  # type: ignore[arg-type]  # one keyword

    async with begun(jobs, payload=b"0") as node:
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        await node.scheduler.update_job("w", payload=b"edited", payload_version=7, metadata={"by": "ada"})
        gate.set()
        await run_due(node.scheduler)
        task = await node.scheduler.get_scheduled_job("w")
    assert (task.payload, task.payload_version, task.metadata) == (kept, 1 if own else 7, {"by": "ada"})


# -- accidents --------------------------------------------------------------------------------------------------------------------------


async def test_a_step_after_a_lost_run_is_a_first_attempt_without_a_crash() -> None:
    """The lost run was the same step, under the same key; what is counted is counted for each step anew."""
    jobs = Steps(on(1, after=HOUR), on(2, after=HOUR), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + HOUR - SECOND)
        node.clock.advance(SECOND)
        request = (await node.dispatcher._new_call([])).request
        assert request is not None
        await node.store.lock(node.clock.now(), evolve(request, node="dead"))
        node.clock.advance(LEASE)
        await node.turn(2)

        task = await node.scheduler.get_scheduled_job("w")
        assert (task.payload, task.attempt, task.crashes, task.first_run_at) == (b"2", 0, 0, None)
    assert jobs.seen[1:] == [(1, NOON + HOUR, 2, f"w@{(NOON + HOUR).isoformat()}")]


async def test_a_step_that_runs_at_most_once_is_not_run_again_after_its_loss() -> None:
    """The workflow is set aside with its state; restarted, it is the same step."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs, options=TaskOptions(consistency=Consistency.AT_MOST_ONCE)) as node:
        await run_due(node.scheduler, until=NOON + HOUR - SECOND)
        node.clock.advance(SECOND)
        request = (await node.dispatcher._new_call([])).request
        assert request is not None
        await node.store.lock(node.clock.now(), evolve(request, node="dead"))
        node.clock.advance(LEASE)
        await node.turn(2)
        task = await node.scheduler.get_scheduled_job("w")
        assert (task.state, task.payload, len(jobs.seen)) == (TaskState.FAILED, b"1", 1)

        await node.scheduler.restart_job("w")
        await node.turn(2)
    assert [(step, fire_time) for step, fire_time, *_ in jobs.seen] == [(0, NOON), (1, NOON + HOUR)]


async def test_a_time_limit_is_each_steps_own() -> None:
    """A step that is in time takes nothing from the next."""
    jobs = JobRegistry()

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Task | Then:
        await ctx.sleep(4 * SECOND)
        return task if task.payload == b"2" else task.then(payload=b"%d" % (int(task.payload) + 1), after=HOUR)

    async with begun(jobs, payload=b"0", options=TaskOptions(time_limit=5 * SECOND)) as node:
        await run_due(node.scheduler, until=NOON + 3 * HOUR)
        assert await node.statuses() == [RunStatus.DONE] * 3


async def test_a_workflow_without_a_pause_starves_nobody() -> None:
    """A step that follows at once is due later than what waits, and takes its turn."""
    jobs, order = JobRegistry(), list[str]()
    begun_at_all, all_served = asyncio.Event(), asyncio.Event()
    others = {f"p{number}" for number in range(10)}

    @jobs.job("steps")
    async def steps(ctx: JobContext, task: Task) -> Then:
        order.append(ctx.slug)
        begun_at_all.set()
        if others <= set(order):
            all_served.set()
        return task.then()

    @jobs.job("plain")
    async def plain(ctx: JobContext) -> None:
        order.append(ctx.slug)

    async with StdScheduler("memory://", jobs=jobs, concurrency=1) as scheduler, asyncio.timeout(10):
        await scheduler.schedule_job("w", "steps")
        await begun_at_all.wait()
        steps_before = len(order)
        await scheduler.schedule_jobs([NewTask(slug, kind) for slug, kind in zip(sorted(others), cycle(("steps", "plain")), strict=False)])
        await all_served.wait()
    assert max(map(order[steps_before:].index, others)) < 100


async def test_a_workflow_that_was_paused_while_its_step_was_lost_waits_for_its_resumption() -> None:
    """For the same step, under the same key."""
    jobs = Steps(on(1, after=HOUR), over)
    async with begun(jobs) as node:
        await run_due(node.scheduler, until=NOON + HOUR - SECOND)
        node.clock.advance(SECOND)
        request = (await node.dispatcher._new_call([])).request
        assert request is not None
        (lost,) = await node.store.lock(node.clock.now(), evolve(request, node="dead"))
        await node.store.update(node.clock.now(), transitions.pause(lost))
        node.clock.advance(DAY)
        await node.turn(2)
        assert len(jobs.seen) == 1

        await node.scheduler.resume_job("w")
        await node.turn(2)
    assert [fire_time for _, fire_time, *_ in jobs.seen] == [NOON, NOON + HOUR]
