"""A kind that is deregistered while its tasks are under way."""

import asyncio

import pytest

from duly.jobs import JobNotRegistered, JobRegistry
from duly.scheduler.testing import run_due
from duly.stores import RunStatus
from support.driven import NOON, driven


def test_a_kind_that_was_deregistered_can_be_registered_anew() -> None:
    """With what was declared for it forgotten, too."""
    jobs = JobRegistry()
    jobs.scheduled("tick", trigger="@every 1h")(lambda: None)
    jobs.deregister_job("tick")
    assert (jobs.kinds, jobs.declared, "tick" in jobs) == ((), (), False)
    with pytest.raises(JobNotRegistered):
        jobs.deregister_job("tick")
    jobs.scheduled("tick", trigger="@every 1h")(lambda: None)
    assert jobs.kinds == ("tick",)


async def test_the_places_of_a_limited_kind_are_given_back() -> None:
    """Though nobody knows its limit any more."""
    jobs, gate = JobRegistry(), asyncio.Event()

    @jobs.job("gated", global_limit=1)
    async def gated() -> None:
        await gate.wait()

    async with driven(jobs) as node, driven(jobs, beside=node) as other:
        await node.scheduler.schedule_job("g", "gated")
        await node.dispatcher.run_once()
        await asyncio.sleep(0)
        jobs.deregister_job("gated")
        await node.scheduler.running_node.beat_by_hand()
        gate.set()
        await node.turn(2)
        assert await node.statuses() == [RunStatus.DONE]
        jobs.job("gated", global_limit=1)(lambda: None)
        await other.scheduler.schedule_job("h", "gated")
        assert await run_due(other.scheduler) == 1


async def test_a_task_with_a_trigger_of_its_own_can_be_triggered_where_its_kind_is_not_known() -> None:
    """Its trigger says all there is to say."""
    async with driven(JobRegistry()) as node:
        await node.scheduler.schedule_job("a", "elsewhere", trigger="@every 1h", remote=True)
        assert (await node.scheduler.trigger_job("a")).owed == (NOON,)
