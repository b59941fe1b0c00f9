"""How a command ends, and that nothing of it is left behind."""

import asyncio
import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from duly.jobs import Task, TimeLimitExceeded
from duly.jobs.builtin.process import GRACE
from duly.jobs.builtin.shell import ShellJob
from support.contexts import ManualWaiting, context, task_with
from support.processes import state_and_parent, zombies
from support.waiting import wait_until, wait_until_async

LIMIT = timedelta(minutes=1)
WRITES_ITS_PID = "echo $$ > pid.new; mv pid.new pid"
IGNORES_SIGTERM = "trap '' TERM"


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return state_and_parent(pid)[0] not in "ZX"


def children() -> list[int]:
    """The ids of this process's children, zombies too."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if state_and_parent(pid)[1] == os.getpid()]


class Running:
    """A job in the midst of its command, which has written the ids of its processes to files in `folder`."""

    def __init__(self, folder: Path, command: str, *, time_limit: timedelta | None = LIMIT) -> None:
        self._folder = folder
        self.waiting = ManualWaiting()
        task = task_with()
        job = ShellJob(command, cwd=folder, time_limit=time_limit)
        self.run: asyncio.Task[Task] = asyncio.ensure_future(job.execute(context(task, waiting=self.waiting), task))

    async def pid(self, name: str = "pid") -> int:
        """Wait for a file with a process's id."""
        path = self._folder / name
        await wait_until_async(path.exists)
        return int(path.read_text())


async def test_a_child_in_the_background_does_not_hold_the_run(tmp_path: Path) -> None:
    """It keeps the pipe open, yet the run ends with its command, without waiting for any time to pass.

    The child lives on.
    """
    job = Running(tmp_path, "sleep 600 & echo $! > pid; echo started", time_limit=None)

    result = json.loads((await job.run).result or "")
    pid = await job.pid()

    try:
        assert result["stdout"] == "started\n"
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_child_that_floods_the_pipe_does_not_hold_the_run(tmp_path: Path) -> None:
    """No more is read than a pipe holds; then it gets SIGPIPE."""
    job = Running(tmp_path, "yes & echo $! > pid")

    await job.run

    pid = await job.pid()
    wait_until(lambda: not alive(pid))


async def test_the_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    """The command, its children and theirs; what it had said is in a note of the error."""
    job = Running(
        tmp_path, f"echo so far; (sh -c 'echo $$ > child.new; mv child.new child; sleep 600; true'; true) & {WRITES_ITS_PID}; wait"
    )
    pids = [await job.pid(), await job.pid("child")]

    job.waiting.elapse(LIMIT)
    with pytest.raises(TimeLimitExceeded) as caught:
        await job.run

    assert caught.value.limit == LIMIT
    assert caught.value.__notes__ == ["so far"]
    wait_until(lambda: not any(map(alive, pids)))


async def test_a_command_may_tidy_up_before_it_ends(tmp_path: Path) -> None:
    """It is asked with SIGTERM first."""
    job = Running(tmp_path, f"trap 'echo tidied; exit 1' TERM; {WRITES_ITS_PID}; sleep 600 & wait")
    await job.pid()

    job.waiting.elapse(LIMIT)
    with pytest.raises(TimeLimitExceeded) as caught:
        await job.run

    assert caught.value.__notes__ == ["tidied"]


async def test_a_command_that_will_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    """The grace passes on the clock of the context."""
    job = Running(tmp_path, f"{IGNORES_SIGTERM}; {WRITES_ITS_PID}; while :; do sleep 600; done")
    pid = await job.pid()

    job.waiting.elapse(LIMIT)
    await wait_until_async(lambda: job.waiting.pending == [GRACE])
    assert alive(pid)
    job.waiting.elapse(GRACE)
    with pytest.raises(TimeLimitExceeded):
        await job.run

    assert not alive(pid)
    assert zombies() == []


async def test_a_child_that_ignores_the_signal_is_killed_when_its_command_has_ended(tmp_path: Path) -> None:
    """Without any grace: nobody waits for it."""
    stubborn = f'sh -c "{IGNORES_SIGTERM}; echo \\$\\$ > child.new; mv child.new child; while :; do sleep 600; done"'
    job = Running(tmp_path, f"{stubborn} & {WRITES_ITS_PID}; wait")
    child = await job.pid("child")

    job.waiting.elapse(LIMIT)
    with pytest.raises(TimeLimitExceeded):
        await job.run

    wait_until(lambda: not alive(child))


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    """Not the command, not its child, not a zombie."""
    job = Running(tmp_path, f"sleep 600 & echo $! > child; {WRITES_ITS_PID}; wait")
    pids = [await job.pid(), await job.pid("child")]

    job.run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job.run

    wait_until(lambda: not any(map(alive, pids)))
    assert zombies() == []


async def test_a_cancelled_command_that_will_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    """The run ends cancelled, and not before the command is gone."""
    job = Running(tmp_path, f"{IGNORES_SIGTERM}; {WRITES_ITS_PID}; while :; do sleep 600; done")
    pid = await job.pid()

    job.run.cancel()
    await wait_until_async(lambda: job.waiting.pending == [GRACE])
    job.waiting.elapse(GRACE)
    with pytest.raises(asyncio.CancelledError):
        await job.run

    assert state_and_parent(pid)[0] == "X"


async def test_a_run_cancelled_twice_kills_at_once(tmp_path: Path) -> None:
    """Whoever cancels again will not wait for the grace; the command is reaped when it is gone."""
    job = Running(tmp_path, f"{IGNORES_SIGTERM}; {WRITES_ITS_PID}; while :; do sleep 600; done")
    pid = await job.pid()

    job.run.cancel()
    await wait_until_async(lambda: job.waiting.pending == [GRACE])
    job.run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job.run

    await wait_until_async(lambda: state_and_parent(pid)[0] == "X")


async def test_a_run_cancelled_as_it_starts_leaves_no_process(tmp_path: Path) -> None:
    """There is no moment in which a started command belongs to nobody."""
    before = children()

    for turns in range(6):
        job = Running(tmp_path, "sleep 600")
        for _ in range(turns):
            await asyncio.sleep(0)
        job.run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job.run

    assert children() == before


async def test_a_command_that_nobody_can_watch_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has no more threads."""

    def refuse(_: Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            await ShellJob("sleep 600").execute(context(task_with()), task_with())

    assert zombies() == []


async def test_a_status_taken_by_somebody_else_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other code of the program reaped the command."""
    monkeypatch.setattr(os, "waitid", lambda _, pid, __: (os.waitpid(pid, 0), os.waitpid(pid, 0)))

    with pytest.raises(ChildProcessError):
        await ShellJob("true").execute(context(task_with()), task_with())
