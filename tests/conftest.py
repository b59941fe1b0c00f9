"""The tests run on the installed wheel; a copy from the checkout would be a second one of every class."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.selection import EXHAUSTIVE, Selection

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = ["support.postgres", "support.firestore", "support.servers", "support.length"]
pytest.register_assert_rewrite("duly.stores.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `nox -s sweep` ask for all of a sample, and the gate for less in its second run.

    A value that is misspelt is an error.
    """
    parser.addoption("--every-zone", action="store_true", help="sweep the clock changes of every time zone, not of a sample")
    parser.addoption("--selection", action="store_true", help="of the great tables and laws try some cases of each group only")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test anything but the installed wheel."""
    Selection.is_on = config.getoption("selection")
    if ROOT in {Path(entry).resolve() for entry in sys.path}:
        msg = f"{ROOT} is on sys.path: run `pytest`, not `python -m pytest`"
        raise pytest.UsageError(msg)
    spec = find_spec("duly.scheduler")
    origin = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if origin is None or not origin.is_relative_to(sysconfig.get_path("purelib")):
        msg = f"duly.scheduler comes from {origin}, not from an installed wheel: run `nox -s tests`"
        raise pytest.UsageError(msg)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a selection leaves out.

    Begin with the slow tests, so that no process is alone with one at the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if Selection.is_on:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(EXHAUSTIVE)])
        items[:] = [item for item in items if not item.get_closest_marker(EXHAUSTIVE)]
