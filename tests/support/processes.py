"""Which processes are there, as the kernel tells (Linux)."""

import os
from contextlib import suppress
from pathlib import Path


def processes_in(directory: Path) -> list[int]:
    """The ids of all processes, zombies aside, that work below `directory`.

    A server's processes do, and so does its supervisor.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(directory.resolve()):
                found.append(int(entry.name))
    return found


def zombies() -> list[int]:
    """The ids of this process's children that have ended and were not reaped."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if state_and_parent(pid) == ("Z", os.getpid())]


def state_and_parent(pid: int) -> tuple[str, int]:
    """A process's state (`Z` is a zombie, `X` is none any more) and its parent's id."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", 0
    return state, int(parent)
