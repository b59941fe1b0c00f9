"""Fixtures for a real PostgreSQL server: one shared by the tests of a session, one of a test's own.

`DULY_TEST_POSTGRES` names a server to use instead of starting the shared one; the tests may create and drop what they like in it.
With xdist each worker is a session and has its own server.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from support.processes import processes_in
from support.waiting import wait_until

if TYPE_CHECKING:
    from duly.stores.postgres.embedded.server import EmbeddedServer

# The tests' data need not survive the machine. They must survive a killed server, so commits stay synchronous.
_SETTINGS = {"fsync": "off"}


class OwnServer:
    """A server which a test may stop, kill and start again; its address stays the same."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server = _open(directory)
        self.url = self._server.url

    @property
    def pid(self) -> int:
        """The main process of the server that was started last."""
        return self._server.pid

    def stop(self) -> None:
        """Shut it down as an administrator would: every connection is ended. Does nothing if it does not run."""
        self._server.release()

    def kill(self) -> None:
        """End it as a crash would, without a farewell; returns when its main process is gone."""
        self.signal(signal.SIGKILL)
        self._server.release()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process, for example SIGSTOP for a server that hangs.

        SIGCONT it before the test ends.
        """
        os.kill(self.pid, number)

    def start(self) -> None:
        """Start it again where it was."""
        self._server.release()
        self._server = _open(self.directory, port=self._server.port)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a server shared by all tests: keep to a schema or namespace of your own."""
    given = os.environ.get("DULY_TEST_POSTGRES")
    if given:
        yield given
        return
    with server_folder() as folder, _open(folder) as server:
        yield server.url


@pytest.fixture(scope="session")
def second_postgres_url() -> Iterator[str]:
    """The address of a shared server of the operating system's own PostgreSQL version.

    Skips if there is none.
    """
    binaries = system_binaries()
    if binaries is None:
        pytest.skip("no second PostgreSQL version: pg_config, or the server programs beside it, are not installed")
    with server_folder() as folder, _open(folder, binaries=binaries) as server:
        yield server.url


@pytest.fixture(params=["embedded", "system"])
def each_postgres_url(request: pytest.FixtureRequest) -> str:
    """Run the test on the shared server and again on the operating system's PostgreSQL version."""
    url: str = request.getfixturevalue("postgres_url" if request.param == "embedded" else "second_postgres_url")
    return url


@pytest.fixture
def postgres_server() -> Iterator[OwnServer]:
    """A server of the test's own."""
    with server_folder() as folder:
        server = OwnServer(folder)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def _cluster_folder() -> Iterator[Path]:
    with server_folder() as folder:
        yield folder


@pytest.fixture
def server_directory(_cluster_folder: Path) -> Iterator[Path]:
    """A directory for servers that the test starts by itself, as the test before left it.

    Afterwards no process may be left in it.
    """
    yield _cluster_folder
    wait_until(lambda: not processes_in(_cluster_folder))


@contextmanager
def server_folder() -> Iterator[Path]:
    """Make a folder that root's server can enter too, which runs as `nobody`.

    Pytest's own folders are private.
    """
    with tempfile.TemporaryDirectory(prefix="duly-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def migrated(url: str, schema: str) -> str:
    """Make the schema of a store, which takes longer than most tests, and return the address."""
    from duly.stores.postgres import PostgresStore  # noqa: PLC0415 - as in `_open`

    async def migrate() -> None:
        async with PostgresStore(url, schema=schema):
            pass

    asyncio.run(migrate())
    return url


def emptied(url: str, schema: str) -> None:
    """Delete what the stores of a schema hold: of so few rows faster than TRUNCATE."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("tasks", "runs", "nodes", "slots"):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, table)))


def _open(directory: Path, *, binaries: Path | None = None, port: int | None = None) -> "EmbeddedServer":
    # Not above: pytest imports this file before coverage begins to measure, which would miss whatever is imported here.
    from duly.stores.postgres.embedded.server import open_embedded  # noqa: PLC0415

    return open_embedded(directory, settings=_SETTINGS, binaries=binaries, port=port)


def system_binaries() -> Path | None:
    """Return the folder of the operating system's PostgreSQL server programs.

    None if they are not installed.
    """
    program = shutil.which("pg_config")
    if program is None:
        return None
    answer = subprocess.run([program, "--bindir"], capture_output=True, text=True, check=True)
    binaries = Path(answer.stdout.strip())
    return binaries if (binaries / "postgres").exists() and (binaries / "initdb").exists() else None


def ask(url: str, query: str) -> object:
    """Run a query in a transaction of its own; the first value of its answer, or None if it has none."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None
