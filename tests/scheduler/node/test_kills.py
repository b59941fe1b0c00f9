"""Node processes are killed, or kill themselves, in the middle of a run.

What the other nodes make of it, on real servers.
"""

import signal
from pathlib import Path

import pytest

from duly.jobs import RetryPolicy, TaskOptions, TaskState
from duly.scheduler import NewTask
from duly.scheduler.rules.firing import CRASH_LIMIT
from duly.stores import RunStatus
from support.fleet import DEADLINE, ONCE, SECOND, Fleet, FleetNode, a_fleet
from support.waiting import wait_until_async

pytestmark = pytest.mark.slow

LEASE = 3 * SECOND


async def kill_one_of_two(fleet: Fleet, *tasks: NewTask) -> tuple[FleetNode, FleetNode]:
    """Have a node begin these tasks, and kill it; from then on the gate is open.

    Return it, and another node.
    """
    victim = await fleet.start()
    await fleet.schedule(*tasks)
    await victim.has_begun(*(task.slug for task in tasks))
    other = await fleet.start()
    victim.program.send(signal.SIGKILL)
    assert await victim.end() == -signal.SIGKILL
    fleet.gate.touch()
    return victim, other


async def test_at_least_once_another_node_runs_the_killed_fire_again_within_two_leases(server_url: str, tmp_path: Path) -> None:
    """A one-off and a schedule.

    The run is on record as lost, and the same fire is done in a second attempt.
    """
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        victim, other = await kill_one_of_two(fleet, fleet.gated("one-off"), fleet.gated("schedule", trigger="@every 1h"))
        killed = await fleet.now()
        for slug in ("one-off", "schedule"):
            lost, done = await fleet.have_ended(slug, RunStatus.LOST, RunStatus.DONE)
            assert (lost.node, lost.attempt, done.node, done.attempt) == (victim.name, 1, other.name, 2)
            assert done.fire_time == lost.fire_time
            assert done.started_at - killed <= 2 * LEASE
        assert await other.stop() == 0
        assert await fleet.store.get_slugs() == ["schedule"]


async def test_at_most_once_no_node_runs_the_killed_fire_again(server_url: str, tmp_path: Path) -> None:
    """The schedule goes on with its next fire, the one-off is set aside; what is lost is on record."""
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        one_off, schedule = fleet.gated("one-off", options=ONCE), fleet.gated("schedule", trigger="@every 2s", options=ONCE)
        victim, other = await kill_one_of_two(fleet, one_off, schedule)
        await fleet.have_ended("one-off", RunStatus.LOST, RunStatus.FAILED)
        assert (await fleet.store.get("one-off")).state is TaskState.FAILED
        await wait_until_async(lambda: other.told("ended", "schedule"), DEADLINE)
        assert await other.stop() == 0
        assert other.told("began", "one-off") == []
        (killed,) = victim.told("began", "schedule")
        assert [each for each in fleet.told("began", "schedule") if each.fire_time <= killed.fire_time] == [killed]
        lost, given_up, *_ = [run for run in await fleet.runs("schedule") if run.status is not RunStatus.SKIPPED]
        assert (lost.status, lost.node) == (RunStatus.LOST, victim.name)
        assert (given_up.status, given_up.fire_time) == (RunStatus.FAILED, killed.fire_time)


@pytest.mark.postgres
async def test_a_job_that_kills_its_node_is_set_aside_after_three_and_its_neighbours_end_well(postgres_url: str, tmp_path: Path) -> None:
    """Crashes count apart from the retries, of which ten were allowed.

    None of its neighbours comes to three.
    """
    async with a_fleet(postgres_url, tmp_path, lease=2 * SECOND) as fleet:
        neighbours = [f"n-{number}" for number in range(60)]
        nodes = [await fleet.start() for _ in range(3)]
        await fleet.schedule(
            NewTask("crash", "crash", delay=SECOND / 2, options=TaskOptions(retry=RetryPolicy(limit=10))),
            *(NewTask(slug, "short", payload=b"0.3 0", delay=number * SECOND / 10) for number, slug in enumerate(neighbours)),
        )

        async def is_set_aside() -> bool:
            """Whether it is; a supervisor, meanwhile, starts anew what ended."""
            for node in [node for node in nodes if node.program.status is not None]:
                nodes.remove(node)
                nodes.append(await fleet.start())
            return (await fleet.store.get("crash")).state is TaskState.FAILED

        await wait_until_async(is_set_aside, DEADLINE)
        await wait_until_async(lambda: are_done(fleet), DEADLINE)
        assert [await node.stop() for node in nodes] == [0, 0, 0]
        assert sorted(node.program.status or 0 for node in fleet.nodes) == [-signal.SIGKILL] * 3 + [0] * 3

        *lost, set_aside = await fleet.runs("crash")
        assert [run.status for run in (*lost, set_aside)] == [RunStatus.LOST] * 3 + [RunStatus.FAILED]
        assert "crashed 3 times" in (set_aside.error or "")
        assert len(fleet.told("began", "crash")) == 3
        history = [run for run in await fleet.runs() if run.slug in neighbours]
        assert sorted(run.slug for run in history if run.status is RunStatus.DONE) == sorted(neighbours)
        lost_neighbours = [run.slug for run in history if run.status is RunStatus.LOST]
        assert all(lost_neighbours.count(slug) < CRASH_LIMIT for slug in lost_neighbours)


async def are_done(fleet: Fleet) -> bool:
    """Whether no neighbour is left."""
    return await fleet.store.get_slugs(prefix="n-") == []
