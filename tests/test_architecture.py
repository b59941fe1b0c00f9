"""What docs/architecture.md shows is true of the code: files, wings, states, errors."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import attrs
import pytest

import duly.jobs
import duly.scheduler
import duly.stores
import duly.triggers
from duly.jobs import Task, TaskState
from duly.scheduler import DulyError
from duly.scheduler.node.dispatcher import Dispatcher
from duly.scheduler.node.outbox import Outbox
from duly.scheduler.node.runner import Runner
from duly.scheduler.rules import outcomes
from duly.scheduler.runs.live_run import RunState
from duly.stores import RunStatus
from duly.stores.rules import transitions
from support.documented import ROOT, text_of

FOLDERS = ("scheduler", "stores", "jobs", "triggers")
PAGE = text_of("docs/architecture.md")
NOON, LEASE = datetime(2030, 1, 1, 12, tzinfo=UTC), timedelta(seconds=30)


def _section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _picture() -> dict[str, list[str]]:
    """Return the files that stand under each wing, by their names in it."""
    parts = re.split(r"^### (.+)/$", _section("The picture"), flags=re.MULTILINE)[1:]
    return {wing: re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE) for wing, rows in zip(parts[::2], parts[1::2], strict=True)}


def test_the_picture_shows_every_file_of_the_four_folders_once() -> None:
    """And no other; the `__init__.py` of a wing is its heading, and one `py.typed` stands for four."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".sql", ".json"}]
    shown = [path for wing, names in _picture().items() for name in names for path in (ROOT / wing).glob(name)]

    assert {path.relative_to(ROOT) for path in files if path.name != "__init__.py"} ^ {
        path.relative_to(ROOT) for path in shown if path.suffix != ".typed"
    } == set()
    assert len(shown) == len(set(shown))


def test_every_wing_has_a_heading_and_every_name_a_file() -> None:
    """Nothing is shown that is not there any more."""
    wings = {path.parent.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.py")}

    assert set(_picture()) == wings
    assert [f"{wing}/{name}" for wing, names in _picture().items() for name in names if not list((ROOT / wing).glob(name))] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_in_the_text_is_there(page: str) -> None:
    """Whatever section names it."""
    named = set(re.findall(r"`((?:scheduler|stores|jobs|triggers|tests|docs)/[\w./]*)`", text_of(page)))

    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


# -- errors ------------------------------------------------------------------------------------------------------------


def _shown_errors() -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield each error with the one above it, and the paths where it is raised."""
    above: list[str] = []
    for found in re.finditer(r"^( *)- `(\w+)`(.*(?:\n +[^ -].*)*)", _section("Errors"), re.MULTILINE):
        del above[len(found[1]) // 2 :]
        yield found[2], above[-1] if above else None, re.findall(r"`((?:scheduler|stores|jobs|triggers)/[\w./]*)`", found[3])
        above.append(found[2])


def _errors(error: type[DulyError], above: str | None = None) -> Iterator[tuple[str, str | None]]:
    yield error.__name__, above
    for each in error.__subclasses__():
        if each.__module__.startswith("duly."):
            yield from _errors(each, error.__name__)


def test_the_error_tree_is_that_of_the_classes() -> None:
    """Every class, below the one that it is derived from."""
    for package in (duly.triggers, duly.jobs, duly.stores, duly.scheduler):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".conformance" not in module.name:
                importlib.import_module(module.name)

    shown = sorted((name, above or "") for name, above, _ in _shown_errors())
    assert shown == sorted((name, above or "") for name, above in _errors(DulyError))


@pytest.mark.parametrize(("error", "paths"), [(name, paths) for name, _, paths in _shown_errors()])
def test_an_error_stands_in_the_files_that_are_said_to_raise_it(error: str, paths: list[str]) -> None:
    """By its name in the code."""
    for path in paths:
        files = [ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py")
        assert any(re.search(rf"\b{error}\b", file.read_text("utf-8")) for file in files), path


# -- states ------------------------------------------------------------------------------------------------------------


def _states() -> dict[str, dict[TaskState, str]]:
    """Return for each instant what the table says of each state: `set`, `None` or `set or None`."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.+\|$", _section("States"), re.MULTILINE)]
    head, _, *body = rows
    states = [TaskState[name.strip("`")] for name in head[1:]]
    instants = [row for row in body if len(row) == len(head)]
    return {name.strip("`"): dict(zip(states, (cell.partition(":")[0] for cell in cells), strict=True)) for name, *cells in instants}


def test_the_table_has_every_state_and_every_instant_of_a_task() -> None:
    """An instant is a field whose type is a datetime."""
    instants = {each.name for each in attrs.fields(Task) if each.type in (datetime, datetime | None)}

    assert _states().keys() == instants
    assert {frozenset(cells) for cells in _states().values()} == {frozenset(TaskState)}


def _life() -> Iterator[Task]:
    """Yield one task in every state, by each way that leads there."""
    new = Task(slug="a", kind="k", run_at=NOON, anchor=NOON)
    created = transitions.create(new, namespace="default", now=NOON)
    locked = transitions.lock(created, node="n", lease_id="1", now=NOON, lease=LEASE)
    assert locked is not None
    running = locked.task
    failed = transitions.fail(running, now=NOON)
    waiting = transitions.advance(running, now=NOON, anchor=NOON, run_at=NOON)
    again = transitions.lock(waiting, node="n", lease_id="2", now=NOON, lease=LEASE)
    taken_over = transitions.lock(running, node="m", lease_id="3", now=NOON + LEASE, lease=LEASE)
    assert again is not None
    assert taken_over is not None
    yield from (created, running, failed, waiting, again.task, taken_over.task)
    yield transitions.retry(running, now=NOON, at=NOON)
    yield transitions.hand_back(running, now=NOON)
    yield transitions.interrupt(running, now=NOON)
    for row in (created, running, failed):
        yield transitions.edit(row, transitions.pause(row), now=NOON)
    yield transitions.edit(failed, transitions.restart(failed), now=NOON)


@pytest.mark.parametrize("task", list(_life()), ids=lambda task: f"{task.state}-{task.version}")
def test_the_instants_of_a_state_are_those_that_the_table_says(task: Task) -> None:
    """Set, None, or either."""
    said = {name: cells[task.state] for name, cells in _states().items()}
    certain = {name: word for name, word in said.items() if word != "set or None"}
    wrong = {name: word for name, word in certain.items() if (getattr(task, name) is None) != (word == "None")}

    assert wrong == {}
    assert set(said.values()) <= {"set", "None", "set or None"}


def test_every_status_of_a_run_stands_in_its_table() -> None:
    """In the order of the enumeration."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", _section("States"), re.MULTILINE)

    assert [row for row in rows if row in set(RunStatus)] == list(RunStatus)


def test_a_link_at_the_top_leads_to_each_section() -> None:
    """In their order."""
    assert re.findall(r"^- \[(.+)\]\(#", PAGE, re.MULTILINE) == re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


def test_the_states_of_a_run_on_its_node_are_those_of_the_code() -> None:
    """With the very meaning that the code gives them."""
    shown = dict(re.findall(r"^\| `([A-Z]+)` \| (.+?) \| [^|]* \|$", _section("States"), re.MULTILINE))

    assert {name: meaning for name, meaning in shown.items() if name in RunState.__members__} == {
        state.name: state.value for state in RunState
    }


def test_the_functions_on_the_way_of_an_outcome_are_there() -> None:
    """Under the names that the page gives them."""
    ways = {"Runner": Runner, "Dispatcher": Dispatcher, "Outbox": Outbox, "Settlement": outcomes.Settlement}
    named = re.findall(r"^\| \d \| `([\w.]+)`", _section("The way of an outcome"), re.MULTILINE)

    assert len(named) == 7
    for name in named:
        owner, _, function = name.rpartition(".")
        assert hasattr(ways[owner] if owner else outcomes, function), name
