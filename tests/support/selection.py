"""What the tests leave out under `--selection`.

The rest of a great table, and most of the examples of a law.

A whole run tries every case. A selection tries some of each group of cases, spread over the group, so that every rule is tried on every
Python that is tested. Which ones does not depend on chance.
"""

from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet
from hypothesis import settings

T = TypeVar("T")

EXHAUSTIVE = "exhaustive"
"""The mark of what a selection leaves out."""

_FEWER = 5
"""A selection tries every so-manieth case or example, unless the table knows better."""


class Selection:
    """Whether this run is one; `tests/conftest.py` says so before a test is imported."""

    is_on = False


def examples(most: int) -> settings:
    """Return the settings of a law that is tried on so many examples.

    A selection tries a fifth of them.
    """
    return settings(max_examples=fewer(most), deadline=None)


def fewer(most: int) -> int:
    """Return the number, or a fifth of it in a selection."""
    return -(-most // _FEWER) if Selection.is_on else most


def chosen_of(cases: Iterable[T], is_chosen: Callable[[T], bool], name: Callable[[T], str] = str) -> list[ParameterSet]:
    """Return the cases as parameters; those that are not chosen are left out of a selection."""
    mark = pytest.mark.exhaustive
    return [pytest.param(case, id=name(case), marks=() if is_chosen(case) else mark) for case in cases]


def spread(
    cases: Iterable[T], name: Callable[[T], str] = str, *, group: Callable[[T], Hashable] = lambda _: None, every: int = _FEWER
) -> list[ParameterSet]:
    """Return the cases as parameters.

    A selection tries the first of each group and every so-manieth after it.

    In a product of columns choose an `every` that divides none of their lengths, or some values are never met.
    """
    numbers: dict[Hashable, count[int]] = {}
    return chosen_of(cases, lambda case: next(numbers.setdefault(group(case), count())) % every == 0, name)
