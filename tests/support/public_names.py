"""The public packages, and where the names that they export are written."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from inspect import getmro
from pathlib import Path
from types import ModuleType

PACKAGES = (
    "duly.jobs",
    "duly.triggers",
    "duly.stores",
    "duly.stores.conformance",
    "duly.stores.firestore",
    "duly.stores.postgres",
    "duly.scheduler",
    "duly.scheduler.testing",
)


def exports() -> Iterator[tuple[str, str, object]]:
    """Yield package, name and value of every export."""
    for package in map(importlib.import_module, PACKAGES):
        for name in package.__all__:
            yield package.__name__, name, getattr(package, name)


def exported_classes() -> dict[str, type]:
    """Return every exported class by its full name, once."""
    return {f"{value.__module__}.{name}": value for _, name, value in exports() if isinstance(value, type)}


def family(kind: type) -> list[type]:
    """Return the class and those of ours that it is derived from."""
    return [each for each in getmro(kind) if each.__module__.startswith("duly.")]


@cache
def definition(kind: type) -> ast.ClassDef:
    """Return the class statement of one of our classes."""
    module = importlib.import_module(kind.__module__)
    room = _room_of(module, kind.__name__) or module
    (found,) = (node for node in _tree(room).body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    return found


def _room_of(package: ModuleType, name: str) -> ModuleType | None:
    """Return the module from which a package imports what it exports."""
    for node in _tree(package).body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return importlib.import_module(node.module)
    return None


@cache
def _tree(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
