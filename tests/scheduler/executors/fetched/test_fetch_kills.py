"""A subscriber's process is killed while it has tasks in hand.

Another process is handed them, on real servers.
"""

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from duly.jobs import TaskState
from duly.scheduler import NewTask
from duly.stores import RunStatus
from support.fetching import KIND
from support.fleet import ONCE, SECOND, Fleet, FleetNode, a_fleet

pytestmark = pytest.mark.slow

LEASE = 3 * SECOND
SUBSCRIBER = "subscriber.py"


def fetched(fleet: Fleet, slug: str, trigger: str | None = None) -> NewTask:
    """Return a task that is due at once, and in its subscriber's hands until the gate is open."""
    return NewTask(slug, KIND, payload=str(fleet.gate).encode(), trigger=trigger, delay=timedelta(0), remote=True)


async def kill_one_of_two(fleet: Fleet, *tasks: NewTask) -> tuple[FleetNode, FleetNode]:
    """Have a subscriber read these tasks, and kill it; from then on the gate is open.

    Return it, and another one.
    """
    victim = await fleet.start(SUBSCRIBER)
    await fleet.schedule(*tasks)
    await victim.has_begun(*(task.slug for task in tasks))
    other = await fleet.start(SUBSCRIBER)
    victim.program.send(signal.SIGKILL)
    assert await victim.end() == -signal.SIGKILL
    fleet.gate.touch()
    return victim, other


async def test_what_was_in_the_hands_of_a_killed_subscriber_is_handed_to_another_within_two_leases(server_url: str, tmp_path: Path) -> None:
    """A one-off and a schedule.

    In hand, lost with its process, and committed by the other one in a second attempt at the same fire.
    """
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        victim, other = await kill_one_of_two(fleet, fetched(fleet, "one-off"), fetched(fleet, "schedule", "@every 1h"))
        killed = await fleet.now()
        for slug in ("one-off", "schedule"):
            lost, done = await fleet.have_ended(slug, RunStatus.LOST, RunStatus.DONE)
            assert (lost.node, lost.attempt, done.node, done.attempt) == (victim.name, 1, other.name, 2)
            assert done.fire_time == lost.fire_time
            assert done.started_at - killed <= 2 * LEASE
        assert await other.stop() == 0
        assert await fleet.store.get_slugs() == ["schedule"]
    assert [(each.slug, each.attempt) for each in victim.told("ended")] == []
    assert sorted((each.slug, each.attempt) for each in other.told("ended")) == [("one-off", 2), ("schedule", 2)]


async def test_at_most_once_what_was_in_the_hands_of_a_killed_subscriber_is_handed_to_nobody(server_url: str, tmp_path: Path) -> None:
    """It may have been done: it is set aside."""
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        _, other = await kill_one_of_two(fleet, evolve(fetched(fleet, "one-off"), options=ONCE))
        await fleet.have_ended("one-off", RunStatus.LOST, RunStatus.FAILED)
        assert (await fleet.store.get("one-off")).state is TaskState.FAILED
        assert await other.stop() == 0
    assert other.told("began") == []
