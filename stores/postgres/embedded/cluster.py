"""The contents of a server directory: cluster, log, and what `postmaster.pid` tells.

`DIRECTORY/data` is the cluster, `DIRECTORY/server.log` the log of the present or last server (the one before is `server.log.1`).
"""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from duly.stores.postgres.embedded.binaries import Account
from duly.stores.postgres.embedded.errors import EmbeddedServerError

_INITDB_SECONDS = 120
_TAIL_LINES = 5
_PID_FILE_LINES = 8


@frozen(kw_only=True)
class Postmaster:
    """A server's main process as it describes itself in `postmaster.pid`."""

    pid: int
    port: int
    ready: bool
    """It accepts connections: it is neither starting nor stopping."""


@frozen
class Cluster:
    """The files of one embedded server."""

    directory: Path

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The log of the present or last server."""
        return self.directory / "server.log"

    @classmethod
    def at(cls, directory: str | os.PathLike[str]) -> "Cluster":
        """Create the directory if it is missing; a relative one is below the working directory."""
        path = Path(directory).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            # Root's server runs as another user, who must pass through to the data folder; nobody else has business here.
            path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
        return cls(path)

    def initialise(self, binaries: Path, account: Account, server_fd: int) -> None:
        """Create the cluster.

        It appears under its name when it is whole, so that a killed start leaves nothing half made.

        initdb inherits the server lock too: if the opener is killed, the next one waits until its initdb has ended.
        """
        unfinished = self.directory / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if account.uid is not None and account.gid is not None:
            os.chown(unfinished, account.uid, account.gid)
        command = [*account.prefix, str(binaries / "initdb"), "-D", str(unfinished)]
        command += ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        try:
            subprocess.run(  # noqa: S603 - our own argv, no shell
                command,
                cwd=unfinished,  # a folder that the account can enter
                user=account.uid,
                group=account.gid,
                extra_groups=account.extra_groups,
                stdin=subprocess.DEVNULL,
                pass_fds=[server_fd],
                capture_output=True,
                check=True,
                timeout=_INITDB_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            said = " | ".join(error.stderr.decode(errors="replace").split("\n")[-_TAIL_LINES:])
            raise EmbeddedServerError(f"initdb failed in {self.directory}: {said}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EmbeddedServerError(f"initdb failed in {self.directory}: {error}") from error
        unfinished.rename(self.data)

    def postmaster(self) -> Postmaster | None:
        """Return what `postmaster.pid` says, or None while it is missing or incomplete.

        It is stale if no server lives.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < _PID_FILE_LINES:
            return None
        return Postmaster(pid=int(lines[0]), port=int(lines[3]), ready=lines[7].strip() == "ready")

    def clear_stale_pid_file(self) -> None:
        """Remove the `postmaster.pid` of a killed server; call when no server of ours lives.

        PostgreSQL would trust it if its process id has been given to another process, or belongs to a zombie that nobody reaps. The
        file stays if that process works in this very data folder: somebody started a server by hand, and PostgreSQL must refuse.
        """
        pid_file = self.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            pid = pid_file.read_text(encoding="utf-8").partition("\n")[0]
            with suppress(OSError):  # no such process, a zombie, or a system without /proc
                if Path(f"/proc/{pid}/cwd").readlink() == self.data:
                    return
            pid_file.unlink()

    def rotate_log(self) -> None:
        """Put the last server's log aside and begin an empty one, which only its owner may read."""
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_name("server.log.1"))
        self.log.touch(mode=0o600)

    def log_tail(self) -> str:
        """The last lines of the log as one line."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return "no log"
        return " | ".join(lines[-_TAIL_LINES:]) or "an empty log"
