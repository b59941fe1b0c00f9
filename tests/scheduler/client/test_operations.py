"""What people ask of tasks through a scheduler, while they wait and while they run."""

import asyncio
from datetime import timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, Overlap, RetryPolicy, TaskOptions, TaskState
from duly.scheduler import Conflict, JobNotFound, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery
from support.driven import NOON, Noting, driven
from support.schedulers import a_scheduler
from support.waiting import wait_until_async

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


async def history(scheduler: StdScheduler) -> list[tuple[str, str, timedelta, int]]:
    """Return slug, status, fire time from noon on, and count of every run, oldest first."""
    runs = (await scheduler.runs(RunQuery())).items
    return [(run.slug, run.status.value, run.fire_time - NOON, run.count) for run in reversed(runs)]


async def test_a_paused_schedule_does_not_run_and_a_resumed_one_runs_what_its_policy_says() -> None:
    """By default the latest of the fires that it missed, at once."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        assert (await node.scheduler.pause_job("s")).paused
        await run_due(node.scheduler, until=NOON + 5.5 * HOUR)
        assert await history(node.scheduler) == []

        await node.scheduler.resume_job("s")
        await run_due(node.scheduler)

        assert sorted(await history(node.scheduler)) == [("s", "done", 5 * HOUR, 1), ("s", "skipped", HOUR, 4)]


async def test_run_now_does_not_move_the_schedule() -> None:
    """One more run, for the present instant; then the schedule's own."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        await run_due(node.scheduler, until=NOON + 20 * MINUTE)
        await node.scheduler.trigger_job("s")
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert await history(node.scheduler) == [("s", "done", fire, 1) for fire in (20 * MINUTE, HOUR, 2 * HOUR)]


async def test_run_now_runs_a_paused_task_once() -> None:
    """It stays paused."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        await node.scheduler.pause_job("s")
        await node.scheduler.trigger_job("s")
        await run_due(node.scheduler, until=NOON + 3 * HOUR)

        assert await history(node.scheduler) == [("s", "done", timedelta(0), 1)]
        assert (await node.scheduler.get_scheduled_job("s")).paused


async def test_run_now_of_a_task_that_runs_is_run_when_that_has_ended() -> None:
    """Not side by side."""
    jobs = Noting()
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "gated", trigger="0 0 * * *", delay=timedelta(0))
        running = asyncio.ensure_future(node.turn())
        await wait_until_async(lambda: jobs.noted == ["s"])
        node.clock.advance(10 * SECOND)
        await node.scheduler.trigger_job("s")
        gate.set()
        await running
        await run_due(node.scheduler)

        assert sorted(await history(node.scheduler)) == [("s", "done", timedelta(0), 1), ("s", "done", 10 * SECOND, 1)]


async def test_a_run_on_this_node_is_stopped_at_once() -> None:
    """Its coroutine is cancelled without waiting for a heartbeat.

    The run is recorded, and the schedule goes on.
    """
    jobs, began = JobRegistry(), asyncio.Event()

    @jobs.scheduled("endless", trigger="@every 1h")
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    async with a_scheduler(jobs=jobs) as scheduler:
        assert not await scheduler.stop_job("endless"), "nobody runs it"
        await scheduler.trigger_job("endless")
        await began.wait()
        assert await scheduler.stop_job("endless")
        await wait_until_async(lambda: not scheduler.running_node.runs)

        (run,) = (await scheduler.runs(RunQuery())).items
        assert (run.status, run.error) == ("cancelled", "somebody asked for it to be stopped")
        assert (await scheduler.get_scheduled_job("endless")).state is TaskState.SCHEDULED


async def test_a_run_on_another_node_is_stopped_at_its_heartbeat() -> None:
    """Whoever asks."""
    jobs, began, store = JobRegistry(), asyncio.Event(), MemoryStore()

    @jobs.job("endless")
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    async with a_scheduler(store, jobs) as node, StdScheduler(store.sibling(), clock=ManualClock(NOON)) as other:
        await node.schedule_job("s", "endless")
        await began.wait()
        assert await other.stop_job("s")
        await wait_until_async(lambda: not node.running_node.runs)

        assert [run.status for run in (await node.runs(RunQuery())).items] == ["cancelled"]
        assert (await other.get_scheduled_job("s")).state is TaskState.FAILED


async def test_a_failed_task_is_restarted_with_a_new_budget() -> None:
    """For its own fire time."""
    jobs = JobRegistry()
    attempts: list[tuple[timedelta, int]] = []

    @jobs.job("fails", retry=RetryPolicy(limit=1, delays=[SECOND]))
    async def fails(ctx: JobContext) -> None:
        attempts.append((ctx.fire_time - NOON, ctx.attempt))
        raise ValueError("boom")

    async with driven(jobs) as node:
        await node.scheduler.schedule_job("s", "fails")
        await run_due(node.scheduler, until=NOON + HOUR)
        assert (await node.scheduler.get_scheduled_job("s")).state is TaskState.FAILED

        await node.scheduler.restart_job("s")
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert attempts == [(timedelta(0), 1), (timedelta(0), 2)] * 2


async def test_an_updated_schedule_fires_by_its_new_trigger() -> None:
    """The next fire is computed anew; payload and options change with it or by themselves."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        await node.scheduler.update_job("s", trigger="30 * * * *", payload=b"2")
        task = await node.scheduler.update_job("s", options=TaskOptions(overlap=Overlap.QUEUE_ONE), metadata={"k": "v"})
        assert (task.payload, task.options.overlap, task.metadata, task.version) == (b"2", "queue_one", {"k": "v"}, 3)
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        assert await history(node.scheduler) == [("s", "done", 0.5 * HOUR, 1), ("s", "done", 1.5 * HOUR, 1)]


async def test_a_run_is_moved_once_and_the_schedule_goes_on() -> None:
    """To an instant, or to so long from now; the fire that it is moved over is on record."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        await node.scheduler.schedule_job("one", "note", delay=HOUR)
        await node.scheduler.reschedule_job("s", at=NOON + 1.5 * HOUR)
        await node.scheduler.reschedule_job("one", delay=5 * MINUTE)
        await run_due(node.scheduler, until=NOON + 2 * HOUR)

        expected = [
            ("one", "done", 5 * MINUTE, 1),
            ("s", "done", 1.5 * HOUR, 1),
            ("s", "skipped", HOUR, 1),
            ("s", "done", 2 * HOUR, 1),
        ]
        assert sorted(await history(node.scheduler), key=str) == sorted(expected, key=str)


async def test_a_schedule_has_a_start_an_end_and_a_jitter() -> None:
    """They are part of its own trigger's text, so that every node and every tool sees them."""
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *", start_at=NOON + 2 * HOUR, end_at=NOON + 3 * HOUR)
        await node.scheduler.schedule_job("j", "note", trigger="0 * * * *", jitter=10 * MINUTE)
        text = (await node.scheduler.get_scheduled_job("s")).trigger
        assert text == "START=2030-01-01T14:00:00Z END=2030-01-01T15:00:00Z @between (0 * * * *)"
        await run_due(node.scheduler, until=NOON + 5.5 * HOUR)

        runs = await history(node.scheduler)
        assert [run for run in runs if run[0] == "s"] == [("s", "done", 2 * HOUR, 1), ("s", "done", 3 * HOUR, 1)]
        late = [fire % HOUR for slug, _, fire, _ in runs if slug == "j"]
        assert len(set(late)) == len(late) == 6
        assert all(timedelta(0) <= each < 10 * MINUTE for each in late)
        with pytest.raises(JobNotFound):
            await node.scheduler.get_scheduled_job("s")


@pytest.mark.parametrize("name", ["pause_job", "resume_job", "trigger_job", "stop_job", "restart_job", "update_job"])
async def test_an_unknown_task_is_an_error(name: str) -> None:
    """Whatever is asked of it."""
    async with driven(Noting()) as node:
        with pytest.raises(JobNotFound, match="nobody"):
            await getattr(node.scheduler, name)("nobody")


async def test_an_edit_is_made_anew_when_somebody_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the newest version.

    Nothing of the other's edit is lost, and one that is never fast enough says so in the end.
    """
    async with driven(Noting()) as node:
        await node.scheduler.schedule_job("s", "note", trigger="0 * * * *")
        get, races = node.store.get, 1

        async def raced(slug: str) -> object:
            nonlocal races
            task = await get(slug)
            if races:
                races -= 1
                await node.store.update(NOON, task)
            return task

        monkeypatch.setattr(node.store, "get", raced)
        assert (await node.scheduler.pause_job("s")).version == 3
        races = 1000
        with pytest.raises(Conflict):
            await node.scheduler.resume_job("s")
