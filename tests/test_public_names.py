"""Exported names: where they are found, and by which name they are known."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from types import FunctionType
from typing import get_type_hints

import pytest
from attrs import has, resolve_types

import duly.jobs
import duly.scheduler
import duly.stores
import duly.triggers
from duly.jobs import RetryPolicy, ShellFailed
from duly.scheduler import DulyError
from support.public_names import PACKAGES, exported_classes, exports

FOLDERS = (duly.triggers, duly.jobs, duly.stores, duly.scheduler)
OF_A_ROOM = {"Deaf", "EmbeddedServerError"}
"""Errors of PostgreSQL's own room, which needs its driver: one is caught there, the other is exported there."""
OF_EXTRAS = {"AESGCM": object, "Converter": object}
"""Classes of extras, which an annotation names and only a type checker imports."""
CLASSES = exported_classes()


def test_every_error_is_exported_by_the_scheduler() -> None:
    """Also those that only one kind of job raises."""
    for package in FOLDERS:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".conformance" not in module.name:
                importlib.import_module(module.name)
    assert {each.__name__ for each in _below(DulyError)} - set(duly.scheduler.__all__) == OF_A_ROOM


def _below(error: type[DulyError]) -> Iterator[type[DulyError]]:
    for each in error.__subclasses__():
        if each.__module__.startswith("duly."):
            yield each
            yield from _below(each)


def test_every_package_that_exports_names_is_known_here() -> None:
    """A new one comes into the list.

    One that does not name its exports so is a room, whose names are no promise.
    """
    found = {folder.__name__ for folder in FOLDERS}
    for folder in FOLDERS:
        modules = pkgutil.walk_packages(folder.__path__, f"{folder.__name__}.")
        found |= {each.name for each in modules if each.ispkg and hasattr(importlib.import_module(each.name), "name_exports")}
    assert found == set(PACKAGES)


def test_every_export_is_known_by_its_public_name() -> None:
    """Never by the module in which it is written."""
    for package, name, value in exports():
        if isinstance(value, type | FunctionType):
            assert value.__module__ in PACKAGES, (package, name)
            assert getattr(importlib.import_module(value.__module__), value.__qualname__) is value, (package, name)


def test_a_stored_name_of_an_error_is_the_public_one() -> None:
    """So it survives that the class moves."""
    assert RetryPolicy(never=(ShellFailed,)).never == ("duly.jobs.ShellFailed",)


def test_every_export_is_pickled_by_its_public_name() -> None:
    """As jobs of other processes need it."""
    for package, name, value in exports():
        if isinstance(value, type | FunctionType):
            assert pickle.loads(pickle.dumps(value)) is value, (package, name)  # noqa: S301 - our own


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_the_annotations_of_an_exported_class_resolve(kind: type) -> None:
    """Also those that are written as text: they are looked up where the class says that it is."""
    get_type_hints(kind, localns=OF_EXTRAS)
    if has(kind):
        resolve_types(kind, localns=OF_EXTRAS)
