"""A PostgreSQL server that lives in a directory.

The first opener starts it, the others join it, the last to leave stops it.

It is for development, demonstrations and tests: it listens on 127.0.0.1 only, but trusts every local user, and whoever shares the
directory must run as one user on one machine. POSIX only.

**Why a supervisor.** The server is the child of a small process of its own (`embedded_supervisor.py`), not of the opener. The kernel's
parent-death signal would fire when the opening *thread* ends, and stores are opened in threads that do not last; and a server that
dies with the process that happened to be first would take the database from all others, when a short-lived command came first. So
the server belongs to whoever uses it. Each opener holds a shared lock on `users.lock`; the supervisor waits for the exclusive one,
which the kernel grants when the last opener has released it or died, by SIGKILL too. Then it stops the server: by a fast shutdown
first (SIGINT), then harder. If the supervisor itself is killed, the parent-death signal (Linux) ends the server: there the spawning
thread is the main one.

**Why nothing is stale.** All processes of a server inherit the lock on `server.lock`. If an opener gets it, not one of them is left,
whatever `postmaster.pid` or the process table say, and it starts a server, which recovers. If it does not, the server's port stands in
`data/postmaster.pid`; one that is starting or stopping is waited for. Openers act one at a time, under `gate.lock`.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from attrs import frozen

from duly.stores.postgres.embedded import supervisor as embedded_supervisor
from duly.stores.postgres.embedded.binaries import Account, check_binaries, choose_account, find_binaries
from duly.stores.postgres.embedded.cluster import Cluster, Postmaster
from duly.stores.postgres.embedded.errors import EmbeddedServerError
from duly.stores.postgres.embedded.locks import ServerLocks, polls

__all__ = ["EmbeddedServer", "EmbeddedServerError", "directory_of", "open_embedded"]

_HOST: Final = "127.0.0.1"
_START_TIMEOUT: Final = timedelta(seconds=60)  # recovery after a crash included
_SIGNAL_WAIT: Final = timedelta(seconds=10)  # after each of the three signals that stop a server
_STOP_TIMEOUT: Final = 4 * _SIGNAL_WAIT
_GATE_TIMEOUT: Final = 2 * (_START_TIMEOUT + _STOP_TIMEOUT)
_PORT_ATTEMPTS: Final = 3

# The supervisors that this process started and has not reaped yet, by server directory.
_supervisors: dict[Path, subprocess.Popen[bytes]] = {}


@frozen(kw_only=True)
class _Launch:
    """How to start a server, if this opener is the first."""

    binaries: Path | None
    port: int | None
    settings: Mapping[str, str]


class EmbeddedServer:
    """One opener's hold on a running server; several in one process are independent of each other.

    Safe to use from any thread.
    """

    def __init__(self, directory: Path, postmaster: Postmaster, locks: ServerLocks) -> None:
        self.directory: Path = directory
        """Where the cluster lies; absolute."""
        self.port: int = postmaster.port
        """TCP port on the loopback address."""
        self.pid: int = postmaster.pid
        """Process id of the server's main process."""
        self._locks: ServerLocks | None = locks

    @property
    def url(self) -> str:
        """The server's address for this process and all others on the machine."""
        return f"postgresql://postgres@{_HOST}:{self.port}/postgres"

    def release(self) -> None:
        """Stop using the server; the last one to do so returns when all its processes have ended. Repeatable.

        Raises `EmbeddedServerError` if they have not ended in time; the supervisor goes on trying.
        """
        locks, self._locks = self._locks, None
        if locks is None:
            return
        try:
            with locks.passing_gate(_GATE_TIMEOUT):
                if locks.leave():
                    if not locks.server_ended(_STOP_TIMEOUT):
                        raise EmbeddedServerError(f"the server in {self.directory} has not stopped within {_STOP_TIMEOUT}")
                    _reap(self.directory)
        finally:
            locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def open_embedded(
    directory: str | os.PathLike[str],
    *,
    settings: Mapping[str, str] | None = None,
    binaries: Path | None = None,
    port: int | None = None,
) -> EmbeddedServer:
    """Start the server in `directory`, or join the one that runs there.

    Blocks until it accepts connections, a minute at most.

    `directory` is created if missing; a relative one is below the working directory. If it holds no database cluster, one is made.
    `settings` (configuration parameters), `binaries` (the folder of `postgres` and `initdb`; default: those of the `embedded` extra)
    and `port` (default: a free one) count for the opener that starts the server, and are ignored by those who join.
    Safe among processes and threads. Raises `EmbeddedServerError`, with the server's last log lines when it did not start.
    """
    launch = _Launch(binaries=binaries, port=port, settings=settings or {})
    try:
        cluster = Cluster.at(directory)
        locks = ServerLocks(cluster.directory)
    except OSError as error:
        raise EmbeddedServerError(f"cannot keep a PostgreSQL server in {directory}: {error}") from error
    try:
        with locks.passing_gate(_GATE_TIMEOUT):
            return EmbeddedServer(cluster.directory, _join_or_start(cluster, locks, launch), locks)
    except BaseException as error:
        locks.close()
        if isinstance(error, OSError):
            raise EmbeddedServerError(f"cannot keep a PostgreSQL server in {directory}: {error}") from error
        raise


def directory_of(url: str) -> Path:
    """Return the directory of a `postgresql+embedded:` URL.

    The URL ends in `///absolute/directory`, or in `///./one/below/the/working/directory`.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "postgresql+embedded" or parts.netloc or not path.strip("/"):
        raise EmbeddedServerError(f"expected postgresql+embedded:///directory or postgresql+embedded:///./directory, not {url!r}")
    return Path(path[1:] if path.startswith("/./") else path)


def _join_or_start(cluster: Cluster, locks: ServerLocks, launch: _Launch) -> Postmaster:
    """Return the running server, using it from now on.

    A server that is starting or stopping is waited for.
    """
    for _ in polls(_START_TIMEOUT):
        if locks.server.try_exclusive():
            if locks.users.try_shared():
                return _start(cluster, locks, launch)
            locks.server.unlock()  # the last server's supervisor is just ending
        elif locks.users.try_shared():
            postmaster = cluster.postmaster()
            if postmaster is not None and postmaster.ready and _answers(postmaster.port):
                return postmaster
    raise EmbeddedServerError(f"the server in {cluster.directory} neither starts nor stops: {cluster.log_tail()}")


def _start(cluster: Cluster, locks: ServerLocks, launch: _Launch) -> Postmaster:
    binaries = check_binaries(launch.binaries) if launch.binaries is not None else find_binaries()
    account = choose_account(binaries / "postgres", cluster.directory, cluster.data)
    if not cluster.data.exists():
        cluster.initialise(binaries, account, locks.server.fd)
    cluster.rotate_log()
    for _ in range(_PORT_ATTEMPTS if launch.port is None else 1):
        cluster.clear_stale_pid_file()
        _reap(cluster.directory)
        port = launch.port or _free_port()
        supervisor = _spawn(cluster, locks, account, _command(binaries / "postgres", cluster.data, port, launch.settings))
        _supervisors[cluster.directory] = supervisor
        postmaster = _wait_until_ready(cluster, supervisor)
        if postmaster is not None:
            locks.hand_over_server()
            return postmaster
        if "could not bind" not in cluster.log_tail():  # else somebody took the port before the server did
            break
    locks.users.unlock()  # the supervisor of a server that is still starting stops it
    _reap(cluster.directory)
    raise EmbeddedServerError(f"the PostgreSQL server in {cluster.directory} did not start: {cluster.log_tail()}")


def _command(program: Path, data: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    # No Unix socket: its path would have to be short, and the port is enough.
    command = [str(program), "-D", str(data), "-h", _HOST, "-p", str(port), "-k", "", "-c", "max_connections=200"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def _spawn(cluster: Cluster, locks: ServerLocks, account: Account, command: list[str]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise EmbeddedServerError("the embedded PostgreSQL needs a Python interpreter to supervise it, and sys.executable is empty")
    orders: embedded_supervisor.Orders = {
        "command": [*account.prefix, *command],
        "uid": account.uid,
        "gid": account.gid,
        "users_path": str(locks.users_path),
        "server_fd": locks.server.fd,
        "signal_wait": _SIGNAL_WAIT.total_seconds(),
    }
    with cluster.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own argv, no shell
            [sys.executable, "-I", "-S", embedded_supervisor.__file__, json.dumps(orders)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cluster.data,
            pass_fds=[locks.server.fd],
            start_new_session=True,  # a terminal's Ctrl-C is not for the server
        )


def _wait_until_ready(cluster: Cluster, supervisor: subprocess.Popen[bytes]) -> Postmaster | None:
    """Return the server when it accepts connections.

    None when it has ended, or does not get ready in time.
    """
    for _ in polls(_START_TIMEOUT):
        if supervisor.poll() is not None:
            return None
        postmaster = cluster.postmaster()
        if postmaster is not None and postmaster.ready:
            return postmaster
    return None


def _reap(directory: Path) -> None:
    """Collect the supervisor that this process once started for `directory`.

    Call when it has ended or is about to end.
    """
    supervisor = _supervisors.pop(directory, None)
    if supervisor is not None:
        supervisor.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether something listens.

    A killed postmaster leaves its file, and for a moment its backends, but no listener.
    """
    try:
        socket.create_connection((_HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
