"""Where names of ours are found: every error in one place."""

import importlib
import pkgutil
from collections.abc import Iterator

import duly.jobs
import duly.scheduler
import duly.stores
import duly.triggers
from duly.scheduler import DulyError

PACKAGES = (duly.triggers, duly.jobs, duly.stores, duly.scheduler)
OF_A_ROOM = {"Deaf", "EmbeddedServerError"}
"""Errors of PostgreSQL's own room, which needs its driver: one is caught there, the other is exported there."""


def test_every_error_is_exported_by_the_scheduler() -> None:
    """Also those that only one kind of job raises."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".conformance" not in module.name:
                importlib.import_module(module.name)
    assert {each.__name__ for each in _below(DulyError)} - set(duly.scheduler.__all__) == OF_A_ROOM


def _below(error: type[DulyError]) -> Iterator[type[DulyError]]:
    for each in error.__subclasses__():
        if each.__module__.startswith("duly."):
            yield each
            yield from _below(each)
