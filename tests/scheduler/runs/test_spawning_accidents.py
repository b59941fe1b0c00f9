"""What a run asked to be created, when the answer or the lease is lost, or the store cannot write it.

Whole or absent, and once.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, RetryPolicy, TaskState
from duly.stores import Exchange, LockRequest, Outcome, Refused, RunStatus, StoreError, StoreUnavailable
from support.driven import driven
from support.schedulers import ScriptedStore, obey, silent
from support.tasks import DAY, MINUTE
from support.workflows import Steps, begun, on, over, runs_of, spawning


async def test_what_was_spawned_is_created_once_though_the_answer_was_lost_and_it_has_ended_since() -> None:
    """Another node runs the child before this one repeats its write."""
    jobs = Steps(spawning("c", on(1, after=DAY)), over)
    async with driven(jobs, obey, silent) as node, driven(jobs, beside=node) as other:
        await node.scheduler.schedule_job("w", "steps")
        await node.turn()
        with pytest.raises(StoreUnavailable):
            await node.dispatcher.run_once()
        for _ in range(2):
            await other.turn()
        await node.turn(3)
        runs = await runs_of(node, "c")
        assert (len(runs), await node.scheduler.get_job_slugs()) == (1, ["w"])


async def test_a_run_whose_lease_was_lost_spawns_nothing() -> None:
    """Its outcome comes too late; the run that took over asks for itself."""
    jobs, gate = JobRegistry(), asyncio.Event()

    @jobs.job("steps")
    async def steps(ctx: JobContext) -> None:
        ctx.spawn(f"child-{ctx.attempt}", "steps", delay=DAY)
        await ctx.sleep(timedelta(0))
        if ctx.attempt == 1:
            await gate.wait()

    async with begun(jobs) as node, driven(jobs, beside=node) as other:
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        node.clock.advance(MINUTE)
        await other.turn(2)
        gate.set()
        await node.turn(2)
        assert await node.scheduler.get_job_slugs() == ["child-2"]


class Small(ScriptedStore):
    """A store that has no room for what an outcome spawns; an edit in between it finds before that."""

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Refuse all of it."""
        await self._check(outcomes)
        return await super().exchange(now, outcomes, request)

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Refuse all of it."""
        await self._check(outcomes)
        return await super().reschedule(now, outcomes)

    async def _check(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.spawn and (await self.get(outcome.task.slug)).version == outcome.task.version:
                raise StoreError("too large for one write")


@pytest.mark.parametrize("is_edited", [False, True], ids=["as it was", "edited meanwhile"])
async def test_a_run_whose_further_tasks_the_store_cannot_write_has_failed(is_edited: bool) -> None:  # noqa: FBT001 - a parameter
    """It is retried and set aside by its policy, with the reason, and its neighbour is written."""
    jobs = Steps(spawning("child", over), over, retry=RetryPolicy(limit=1, jitter=0.0))
    async with driven(jobs, store=Small()) as node:
        await node.scheduler.schedule_job("w", "steps")
        await node.scheduler.schedule_job("good", "steps", payload=b"1")
        for number in range(2):
            await node.turn()
            if is_edited:
                await node.scheduler.update_job("w", metadata={"edit": str(number)})
                await node.dispatcher.run_once()
            with pytest.raises(StoreError):
                await node.dispatcher.run_once()
            await node.turn(2)
            node.clock.advance(MINUTE)
        task = await node.scheduler.get_scheduled_job("w")
        assert (task.state, await node.scheduler.get_job_slugs()) == (TaskState.FAILED, ["w"])
        assert [run.status for run in await runs_of(node)] == [RunStatus.RETRIED, RunStatus.FAILED]
        assert "too large for one write" in str(task.last_error)
