"""Which fire times were missed."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest

from detent.triggers import (
    CronTrigger,
    Missed,
    NaiveDatetime,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    fire_times,
    last_fire_time,
    missed,
    next_fire_after,
)

ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class EveryMinute(Trigger):
    """A user's own timetable, which cannot look back."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """Return the next full minute."""
        return prev.replace(second=0, microsecond=0) + timedelta(minutes=1)


class Stuck(Trigger):
    """A user's own mistake."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """Return what came."""
        return prev


TABLE = [
    (SimpleTrigger(DAY), DAY - SECOND, Missed(0, None, None)),
    (SimpleTrigger(DAY), DAY, Missed(1, ANCHOR + DAY, ANCHOR + DAY)),
    (SimpleTrigger(DAY), 3.5 * DAY, Missed(3, ANCHOR + DAY, ANCHOR + 3 * DAY)),
    (SimpleTrigger(DAY, start=ANCHOR + DAY / 2, times=2), 9 * DAY, Missed(2, ANCHOR + DAY / 2, ANCHOR + 1.5 * DAY)),
    (SimpleTrigger(SECOND), 366 * DAY, Missed(31_622_400, ANCHOR + SECOND, ANCHOR + 366 * DAY)),
    (OnceTrigger(ANCHOR), DAY, Missed(0, None, None)),
    (OnceTrigger(ANCHOR + DAY), DAY, Missed(1, ANCHOR + DAY, ANCHOR + DAY)),
    (CronTrigger("0 12 * * *"), 2 * DAY, Missed(2, ANCHOR + DAY / 2, ANCHOR + 1.5 * DAY)),
    (CronTrigger("* * * * * *"), 366 * DAY, Missed(31_622_400, ANCHOR + SECOND, ANCHOR + 366 * DAY)),
    (CronTrigger("* * * * * *", "America/New_York"), 366 * DAY, Missed(31_622_400, ANCHOR + SECOND, ANCHOR + 366 * DAY)),
    (CronTrigger("30 2 * * *", "Europe/Berlin"), 366 * DAY, Missed(366, ANCHOR + 1.5 * DAY / 24, ANCHOR + 365 * DAY + 1.5 * DAY / 24)),
    (CronTrigger("0 0 29 2 *"), 20 * 366 * DAY, Missed(5, datetime(2024, 2, 29, tzinfo=UTC), datetime(2040, 2, 29, tzinfo=UTC))),
    (EveryMinute(), timedelta(minutes=10.5), Missed(10, ANCHOR + timedelta(minutes=1), ANCHOR + timedelta(minutes=10))),
]


@pytest.mark.parametrize(("trigger", "later", "expected"), TABLE)
def test_missed_fires_are_counted(trigger: Trigger, later: timedelta, expected: Missed) -> None:
    """After the anchor, up to and including now."""
    assert missed(trigger, ANCHOR, ANCHOR + later) == expected


def test_a_trigger_that_cannot_look_back_is_walked_only_so_far() -> None:
    """Then the count is a lower bound, and the latest is found all the same."""
    answer = missed(EveryMinute(), ANCHOR, ANCHOR + 365 * DAY + SECOND, limit=100)

    assert answer == Missed(101, ANCHOR + timedelta(minutes=1), ANCHOR + 365 * DAY, exact=False)


def test_a_relative_trigger_still_ends_up_just_before_now() -> None:
    """One that counts from `prev` has no timetable; its latest is one after which it fires later than now."""

    class Relative(Trigger):
        def next_fire_time(self, prev: datetime) -> datetime:
            return prev + timedelta(minutes=7)

    now = ANCHOR + 300 * DAY
    answer = missed(Relative(), ANCHOR, now, limit=10)

    assert not answer.exact
    assert answer.latest is not None
    assert answer.latest <= now < answer.latest + timedelta(minutes=7)


def test_a_year_of_seconds_takes_no_time() -> None:
    """A generous bound on a shared machine: walking it would take minutes."""
    trigger = CronTrigger("* * * * * *", "America/New_York")
    missed(trigger, ANCHOR, ANCHOR + DAY)

    begin = perf_counter()
    missed(trigger, ANCHOR, ANCHOR + 366 * DAY)
    assert perf_counter() - begin < 0.1


@pytest.mark.parametrize("expression", ["* * * * * *", "*/7 9-17 * * MON-FRI", "0 0 1 1 *", "0 0 0 1 1 ? 2024", "5 4 29 2 *"])
@pytest.mark.parametrize("days", [0.3, 40, 1500])
def test_bisection_finds_the_last_fire(expression: str, days: float) -> None:
    """The last fire is a fire, and the next one is later than the end."""
    trigger, until = CronTrigger(expression, "Europe/Berlin"), ANCHOR + DAY * days
    found = last_fire_time(trigger, ANCHOR, until)

    if found is None:
        assert list(fire_times(trigger, ANCHOR, until)) == []
        return
    following = trigger.next_fire_time(found)
    assert trigger.next_fire_time(found - SECOND / 2) == found
    assert following is None or following > until


def test_a_trigger_that_does_not_move_forward_is_caught() -> None:
    """Following it would never end."""
    with pytest.raises(TriggerError, match="does not move forward"):
        next_fire_after(Stuck(), ANCHOR)
    with pytest.raises(TriggerError, match="does not move forward"):
        missed(Stuck(), ANCHOR, ANCHOR + DAY)


def test_a_naive_answer_of_a_users_trigger_is_caught_by_name() -> None:
    """The error says whose it was."""

    class Naive(Trigger):
        def next_fire_time(self, prev: datetime) -> datetime:
            return prev.replace(tzinfo=None) + DAY

    with pytest.raises(NaiveDatetime, match=r"Naive\.next_fire_time\(\) must be an aware datetime"):
        next_fire_after(Naive(), ANCHOR)
