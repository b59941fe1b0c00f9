"""Spans, instants and other people's texts, in words."""

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from duly.scheduler.wording import headline, moment, one_line, span, traceback_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(0), "less than 1 s"),
        (timedelta(microseconds=999_999), "less than 1 s"),
        (timedelta(seconds=59, microseconds=999_999), "59 s"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(hours=3, minutes=5, seconds=59), "3 h 5 min"),
        (timedelta(days=1, minutes=59), "1 d"),
        (timedelta(days=400, hours=1), "400 d 1 h"),
        (timedelta.max, "999999999 d 23 h"),
        (-timedelta(minutes=2), "2 min"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(length: timedelta, words: str) -> None:
    """What is below them is cut off, which direction it has is another matter."""
    assert span(length) == words


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        (NOON + timedelta(minutes=5), "2030-01-01T12:05:00+00:00 (in 5 min)"),
        (NOON - timedelta(microseconds=1), "2030-01-01T11:59:59.999999+00:00 (less than 1 s ago)"),
        (NOON, "2030-01-01T12:00:00+00:00 (less than 1 s ago)"),
    ],
)
def test_an_instant_is_told_exactly_and_by_its_distance(instant: datetime, words: str) -> None:
    """Ahead or past."""
    assert moment(instant, NOON) == words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" \n\n", ""),
        ("a\nb", "a"),
        ("\n a\tc \n\nb", "a c"),
        ("\x1b[31mred\x00", "[31mred"),
        ("it failed...", "it failed"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "…"),
    ],
)
def test_a_text_becomes_one_short_line(text: str, line: str) -> None:
    """Its first."""
    assert one_line(text) == line


# -- errors


class Loose(Exception):
    """An error of an application."""


class Mute(Exception):
    """An error that fails to say what it is."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def _linked() -> None:
    raise Loose(
        "(psycopg.OperationalError) the server is gone\n[SQL: SELECT 1]\n(Background on this error at: https://sqlalche.me/e/20/e3q8)"
    )


def _noted() -> None:
    error = ValueError("no luck")
    error.add_note("row 17 of the file\nwas the first")
    raise error


def _grouped() -> None:
    raise ExceptionGroup("two went wrong", [KeyError("a"), ValueError("b\nc")])


def _caused() -> None:
    try:
        _noted()
    except ValueError as error:
        raise Loose("the import failed\nTraceback (most recent call last):\n  File x\nKeyError: 1") from error


def _quoting() -> None:
    try:
        _caused()
    except Loose as error:
        raise RuntimeError("it wrote:\n" + "".join(traceback.format_exception(error))) from None


def _long() -> None:
    raise ValueError("it said:\n" + "x\n" * 50_000)


def _chained() -> None:
    error: Exception = ValueError("the first")
    for number in range(300):
        later = ValueError(f"number {number} " + "x" * 500)
        later.__cause__, error = error, later
    raise error


def _deep() -> None:
    raise Mute


LOOSE = f"{Loose.__module__}.Loose"


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (_linked, f"{LOOSE}: (psycopg.OperationalError) the server is gone"),
        (_noted, "ValueError: no luck"),
        (_grouped, "ExceptionGroup: two went wrong (2 sub-exceptions): KeyError: 'a'"),
        (_caused, f"{LOOSE}: the import failed"),
        (_quoting, "RuntimeError: it wrote:"),
        (_long, "ValueError: it said:"),
        (_deep, f"{Mute.__module__}.Mute: <its text cannot be shown>"),
    ],
)
def test_an_error_is_told_by_its_class_and_the_first_line_of_its_message(fail: Callable[[], None], line: str) -> None:
    """Whatever stands below: notes, links, causes, tracebacks of other programs, and however long it is."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each fails in its own way, which the line names
        fail()
    assert headline(caught.value) == line
    assert one_line(traceback_of(caught.value, 4000)) == line
    assert len(traceback_of(caught.value, 4000)) < 5000


def test_a_long_chain_of_causes_is_bounded_and_keeps_the_last_error() -> None:
    """The one that was raised is named first."""
    with pytest.raises(ValueError, match="number 299") as caught:
        _chained()
    text = traceback_of(caught.value, 4000)
    assert len(text) < 5200
    assert one_line(text).startswith("ValueError: number 299 xxx")
    assert "ValueError: the first" in text


def test_a_traceback_that_names_its_error_stays_as_python_writes_it() -> None:
    """Nothing is put in front of it."""
    with pytest.raises(ValueError, match="no luck") as caught:
        _noted()
    assert traceback_of(caught.value, 4000) == "".join(traceback.format_exception(caught.value)).rstrip()
