"""The job that runs a command."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from duly.jobs import InvalidValue
from duly.jobs.builtin.process import OUTPUT_LIMIT
from duly.jobs.builtin.shell import CommandNotStarted, ShellFailed, ShellJob
from duly.jobs.storable import TEXT_LIMIT, storable
from support.contexts import context, task_with
from support.processes import zombies


async def run(job: ShellJob, payload: bytes = b"") -> dict[str, Any]:
    """Run the job on a one-off task; its result."""
    task = task_with(payload)
    returned = await job.execute(context(task), task)
    result: dict[str, Any] = json.loads(returned.result or "")
    return result


async def failure(command: str | Sequence[str]) -> ShellFailed:
    """How the command fails."""
    with pytest.raises(ShellFailed) as caught:
        await run(ShellJob(command))
    return caught.value


async def test_the_result_tells_status_and_output() -> None:
    """As JSON text."""
    result = await run(ShellJob("echo out; echo err >&2"))

    assert result == {"status": 0, "stdout": "out\n", "stderr": "err\n"}


async def test_a_line_is_for_the_shell() -> None:
    """Its pipes, variables and lists work."""
    assert (await run(ShellJob("x=b; echo a$x | tr a-z A-Z && echo done")))["stdout"] == "AB\ndone\n"


async def test_an_argv_never_passes_a_shell() -> None:
    """What a shell would expand arrives as it is."""
    assert (await run(ShellJob(["echo", "$(id)", ";", "`id`", "*"])))["stdout"] == "$(id) ; `id` *\n"


async def test_an_argv_in_a_payload_never_passes_a_shell() -> None:
    """The same for a JSON list."""
    assert (await run(ShellJob(), b'["echo", "$(id)", "*"]'))["stdout"] == "$(id) *\n"


async def test_a_line_in_a_payload_is_for_the_shell() -> None:
    """Any text that is no JSON list."""
    assert (await run(ShellJob(), b"echo $((1 + 2))"))["stdout"] == "3\n"


async def test_a_job_with_a_command_does_not_look_at_the_payload() -> None:
    """Whoever schedules a task must not choose what runs."""
    assert (await run(ShellJob("echo mine"), b"echo yours"))["stdout"] == "mine\n"


async def test_the_environment_is_the_nodes_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, it takes the place of the node's."""
    monkeypatch.setenv("DULY_SECRET", "secret")

    assert (await run(ShellJob('echo "$DULY_SECRET"')))["stdout"] == "secret\n"
    assert (await run(ShellJob('echo "$DULY_SECRET$X"', env={"X": "x"})))["stdout"] == "x\n"


async def test_it_runs_in_its_directory(tmp_path: Path) -> None:
    """The one given."""
    assert (await run(ShellJob("pwd -P", cwd=tmp_path)))["stdout"].strip() == str(tmp_path)


async def test_the_command_reads_nothing() -> None:
    """Its input is empty, so that it cannot wait for a terminal."""
    assert (await run(ShellJob("cat; echo end")))["stdout"] == "end\n"


async def test_the_command_inherits_no_open_file(tmp_path: Path) -> None:
    """Not even one that was marked to be inherited."""
    with (tmp_path / "file").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - positional only

        listed = (await run(ShellJob(["ls", "/proc/self/fd"])))["stdout"].split()

    assert set(listed) <= {"0", "1", "2", "3"}, "3 is the directory that ls itself reads"


async def test_another_status_than_0_fails_the_run() -> None:
    """So that the retry policy applies; the message shows what the command said."""
    error = await failure("echo out; echo 'no such customer' >&2; exit 3")

    assert (error.status, error.stdout, error.stderr) == (3, "out\n", "no such customer\n")
    assert "exit status 3" in str(error)
    assert "no such customer" in str(error)


async def test_a_signal_that_ended_the_command_is_named() -> None:
    """The status is its negative number, as for Python's subprocesses."""
    error = await failure("kill -9 $$")

    assert error.status == -signal.SIGKILL
    assert "SIGKILL" in str(error)


async def test_a_failure_that_says_nothing_shows_the_output() -> None:
    """Some commands explain themselves on stdout."""
    assert "it is broken" in str(await failure("echo it is broken; exit 1"))
    assert "no output" in str(await failure("exit 1"))


@pytest.mark.parametrize("command", [["/no/such/program"], ["/"], ["true", "x" * 200_000]], ids=["missing", "directory", "too long"])
async def test_a_command_that_cannot_be_started_says_why(command: list[str]) -> None:
    """The operating system's error is the cause."""
    with pytest.raises(CommandNotStarted, match=command[0]) as caught:
        await run(ShellJob(command))

    assert isinstance(caught.value.__cause__, OSError)


async def test_without_process_groups_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """On such a system nothing could be ended for sure."""
    monkeypatch.delattr(os, "killpg")

    with pytest.raises(CommandNotStarted, match="process groups"):
        await run(ShellJob("true"))


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_an_environment_that_cannot_be_is_refused(name: str) -> None:
    """When the job is made."""
    with pytest.raises(InvalidValue, match="env"):
        ShellJob("true", env={name: "x"})


def test_a_time_limit_must_be_longer_than_none() -> None:
    """When the job is made."""
    with pytest.raises(InvalidValue, match="time_limit"):
        ShellJob("true", time_limit=timedelta(0))


async def test_gigabytes_of_output_are_read_and_dropped() -> None:
    """Start and end are kept; the command is not blocked, and memory stays as it is."""
    size = 1_000_000_000

    stdout = (await run(ShellJob(f"printf first; head -c {size} /dev/zero | tr '\\0' x; printf last")))["stdout"]

    assert stdout.startswith("first")
    assert stdout.endswith("last")
    assert f"[{size + 9 - OUTPUT_LIMIT} bytes cut]" in stdout
    assert len(stdout) < OUTPUT_LIMIT + 100


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x22, 0x7F, 0xFF])
async def test_no_output_makes_a_result_that_a_store_would_cut(byte: int) -> None:
    """A result that was cut would be no JSON any more."""
    script = f"import sys; o = bytes([{byte}]) * 100_000; sys.stdout.buffer.write(o); sys.stderr.buffer.write(o)"
    task = task_with()

    result = (await ShellJob([sys.executable, "-c", script]).execute(context(task), task)).result

    assert result is not None
    assert len(result.encode()) <= TEXT_LIMIT
    assert storable(result) == result


async def test_a_character_cut_in_two_leaves_no_debris() -> None:
    """Whole characters on both sides of the cut."""
    stdout = (await run(ShellJob([sys.executable, "-c", "print('a' + '€' * 100_000)"])))["stdout"]

    assert "\ufffd" not in stdout


async def test_many_commands_run_side_by_side() -> None:
    """One job serves all its tasks at once."""
    job = ShellJob()

    results = await asyncio.gather(*(run(job, f"echo {n}".encode()) for n in range(20)))

    assert [result["stdout"] for result in results] == [f"{n}\n" for n in range(20)]
    assert zombies() == []
