"""The lock files of a server directory: who may start the server, who uses it, and whether it lives.

All three are `flock` locks. The kernel drops them with the last process that holds them, however it dies, so none of them can be
stale, and neither reused process ids nor zombies can deceive their reader. A `flock` belongs to the open file, not to the process:
two openers in one process count as two, and any thread may take or leave one.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from weakref import WeakSet

from duly.stores.postgres.embedded.errors import EmbeddedServerError

_POLL = timedelta(milliseconds=20)


def polls(timeout: timedelta) -> Iterator[None]:
    """Yield at once, and again every 20 ms until `timeout` has passed."""
    for _ in range(timeout // _POLL):
        yield
        time.sleep(_POLL.total_seconds())


class FileLock:
    """One holder of the `flock` on a file, which is created if missing."""

    def __init__(self, path: Path) -> None:
        self.fd: int = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_shared(self) -> bool:
        """Take it beside other shared holders, or turn an exclusive hold into a shared one.

        At once or not at all.
        """
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take it alone, at once or not at all.

        A shared hold is lost in either case: the kernel does not convert in one step.
        """
        return self._try(fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let go, also on behalf of forked children and other copies of the open file."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close this process's copy of the open file: the lock lives on if another process has one.

        Repeatable.
        """
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self.fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class ServerLocks:
    """One opener's hold on a server directory.

    `gate` is held exclusively, and shortly, by whoever starts, joins or leaves the server: one at a time.
    `users` is held shared by every opener as long as it uses the server; the supervisor waits to get it exclusively.
    `server` is held exclusively by all processes of a server together, which inherit it: free means that every one has ended.
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Path = directory
        self.users_path: Path = directory / "users.lock"
        self.gate: FileLock = FileLock(directory / "gate.lock")
        self.users: FileLock = FileLock(self.users_path)
        self.server: FileLock = FileLock(directory / "server.lock")
        _opened.add(self)

    @contextmanager
    def passing_gate(self, timeout: timedelta) -> Iterator[None]:
        """Hold the gate; wait for it no longer than `timeout`, then raise `EmbeddedServerError`."""
        if not any(self.gate.try_exclusive() for _ in polls(timeout)):
            raise EmbeddedServerError(f"another process has been starting or stopping the server of {self.directory} for {timeout}")
        try:
            yield
        finally:
            self.gate.unlock()

    def hand_over_server(self) -> None:
        """Leave the server lock to the server's processes, which inherited it, and watch it from now on."""
        self.server.close()
        self.server = FileLock(self.directory / "server.lock")

    def leave(self) -> bool:
        """Stop using the server; True when nobody else uses it, so that its supervisor stops it now.

        Call inside the gate.
        """
        # The waiting supervisor may get the lock in the moment in which we change ours: nobody else can use it shared then.
        last = self.users.try_exclusive() or not self.users.try_shared()
        self.users.unlock()
        return last

    def server_ended(self, timeout: timedelta) -> bool:
        """Wait until no process of the server is left, for at most `timeout`."""
        ended = any(self.server.try_exclusive() for _ in polls(timeout))
        if ended:
            self.server.unlock()
        return ended

    def close(self) -> None:
        """Close all three files."""
        for lock in (self.gate, self.users, self.server):
            lock.close()


_opened: WeakSet[ServerLocks] = WeakSet()


def _close_in_forked_child() -> None:
    """A forked child is no user of its parent's server, and must not keep it alive when the parent dies."""
    for locks in tuple(_opened):
        with suppress(OSError):
            locks.close()


os.register_at_fork(after_in_child=_close_in_forked_child)
