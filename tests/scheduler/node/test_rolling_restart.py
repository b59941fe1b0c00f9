"""Node processes on PostgreSQL are stopped in the middle of their work.

A clean stop loses nothing and burns nothing.
"""

import signal
from collections import Counter
from pathlib import Path

import pytest

from duly.jobs import TaskState
from duly.scheduler import NewTask
from duly.stores import RunStatus
from support.fleet import DEADLINE, ONCE, SECOND, Fleet, FleetNode, a_fleet
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

RESTARTS = 6
TICKS = [f"tick-{number}" for number in range(3)]


@pytest.mark.slow
async def test_a_rolling_restart_under_load_loses_nothing_and_burns_nothing(postgres_url: str, tmp_path: Path) -> None:
    """Three nodes, each replaced twice while it works.

    Every fire is run once or accounted for, and no attempt is spent but by a job.
    """
    async with a_fleet(postgres_url, tmp_path, lease=5 * SECOND, concurrency=5) as fleet:
        began = await fleet.schedule(*(NewTask(slug, "short", payload=b"0.1 0", trigger="@every 1s") for slug in TICKS))
        nodes = [await fleet.start() for _ in range(3)]
        load: dict[str, int] = {}
        for number in range(RESTARTS):
            load |= await restart(fleet, nodes, number)
        await wait_until_async(lambda: is_done(fleet), DEADLINE)
        for node in nodes:
            node.program.send(signal.SIGTERM)
        assert [await node.end() for node in fleet.nodes] == [0] * (RESTARTS + 3)

        history = await fleet.runs()
        assert {run.status for run in history} <= {RunStatus.DONE, RunStatus.RETRIED, RunStatus.SKIPPED}
        ended = {(run.slug, run.attempt) for run in history if run.slug in load}
        assert ended == {(slug, attempt) for slug, failures in load.items() for attempt in range(1, failures + 2)}
        assert Counter(run.slug for run in history if run.slug in load and run.status is RunStatus.DONE) == Counter(load.keys())
        assert {run.attempt for run in history if run.slug in TICKS and run.status is RunStatus.DONE} == {1}
        assert fleet.begun_more_than_once() == []
        for slug in TICKS:
            fires = [run.fire_time for run in history if run.slug == slug and run.status is RunStatus.DONE]
            skipped = sum(run.count for run in history if run.slug == slug and run.status is RunStatus.SKIPPED)
            task = await fleet.store.get(slug)
            assert len(set(fires)) == len(fires) > RESTARTS
            assert len(fires) + skipped == (task.anchor - began) // SECOND
            assert (task.lease_id, task.attempt) == (None, 0)
        assert await fleet.store.nodes() == []


async def restart(fleet: Fleet, nodes: list[FleetNode], number: int) -> dict[str, int]:
    """Replace the oldest node while it works, its successor started first or last.

    Return the load, and how often each of it fails.
    """
    leaving = nodes.pop(0)
    is_first = number % 2 == 0
    if is_first:
        nodes.append(await fleet.start())
    load = {f"load-{number}-{each}": int(each % 10 == 0) for each in range(60)}
    await fleet.schedule(
        *(
            NewTask(slug, "short", payload=f"0.2 {failures}".encode(), delay=each * SECOND / 50)
            for each, (slug, failures) in enumerate(load.items())
        )
    )
    await wait_until_async(lambda: leaving.is_busy and load.keys() & {each.slug for each in leaving.told("began")}, DEADLINE)
    leaving.program.send(signal.SIGTERM)
    if not is_first:
        nodes.append(await fleet.start())
    assert await leaving.end() == 0
    return load


async def is_done(fleet: Fleet) -> bool:
    """Whether no one-off is left."""
    return await fleet.store.get_slugs(prefix="load-") == []


async def test_what_outlasts_the_grace_is_refunded_and_run_again_elsewhere(postgres_url: str, tmp_path: Path) -> None:
    """In the event loop and in a thread.

    Recorded as cancelled, and done in a first attempt by the next node.
    """
    async with a_fleet(postgres_url, tmp_path, lease=10 * SECOND, grace=SECOND / 2) as fleet:
        await fleet.schedule(fleet.gated("coroutine"), fleet.gated("thread", "gated_thread"), fleet.gated("schedule", trigger="@every 1h"))
        first = await fleet.start()
        await first.has_begun("coroutine", "thread", "schedule")
        assert await first.stop() == 0
        tasks = [await fleet.store.get(slug) for slug in ("coroutine", "thread", "schedule")]
        assert [(task.attempt, task.crashes, task.lease_id) for task in tasks] == [(0, 0, None)] * 3
        fleet.gate.touch()
        second = await fleet.start()
        for slug in ("coroutine", "thread", "schedule"):
            cut, done = await fleet.have_ended(slug, RunStatus.CANCELLED, RunStatus.DONE)
            assert (cut.node, done.node) == (first.name, second.name)
            assert (cut.attempt, done.attempt, done.fire_time) == (1, 1, cut.fire_time)
        assert await second.stop() == 0
        assert await fleet.store.nodes() == []


async def test_at_most_once_what_outlasts_the_grace_is_not_run_again(postgres_url: str, tmp_path: Path) -> None:
    """A one-off is set aside, a schedule waits for its next fire."""
    async with a_fleet(postgres_url, tmp_path, lease=10 * SECOND, grace=SECOND / 2) as fleet:
        await fleet.schedule(fleet.gated("one-off", options=ONCE), fleet.gated("schedule", trigger="@every 2s", options=ONCE))
        first = await fleet.start()
        await first.has_begun("one-off", "schedule")
        assert await first.stop() == 0
        (cut,) = await fleet.have_ended("one-off", RunStatus.CANCELLED)
        assert (await fleet.store.get("one-off")).state is TaskState.FAILED
        fleet.gate.touch()
        second = await fleet.start()
        await second.has_begun("schedule")
        fire = first.told("began", "schedule")[0].fire_time
        assert all(each.fire_time > fire for each in second.told("began", "schedule"))
        assert second.told("began", "one-off") == []
        assert await second.stop() == 0
        assert [run.status for run in await fleet.runs("schedule") if run.fire_time == fire] == [RunStatus.CANCELLED]
        assert await fleet.runs("one-off") == [cut]


@pytest.mark.slow
async def test_a_run_that_drains_keeps_its_lease_until_its_end(postgres_url: str, tmp_path: Path) -> None:
    """The heartbeat stops last.

    A drain of many leases, and another node that is eager for the task never gets it.
    """
    async with a_fleet(postgres_url, tmp_path, lease=1.5 * SECOND, grace=60 * SECOND) as fleet:
        await fleet.schedule(fleet.gated("t"))
        first = await fleet.start()
        await first.has_begun("t")
        eager = await fleet.start()
        first.program.send(signal.SIGTERM)
        asked = await fleet.now()

        async def is_long_ago() -> bool:
            return await fleet.now() - asked > 3 * fleet.lease

        await wait_until_async(is_long_ago, DEADLINE)
        assert first.program.status is None
        assert first.name in {node.name for node in await fleet.store.nodes()}
        fleet.gate.touch()
        assert await first.end() == 0
        (run,) = await fleet.have_ended("t", RunStatus.DONE)
        assert (run.node, run.attempt) == (first.name, 1)
        assert run.finished_at - asked > 3 * fleet.lease
        assert eager.told("began") == []
        assert await eager.stop() == 0
