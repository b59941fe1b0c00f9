"""What docs/coming-from.md says stands: every row has its proof, and every proof is there."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import detent.jobs
import detent.scheduler
import detent.stores.postgres
import detent.triggers
from detent.jobs import JobContext, JobRegistry, Task
from detent.jobs.options import OptionValues
from detent.jobs.registry import FunctionSettings, JobSettings
from detent.jobs.spawning import When
from detent.scheduler import BlockingScheduler, Cron, FetchedTask, NewTask, StdScheduler
from detent.scheduler.config import Settings
from detent.stores import RunQuery, TaskQuery
from detent.triggers import CronTrigger

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "coming-from.md").read_text("utf-8")
HEADS = ("| their call", "| fault")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
PROOFS = sorted(set(re.findall(r"`((?:tests|stores)/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def _parameters(called: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(called).parameters)
    except ValueError:  # of a type that has none
        return set()


def test_every_row_is_complete_and_names_a_proof() -> None:
    """Their call, ours, and the test; a fault and the test."""
    assert len(ROWS) > 80
    for row in ROWS:
        cells = _cells(row)
        assert len(cells) in (2, 3), row
        assert all(cells), row
        assert re.search(r"`(?:tests|stores)/[\w/]+\.py", cells[-1]), row


def test_what_stands_in_our_column_is_there() -> None:
    """Every callable by its name, and every keyword as one of some callable."""
    ours = [code for row in ROWS if len(cells := _cells(row)) == 3 for code in re.findall(r"`([^`]+)`", cells[1])]
    called = {name for code in ours for name in re.findall(r"(\w+)\((?!\w+ \w+\))", code)}
    keywords = {name for code in ours for name in re.findall(r"(\w+)=", code)}
    assert called - _NAMES - {"Report", "Ship", "execute"} == set(), "a class of the reader's own, and its method, may be named"
    assert keywords - _KEYWORDS - {"kind", "CRON_TZ"} == set()
    assert len(called) > 50


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("| "))]


_CLASSES = (StdScheduler, BlockingScheduler, Cron, JobRegistry, JobContext, Task, FetchedTask, NewTask, TaskQuery, RunQuery, CronTrigger)
_MODULES = (detent.jobs, detent.scheduler, detent.stores, detent.triggers, detent.stores.postgres, attrs)
_NAMES = {name for owner in (*_CLASSES, *_MODULES) for name in dir(owner)}
_CALLABLES = [
    getattr(owner, name)
    for owner in (*_CLASSES, *_MODULES)
    for name in dir(owner)
    if not name.startswith("_") and callable(getattr(owner, name))
]
_KEYWORDS = {
    *(name for each in _CALLABLES for name in _parameters(each)),
    *When.__annotations__,
    *FunctionSettings.__annotations__,
    *OptionValues.__annotations__,
    *JobSettings.__annotations__,
    *Settings.__annotations__,
    *(each.name for each in attrs.fields(Task)),
}


@pytest.mark.parametrize("library", ["go-scheduler", "chrono", "qron", "spine", "togo"])
def test_every_library_has_a_table(library: str) -> None:
    """Under its own heading."""
    _, _, after = PAGE.partition(f"\n## {library}\n")
    assert after.partition("\n## ")[0].count("\n| ") > 5


@pytest.mark.parametrize(("path", "name"), PROOFS, ids=[f"{path}::{name}" for path, name in PROOFS])
def test_a_proof_is_there(path: str, name: str) -> None:
    """The file, and the test in it if one is named."""
    assert (ROOT / path).is_file()
    assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8")
