"""The server goes away while a node process drains."""

import signal
from pathlib import Path

import pytest

from duly.stores import RunStatus
from support.fleet import DEADLINE, SECOND, a_fleet
from support.postgres import OwnServer
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres


async def test_a_drain_outlives_an_outage_of_its_store(postgres_server: OwnServer, tmp_path: Path) -> None:
    """The run ends while the server is away, and is written when it is back, by the node that ran it."""
    async with a_fleet(postgres_server.url, tmp_path, lease=20 * SECOND, grace=30 * SECOND) as fleet:
        await fleet.schedule(fleet.gated("t"))
        node = await fleet.start()
        await node.has_begun("t")
        node.program.send(signal.SIGTERM)
        postgres_server.stop()
        fleet.gate.touch()
        await wait_until_async(lambda: node.told("ended", "t"), DEADLINE)
        await wait_until_async(lambda: any("dispatch: StoreUnavailable" in line for line in list(node.program.log)), DEADLINE)
        postgres_server.start()
        assert await node.end() == 0
        (run,) = await fleet.have_ended("t", RunStatus.DONE)
        assert (run.node, run.attempt) == (node.name, 1)
        assert await fleet.store.nodes() == []


@pytest.mark.slow
async def test_a_store_that_is_gone_for_good_keeps_no_node_from_ending(postgres_server: OwnServer, tmp_path: Path) -> None:
    """Within its grace and a few seconds.

    What it could not write is left to its lease, and run again from there.
    """
    async with a_fleet(postgres_server.url, tmp_path, lease=4 * SECOND, grace=SECOND / 2) as fleet:
        await fleet.schedule(fleet.gated("t"))
        first = await fleet.start()
        await first.has_begun("t")
        postgres_server.stop()
        assert await first.stop() == 0
        postgres_server.start()
        fleet.gate.touch()
        second = await fleet.start()
        lost, done = await fleet.have_ended("t", RunStatus.LOST, RunStatus.DONE)
        assert (lost.node, done.node, done.attempt) == (first.name, second.name, 2)
        assert await second.stop() == 0
