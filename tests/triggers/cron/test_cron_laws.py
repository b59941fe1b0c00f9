"""Laws of `CronTrigger`, on generated expressions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from duly.triggers import CronTrigger, DstFold, DstGap, TriggerError, fire_times, format_trigger, parse_trigger
from support.cron_oracle import MINUTE, Timetable, expected_fires, walk
from support.selection import examples

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Havana",
    "Asia/Gaza",
    "Antarctica/Troll",
]

instants = st.datetimes(datetime(2008, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
gaps: st.SearchStrategy[DstGap] = st.sampled_from(["run_after", "skip"])
folds: st.SearchStrategy[DstFold] = st.sampled_from(["once", "both"])


def values(low: int, high: int) -> st.SearchStrategy[str]:
    """Make the text of one field."""
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    item = st.one_of(
        number.map(str),
        # Not `a-a`, which croniter alone reads as the whole field.
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}" if ends[0] < ends[1] else f"{ends[0]}"),
        st.tuples(pair, st.integers(1, 9)).map(lambda it: f"{it[0][0]}-{it[0][1]}/{it[1]}" if it[0][0] < it[0][1] else f"{it[0][0]}"),
    )
    return st.one_of(st.just("*"), st.integers(2, 20).map(lambda step: f"*/{step}"), st.lists(item, min_size=1, max_size=3).map(",".join))


expressions = st.tuples(values(0, 59), values(0, 23), values(1, 28), values(1, 12), values(0, 6)).map(" ".join)
days = st.sampled_from(["L", "L-3", "LW", "L-2W", "15W", "1W", "?", "*", "1,L", "31W"])
weekdays = st.sampled_from(["*", "5L", "FRIL", "MON#1", "TUE#5,3", "6-2", "SAT-TUE/2", "1-7", "0,7"])
rich = st.tuples(values(0, 59), values(0, 59), values(0, 23), days, values(1, 12), weekdays, st.sampled_from(["", "2020-2030", "*"])).map(
    lambda fields: " ".join(fields).strip()
)


@given(rich, st.sampled_from(ZONES), instants, folds, gaps)
def test_fire_times_strictly_increase_and_are_counted_and_found(expression: str, zone: str, prev: datetime, fold: str, gap: str) -> None:
    """Each fire is later than the one before; counting and looking back agree with walking."""
    trigger = parse_trigger(f"CRON_TZ={zone} DST_FOLD={fold} DST_GAP={gap} {expression}")
    assert isinstance(trigger, CronTrigger)
    walked = [fire for fire, _ in zip(fire_times(trigger, prev), range(20), strict=False)]

    assert all(earlier < later for earlier, later in pairwise([prev, *walked]))
    assert all(fire.tzinfo is UTC for fire in walked)
    for until in walked[-1:]:
        assert trigger.count_fires(prev, until) == len(walked)
        assert trigger.last_fire_time(prev, until) == until
        assert trigger.last_fire_time(prev, until - timedelta(microseconds=1)) == (walked[-2] if len(walked) > 1 else None)


@given(rich, st.sampled_from(ZONES))
def test_the_text_parses_back_to_an_equal_trigger(expression: str, zone: str) -> None:
    """Text, value and repr are one thing in three forms."""
    trigger = CronTrigger(expression, zone)

    assert parse_trigger(format_trigger(trigger)) == trigger
    assert eval(repr(trigger)) == trigger  # noqa: S307 - the promise of a repr
    assert CronTrigger(trigger.expression, zone).expression == trigger.expression


@given(expressions, instants)
def test_plain_expressions_in_utc_fire_as_croniter_says(expression: str, prev: datetime) -> None:
    """Numbers, lists, ranges and steps: where croniter is right, both agree."""
    try:
        trigger = CronTrigger(expression)
    except TriggerError:
        return
    minutes = prev.replace(second=0, microsecond=0)
    assert trigger.next_fire_time(minutes) == croniter(expression, minutes, implement_cron_bug=True).get_next(datetime)


CHANGES = [
    ("Europe/Berlin", "2024-03-31T01:00Z"),
    ("Europe/Berlin", "2024-10-27T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2024-10-05T15:30Z"),
    ("Australia/Lord_Howe", "2024-04-06T15:00Z"),
    ("Antarctica/Troll", "2024-03-31T01:00Z"),
    ("America/Nuuk", "2024-10-27T01:00Z"),
    ("Africa/Casablanca", "2024-04-14T02:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
]


def around(low: int, high: int) -> st.SearchStrategy[str]:
    """Make the text of one field, also with `n/s`, which follows the clock as `*/s` in front does."""
    start = st.one_of(st.just("*"), st.integers(low, high).map(str))
    item = st.tuples(start, st.integers(2, 20)).map(lambda it: f"{it[0]}/{it[1]}")
    return st.one_of(values(low, high), item, st.tuples(values(low, high), item).map(",".join))


times = st.tuples(around(0, 59), around(0, 5)).map(" ".join)
times_and_days = st.tuples(
    times, st.sampled_from(["* * *", "*/2 * *", "* * 0,6", "* * */3", "*/3 * 1-5", "1-7,24-31 * 0", "7-28 * 1/2"])
).map(" ".join)
times_with_seconds = st.tuples(around(0, 59), times, st.just("* * *")).map(" ".join)


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@examples(15)
@given(expression=times_and_days, options=st.tuples(gaps, folds), minutes=st.integers(-400, 100))
def test_around_a_change_the_fires_are_those_of_a_walk_by_minutes(
    zone: str, change: str, expression: str, options: tuple[DstGap, DstFold], minutes: int
) -> None:
    """A second, slow implementation of the rule gives the same fire times."""
    trigger = CronTrigger(expression, zone, dst_gap=options[0], dst_fold=options[1])
    prev = datetime.fromisoformat(change) + MINUTE * minutes
    compare_with_a_walk(expression, trigger, prev, prev + timedelta(hours=9))


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@examples(10)
@given(expression=times_with_seconds, options=st.tuples(gaps, folds), minutes=st.integers(-40, 10))
def test_around_a_change_the_fires_are_those_of_a_walk_by_seconds(
    zone: str, change: str, expression: str, options: tuple[DstGap, DstFold], minutes: int
) -> None:
    """With a field of seconds, too."""
    trigger = CronTrigger(expression, zone, dst_gap=options[0], dst_fold=options[1])
    prev = datetime.fromisoformat(change) + MINUTE * minutes
    compare_with_a_walk(expression, trigger, prev, prev + timedelta(minutes=50))


def compare_with_a_walk(expression: str, trigger: CronTrigger, prev: datetime, until: datetime) -> None:
    """Assert that the trigger fires and counts in prev < fire <= until as the oracle does."""
    timetable = Timetable.read(expression)
    ticks = walk(trigger.timezone, prev, until, timetable.step)

    expected = expected_fires(timetable, ticks, dst_gap=trigger.dst_gap, dst_fold=trigger.dst_fold)
    assert list(fire_times(trigger, prev, until)) == expected
    assert trigger.count_fires(prev, until) == len(expected)
