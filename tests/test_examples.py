"""Every example runs, as its reader would run it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, *arguments: str, **environment: str) -> str:
    """Run an example in a process of its own, and return what it printed.

    Fail unless it ended with status 0.
    """
    ended = subprocess.run(
        [sys.executable, "-P", str(EXAMPLES / name), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


class _Clock(BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"now": "about noon"}')

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' name
        """Stay quiet."""


@contextmanager
def a_web_server() -> Iterator[str]:
    """Serve on the loopback, and yield the URL."""
    server = HTTPServer(("127.0.0.1", 0), _Clock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/now"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_example_is_run_by_a_test_and_listed_for_readers() -> None:
    """One that nobody runs would rot."""
    tests = "".join(Path(__file__).with_name(name).read_text("utf-8") for name in ("test_examples.py", "test_compose.py"))
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    programs = [path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")]
    assert len(programs) >= 14
    assert [name for name in programs if f'"{Path(name).name}"' not in tests or f"({name})" not in listed] == []


def test_the_repeating_example_asks_the_url_at_its_seconds() -> None:
    """Seconds 1, 6, 11 ...: one of them comes within six seconds, and the run's result holds the answer."""
    with a_web_server() as url:
        printed = run_example("repeating.py", url, "--seconds", "6")
    assert "done" in printed
    assert "about noon" in printed


def test_the_once_example_runs_its_task_once_in_memory() -> None:
    """Without `DULY_STORE`."""
    assert run_example("once.py", DULY_STORE="").count("is cancelled by") == 1


@pytest.mark.postgres
def test_the_once_example_runs_its_task_once_on_postgresql(postgres_url: str) -> None:
    """The same code; only the environment names another store."""
    separator = "&" if "?" in postgres_url else "?"
    printed = run_example("once.py", DULY_STORE=f"{postgres_url}{separator}schema=example_once")
    assert printed.count("transaction 9bfadfd6-8e62-4c58-9b6e-636d666b6643 is cancelled by") == 1


@pytest.mark.firestore
def test_the_once_example_runs_its_task_once_on_firestore(firestore_project: str) -> None:
    """The same code; only the environment names another store."""
    assert run_example("once.py", DULY_STORE=f"firestore://{firestore_project}").count("is cancelled by") == 1


def test_the_when_example_shows_every_kind_of_trigger() -> None:
    """Its text, its words and its next fires."""
    printed = run_example("when.py")
    assert "CRON_TZ=Europe/Paris 0 9 * * MON-FRI\n    09:00 on Monday to Friday, Europe/Paris\n    2026-01-01 08:00:00, " in printed
    assert printed.count("\n") == 3 * 15


def test_the_when_example_shows_the_triggers_that_it_is_given() -> None:
    """Here across the night that has no 02:30."""
    printed = run_example("when.py", "CRON_TZ=Europe/Paris 30 2 * * *", "--after", "2026-03-28T12:00:00Z")
    assert "2026-03-29 01:00:00, 2026-03-30 00:30:00" in printed


def test_the_fetch_example_has_every_task_done_by_one_of_its_subscribers() -> None:
    """One of them at the second attempt."""
    printed = run_example("fetch.py")
    assert printed.count("is saved at attempt 1") == 5
    assert "disk-3 is busy: another try, soon" in printed
    assert "disk-3 is saved at attempt 2" in printed


def test_the_executors_example_kills_a_process_and_nothing_else() -> None:
    """Four jobs in four places; its own file is the main module that a child imports."""
    printed = run_example("executors.py")
    assert "coroutine runs in this process, MainThread" in printed
    assert "report runs in this process, reports_0" in printed
    assert "crunch runs in a process of its own, MainThread" in printed
    assert printed.count("is done") == 3
    assert "stuck is failed" in printed
    assert "its process was killed" in printed


def test_the_onboarding_example_sends_three_mails_to_each_over_ten_days() -> None:
    """On a clock moved by hand.

    The mails go on day 0, day 3 and day 10 to the microsecond, because no step takes any time.
    """
    printed = run_example("onboarding.py").splitlines()
    assert [line[:10] for line in printed[:-1]] == ["2030-01-01"] * 2 + ["2030-01-04"] * 2 + ["2030-01-11"] * 2
    assert printed[-1] == "6 mails, 0 tasks left"


@pytest.mark.postgres
def test_the_tenants_example_mixes_nothing(postgres_url: str) -> None:
    """The same slugs in two namespaces of one database, each run once for its own tenant.

    What failed gave way.
    """
    separator = "&" if "?" in postgres_url else "?"
    printed = run_example("tenants.py", DULY_STORE=f"{postgres_url}{separator}schema=example_tenants")
    ran = sorted(line for line in printed.splitlines() if " runs " in line)
    assert ran == [
        *(f"acme runs invoice/{number}: invoice/{number} of Acme" for number in (1, 2, 3)),
        *(line for number in (1, 2, 3) for line in _runs_of_globex(f"invoice/{number}")),
    ]
    assert "globex is told: no task 'report/rome' in namespace 'globex'" in printed
    assert "tasks in Rome: acme 1, globex 0" in printed
    assert "acme: 3 done, 0 failed, on ['billing']" in printed
    assert "globex: 3 done, 3 failed, on ['billing']" in printed
    assert printed.endswith("globex clears 0 tasks, acme still has ['report/rome'], and clears 1\n")


def _runs_of_globex(slug: str) -> list[str]:
    return [f"globex runs {slug}: {slug} of Globex, corrected", f"globex runs {slug}: unpayable, {slug} of Globex"]


@pytest.mark.postgres
def test_the_tenants_example_starts_a_database_of_its_own() -> None:
    """Where none is named; and stops it."""
    assert "globex: 3 done, 3 failed" in run_example("tenants.py", DULY_STORE="")


@pytest.mark.slow
def test_the_demonstration_in_memory_loses_nothing() -> None:
    """Three schedulers, one cut off."""
    printed = run_example("demo.py", "--store", "memory")
    assert "lost 0" in printed
    assert "took 'long' over" in printed


@pytest.mark.slow
@pytest.mark.postgres
def test_the_demonstration_on_an_embedded_postgresql_loses_nothing() -> None:
    """Three processes, one killed: the README's first command."""
    printed = run_example("demo.py")
    assert "lost 0" in printed
    assert "took 'long' over" in printed


def test_the_targets_example_retries_and_schedules_from_inside_a_job() -> None:
    """On the scheduler that the file beside it describes."""
    printed = run_example("targets.py")
    assert "how was it, Ada?" in printed
    assert "welcome, Bo, in attempt 2" in printed
    assert "how was it, Bo?" in printed
    assert "Cleo" not in printed


def test_the_targets_example_does_nothing_where_it_is_turned_off(tmp_path: Path) -> None:
    """What is scheduled is discarded."""
    (tmp_path / "off.toml").write_text("on = false\n", "utf-8")
    assert run_example("targets.py", str(tmp_path / "off.toml")) == "scheduled welcome\n"


def test_the_cadences_example_goes_through_an_hour() -> None:
    """Every line of it, because its clock is moved by hand."""
    assert run_example("cadences.py").splitlines() == [
        "cleanup  */5 * * * *  paused",
        "hourly   0 * * * *    next at Tue 13:00",
        "nightly  30 3 * * *   next at Wed 03:30",
        "often    @every 40m   next at Tue 12:40",
        "weekly   0 9 * * MON  next at Mon 09:00",
        "purge is registered",
        "12:05 cleanup  done",
        "12:10 cleanup  done",
        "12:15 cleanup  skipped  overlap: 1 passed while the run before, its retries included, was still going",
        "12:20 cleanup  done",
        "12:25 cleanup  skipped  misfire: 1 passed while no node ran the task",
        "12:30 cleanup  done",
        "12:32 cleanup  done",
        "12:35 cleanup  done",
        "13:00 hourly   failed   the printer is out of paper",
    ]


def test_the_context_example_schedules_where_there_is_a_scheduler_and_discards_where_there_is_none() -> None:
    """From a program and from a job's thread."""
    assert run_example("context.py").splitlines() == ["Ada has signed up", "Bo has signed up", "welcome, Bo", "how was it, Bo?"]


def test_the_context_example_discards_where_it_is_turned_off(tmp_path: Path) -> None:
    """By a file."""
    (tmp_path / "off.json").write_text('{"on": false}', "utf-8")
    assert run_example("context.py", str(tmp_path / "off.json")).splitlines() == ["Ada has signed up", "Bo has signed up"]


def test_the_typed_payloads_example_upgrades_one_payload_and_leaves_another_to_a_newer_node() -> None:
    """And refuses an object that could not be read again."""
    printed = run_example("typed_payloads.py")
    assert "ship:today: ships 3 of 'anvil'" in printed
    assert "upgrades {'what': 'hammer'} of version 1" in printed
    assert "ship:yesterday: ships 1 of 'hammer'" in printed
    assert "Task 'ship:tomorrow' waits until" in printed
    assert "it is of version 3, and this node reads up to version 2." in printed
    assert "refused: payload of job 'ship'" in printed


def test_the_encryption_example_leaves_no_plain_payload_in_the_store() -> None:
    """Under the old key, then under the new one.

    A node that has only the old one leaves the task to another.
    """
    printed = run_example("encryption.py").splitlines()
    assert printed[:3] == [
        "2 tasks in the store, with keys ['2026-10', '2026-10']; plain payloads: 0",
        "encrypted anew: 2, then 0",
        "2 tasks in the store, with keys ['2026-11', '2026-11']; plain payloads: 0",
    ]
    assert printed[3].endswith("this node cannot read its payload: it is encrypted with key '2026-11', which this node does not have.")
    assert printed[4:] == ["pay:ada: pays with a card that ends in 1111", "1 tasks in the store, with keys ['2026-11']; plain payloads: 0"]
