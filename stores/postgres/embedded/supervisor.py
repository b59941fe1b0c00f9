"""The supervisor of an embedded server.

It is a program of its own that starts `postgres`, and stops it when nobody uses it any more.

It runs by path in a bare interpreter, so it imports the standard library only. Its one argument is `Orders` as JSON.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, TypedDict


class Orders(TypedDict):
    """What a supervisor is told."""

    command: list[str]
    """The server's argv."""
    uid: int | None
    """The user to run the server as; None keeps the present one."""
    gid: int | None
    users_path: str
    """The lock file that is free for exclusive use when nobody uses the server."""
    server_fd: int
    """The inherited open file whose lock every process of the server holds."""
    signal_wait: float
    """Seconds to wait after each signal before the harder one."""


_PR_SET_PDEATHSIG = 1


def main(orders: Orders) -> None:
    """Start the server, wait until it ends by itself or nobody uses it; in the second case stop it."""
    server = _start(orders)
    # After the start, so that the server does not inherit it. A terminal's or a careless signal is for the application, which
    # needs its database while it drains; the server ends with the last user.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    users = os.open(orders["users_path"], os.O_RDWR)
    fcntl.flock(users, fcntl.LOCK_EX)
    for harder in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, and what nobody can refuse
        server.send_signal(harder)
        time.sleep(orders["signal_wait"])  # the other thread ends the process in the meantime


def _start(orders: Orders) -> "subprocess.Popen[bytes]":
    options: dict[str, Any] = {}
    if orders["uid"] is not None:
        options = {"user": orders["uid"], "group": orders["gid"], "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - our own launcher's argv, no shell
        orders["command"],
        stdin=subprocess.DEVNULL,
        pass_fds=[orders["server_fd"]],
        preexec_fn=_die_with_supervisor,  # noqa: PLW1509 - no other thread is running yet
        **options,
    )


def _die_with_supervisor() -> None:
    """Have the kernel stop the server if the supervisor is killed.

    Its main thread spawns the server and lives as long as it does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _end_with(server: "subprocess.Popen[bytes]") -> None:
    os._exit(server.wait() & 0xFF)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
