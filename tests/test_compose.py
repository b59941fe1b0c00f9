"""The Compose example.

Its files fit together, and its program does what it says, in as many processes as there are replicas.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from support.waiting import wait_until

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "compose"


@pytest.fixture(name="services")
def parsed_services() -> dict[str, Any]:
    """What the file says of its services."""
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    return services


def test_two_replicas_wait_for_one_database(services: dict[str, Any]) -> None:
    """For its health, not for its start; and they have longer to stop than a drain takes."""
    app = services["app"]
    assert sorted(services) == ["app", "postgres"]
    assert app["deploy"]["replicas"] == 2
    assert app["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    # By TCP: while the image sets the database up, it answers on its socket already, and is restarted after that.
    assert services["postgres"]["healthcheck"]["test"][:4] == ["CMD", "pg_isready", "--host", "127.0.0.1"]
    assert app["stop_grace_period"] == "30s"


def test_the_store_is_the_database_beside_it(services: dict[str, Any]) -> None:
    """With the password that it was given; the host is the service's name."""
    password = services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert services["app"]["environment"] == {"DULY_STORE": f"postgresql://postgres:{password}@postgres/postgres"}


def test_the_image_is_built_from_this_checkout_and_runs_the_program(services: dict[str, Any]) -> None:
    """Every path that the two files name is there."""
    build = services["app"]["build"]
    context = (FOLDER / build["context"]).resolve()
    assert context == ROOT.resolve()
    dockerfile = (context / build["dockerfile"]).read_text("utf-8")
    steps = [line.partition(" ")[::2] for line in dockerfile.splitlines() if line and not line.startswith("#")]
    assert steps[0] == ("FROM", "python:3.13-slim")
    assert steps[-1] == ("CMD", '["python", "app.py"]')
    assert ("RUN", "cp /src/examples/compose/app.py .") in steps
    assert (context / "examples/compose/app.py").is_file()


@contextmanager
def a_replica(store: str, lines: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run the program with a tick every second; what it prints comes into `lines`."""
    environment = {**os.environ, "DULY_STORE": store, "CRON": "* * * * * *"}
    process = subprocess.Popen(
        [sys.executable, "-P", str(FOLDER / "app.py")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    reading = Thread(target=lines.extend, args=[process.stdout], daemon=True)
    reading.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        reading.join(5)
        process.stdout.close()


def test_outside_a_container_the_program_needs_no_database() -> None:
    """In memory, a tick a second; it ends in order when it is told to."""
    lines = list[str]()
    with a_replica("memory://", lines) as program:
        wait_until(lambda: len(lines) >= 2, timedelta(seconds=30))
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    assert all(line.startswith("hello world! ") for line in lines)


@pytest.mark.slow
@pytest.mark.postgres
def test_each_tick_runs_in_one_of_the_replicas_and_goes_on_without_the_one_that_is_killed(postgres_url: str) -> None:
    """Real processes on PostgreSQL; the last one ends in order when it is told to."""
    store = f"{postgres_url}{'&' if '?' in postgres_url else '?'}schema=example_compose"
    mine, others = list[str](), list[str]()
    with a_replica(store, mine) as survivor:
        with a_replica(store, others):
            wait_until(lambda: len(mine) + len(others) >= 4, timedelta(seconds=30))
        before = len(mine)
        # The killed one may have taken a tick with it, whose lease of 30 s has to end first.
        wait_until(lambda: len(mine) >= before + 2, timedelta(seconds=75))
        survivor.send_signal(signal.SIGTERM)
        assert survivor.wait(30) == 0
    ticks = [line.split()[2] for line in (*mine, *others)]
    assert all(line.startswith("hello world! ") for line in (*mine, *others))
    assert len(ticks) - len(set(ticks)) <= 1, "none runs twice but the one with which a replica was killed, if there was any"
