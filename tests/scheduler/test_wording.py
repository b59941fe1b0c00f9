"""Spans, instants and other people's texts, in words."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.scheduler.wording import moment, one_line, span

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
        ("a\nb", "b"),
        ("a\n b\tc \n\n", "b c"),
        ("\x1b[31mred\x00", "[31mred"),
        ("it failed...", "it failed"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "…"),
    ],
)
def test_a_text_becomes_one_short_line(text: str, line: str) -> None:
    """Its last, because that is where a traceback names its error."""
    assert one_line(text) == line
