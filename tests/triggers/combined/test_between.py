"""`Between`: bounds, and numbers of fires that are counted."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.triggers import (
    AnyOf,
    Between,
    CronTrigger,
    NaiveDatetime,
    SimpleTrigger,
    TriggerError,
)
from support.triggers import DAY, HOUR, MINUTE, NEW_YEAR

SECOND = timedelta(seconds=1)
DAILY = CronTrigger("0 9 * * *", "Europe/Paris")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "has no bound; expected start, end or times"),
        ({"start": NEW_YEAR, "end": NEW_YEAR - SECOND}, "end '2025-12-31 23:59:59.*' is before the start"),
        ({"times": 3}, "times '3' cannot be counted; expected a start to count from"),
        ({"start": NEW_YEAR, "times": 0}, "times '0' is not a number of times"),
        ({"start": NEW_YEAR, "times": True}, "times 'True' is not a number of times"),
    ],
)
def test_bounds_that_say_nothing_are_refused(bounds: dict[str, object], message: str) -> None:
    """By the bound's name."""
    with pytest.raises(TriggerError, match=message):
        Between(DAILY, **bounds)  # type: ignore[arg-type]  # the point


def test_a_number_of_fires_needs_a_timetable_or_few_of_them() -> None:
    """What cannot be counted is not guessed."""
    with pytest.raises(TriggerError, match="times '3' cannot be counted; expected a timetable, not @every 1h"):
        Between(SimpleTrigger(HOUR), start=NEW_YEAR, times=3)
    with pytest.raises(TriggerError, match="times '200000' cannot be counted; expected at most 10000"):
        Between(AnyOf(DAILY), start=NEW_YEAR, times=200_000)


@pytest.mark.parametrize("times", [1, 999, 1000, 1001, 123_456, 10_000_000])
def test_a_great_number_of_fires_is_counted_not_walked(times: int) -> None:
    """The last one of so many, also far away."""
    trigger = Between(CronTrigger("*/5 * * * *", "America/New_York"), start=NEW_YEAR + SECOND, times=times)
    last = NEW_YEAR + 5 * MINUTE * times

    assert trigger.next_fire_time(last - SECOND) == last
    assert trigger.next_fire_time(last) is None
    assert trigger.count_fires(NEW_YEAR, last + DAY) == times


@pytest.mark.parametrize("times", [1000, 1001, 1002, 2001, 2002])
def test_fires_that_begin_long_after_the_start_are_counted(times: int) -> None:
    """The time without any is left behind in great steps."""
    first = NEW_YEAR + 100 * DAY
    trigger = Between(SimpleTrigger(SECOND, start=first, times=times), start=NEW_YEAR, times=times)
    last = first + (times - 1) * SECOND

    assert trigger.next_fire_time(last - SECOND) == last
    assert trigger.next_fire_time(last) is None


def test_bounds_are_kept_in_utc_and_refused_when_naive() -> None:
    """The same instant in another zone is the same bound."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point

    assert Between(DAILY, end=datetime.fromisoformat("2026-01-01T05:30:00+05:30")) == Between(DAILY, end=NEW_YEAR)
    with pytest.raises(NaiveDatetime, match="start must be"):
        Between(DAILY, start=naive)
    with pytest.raises(NaiveDatetime, match="end must be"):
        Between(DAILY, end=naive)


def test_a_start_at_the_beginning_of_the_calendar_is_no_trap() -> None:
    """There is no instant before it to ask from."""
    trigger = Between(CronTrigger("0 0 1 1 *"), start=datetime.min.replace(tzinfo=UTC))

    assert trigger.next_fire_time(datetime.min.replace(tzinfo=UTC)) is not None
