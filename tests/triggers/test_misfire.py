"""Which fire times were missed."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest

from duly.triggers import (
    CalendarIntervalTrigger,
    CountsFrom,
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


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_the_walk_is_exact_up_to_its_limit(limit: int, more: int) -> None:
    """One fire more, and the count is one more than the limit at least."""
    fires, minute = limit + more, timedelta(minutes=1)

    answer = missed(EveryMinute(), ANCHOR, ANCHOR + fires * minute, limit=limit)
    first, latest = (ANCHOR + minute, ANCHOR + fires * minute) if fires else (None, None)
    assert answer == Missed(min(fires, limit + 1), first, latest, exact=fires <= limit)


def test_what_looks_back_without_counting_knows_its_latest_fire() -> None:
    """Beyond the limit, too: a calendar's interval without a start is followed from its own fires."""
    weekly = CalendarIntervalTrigger("1 week")

    answer = missed(weekly, ANCHOR, ANCHOR + 1000 * DAY, limit=10)
    assert answer == Missed(11, ANCHOR + 7 * DAY, ANCHOR + 994 * DAY, exact=False)


def test_beyond_the_limit_a_trigger_is_asked_some_dozens_of_times_more() -> None:
    """It is not walked on to find the latest fire."""
    asked = []

    class Asked(EveryMinute):
        def next_fire_time(self, prev: datetime) -> datetime:
            asked.append(prev)
            return super().next_fire_time(prev)

    missed(Asked(), ANCHOR, ANCHOR + 5 * DAY, limit=10)
    assert len(asked) < 100


def test_a_users_own_timetable_is_bisected_for_its_last_fire() -> None:
    """It is asked some dozens of times, however many fires there were."""
    asked = []

    class Asked(EveryMinute):
        @property
        def counts_from(self) -> CountsFrom:
            return CountsFrom.TIMETABLE

        def next_fire_time(self, prev: datetime) -> datetime:
            asked.append(prev)
            return super().next_fire_time(prev)

    assert last_fire_time(Asked(), ANCHOR, ANCHOR + 30 * DAY + SECOND) == ANCHOR + 30 * DAY
    assert len(asked) < 100


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


@pytest.mark.parametrize("seconds", [1, 2, 3, 4, 5])
def test_a_fire_at_the_very_end_is_the_last_one(seconds: int) -> None:
    """However short the span."""
    end = ANCHOR + seconds * SECOND

    assert last_fire_time(CronTrigger("* * * * * *"), ANCHOR, end) == end


@pytest.mark.parametrize("trigger", [EveryMinute(), CronTrigger("* * * * *"), SimpleTrigger(60 * SECOND)])
def test_a_span_without_fires_has_no_last_one(trigger: Trigger) -> None:
    """Also of a trigger that is followed fire by fire."""
    assert last_fire_time(trigger, ANCHOR, ANCHOR + 59 * SECOND) is None


@pytest.mark.parametrize(
    "expression", ["* * * * * *", "*/7 9-17 * * MON-FRI", "* * 0-9 * * *", "0-5 0 * * *", "0 0 1 1 *", "0 0 0 1 1 ? 2024", "5 4 29 2 *"]
)
@pytest.mark.parametrize("days", [0.3, 0.7, 40, 1500])
def test_bisection_finds_the_last_fire(expression: str, days: float) -> None:
    """The last fire is a fire, and the next one is later than the end."""
    trigger, until = CronTrigger(expression, "Europe/Berlin"), ANCHOR + DAY * days
    found = last_fire_time(trigger, ANCHOR, until)

    if found is None:
        assert list(fire_times(trigger, ANCHOR, until)) == []
        return
    following = trigger.next_fire_time(found)
    assert ANCHOR < found <= until
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


def test_a_walk_visits_at_least_one_fire() -> None:
    """A limit of none would say nothing."""
    with pytest.raises(TriggerError, match="limit '0' is not a number of times"):
        missed(EveryMinute(), ANCHOR, ANCHOR + DAY, limit=0)


def test_naive_instants_are_refused_by_name() -> None:
    """Before a trigger is asked, whoever wrote it."""
    naive = ANCHOR.replace(tzinfo=None)
    with pytest.raises(NaiveDatetime, match=r"^prev must be"):
        next_fire_after(EveryMinute(), naive)
    with pytest.raises(NaiveDatetime, match=r"^anchor must be"):
        missed(EveryMinute(), naive, ANCHOR)
    with pytest.raises(NaiveDatetime, match=r"^now must be"):
        missed(EveryMinute(), ANCHOR, naive)
