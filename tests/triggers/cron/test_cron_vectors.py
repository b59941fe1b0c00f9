"""Test vectors of other projects' suites, typed in as data.

Every line of `vectors/*.txt` is a test of its own.

A file holds the vectors of one project. Its first line names the project, the comment over a section the table or test
that the lines come from. A section's head says what its lines are and how to read them: `[next Europe/Riga inclusive]`.

    next        expression | after | the next fires: times, `never` for the end, or `n=50` and the 50th
    due         expression | time | yes or no: whether the time is one of the schedule
    refused     expression
    accepted    expression
    otherwise   expression | after or time | what they say | what we say | why

A time without an offset is wall time of the section's zone, UTC if there is none. `quartz` is the dialect, `inclusive`
says that their search includes the given time, as ours does a microsecond before it; `dst_gap=` and `dst_fold=` are
options. What they refuse and we accept stands under `otherwise` with the first fire after a time of our choice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen

from duly.triggers import CronTrigger, DstFold, DstGap, TriggerError, fire_times
from support.selection import spread

FOLDER = Path(__file__).parent / "vectors"
TICK = timedelta(microseconds=1)


@frozen
class Vector:
    """A line of a file, with the words of its section's head and the comment over the section."""

    project: str
    place: str
    source: str
    head: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def zone(self) -> str:
        """The IANA name of the zone."""
        return next((word for word in self.head[1:] if word[0].isupper()), "UTC")

    @property
    def start(self) -> datetime:
        """The time after which their search begins, or the time that is due or not."""
        return self.instant(self.cells[1]) - (TICK if "inclusive" in self.head else timedelta())

    def name(self) -> str:
        """Return what tells it from the others."""
        return f"{self.place} {self.cells[0]}"

    def section(self) -> tuple[str, str, tuple[str, ...]]:
        """Return what it has in common with the lines around it."""
        return self.project, self.source, self.head

    def trigger(self) -> CronTrigger:
        """Build the trigger. Raises `TriggerError` when the expression is refused."""
        options = dict(word.split("=") for word in self.head if "=" in word)
        return CronTrigger(
            self.cells[0],
            self.zone,
            dialect="quartz" if "quartz" in self.head else "unix",
            dst_gap=cast("DstGap", options.get("dst_gap", "run_after")),
            dst_fold=cast("DstFold", options.get("dst_fold", "once")),
        )

    def instant(self, text: str) -> datetime:
        """Read a time as UTC."""
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(self.zone))).astimezone(UTC)


def read_file(path: Path) -> Iterator[Vector]:
    """Yield the vectors of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    project, comment = lines[0].removeprefix("# "), ""
    head: tuple[str, ...] = ()
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            comment = f"{comment} {line}" if lines[number - 2].startswith("#") else line
        elif line.startswith("["):
            head = tuple(line.strip("[]").split())
        elif line:
            yield Vector(project, f"{path.stem}:{number}", comment, head, tuple(cell.strip() for cell in line.split("|")))


VECTORS = [vector for path in sorted(FOLDER.glob("*.txt")) for vector in read_file(path)]


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    """Parametrize a test with the vectors of these kinds; a selection has some of each section."""
    chosen = [vector for vector in VECTORS if vector.head[0] in kinds]
    return pytest.mark.parametrize("vector", spread(chosen, Vector.name, group=Vector.section))


def told(vector: Vector, text: str) -> list[datetime | str]:
    """Read an answer: its times as UTC, the words `never`, `yes`, `no`, `refused`, `accepted` as they are."""
    return [word if word.isalpha() else vector.instant(word) for word in text.split() if not word.startswith("n=")]


def found(vector: Vector, form: str) -> list[datetime | str]:
    """Ask our trigger for an answer of the same form as the text."""
    first, *others = form.split()
    try:
        trigger = vector.trigger()
    except TriggerError:
        return ["refused"]
    if first in {"refused", "accepted"}:
        return ["accepted"]
    if first in {"yes", "no"}:
        return ["yes" if trigger.next_fire_time(vector.start - TICK) == vector.start else "no"]
    count = int(first.removeprefix("n=")) if first.startswith("n=") else 1 + len(others)
    fires: list[datetime | str] = list(islice(fire_times(trigger, vector.start), count))
    fires += ["never"] * (len(fires) < count)
    return fires[-1:] if first.startswith("n=") else fires


@of_kind("next", "due")
def test_a_published_vector_fires_as_its_project_says(vector: Vector) -> None:
    """The fires are those that the other project's own suite expects."""
    assert found(vector, vector.cells[2]) == told(vector, vector.cells[2])


@of_kind("refused")
def test_what_another_project_refuses_is_refused(vector: Vector) -> None:
    """An expression that the other suite expects to fail, or to have no fire at all, is an error."""
    assert found(vector, "refused") == ["refused"]


@of_kind("accepted")
def test_what_another_project_accepts_is_accepted(vector: Vector) -> None:
    """An expression of which the other suite says no more than that it is valid."""
    assert found(vector, "accepted") == ["accepted"]


@of_kind("otherwise")
def test_where_projects_disagree_the_choice_is_stated(vector: Vector) -> None:
    """A difference from another project is a decision with a reason, not an accident."""
    _, _, theirs, ours, reason = vector.cells

    assert found(vector, ours) == told(vector, ours), reason
    assert told(vector, ours) != told(vector, theirs)
    assert reason


def test_at_least_twelve_projects_are_represented() -> None:
    """One project's habits are not taken for the rule."""
    assert len({vector.project for vector in VECTORS}) >= 12


def test_every_vector_names_its_source() -> None:
    """The file names the project and its suite, the comment over a section the test."""
    for path in FOLDER.glob("*.txt"):
        head = path.read_text(encoding="utf-8").splitlines()[:2]
        assert head[0].removeprefix("# ").count("/") == 1
        assert head[1].startswith("# ")
    for vector in VECTORS:
        assert vector.source.startswith("# "), vector.place
        assert vector.project not in vector.source, vector.place


@pytest.mark.parametrize("year", ["1980", "2099"])
def test_a_year_that_is_over_has_no_next_fire(year: str) -> None:
    """The last minute of the last year still fires, and nothing after it."""
    trigger = CronTrigger(f"0 * * * * * {year}")
    last = datetime.fromisoformat(f"{year}-12-31T23:59:00+00:00")

    assert trigger.next_fire_time(last - timedelta(seconds=30)) == last
    assert trigger.next_fire_time(last) is None
