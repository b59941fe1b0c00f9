"""The small words of descriptions."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.triggers import Interval
from duly.triggers.text.wording import every, instant, interval, listed, ordinal

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *[
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (10, "10th"),
            (11, "11th"),
            (12, "12th"),
            (13, "13th"),
            (14, "14th"),
            (20, "20th"),
        ],
        *[(21, "21st"), (22, "22nd"), (23, "23rd"), (30, "30th"), (100, "100th"), (101, "101st"), (111, "111th"), (113, "113th")],
    ],
)
def test_a_number_is_said_in_its_order(number: int, said: str) -> None:
    """The teens are all alike, in every hundred."""
    assert ordinal(number) == said


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (SECOND, "1 second"),
        (90 * SECOND, "1 minute 30 seconds"),
        (timedelta(days=2), "48 hours"),
        (timedelta(milliseconds=1, microseconds=1), "1 millisecond 1 microsecond"),
        (timedelta(seconds=2, microseconds=2_003), "2 seconds 2 milliseconds 3 microseconds"),
        (Interval(months=14, days=1), "1 year 2 months 1 day"),
        (Interval(months=12), "1 year"),
        (Interval(months=1, days=-1), "1 month -1 day"),
        (Interval(months=-14, days=500), "-1 year -2 months 500 days"),
        (Interval(days=2, time=-timedelta(hours=1, seconds=30)), "2 days -1 hour -30 seconds"),
    ],
)
def test_a_length_of_time_is_said_part_by_part(length: Interval | timedelta, said: str) -> None:
    """Each part with its sign, and none that is zero."""
    assert interval(length) == said


@pytest.mark.parametrize(("words", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c", "d"], "a, b, c and d")])
def test_words_are_listed_as_people_do(words: list[str], said: str) -> None:
    """Commas, and one `and`."""
    assert listed(words) == said


@pytest.mark.parametrize(("step", "said"), [(1, "every hour"), (2, "every 2 hours"), (25, "every 25 hours")])
def test_a_step_of_one_needs_no_number(step: int, said: str) -> None:
    """Others have one."""
    assert every(step, "hour") == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 1, 1, 9, 30, tzinfo=UTC), "2026-01-01 09:30 UTC"),
        (datetime(2026, 1, 1, 9, 30, 5, tzinfo=UTC), "2026-01-01 09:30:05 UTC"),
        (datetime(2026, 1, 1, 9, 30, 0, 5, tzinfo=UTC), "2026-01-01 09:30:00.000005 UTC"),
    ],
)
def test_an_instant_has_seconds_where_there_are_any(moment: datetime, said: str) -> None:
    """As exact as it is, and no more."""
    assert instant(moment) == said
