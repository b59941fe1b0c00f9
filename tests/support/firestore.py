"""Fixtures for Google's Firestore emulator.

The tests of a session share one emulator; each test has a fresh project, which is a fresh database.

`FIRESTORE_EMULATOR_HOST` names an emulator to use instead of starting one. Where Java or the emulator is missing the tests that need it
are skipped, and the summary says so; with `DULY_REQUIRE_FIRESTORE=1` they fail. With xdist each worker is a session and has its own
emulator: one or two seconds and 160 MB each, and nothing to agree on among the workers.
"""

import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from support.waiting import wait_until

_HOST_VARIABLE = "FIRESTORE_EMULATOR_HOST"
_REQUIRE_VARIABLE = "DULY_REQUIRE_FIRESTORE"
_JAR = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
_MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
_JAVA_OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-Duser.language=en"]
_START_TIMEOUT = timedelta(seconds=30)
_STOP_SECONDS = 10
_START_ATTEMPTS = 3  # somebody may take the port that was free
_SKIPPED = "FIRESTORE NOT TESTED"
_INSTALL = "install Java 17 or newer (21 for coming releases) and `gcloud components install cloud-firestore-emulator`"


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The emulator's `host:port`; clients and child processes find it in the environment."""
    given = os.environ.get(_HOST_VARIABLE)
    if given:
        yield given
        return
    command = find_command()
    if isinstance(command, str):
        _give_up(command)
    with _emulator(command, tmp_path_factory.mktemp("firestore") / "emulator.log") as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv(_HOST_VARIABLE, host)
        yield host


@pytest.fixture
def firestore_project(firestore_emulator: str) -> str:
    """The id of an empty project: the emulator makes one for whoever names it."""
    return f"t-{uuid.uuid4().hex}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line that a store went untested; also for what xdist's workers skipped."""
    reasons = [report.longrepr[2] for report in terminalreporter.getreports("skipped") if isinstance(report.longrepr, tuple)]
    untested = [reason for reason in reasons if _SKIPPED in reason]
    if untested:
        terminalreporter.write_line(f"{len(untested)} tests skipped: {untested[0].removeprefix('Skipped: ')}", red=True, bold=True)


def find_command() -> list[str] | str:
    """Return the emulator's command line without its address, or, as text, what is missing.

    Java itself is preferred to the emulator's script: it starts faster and is one process.
    """
    java = shutil.which("java")
    if java is None:
        return f"no Java: {_INSTALL}"
    jar = find_jar()
    if jar is not None:
        return [java, *_JAVA_OPTIONS, "-cp", str(jar), _MAIN_CLASS]
    script = shutil.which("cloud_firestore_emulator")
    if script is not None:
        return [script, "start"]
    return f"no emulator: {_INSTALL}"


def find_jar() -> Path | None:
    """Look for the emulator in Google's SDK, and in Firebase's cache.

    The environment, the path of `gcloud` or `gcloud` itself tell where the SDK is.
    """
    gcloud = shutil.which("gcloud")
    roots = [Path(os.environ[name]) for name in ("CLOUDSDK_ROOT_DIR", "GCLOUD_SDK_PATH") if os.environ.get(name)]
    if gcloud is not None:
        roots.append(Path(gcloud).resolve().parent.parent)
    for root in roots:
        if (root / _JAR).exists():
            return root / _JAR
    if gcloud is not None:  # slow, so it is asked last
        answer = subprocess.run([gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, check=False)
        jar = Path(answer.stdout.strip()) / _JAR
        if answer.stdout.strip() and jar.exists():
            return jar
    cached = Path.home().glob(".cache/firebase/emulators/cloud-firestore-emulator-v*.jar")
    return max(cached, key=lambda jar: jar.stat().st_mtime, default=None)


def _give_up(reason: str) -> NoReturn:
    if os.environ.get(_REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{_REQUIRE_VARIABLE}=1, but there is {reason}", pytrace=False)
    pytest.skip(f"{_SKIPPED}: {reason}")


@contextmanager
def _emulator(command: list[str], log: Path) -> Iterator[str]:
    """Run the emulator in a process group of its own, because the scripts do not pass signals on."""
    process, host = _start(command, log)
    try:
        yield host
    finally:
        _stop(process)


def _start(command: list[str], log: Path) -> tuple["subprocess.Popen[bytes]", str]:
    for _ in range(_START_ATTEMPTS):
        port = _free_port()
        argv = [*_bound_to_this_process(), *command, "--host=127.0.0.1", f"--port={port}"]
        with log.open("ab") as output:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        host = f"127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or _answers(host), _START_TIMEOUT)  # noqa: B023 - called in this turn
        except BaseException:
            _stop(process)
            raise
        if process.poll() is None:
            return process, host
    pytest.fail(f"the Firestore emulator did not start: {log.read_text(errors='replace')[-500:]}", pytrace=False)


def _bound_to_this_process() -> list[str]:
    """The prefix, where the system has it, that ends the emulator with a killed test run.

    Pytest's main thread lives as long as it does.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv is not None else []


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _answers(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}/", timeout=1) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
