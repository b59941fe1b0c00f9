"""The onboarding example is killed at every step boundary and inside each step.

Every mail is sent once.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from support.programs import program

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "examples" / "onboarding.py"
SUBJECTS = ["welcome", "tips", "how is it going?"]
POINTS = [f"{step}:{where}" for step in range(3) for where in ("begun", "sent", "written")]


class Server:
    """The mail server's file, and a schema of the test's own."""

    def __init__(self, postgres_url: str, folder: Path) -> None:
        self._file = folder / "mails.db"
        separator = "&" if "?" in postgres_url else "?"
        store = f"{postgres_url}{separator}schema=onboarding_{uuid4().hex}"
        self._arguments = [str(EXAMPLE), "--store", store, "--mails", str(self._file), "--day", "0.02"]

    def kill_at(self, point: str, *more: str) -> None:
        """Start the program, and kill it at that point."""
        with program(*self._arguments, "--halt", point, *more) as halting:
            halting.await_line(f"at {point}")
            halting.kill()

    def go_on(self) -> None:
        """Start the program, and let it come to its end: no task is left then."""
        with program(*self._arguments) as other:
            status, _ = other.end(30)
            assert status == 0, other.log

    def mails(self) -> Sequence[tuple[str, int]]:
        """Return the subject of each mail that was sent, in their order, and how often it was asked for."""
        with closing(sqlite3.connect(self._file)) as mails:
            return mails.execute("SELECT subject, requests FROM mails ORDER BY rowid").fetchall()


@pytest.fixture
def server(postgres_url: str, tmp_path: Path) -> Server:
    """A server without mails."""
    return Server(postgres_url, tmp_path)


@pytest.mark.parametrize("point", POINTS)
def test_each_mail_is_sent_once_though_the_node_is_killed(server: Server, point: str) -> None:
    """A step that was killed after its mail asks for it once more, under the same key.

    What was written is not done again.
    """
    server.kill_at(point, "--sign-up", "ada")
    server.go_on()

    assert [subject for subject, _ in server.mails()] == SUBJECTS
    step, _, where = point.partition(":")
    assert (server.mails()[int(step)][1] > 1) == (where == "sent")


def test_each_mail_is_sent_once_though_a_node_is_killed_at_every_point(server: Server) -> None:
    """One node after the other, nine in all; a point is behind it once a later one was reached."""
    server.kill_at(POINTS[0], "--sign-up", "ada")
    for point in POINTS[1:]:
        server.kill_at(point)
    server.go_on()

    assert [subject for subject, _ in server.mails()] == SUBJECTS
