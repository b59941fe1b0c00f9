"""The tests run on the installed wheel; a copy from the checkout would be a second one of every class."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytest_plugins = ["support.postgres", "support.firestore"]
pytest.register_assert_rewrite("duly.stores.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `nox -s sweep` ask for all of what is otherwise a sample; misspelt, it is an error."""
    parser.addoption("--every-zone", action="store_true", help="sweep the clock changes of every time zone, not of a sample")


def pytest_configure() -> None:
    """Refuse to test anything but the installed wheel."""
    if ROOT in {Path(entry).resolve() for entry in sys.path}:
        msg = f"{ROOT} is on sys.path: run `pytest`, not `python -m pytest`"
        raise pytest.UsageError(msg)
    spec = find_spec("duly.scheduler")
    origin = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if origin is None or not origin.is_relative_to(sysconfig.get_path("purelib")):
        msg = f"duly.scheduler comes from {origin}, not from an installed wheel: run `nox -s tests`"
        raise pytest.UsageError(msg)
