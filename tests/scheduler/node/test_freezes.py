"""A node whose process is stopped in mid-job and goes on, as after the sleep of a laptop.

It still has its runs: it starts none of them again beside itself.
"""

import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from duly.stores import RunStatus
from support.fleet import DEADLINE, SECOND, a_fleet
from support.programs import Program, program
from support.waiting import wait_until, wait_until_async

LEASE = 3 * SECOND


def freeze(program: Program, length: timedelta) -> None:
    """Stop a process for so long."""
    program.send(signal.SIGSTOP)
    thaw_at = time.monotonic() + length.total_seconds()
    wait_until(lambda: time.monotonic() >= thaw_at, 2 * length)
    program.send(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gated_thread", "gated"])
async def test_a_node_that_slept_for_three_leases_goes_on_with_its_run(server_url: str, tmp_path: Path, kind: str) -> None:
    """Its lease had ended, and nobody took the task: the run counts, on record as one."""
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        node = await fleet.start()
        await fleet.schedule(fleet.gated("t", kind))
        await node.has_begun("t")
        for _ in range(3):
            freeze(node.program, 3 * LEASE)
            await wait_until_async(lambda: any("did not run for" in line for line in node.program.log), DEADLINE)
            node.program.log.clear()
        fleet.gate.touch()
        (run,) = await fleet.have_ended("t", RunStatus.DONE)
        assert (run.attempt, len(node.told("began")), len(node.told("ended"))) == (1, 1, 1)
        assert await node.stop() == 0


@pytest.mark.slow
async def test_a_run_that_another_node_took_during_the_sleep_is_cancelled_as_lost(server_url: str, tmp_path: Path) -> None:
    """The sleeper hears of it at its first heartbeat, and writes nothing."""
    async with a_fleet(server_url, tmp_path, lease=LEASE) as fleet:
        sleeper = await fleet.start()
        await fleet.schedule(fleet.gated("t"))
        await sleeper.has_begun("t")
        sleeper.program.send(signal.SIGSTOP)
        other = await fleet.start()
        await other.has_begun("t")
        sleeper.program.send(signal.SIGCONT)
        await wait_until_async(lambda: any("is no longer held" in line for line in sleeper.program.log), DEADLINE)
        fleet.gate.touch()
        lost, done = await fleet.have_ended("t", RunStatus.LOST, RunStatus.DONE)
        assert (lost.node, done.node) == (sleeper.name, other.name)
        assert sleeper.told("ended") == []


@pytest.mark.parametrize("where", ["thread", "loop"])
def test_in_memory_nothing_is_lost_by_a_sleep(where: str, tmp_path: Path) -> None:
    """One scheduler uses the store: its tasks are its own, however long it slept."""
    gate = tmp_path / "gate"
    with program("frozen.py", where, str(gate), "0.6") as frozen:
        frozen.await_line("began 1")
        for sleep in range(1, 4):
            freeze(frozen, timedelta(seconds=2))
            wait_until(lambda sleep=sleep: frozen.lines.count("stalled") >= sleep)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        gate.touch()
        frozen.await_line("done")
        assert [line for line in frozen.lines if line != "stalled"] == ["began 1", "done"]


def test_a_job_that_holds_the_interpreter_for_three_leases_runs_once(tmp_path: Path) -> None:
    """Its node could not extend the lease meanwhile; that is told once, and nothing counts as lost."""
    with program("frozen.py", "held", str(tmp_path / "gate"), "0.6") as frozen:
        frozen.await_line("done")
        frozen.await_line("stalled")
        assert sorted(frozen.lines) == ["began 1", "done", "stalled"]
