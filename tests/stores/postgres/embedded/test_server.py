"""The embedded PostgreSQL server: one for all who open a directory, and none when they have gone."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from duly.stores.postgres.embedded.server import open_embedded
from support.postgres import OwnServer, ask, server_folder
from support.processes import processes_in, state_and_parent, zombies
from support.waiting import wait_until

pytestmark = pytest.mark.postgres

_FAST = {"fsync": "off"}

# Opens the directory in argv, forks if asked to, tells the ids, and uses the server until its input ends.
_OPENER = """
import json, os, signal, sys
from duly.stores.postgres.embedded.server import open_embedded
sys.stdin.readline()
with open_embedded(sys.argv[1], settings={"fsync": "off"}) as server:
    child = os.fork() if "fork" in sys.argv[2:] else None
    if child == 0:
        os.closerange(0, 3)  # the parent's pipes
        signal.pause()
    print(json.dumps([server.pid, child]), flush=True)
    sys.stdin.read()
"""


class Opener:
    """Another process that uses a directory's server."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [sys.executable, "-c", _OPENER, str(directory), *options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def go(self) -> None:
        """Let it open the directory now."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def pids(self) -> tuple[int, int | None]:
        """Wait until it has the server; the process ids of the server and of the opener's forked child."""
        assert self._process.stdout is not None
        server, child = json.loads(self._process.stdout.readline())
        return server, child

    def kill(self) -> None:
        """End it without a farewell."""
        self._process.kill()
        self._process.communicate()

    def leave(self) -> int:
        """Let it release the server and end; its exit status."""
        self._process.communicate()
        return self._process.returncode


@contextmanager
def opener(directory: Path, *options: str) -> Iterator[Opener]:
    """Start another process that will open the directory, and make sure that it ends."""
    process = Opener(directory, *options)
    try:
        yield process
    finally:
        process.kill()


def test_the_server_stays_until_its_last_user_in_a_process_leaves(server_directory: Path) -> None:
    """Each opener counts, the first no more than the others."""
    first, second = open_embedded(server_directory, settings=_FAST), open_embedded(server_directory)
    assert (first.pid, first.url) == (second.pid, second.url)
    first.release()
    assert ask(second.url, "SELECT 1") == 1
    second.release()
    assert processes_in(server_directory) == []


def test_the_last_release_leaves_no_process_and_no_zombie(server_directory: Path) -> None:
    """When `release` returns, the server, its children and its supervisor have ended and are reaped."""
    before = set(zombies())
    server = open_embedded(server_directory, settings=_FAST)
    server.release()
    assert processes_in(server_directory) == []
    assert set(zombies()) <= before


def test_release_can_be_repeated(server_directory: Path) -> None:
    """A second release is none: it takes nothing from another opener."""
    first, second = open_embedded(server_directory, settings=_FAST), open_embedded(server_directory)
    first.release()
    first.release()
    assert ask(second.url, "SELECT 1") == 1
    second.release()


def test_an_open_connection_does_not_hold_up_the_stop(server_directory: Path) -> None:
    """Who is still connected is disconnected."""
    server = open_embedded(server_directory, settings=_FAST)
    with psycopg.connect(server.url) as connection:
        server.release()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_processes_that_open_at_once_get_one_server(server_directory: Path) -> None:
    """One starts it, the others wait and join."""
    with ExitStack() as stack:
        openers = [stack.enter_context(opener(server_directory)) for _ in range(4)]
        for process in openers:
            process.go()
        assert len({process.pids() for process in openers}) == 1
        assert [process.leave() for process in openers] == [0, 0, 0, 0]
    assert processes_in(server_directory) == []


def test_processes_that_open_a_new_directory_at_once_get_one_cluster() -> None:
    """The cluster is made once."""
    with server_folder() as folder, ExitStack() as stack:
        openers = [stack.enter_context(opener(folder)) for _ in range(3)]
        for process in openers:
            process.go()
        assert len({process.pids() for process in openers}) == 1
        assert [process.leave() for process in openers] == [0, 0, 0]


def test_threads_that_open_at_once_get_one_server(server_directory: Path) -> None:
    """The same among the threads of a process."""
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(open_embedded, [server_directory] * 4))
        assert len({server.pid for server in servers}) == 1
        list(pool.map(lambda server: server.release(), servers))


def test_opening_and_leaving_at_the_same_time_always_ends_in_a_server_that_answers(server_directory: Path) -> None:
    """Whoever opens while the last user leaves gets the old server or a new one, never a dying one."""

    def visit(_: int) -> object:
        with open_embedded(server_directory, settings=_FAST) as server:
            return ask(server.url, "SELECT 1")

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(visit, range(12))) == {1}


def test_the_server_outlives_the_thread_that_started_it(server_directory: Path) -> None:
    """The thread of a blocking scheduler may end before the program does."""
    servers = []
    thread = threading.Thread(target=lambda: servers.append(open_embedded(server_directory, settings=_FAST)))
    thread.start()
    thread.join()
    assert ask(servers[0].url, "SELECT 1") == 1
    servers[0].release()


def test_the_server_ends_with_its_killed_user(server_directory: Path) -> None:
    """A user killed by SIGKILL cannot say farewell.

    The server is stopped all the same, and the next open works.
    """
    with opener(server_directory) as user:
        user.go()
        pid, _ = user.pids()
        user.kill()
    wait_until(lambda: not processes_in(server_directory))
    with open_embedded(server_directory, settings=_FAST) as server:
        assert server.pid != pid
        assert ask(server.url, "SELECT 1") == 1


def test_an_open_right_after_the_kill_of_the_only_user_works(server_directory: Path) -> None:
    """The next opener adopts the orphaned server or waits for its end; it never gets a dying one."""
    for _ in range(3):
        with opener(server_directory) as user:
            user.go()
            user.pids()
            user.kill()
            with open_embedded(server_directory, settings=_FAST) as server:
                assert ask(server.url, "SELECT 1") == 1


def test_the_server_goes_on_when_its_starter_is_killed_and_others_use_it(server_directory: Path) -> None:
    """Nobody owns the server more than the others: an open connection does not even notice."""
    with opener(server_directory) as starter:
        starter.go()
        pid, _ = starter.pids()
        with open_embedded(server_directory) as server, psycopg.connect(server.url) as connection:
            starter.kill()
            assert server.pid == pid
            connection.execute("SELECT 1")


def test_a_forked_child_of_a_killed_user_does_not_keep_the_server_alive(server_directory: Path) -> None:
    """It inherits the open lock files, and lets go of them at once."""
    with opener(server_directory, "fork") as user:
        user.go()
        _, child = user.pids()
        assert child is not None
        try:
            user.kill()
            wait_until(lambda: not processes_in(server_directory))
            assert state_and_parent(child)[0] not in "ZX"
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_server_ends_when_its_supervisor_is_killed(server_directory: Path) -> None:
    """The kernel ends it, so that no server is left without somebody to stop it; the next open works."""
    with open_embedded(server_directory, settings=_FAST) as server:
        supervisor = state_and_parent(server.pid)[1]
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not processes_in(server_directory))
        with open_embedded(server_directory, settings=_FAST) as again:
            assert ask(again.url, "SELECT 1") == 1


def test_signals_for_the_application_do_not_stop_its_server(server_directory: Path) -> None:
    """An application that was told to end drains first, and needs its database for that."""
    with open_embedded(server_directory, settings=_FAST) as server:
        supervisor = state_and_parent(server.pid)[1]
        assert os.getsid(supervisor) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(supervisor, number)
        assert ask(server.url, "SELECT 1") == 1


def test_a_killed_server_recovers_at_its_old_address(postgres_server: OwnServer) -> None:
    """What was committed is there after a crash, for those who kept the URL."""
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.commit()
        postgres_server.kill()
        assert processes_in(postgres_server.directory) == []
    postgres_server.start()
    assert ask(postgres_server.url, "SELECT answer FROM kept") == 42


def test_the_open_after_one_that_was_killed_while_it_made_the_cluster_works() -> None:
    """The killed opener's initdb goes on for a while.

    The next one waits for it, and makes the cluster again.
    """
    with server_folder() as folder, opener(folder) as killed:
        killed.go()
        wait_until((folder / "data.new").exists)
        killed.kill()
        with open_embedded(folder, settings=_FAST) as server:
            assert ask(server.url, "SELECT 1") == 1
