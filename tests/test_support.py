"""The tests' own helpers.

A wait that fails says what it waited for, and missing emulators are not overlooked.
"""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from support.firestore import find_command
from support.length import LIMIT, Moment, excess
from support.selection import EXHAUSTIVE, Selection, examples, spread
from support.waiting import wait_until, wait_until_async

_SOON = timedelta(milliseconds=20)


def _never() -> bool:
    return False


def test_a_wait_ends_when_its_condition_is_true() -> None:
    """It asks again until then."""
    answers = iter([0, "", 7])
    wait_until(lambda: next(answers))
    assert list(answers) == []


def test_a_wait_that_fails_names_its_condition() -> None:
    """By the function's name, or, for a lambda, by the line it stands in."""
    with pytest.raises(AssertionError, match=r"not within 0:00:00.020000: _never$"):
        wait_until(_never, _SOON)
    with pytest.raises(AssertionError, match=r"wait_until\(lambda: 1 > 2"):
        wait_until(lambda: 1 > 2, _SOON)  # noqa: PLR0133 - the point is the text


async def test_an_async_wait_takes_functions_and_coroutine_functions() -> None:
    """Both are asked again until they are true."""
    answers = iter([0, "", 7])

    async def next_answer() -> object:
        return next(answers)

    await wait_until_async(next_answer)
    assert list(answers) == []
    with pytest.raises(AssertionError, match="_never"):
        await wait_until_async(_never, _SOON)


def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what to install."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert str(find_command()).startswith("no Java: install Java 17")


def test_a_missing_emulator_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason says which component to install."""
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java" if name == "java" else None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("CLOUDSDK_ROOT_DIR", "GCLOUD_SDK_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert str(find_command()).startswith("no emulator: install")


@pytest.mark.firestore
def test_each_test_has_a_firestore_project_of_its_own(firestore_emulator: str, firestore_project: str) -> None:
    """The emulator is where the environment says."""
    assert os.environ["FIRESTORE_EMULATOR_HOST"] == firestore_emulator
    assert firestore_project.startswith("t-")


def test_a_selection_tries_the_first_of_each_group_and_every_third_after_it() -> None:
    """And a whole run tries all."""
    cases = spread(range(7), group=lambda number: number == 5, every=3)

    assert [case.values for case in cases] == [(number,) for number in range(7)]
    assert [case.values[0] for case in cases if not case.marks] == [0, 3, 5]
    assert {getattr(mark, "name", None) for case in cases for mark in case.marks} == {EXHAUSTIVE}


@pytest.mark.parametrize(("is_on", "tried"), [(False, 300), (True, 60)])
def test_a_selection_tries_a_fifth_of_a_laws_examples(monkeypatch: pytest.MonkeyPatch, tried: int, *, is_on: bool) -> None:
    """A whole run tries all."""
    monkeypatch.setattr(Selection, "is_on", is_on)
    assert examples(300).max_examples == tried


BEGAN = Moment(spent=100, load=0.5)


@pytest.mark.parametrize(
    ("wall", "ended"),
    [
        (2 * LIMIT, Moment(spent=101, load=1)),
        (LIMIT * 1.6, Moment(spent=101, load=1)),
        (LIMIT * 4, Moment(spent=101, load=2)),
        (LIMIT * 4, Moment(spent=100 + LIMIT * 1.6, load=9)),
    ],
    ids=["it waits", "only just", "longer than the load explains", "it works"],
)
def test_a_test_of_more_than_ten_seconds_needs_the_mark(wall: float, ended: Moment) -> None:
    """Also on a busy machine, if its own work or more than the load took them."""
    assert "more than 10 s need the mark `slow`" in str(excess(wall, BEGAN, ended))


@pytest.mark.parametrize(
    ("wall", "ended"),
    [(LIMIT, Moment(spent=109, load=1)), (LIMIT * 4, Moment(spent=101, load=4)), (LIMIT * 1.4, Moment(spent=101, load=1))],
    ids=["it is quick", "the machine is busy", "the machine hiccups"],
)
def test_a_busy_machine_makes_no_test_slow(wall: float, ended: Moment) -> None:
    """A quick test may take long where many programs run."""
    assert excess(wall, BEGAN, ended) is None


def test_what_is_traced_may_take_twice_as_long() -> None:
    """Coverage would make tests slow that are not."""
    ended = Moment(spent=100 + LIMIT * 2, load=1)
    assert excess(LIMIT * 2, BEGAN, ended)
    assert not excess(LIMIT * 2, BEGAN, ended, is_traced=True)
