"""`CalendarIntervalTrigger`: years, months, weeks and days as people count them."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from random import Random
from time import perf_counter
from zoneinfo import ZoneInfo

import psycopg
import pytest

from duly.triggers import (
    CalendarIntervalTrigger,
    CountsFrom,
    DstFold,
    DstGap,
    Interval,
    NaiveDatetime,
    TriggerError,
    fire_times,
    format_interval,
    missed,
    next_fire_after,
    parse_trigger,
)
from support.triggers import first_few

PARIS, NEW_YORK = "Europe/Paris", "America/New_York"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

# zone | text | after, in UTC | the next fires, in the zone's own time
TABLE = """
UTC | START=2026-01-31 @every 1 month | 2026-01-01T00:00 | 2026-01-31T00:00 2026-02-28T00:00 2026-03-31T00:00
UTC | START=2024-01-31 AT=09:00 @every 1 month | 2024-01-31T09:00 | 2024-02-29T09:00 2024-03-31T09:00
UTC | START=2024-02-29 @every 1 year | 2026-03-01T00:00 | 2027-02-28T00:00 2028-02-29T00:00 2029-02-28T00:00
UTC | START=2025-11-30 @every 3 months | 2025-12-01T00:00 | 2026-02-28T00:00 2026-05-30T00:00
UTC | START=2026-01-01 @every 1 month 1 week 3 days | 2026-01-01T00:00 | 2026-02-11T00:00 2026-03-21T00:00 2026-05-01T00:00
UTC | START=2026-02-01 @every 1 month -1 day | 2026-02-01T00:00 | 2026-02-28T00:00 2026-03-30T00:00
UTC | START=2026-01-01 @every 1 day 2 hours | 2026-01-01T00:00 | 2026-01-02T02:00 2026-01-03T04:00
Europe/Paris | START=2026-03-16 AT=09:00 @every 2 weeks | 2026-03-16T07:00 | 2026-03-16T09:00+01:00 2026-03-30T09:00+02:00
Europe/Paris | START=2026-03-28 AT=02:30 @every 1 day | 2026-03-28T12:00 | 2026-03-29T03:00+02:00 2026-03-30T02:30+02:00
Europe/Paris | START=2026-03-28 AT=02:30 DST_GAP=skip @every 1 day | 2026-03-28T12:00 | 2026-03-30T02:30+02:00
Europe/Paris | START=2026-10-24 AT=02:30 @every 1 day | 2026-10-24T12:00 | 2026-10-25T02:30+02:00 2026-10-26T02:30+01:00
Europe/Paris | START=2026-10-24 AT=02:30 DST_FOLD=both @every 1 day | 2026-10-24T12:00 | 2026-10-25T02:30+02:00 2026-10-25T02:30+01:00
Australia/Lord_Howe | START=2024-10-05 AT=02:15 @every 1 day | 2024-10-05T00:00 | 2024-10-06T02:30+11:00 2024-10-07T02:15+11:00
America/New_York | START=2026-12-31 @every 6 months | 2020-01-01T00:00 | 2026-12-31T00:00-05:00 2027-06-30T00:00-04:00
America/Nuuk | AT=23:30 @every 1w | 2027-03-21T01:30 | 2027-03-28T00:00-01:00 2027-04-03T23:30-01:00
Pacific/Apia | AT=09:00 @every 1w | 2011-12-23T19:00 | 2011-12-31T00:00+14:00 2012-01-06T09:00+14:00
UTC | START=2000-01-01 @every -1 year 367 days | 2033-01-01T00:00 | 2033-01-02T00:00 2033-01-03T00:00
UTC | @every 1 month | 2026-01-31T10:15 | 2026-02-28T10:15 2026-03-28T10:15
Europe/Paris | @every 1 day | 2026-03-28T10:15 | 2026-03-29T11:15+02:00 2026-03-30T11:15+02:00
UTC | AT=09:00 @every 1 week | 2026-01-01T08:00 | 2026-01-01T09:00 2026-01-08T09:00
UTC | AT=09:00 @every 1 week | 2026-01-01T10:00 | 2026-01-08T09:00 2026-01-15T09:00
"""


@pytest.mark.parametrize(
    ("zone", "text", "after", "expected"), [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
)
def test_the_calendar_is_followed(zone: str, text: str, after: str, expected: str) -> None:
    """Month ends, leap years, clock changes; with a start and without."""
    trigger = parse_trigger(f"CRON_TZ={zone} {text}")
    fires = expected.split()

    found = first_few(trigger, datetime.fromisoformat(f"{after}Z"), len(fires))
    shown = [fire.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes").removesuffix("+00:00") for fire in found]
    assert shown == fires


def test_an_aware_start_says_date_and_time_of_day_in_one() -> None:
    """As its zone's clock shows it."""
    start = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)

    trigger = CalendarIntervalTrigger("1 month", PARIS, start=start)
    assert trigger == CalendarIntervalTrigger("1 month", PARIS, start=date(2026, 1, 31), at=time(9, 30))
    assert trigger.next_fire_time(NEW_YEAR) == start


def test_with_a_start_it_is_a_timetable_and_without_one_it_counts_from_the_fire_before() -> None:
    """So that others know whether they may jump."""
    assert CalendarIntervalTrigger("1 month", start=date(2026, 1, 1)).counts_from is CountsFrom.TIMETABLE
    assert CalendarIntervalTrigger("1 month").counts_from is CountsFrom.FIRE


def test_midnight_is_the_default_and_not_another_value() -> None:
    """With a start both mean the same, in code and in text."""
    trigger = CalendarIntervalTrigger("1 week", start=date(2026, 1, 1))

    assert trigger == CalendarIntervalTrigger(Interval(days=7), start=date(2026, 1, 1), at=time())
    assert trigger.to_text() == "START=2026-01-01 @every 7d"
    assert CalendarIntervalTrigger("1 week", at=time()) != CalendarIntervalTrigger("1 week")


@pytest.mark.parametrize(
    ("interval", "options", "message"),
    [
        ("0 days", {}, "interval '0s' does not move forward"),
        (
            "1 month -28 days",
            {},
            r"interval '1mon -28d' does not move forward; expected a length that is longer than zero whatever the month",
        ),
        ("1 day -24 hours", {}, "interval '1d -24h' does not move forward"),
        (timedelta(days=1), {}, "interval '24h' counts no calendar; expected years, months, weeks or days; for exact time a SimpleTrigger"),
        (5, {}, "interval '5' is no interval; expected an Interval, a timedelta, or the text of one"),
        ("1 day -1 hour", {}, "interval '1d -1h' is too short; expected 24h or more"),
        ("1 day at 09:30", {}, "interval '1 day at 09:30' would be misread at 'at'; .* for a time of day AT= before @every"),
        ("1 day", {"start": datetime.max.replace(tzinfo=UTC), "timezone": "Asia/Tokyo"}, "start .* lies outside the calendar of its zone"),
        ("1 day", {"at": time(9, tzinfo=UTC)}, "at .* is no time of day; expected a datetime.time without a time zone"),
        ("1 day", {"at": "09:00"}, "at \"'09:00'\" is no time of day"),
        ("1 day", {"at": time(9), "start": NEW_YEAR}, "at '09:00:00' is said twice; expected a date as start"),
        ("1 day", {"start": "2026-01-01"}, "start .* is no date; expected a date, or an aware datetime"),
        ("1 day", {"dst_gap": "maybe"}, "dst_gap 'maybe' is not a choice; expected run_after or skip"),
        ("1 day", {"timezone": "Mars"}, "timezone 'Mars' is unknown"),
    ],
)
def test_what_is_refused_is_named(interval: Interval, options: dict[str, object], message: str) -> None:
    """The field, the value and what is expected there."""
    with pytest.raises(TriggerError, match=message):
        CalendarIntervalTrigger(interval, **options)  # type: ignore[arg-type]  # the point


def test_naive_instants_are_refused() -> None:
    """At both doors."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point
    with pytest.raises(NaiveDatetime, match="start must be"):
        CalendarIntervalTrigger("1 day", start=naive)
    for start in (None, date(2026, 1, 1)):
        with pytest.raises(NaiveDatetime, match="prev must be"):
            CalendarIntervalTrigger("1 day", start=start).next_fire_time(naive)


@pytest.mark.parametrize("interval", ["178000000 years", "2000000000 days", "9000 years", "1 day"])
def test_the_end_of_the_calendar_ends_it(interval: str) -> None:
    """However far a step reaches."""
    started, relative = CalendarIntervalTrigger(interval, PARIS, start=date(2026, 1, 1)), CalendarIntervalTrigger(interval, PARIS)

    assert started.next_fire_time(datetime.max.replace(tzinfo=UTC)) is None
    assert relative.next_fire_time(datetime.max.replace(tzinfo=UTC)) is None
    assert started.next_fire_time(datetime.min.replace(tzinfo=UTC)) == datetime(2025, 12, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize("gap", ["run_after", "skip"])
@pytest.mark.parametrize("fold", ["once", "both"])
def test_a_century_is_counted_as_a_walk_counts_it(gap: DstGap, fold: DstFold) -> None:
    """Without visiting each fire, clock changes included."""
    trigger = CalendarIntervalTrigger("1 day", NEW_YORK, start=date(1990, 1, 1), at=time(1, 30), dst_gap=gap, dst_fold=fold)
    until = datetime(2026, 6, 1, tzinfo=UTC)
    walked = list(fire_times(trigger, datetime(1990, 1, 1, tzinfo=UTC), until))

    answer = missed(trigger, datetime(1990, 1, 1, tzinfo=UTC), until)
    assert (answer.count, answer.first, answer.latest) == (len(walked), walked[0], walked[-1])
    assert answer.exact


def test_a_long_way_from_the_start_is_not_walked() -> None:
    """A generous bound on a shared machine: three million days one by one would take seconds."""
    trigger = CalendarIntervalTrigger("1 day", start=date(1, 1, 3))

    began = perf_counter()
    assert trigger.next_fire_time(datetime(9000, 1, 1, 12, tzinfo=UTC)) == datetime(9000, 1, 2, tzinfo=UTC)
    assert perf_counter() - began < 0.05


def test_a_long_way_from_the_start_is_not_walked_in_days_and_hours_either() -> None:
    """Hours beside the days count as they do."""
    trigger = CalendarIntervalTrigger("1 day 24 hours", start=date(2000, 1, 1))

    began = perf_counter()
    assert trigger.next_fire_time(datetime(9000, 1, 1, 12, tzinfo=UTC)) == datetime(9000, 1, 3, tzinfo=UTC)
    assert perf_counter() - began < 0.05


@pytest.mark.postgres
def test_the_fires_from_a_start_are_those_that_postgresql_adds_up(postgres_url: str) -> None:
    """`start + n * interval`, for 400 random starts and intervals."""
    random = Random(7)  # noqa: S311 - a seed, no secret
    cases = []
    for _ in range(400):
        start = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(20_000_000))
        interval = Interval(months=random.randrange(15), days=random.randrange(1, 40), time=timedelta(minutes=random.randrange(2000)))
        cases.append((start, interval, random.randrange(1, 60)))
    query = """
      SELECT start + n * given::interval
        FROM unnest(%(starts)s::timestamptz[], %(intervals)s::text[], %(numbers)s::int[]) WITH ORDINALITY AS t(start, given, n, place)
       ORDER BY place
    """
    with psycopg.connect(postgres_url, options="-c TimeZone=UTC") as connection:
        starts, intervals, numbers = zip(*[(start, format_interval(interval), number) for start, interval, number in cases], strict=True)
        rows = connection.execute(query, {"starts": [*starts], "intervals": [*intervals], "numbers": [*numbers]}).fetchall()

    for (start, interval, number), (expected,) in zip(cases, rows, strict=True):
        trigger = CalendarIntervalTrigger(interval, start=start)
        assert next_fire_after(trigger, expected - timedelta(microseconds=1)) == expected, (start, interval, number)
        assert trigger.count_fires(start, expected) == number


@pytest.mark.parametrize("zone", [PARIS, ZoneInfo(PARIS), ZoneInfo.no_cache(PARIS)])
def test_a_zone_is_known_by_its_name(zone: str | ZoneInfo) -> None:
    """Two objects of one zone make equal triggers with equal hashes."""
    trigger, usual = CalendarIntervalTrigger("1 day", zone, at=time(9)), CalendarIntervalTrigger("1 day", PARIS, at=time(9))

    assert trigger == usual
    assert hash(trigger) == hash(usual)


@pytest.mark.parametrize("interval", [Interval(months=12, days=-364, time=timedelta(minutes=1)), Interval(months=1, days=-27)])
def test_steps_that_are_far_from_their_average_are_counted_out(interval: Interval) -> None:
    """A year less 364 days and a minute more is a day and a minute long, or two days in a leap year."""
    start = datetime(2022, 1, 31, tzinfo=UTC)
    trigger = CalendarIntervalTrigger(interval, start=start)
    grid = [Interval(months=interval.months * n, days=interval.days * n, time=interval.time * n).after(start) for n in range(60)]

    for number, (fire, following) in enumerate(pairwise(grid)):
        assert trigger.next_fire_time(fire) == following
        assert trigger.next_fire_time(following - timedelta(microseconds=1)) == following
        assert trigger.count_fires(start, fire) == number
