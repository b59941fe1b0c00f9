"""`Interval`: PostgreSQL's lengths of time, read, written and added.

What the server itself says is in test_interval_postgres.py.
"""

import pickle
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.triggers import Interval, TriggerError, format_interval, parse_interval
from duly.triggers.interval.interval import plain_interval, require_forward

MICROSECOND = timedelta(microseconds=1)
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
INT32, INT64 = 2**31 - 1, 2**63 - 1

months_or_days = st.integers(-INT32 - 1, INT32)
dates = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
times = st.integers(-INT64 - 1, INT64 - 1).map(lambda number: number * MICROSECOND)
intervals = st.builds(Interval, months=months_or_days, days=months_or_days, time=times)

READ = [
    # PostgreSQL's own form
    ("1 year 2 months 3 days 4 hours", Interval(months=14, days=3, time=4 * HOUR)),
    ("1 week 6 days", Interval(days=13)),
    ("1h20m", Interval(time=80 * MINUTE)),
    ("1 hour 20 minutes", Interval(time=80 * MINUTE)),
    ("1y2mon3d4h5m6s", Interval(months=14, days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND)),
    ("1 DAY, 2 Hours", Interval(days=1, time=2 * HOUR)),
    ("1m", Interval(time=MINUTE)),
    ("1 mon", Interval(months=1)),
    ("2 decades 1 century -1 millennium", Interval(months=12 * (20 + 100 - 1000))),
    ("250 ms 7us", Interval(time=timedelta(milliseconds=250, microseconds=7))),
    ("-1 year +2 mons -3 days", Interval(months=-10, days=-3)),
    ("@ 1 day ago", Interval(days=-1)),
    ("1 month -2 days ago", Interval(months=-1, days=2)),
    ("5", Interval(time=5 * SECOND)),
    ("1 day 5", Interval(days=1, time=5 * SECOND)),
    ("3 4 hours", Interval(days=3, time=4 * HOUR)),
    ("0s", Interval()),
    # fractions spill over into the next part: a month has 30 days there and a day 24 hours
    ("1.5 years", Interval(months=18)),
    ("1.04 years", Interval(months=12)),
    ("1.5 months", Interval(months=1, days=15)),
    ("1.5 weeks", Interval(days=10, time=12 * HOUR)),
    ("-0.5 day", Interval(time=-12 * HOUR)),
    ("1.5h", Interval(time=90 * MINUTE)),
    ("0.00000051 s", Interval(time=MICROSECOND)),
    ("0.5 us", Interval()),
    # clocks
    ("01:02:03", Interval(time=HOUR + 2 * MINUTE + 3 * SECOND)),
    ("3 4:05:06", Interval(days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND)),
    ("-1:30", Interval(time=-90 * MINUTE)),
    ("1:02.5", Interval(time=MINUTE + 2.5 * SECOND)),
    ("100:00", Interval(time=100 * HOUR)),
    ("1-2", Interval(months=14)),
    ("-1-2", Interval(months=-14)),
    ("1-2 -3 -4:05:06", Interval(months=14, days=-3, time=-(4 * HOUR + 5 * MINUTE + 6 * SECOND))),
    # ISO 8601
    ("P1Y2M3DT4H5M6S", Interval(months=14, days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND)),
    ("P2W", Interval(days=14)),
    ("PT5M", Interval(time=5 * MINUTE)),
    ("P-1Y2MT-0.5S", Interval(months=-10, time=-0.5 * SECOND)),
    ("P0.5M", Interval(days=15)),
    ("P0001-02-03T04:05:06", Interval(months=14, days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND)),
    ("P00010203T040506", Interval(months=14, days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND)),
    ("P1DT01:30", Interval(days=1, time=90 * MINUTE)),
]


@pytest.mark.parametrize(("text", "interval"), READ)
def test_a_text_is_read(text: str, interval: Interval) -> None:
    """Each form and part; what is written of it reads back as the same."""
    assert parse_interval(text) == interval
    assert parse_interval(format_interval(interval)) == interval


REFUSED = [
    ("", "says no length"),
    ("@", "says no length"),
    ("tomorrow", "has the unknown unit 'tomorrow'"),
    ("5 parsecs", "has the unknown unit 'parsecs'"),
    ("5 hourss", "has the unknown unit 'hourss'"),
    ("PT5m", "has 'm' where one of H, M, S may stand after the T"),
    ("pt5m", "has the unknown unit 'pt'; in the ISO 8601 form all letters are capitals and nothing stands before the P"),
    ("5 µs", "has the character 'µ', which no unit is written with"),
    ("1 wee\N{KELVIN SIGN}", "has the character '\N{KELVIN SIGN}', which no unit is written with"),
    ("1\x01h", "has '\\x01' where a number or a unit may stand"),
    ("1 2", "has no unit after '1'"),
    ("5 ago", "has no unit after '5'"),
    ("1 day 1 day", "counts days twice"),
    ("1.5 s 1 ms", "counts milliseconds twice"),
    ("1 hour 02:03", "counts hours twice"),
    ("hour", "has no number before 'hour'"),
    ("1 day hour", "has no number before 'hour'"),
    ("1 hour day 2 s", "has no number before 'day'"),
    ("1 h ago 2 s", "has 'ago' before its end"),
    ("-day", "has a sign before 'day'"),
    ("- .5 s", "has '-' where a number or a unit may stand"),
    ("1min20s", "has no blank between 'min' and '2'"),
    ("1y-2mon", "has no blank between 'y' and '-'"),
    ("1.2.3 s", "has '1.2.3', which is not a number"),
    ("1e3 s", "has the unknown unit 'e'"),
    ("1-12", "has '1-12' with more than 11 months after the years"),
    ("1:60", "has '1:60', which is not a time: minutes end at 59"),
    ("1:00:61", "has '1:00:61', which is not a time: minutes end at 59 and seconds at 60"),
    ("1:2:3:4", "has '1:2:3:4', which is not a time"),
    ("2147483648 days", "is out of range: 2147483648 days"),
    ("2147483647 days 1 week", "is out of range: 2147483654 days"),
    ("178956971 years", "is out of range: 2147483652 months"),
    ("9223372036854775807.6 us", "is out of range: 9223372036854775808 microseconds"),
    ("infinity", "has no end, so nothing can follow it"),
    ("-Infinity", "has no end, so nothing can follow it"),
    ("2147483647 months 2147483647 days 9223372036854775807 us", "has no end"),
    ("1 s" + " at" * 25, "has 27 numbers and words, more than 25"),
    ("P", "says no length after its P"),
    ("P1H", "has 'H' where one of Y, M, W, D may stand before the T"),
    ("P1Y2", "has no designator after its last number, one of Y, M, W, D"),
    ("PT1T2H", "has a number and then nothing where one of H, M, S may stand after the T"),
    ("P1Y ", "has ' ' where a number may stand"),
    ("P1-2-3-4", "has 4 numbers between '-', more than 3"),
    ("P1e16D", "is out of range: 1e16"),
    ("P1e400D", "is out of range: 1e400"),
    ("P0x1p9999D", "is out of range: 0x1p9999"),
    ("P1e-400D", "is out of range: 1e-400 is too near to zero"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_text_that_is_refused_says_why(text: str, problem: str) -> None:
    """The error names the field, the text, what is wrong with it, and what may be written."""
    with pytest.raises(TriggerError) as caught:
        parse_interval(text)
    assert caught.value.problem.startswith(problem)
    assert (caught.value.field, caught.value.value) == ("interval", text)
    assert caught.value.expected


def test_only_text_is_read() -> None:
    """Anything else is the same kind of error."""
    with pytest.raises(TriggerError, match="interval '5' is not text"):
        parse_interval(5)  # type: ignore[arg-type]


def test_a_text_is_no_longer_than_200_characters() -> None:
    """Blanks count too."""
    assert parse_interval("1h".ljust(200)) == Interval(time=HOUR)
    with pytest.raises(TriggerError, match="is 201 characters long; expected at most 200"):
        parse_interval("1h".ljust(201))


@pytest.mark.parametrize(
    "piece", ["1", "-", ".", ":", "1:", "1-", "1.", "1/", "a", "- ", "1h ", "P1", "P", "P1D", "P-1", "P0x1", "PT", "P1T"]
)
def test_no_text_is_slow(piece: str) -> None:
    """A hundred readings of the longest texts of one piece.

    They would make a pattern that backtracks do its worst.
    """
    head, body = ("P", piece[1:] or "T") if piece.startswith("P") else ("", piece)
    text = (head + body * 200)[:199] + "!"
    began = time.process_time()
    for _ in range(100):
        with pytest.raises(TriggerError):
            parse_interval(text)
    assert time.process_time() - began < 2


WRITTEN = [
    (Interval(), "0s"),
    (Interval(months=14, days=3, time=4 * HOUR + 5 * MINUTE + 6 * SECOND), "1y2mon3d4h5m6s"),
    (Interval(months=-14, days=3, time=-90 * MINUTE), "-1y -2mon3d -1h -30m"),
    (Interval(months=12, days=-1), "1y -1d"),
    (Interval(days=400), "400d"),
    (timedelta(days=1), "24h"),
    (timedelta(days=-1, seconds=1), "-23h -59m -59s"),
    (timedelta(0), "0s"),
    (500 * 1000 * MICROSECOND, "500ms"),
    (SECOND + 500 * MICROSECOND, "1s500us"),
    (SECOND + 1500 * MICROSECOND, "1s1500us"),
    (-500 * 1000 * MICROSECOND, "-500ms"),
]


@pytest.mark.parametrize(("interval", "text"), WRITTEN)
def test_an_interval_is_written_compactly(interval: Interval | timedelta, text: str) -> None:
    """From years down; a timedelta from hours down, because a day here is the calendar's."""
    assert format_interval(interval) == text


@given(intervals)
def test_every_interval_reads_back(interval: Interval) -> None:
    """To the microsecond, with parts of either sign, up to the ends of the ranges."""
    assert parse_interval(format_interval(interval)) == interval


@given(times)
def test_every_timedelta_reads_back_as_exact_time(length: timedelta) -> None:
    """Whatever its length, there are no days in it."""
    assert parse_interval(format_interval(length)) == Interval(time=length)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"months": 2**31}, "months '2147483648' is out of range; expected -2147483648 to 2147483647"),
        ({"days": -(2**31) - 1}, "days '-2147483649' is out of range"),
        ({"days": 1.5}, "days '1.5' is out of range"),
        ({"months": "1"}, "months '1' is out of range"),
        ({"time": 5}, "time '5' is not a length of time; expected a timedelta"),
        ({"time": 2**63 * MICROSECOND}, "time '9223372036854775808' is out of range"),
        ({"months": INT32, "days": INT32, "time": INT64 * MICROSECOND}, "has no end"),
        ({"months": -INT32 - 1, "days": -INT32 - 1, "time": (-INT64 - 1) * MICROSECOND}, "has no end"),
    ],
)
def test_an_interval_has_postgresqls_range(parts: dict[str, int], message: str) -> None:
    """So that every one can be stored, and none is what PostgreSQL calls infinity."""
    with pytest.raises(TriggerError, match=message):
        Interval(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1 hour 20 minutes", timedelta(minutes=80), Interval(time=timedelta(minutes=80))])
def test_a_schedules_interval_may_be_given_in_three_ways(value: str | timedelta | Interval) -> None:
    """And is one value."""
    assert plain_interval(value) == Interval(time=timedelta(minutes=80))


@pytest.mark.parametrize(
    "text", ["3 4:05:06", "P1Y2M3DT4H5M6S", "P0001-02-03T04:05:06", "1 day -1 hour", "+5 s", "5", "1.5h", ".5 s", "1y2mon"]
)
def test_a_schedules_interval_may_have_every_form_that_says_what_it_means(text: str) -> None:
    """Only what people write for something else is refused."""
    assert plain_interval(text) == parse_interval(text)


@pytest.mark.parametrize(
    "text", ["1 day at 09:30", "1 day AT 9", "1 week on 5", "1,5 hours", "5-10 minutes", "*/5", "1 day 5", "5 1 hour", "1 day .5"]
)
def test_a_schedules_interval_is_not_misread(text: str) -> None:
    """PostgreSQL takes each of these for a length that its writer did not mean."""
    parse_interval(text)
    with pytest.raises(TriggerError, match=r"would be misread at .* expected units behind their numbers"):
        plain_interval(text)


def test_a_timedelta_beyond_the_range_has_no_text() -> None:
    """No reader would take it."""
    with pytest.raises(TriggerError, match=r"time '\d+' is out of range"):
        format_interval(timedelta.max)


def test_intervals_are_values_without_an_order() -> None:
    """Equal by their parts, hashable, picklable; nobody can say whether a month is longer than 30 days."""
    month = Interval(months=1)

    assert month == parse_interval("1 month") != Interval(days=30)
    assert len({month, Interval(months=1), Interval(days=1), Interval(time=24 * HOUR)}) == 3
    assert pickle.loads(pickle.dumps(month)) == month  # noqa: S301 - our own bytes
    with pytest.raises(TypeError):
        month < Interval(days=30)  # noqa: B015 - it raises


def test_an_interval_is_exact_without_months_and_days() -> None:
    """Then it is a timedelta, and nothing else is."""
    assert Interval(time=HOUR).is_exact
    assert Interval().is_exact
    assert not Interval(days=1).is_exact
    assert not Interval(months=-1, time=HOUR).is_exact


AFTER = [
    ("2023-01-31 09:00", "1 month", "2023-02-28 09:00"),
    ("2024-01-31 09:00", "1 month", "2024-02-29 09:00"),
    ("2024-02-29 09:00", "1 year", "2025-02-28 09:00"),
    ("2024-02-29 09:00", "4 years", "2028-02-29 09:00"),
    ("2024-03-31 09:00", "-1 month", "2024-02-29 09:00"),
    ("2024-12-15 09:00", "1 month", "2025-01-15 09:00"),
    ("2024-01-15 09:00", "-13 months", "2022-12-15 09:00"),
    ("2024-01-31 09:00", "1 month 1 day", "2024-03-01 09:00"),
    ("2024-01-31 09:00", "1 month -1 day", "2024-02-28 09:00"),
    ("2024-01-31 23:30", "1 month 1 hour", "2024-03-01 00:30"),
    ("2024-03-01 00:30", "-1 hour", "2024-02-29 23:30"),
    ("2024-03-01 00:00:00.000001", "-2us", "2024-02-29 23:59:59.999999"),
    ("2024-01-01 00:00", "0s", "2024-01-01 00:00"),
    ("9999-12-31 09:00", "1 year -12 months", "9999-12-31 09:00"),
    ("9999-12-31 09:00", "1 month -31 days", "9999-12-31 09:00"),
    ("0001-01-01 09:00", "-2 years 24 months", "0001-01-01 09:00"),
    ("0001-01-01 09:00", "-1 month 31 days", "0001-01-01 09:00"),
]


@pytest.mark.parametrize(("moment", "interval", "expected"), AFTER)
def test_after_goes_by_months_then_days_then_time(moment: str, interval: str, expected: str) -> None:
    """On a naive wall time and, the same, in UTC; a day that the month does not have is its last."""
    start, end = datetime.fromisoformat(moment), datetime.fromisoformat(expected)

    assert parse_interval(interval).after(start) == end
    assert parse_interval(interval).after(start.replace(tzinfo=UTC)) == end.replace(tzinfo=UTC)


@pytest.mark.parametrize("interval", ["8000 years", "-2025 years", "3000000 days", "2562047788 hours", "-800000 days", "178956970 years"])
def test_after_ends_with_the_calendar(interval: str) -> None:
    """The years are 1 to 9999."""
    with pytest.raises(OverflowError, match=r"2024-01-01 00:00:00\+00:00 \+ .* is beyond the calendar"):
        parse_interval(interval).after(datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "interval"),
    [
        ("2024-12-31", Interval(months=12 * (294_276 - 2024), days=-106_000_000)),
        ("2024-11-24", Interval(months=-12 * (2024 + 4713), days=2_000_000)),
    ],
)
def test_after_refuses_steps_beyond_postgresqls_calendar(moment: str, interval: Interval) -> None:
    """Even where the sum would be within Python's, because PostgreSQL does.

    This day is its last, or first, and there is none beyond.
    """
    start = datetime.fromisoformat(moment)
    beyond = timedelta(days=1) if interval.months > 0 else timedelta(days=-1)

    assert 1 <= interval.after(start).year <= 9999
    with pytest.raises(OverflowError, match="is beyond the calendar"):
        interval.after(start + beyond)
    with pytest.raises(OverflowError, match="is beyond the calendar"):
        Interval(months=interval.months, days=beyond.days, time=interval.days * timedelta(days=1)).after(start)


def test_after_refuses_a_time_zone_with_changing_clocks() -> None:
    """Whether a day there has 23 or 25 hours is for the caller to settle."""
    with pytest.raises(TriggerError, match=r"moment .* is in a time zone; expected a naive datetime, or one in datetime.UTC"):
        Interval(days=1).after(datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Paris")))


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - naive wall times
    st.integers(0, 1000),
    st.integers(0, 10_000),
    st.timedeltas(timedelta(0), timedelta(days=1000)),
)
def test_after_a_positive_interval_is_later(moment: datetime, months: int, days: int, length: timedelta) -> None:
    """Strictly, for any interval whose parts are none negative and not all zero."""
    interval = Interval(months=months, days=days, time=length)
    if interval == Interval():
        assert interval.after(moment) == moment
    else:
        assert interval.after(moment) > moment


EVERY_DAY = [datetime(2023, 1, 1, tzinfo=UTC) + DAY * n for n in range(3 * 365)]
"""Of a leap year and its neighbours."""


@given(st.builds(Interval, months=st.integers(-40, 40), days=st.integers(-1500, 1500), time=st.timedeltas(-3 * DAY, 3 * DAY)), dates)
def test_what_is_not_refused_moves_forward_from_every_date(interval: Interval, moment: datetime) -> None:
    """Whatever the month."""
    try:
        require_forward(interval)
    except TriggerError:
        return
    assert interval.after(moment) > moment


@pytest.mark.parametrize("months", range(1, 12))
def test_only_what_does_not_move_forward_is_refused(months: int) -> None:
    """The fewest and the most days that so many months have decide to the day."""
    fewest = min((Interval(months=months).after(day) - day).days for day in EVERY_DAY)
    most = max((day - Interval(months=-months).after(day)).days for day in EVERY_DAY)

    for interval in (Interval(months=months, days=1 - fewest), Interval(months=-months, days=most + 1)):
        require_forward(interval)
    for interval in (Interval(months=months, days=-fewest), Interval(months=-months, days=most)):
        with pytest.raises(TriggerError, match="does not move forward"):
            require_forward(interval)
