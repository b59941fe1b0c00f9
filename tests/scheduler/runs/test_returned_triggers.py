"""A job changes its own schedule by the task that it returns."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from attrs import evolve

from duly.jobs import InvalidValue, JobContext, JobRegistry, Task
from duly.jobs.task import TriggerSource
from duly.stores import RunQuery, RunStatus
from duly.triggers import SimpleTrigger, Trigger
from support.driven import NOON, Driven, driven
from support.schedulers import HOUR
from support.tasks import a_one_off

Given = Trigger | str | None


class Changing(JobRegistry):
    """A registry with the kind `work`, whose job returns the task with another trigger."""

    def __init__(self) -> None:
        super().__init__()
        self.trigger: Given = "@every 2h"
        self.job("work", trigger="@every 1h")(self.work)

    async def work(self, ctx: JobContext, task: Task) -> Task:
        """Change them."""
        del ctx
        return evolve(task, trigger=self.trigger, payload=b"new")


@pytest.fixture
def registry() -> Changing:
    """One for each test."""
    return Changing()


@pytest.fixture
async def node(registry: Changing) -> AsyncIterator[Driven]:
    """A node whose task has just become due."""
    async with driven(registry) as node:
        await node.scheduler.schedule_job("task", "work")
        node.clock.advance(HOUR)
        yield node


@pytest.mark.parametrize(("given", "text"), [("@every 2h", "@every 2h"), (SimpleTrigger(2 * HOUR), "@every 2h")], ids=["text", "trigger"])
async def test_the_schedule_goes_on_by_the_returned_trigger(node: Driven, registry: Changing, given: Given, text: str) -> None:
    """After this fire, counted from the same anchor as after an update; the trigger is the task's own now."""
    registry.trigger = given
    await node.turn(2)

    task = await node.scheduler.get_scheduled_job("task")
    assert (task.trigger, task.trigger_from, task.payload) == (text, TriggerSource.TASK, b"new")
    assert task.run_at == NOON + 2 * HOUR
    assert await node.statuses() == [RunStatus.DONE]


async def test_a_trigger_that_cannot_be_read_fails_the_run(node: Driven, registry: Changing) -> None:
    """And the schedule stays as it was."""
    registry.trigger = "@every now and then"
    await node.turn(2)

    (run,) = (await node.scheduler.runs(RunQuery())).items
    assert (run.status, "TriggerError" in (run.error or "")) == (RunStatus.RETRIED, True)
    assert (await node.scheduler.get_scheduled_job("task")).trigger == "@every 1h"


async def test_no_trigger_ends_the_schedule(node: Driven, registry: Changing) -> None:
    """A one-off that was run is finished."""
    registry.trigger = None
    await node.turn(2)

    assert await node.scheduler.get_job_slugs() == []
    assert await node.statuses() == [RunStatus.DONE]


async def test_a_trigger_of_one_later_fire_is_followed(node: Driven, registry: Changing) -> None:
    """As `update_job` takes it."""
    registry.trigger = "@after 5h"
    await node.turn(2)

    task = await node.scheduler.get_scheduled_job("task")
    assert (task.recurring, task.run_at) == (False, node.clock.now() + 5 * HOUR)


async def test_a_one_off_becomes_a_schedule(registry: Changing) -> None:
    """By the trigger that its first run returns."""
    async with driven(registry) as node:
        await node.scheduler.schedule_job("task", "work", once=True)
        await node.turn(2)
        task = await node.scheduler.get_scheduled_job("task")
        assert (task.trigger, task.run_at) == ("@every 2h", node.clock.now() + 2 * HOUR)


async def test_an_edit_during_the_run_is_not_lost(node: Driven) -> None:
    """The outcome is decided anew on the edited row; of two triggers the job's counts, as of payloads."""
    await node.dispatcher.run_once()
    await node.scheduler.update_job("task", trigger="@every 7h", metadata={"edited": "yes"})
    await node.scheduler.running_node.runs.rest()
    await node.turn(3)

    task = await node.scheduler.get_scheduled_job("task")
    assert (task.trigger, task.metadata) == ("@every 2h", {"edited": "yes"})


async def test_a_node_that_lost_its_lease_changes_nothing(node: Driven) -> None:
    """The trigger is fenced like all that a run leaves."""
    await node.dispatcher.run_once()
    await node.scheduler.delete_job("task")
    await node.scheduler.schedule_job("task", "work", trigger="@every 9h")
    await node.scheduler.running_node.runs.rest()
    await node.turn(2)

    assert (await node.scheduler.get_scheduled_job("task")).trigger == "@every 9h"


def test_a_trigger_without_a_text_is_no_task_s_own() -> None:
    """It lives in code alone."""

    class Own(Trigger):
        def next_fire_time(self, prev: datetime) -> None:
            """Never fire."""

    with pytest.raises(InvalidValue, match="a trigger with a text form"):
        evolve(a_one_off(), trigger=Own())
