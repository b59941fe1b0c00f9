"""`SimpleTrigger`, `OnceTrigger` and `AfterTrigger`."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.triggers import AfterTrigger, CountsFrom, Interval, NaiveDatetime, OnceTrigger, SimpleTrigger, TriggerError, fire_times, missed

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

intervals = st.timedeltas(timedelta(microseconds=1), timedelta(days=40))
offsets = st.timedeltas(timedelta(days=-400), timedelta(days=400))


def test_without_a_start_the_next_fire_is_one_interval_later() -> None:
    """It counts from the fire before."""
    assert SimpleTrigger(HOUR).next_fire_time(NOON) == NOON + HOUR


@pytest.mark.parametrize(
    ("prev", "expected"),
    [(-3 * HOUR, 0 * HOUR), (-HOUR / 2, 0 * HOUR), (0 * HOUR, HOUR), (HOUR / 2, HOUR), (HOUR, 2 * HOUR), (99.5 * HOUR, 100 * HOUR)],
)
def test_with_a_start_the_fires_are_on_its_grid(prev: timedelta, expected: timedelta) -> None:
    """The start itself fires, and then every interval, whatever `prev` is."""
    assert SimpleTrigger(HOUR, start=NOON).next_fire_time(NOON + prev) == NOON + expected


def test_a_bounded_trigger_ends() -> None:
    """`times=3` is the start and two more."""
    trigger = SimpleTrigger(HOUR, start=NOON, times=3)

    assert list(fire_times(trigger, NOON - HOUR)) == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert trigger.next_fire_time(NOON + 2 * HOUR) is None


@given(intervals, offsets, st.none() | st.integers(1, 50), st.booleans())
def test_fires_are_later_and_counting_agrees_with_walking(interval: timedelta, offset: timedelta, times: int | None, started: bool) -> None:  # noqa: FBT001
    """Strictly increasing; count and last agree with a walk."""
    trigger = SimpleTrigger(interval, start=NOON, times=times) if started else SimpleTrigger(interval)
    prev = NOON + offset
    walked = [fire for fire, _ in zip(fire_times(trigger, prev), range(30), strict=False)]

    assert walked == sorted(set(walked))
    for number, fire in enumerate(walked, start=1):
        assert fire > prev
        assert trigger.count_fires(prev, fire) == number
        assert trigger.last_fire_time(prev, fire) == fire


def test_an_empty_span_has_no_fires() -> None:
    """Nor has a reversed one."""
    for trigger in (SimpleTrigger(HOUR), SimpleTrigger(HOUR, start=NOON), OnceTrigger(NOON)):
        assert trigger.count_fires(NOON, NOON) == 0
        assert trigger.count_fires(NOON, NOON - 5 * HOUR) == 0
        assert trigger.last_fire_time(NOON, NOON) is None


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(microseconds=-1), 5])
def test_an_interval_that_does_not_move_forward_is_refused(interval: timedelta) -> None:
    """It would fire for ever at one instant."""
    with pytest.raises(TriggerError, match=r"interval .* expected a timedelta longer than zero"):
        SimpleTrigger(interval)


def test_a_number_of_fires_needs_a_start_to_count_from() -> None:
    """From `prev` alone nobody knows how many there were."""
    with pytest.raises(TriggerError, match="times '3' cannot be counted; expected a start to count from"):
        SimpleTrigger(HOUR, times=3)
    with pytest.raises(TriggerError, match="times '0' is not a number of times"):
        SimpleTrigger(HOUR, start=NOON, times=0)


def test_a_fixed_delay_counts_from_the_end_of_the_run_before() -> None:
    """Which is then `prev`; the first fire is the start, or one interval after the scheduling."""
    trigger = SimpleTrigger(HOUR, fixed_delay=True)

    assert trigger.counts_from is CountsFrom.END
    assert trigger.next_fire_time(NOON) == NOON + HOUR
    started = SimpleTrigger(HOUR, start=NOON, fixed_delay=True)
    assert [started.next_fire_time(NOON + offset) for offset in (-9 * HOUR, 0 * HOUR, HOUR / 2)] == [NOON, NOON + HOUR, NOON + 1.5 * HOUR]


def test_with_a_fixed_delay_one_fire_waits_at_most() -> None:
    """The next one does not come before it was run."""
    trigger = SimpleTrigger(HOUR, fixed_delay=True)

    assert trigger.count_fires(NOON, NOON + HOUR / 2) == 0
    assert trigger.count_fires(NOON, NOON + 99 * HOUR) == 1
    assert missed(trigger, NOON, NOON + 99 * HOUR).latest == NOON + HOUR


def test_a_number_of_fires_cannot_be_counted_with_a_fixed_delay() -> None:
    """They depend on how long the runs take."""
    with pytest.raises(TriggerError, match="times '3' cannot be counted; expected a fixed rate, not a fixed delay"):
        SimpleTrigger(HOUR, start=NOON, times=3, fixed_delay=True)


def test_what_a_trigger_counts_from_follows_from_its_fields() -> None:
    """A start makes it a timetable."""
    assert SimpleTrigger(HOUR, start=NOON).counts_from is CountsFrom.TIMETABLE
    assert SimpleTrigger(HOUR).counts_from is CountsFrom.FIRE
    assert OnceTrigger(NOON).counts_from is CountsFrom.TIMETABLE
    assert AfterTrigger(HOUR).counts_from is CountsFrom.SCHEDULING


@pytest.mark.parametrize(
    ("interval", "fire"),
    [
        ("1 week 6 days", datetime(2024, 5, 14, 12, tzinfo=UTC)),
        (Interval(months=1, days=10), datetime(2024, 6, 11, 12, tzinfo=UTC)),
        (timedelta(minutes=90), NOON + 1.5 * HOUR),
    ],
)
def test_after_fires_once_so_long_after_it_is_scheduled(interval: Interval | timedelta | str, fire: datetime) -> None:
    """Months and days count on the calendar."""
    trigger = AfterTrigger(interval)

    assert list(fire_times(trigger, NOON)) == [fire]
    assert missed(trigger, NOON, NOON + 9999 * HOUR).count == 1
    assert AfterTrigger("9000 years").next_fire_time(NOON) is None
    with pytest.raises(TriggerError, match="interval '-1d' does not move forward"):
        AfterTrigger(Interval(days=-1))


def test_an_interval_that_no_text_can_say_is_refused() -> None:
    """It could not be stored."""
    with pytest.raises(TriggerError, match=r"time '.*' is out of range"):
        SimpleTrigger(timedelta(days=999_999_999))


@pytest.mark.parametrize("times", ["3", 1.5, True, 10**9])
def test_a_number_of_times_is_a_whole_number_that_a_text_can_say(times: int) -> None:
    """Anything else would be written as what nobody can read."""
    with pytest.raises(TriggerError, match="is not a number of times; expected a whole number from 1 to 999999999"):
        SimpleTrigger(HOUR, start=NOON, times=times)


def test_a_choice_is_yes_or_no() -> None:
    """A text that says no would count as yes."""
    with pytest.raises(TriggerError, match="fixed_delay \"'no'\" is not a choice; expected True or False"):
        SimpleTrigger(HOUR, fixed_delay="no")  # type: ignore[arg-type]  # the point


def test_what_is_no_interval_is_refused_by_its_value() -> None:
    """At the door."""
    with pytest.raises(TriggerError, match="interval '5' is no interval"):
        AfterTrigger(5)  # type: ignore[arg-type]  # the point


def test_the_end_of_the_calendar_ends_the_trigger() -> None:
    """Beyond the year 9999 there is no next fire."""
    assert SimpleTrigger(timedelta(days=100_000_000)).next_fire_time(NOON) is None
    assert SimpleTrigger(HOUR, start=NOON).next_fire_time(datetime.max.replace(tzinfo=UTC)) is None


def test_once_fires_at_its_instant_and_never_again() -> None:
    """Strictly later than `prev`, so not again at the instant itself."""
    trigger = OnceTrigger(NOON)

    assert trigger.next_fire_time(NOON - HOUR) == NOON
    assert trigger.next_fire_time(NOON) is None
    assert trigger.count_fires(NOON - HOUR, NOON) == 1


def test_instants_are_kept_in_utc() -> None:
    """The same instant in another zone is the same trigger."""
    india = timezone(timedelta(hours=5, minutes=30))

    assert OnceTrigger(NOON.astimezone(india)) == OnceTrigger(NOON)
    assert SimpleTrigger(HOUR, start=NOON.astimezone(india)) == SimpleTrigger(HOUR, start=NOON)
    assert OnceTrigger(NOON.astimezone(india)).at.tzinfo is UTC


def test_naive_datetimes_are_refused() -> None:
    """At each door, by the argument's name."""
    naive = datetime(2024, 5, 1)  # noqa: DTZ001 - the point
    with pytest.raises(NaiveDatetime, match=r"^at must be"):
        OnceTrigger(naive)
    with pytest.raises(NaiveDatetime, match=r"^start must be"):
        SimpleTrigger(HOUR, start=naive)
    for trigger in (SimpleTrigger(HOUR), SimpleTrigger(HOUR, start=NOON), OnceTrigger(NOON), AfterTrigger(HOUR)):
        with pytest.raises(NaiveDatetime, match=r"^prev must be"):
            trigger.next_fire_time(naive)
        with pytest.raises(NaiveDatetime, match=r"^(after|prev) must be"):
            trigger.count_fires(naive, NOON)
        with pytest.raises(NaiveDatetime, match=r"^until must be"):
            trigger.last_fire_time(NOON, naive)


@pytest.mark.parametrize("trigger", [SimpleTrigger(HOUR), SimpleTrigger(HOUR, start=NOON, times=2), OnceTrigger(NOON), AfterTrigger(HOUR)])
def test_they_are_values(trigger: SimpleTrigger | OnceTrigger | AfterTrigger) -> None:
    """Equal after pickling, hashable, without a dict."""
    copy = pickle.loads(pickle.dumps(trigger))  # noqa: S301 - our own bytes
    assert copy == trigger
    assert hash(copy) == hash(trigger)
    assert not hasattr(trigger, "__dict__")
