"""The common cadences by name."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from duly.triggers import (
    DAILY,
    EVERY_FIFTEEN_MINUTES,
    EVERY_FIVE_MINUTES,
    EVERY_MINUTE,
    EVERY_TEN_MINUTES,
    EVERY_THIRTY_MINUTES,
    HOURLY,
    MONTHLY,
    WEEKLY,
    Interval,
    TriggerError,
    daily_at,
    every,
    hourly_at,
    parse_trigger,
    weekly_on,
)
from support.triggers import first_few

THURSDAY = datetime(2026, 1, 1, tzinfo=UTC)

# cadence, text, the first two fires after midnight of Thursday, 1 January 2026
TABLE = [
    (EVERY_MINUTE, "* * * * *", "2026-01-01T00:01 2026-01-01T00:02"),
    (EVERY_FIVE_MINUTES, "*/5 * * * *", "2026-01-01T00:05 2026-01-01T00:10"),
    (EVERY_TEN_MINUTES, "*/10 * * * *", "2026-01-01T00:10 2026-01-01T00:20"),
    (EVERY_FIFTEEN_MINUTES, "*/15 * * * *", "2026-01-01T00:15 2026-01-01T00:30"),
    (EVERY_THIRTY_MINUTES, "*/30 * * * *", "2026-01-01T00:30 2026-01-01T01:00"),
    (HOURLY, "0 * * * *", "2026-01-01T01:00 2026-01-01T02:00"),
    (DAILY, "0 0 * * *", "2026-01-02T00:00 2026-01-03T00:00"),
    (WEEKLY, "0 0 * * SUN", "2026-01-04T00:00 2026-01-11T00:00"),
    (MONTHLY, "0 0 1 * *", "2026-02-01T00:00 2026-03-01T00:00"),
    (hourly_at(15), "15 * * * *", "2026-01-01T00:15 2026-01-01T01:15"),
    (hourly_at(15, "Asia/Kathmandu"), "CRON_TZ=Asia/Kathmandu 15 * * * *", "2026-01-01T00:30 2026-01-01T01:30"),
    (daily_at(9), "0 9 * * *", "2026-01-01T09:00 2026-01-02T09:00"),
    (daily_at(9, 30, "Europe/Paris"), "CRON_TZ=Europe/Paris 30 9 * * *", "2026-01-01T08:30 2026-01-02T08:30"),
    (daily_at(23, 59, ZoneInfo("Asia/Tokyo")), "CRON_TZ=Asia/Tokyo 59 23 * * *", "2026-01-01T14:59 2026-01-02T14:59"),
    (weekly_on("mon"), "0 0 * * MON", "2026-01-05T00:00 2026-01-12T00:00"),
    (weekly_on(5, 17, 45), "45 17 * * FRI", "2026-01-02T17:45 2026-01-09T17:45"),
    (weekly_on(7), "0 0 * * SUN", "2026-01-04T00:00 2026-01-11T00:00"),
    (weekly_on(0), "0 0 * * SUN", "2026-01-04T00:00 2026-01-11T00:00"),
    (every("30s"), "@every 30s", "2026-01-01T00:00:30 2026-01-01T00:01"),
    (every(timedelta(days=1)), "@every 24h", "2026-01-02T00:00 2026-01-03T00:00"),
    (every("1 month 1 week 3 days"), "@every 1mon10d", "2026-02-11T00:00 2026-03-21T00:00"),
    (every(Interval(days=1)), "@every 1d", "2026-01-02T00:00 2026-01-03T00:00"),
]


@pytest.mark.parametrize(("cadence", "text", "fires"), TABLE)
def test_a_cadence_is_the_text_of_a_trigger(cadence: str, text: str, fires: str) -> None:
    """Which fires when its name says."""
    assert cadence == text
    assert first_few(parse_trigger(cadence), THURSDAY, 2) == [datetime.fromisoformat(fire).replace(tzinfo=UTC) for fire in fires.split()]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hourly_at(60), "minute '60' is out of range; expected 0-59"),
        (lambda: daily_at(24), "hour '24' is out of range; expected 0-23"),
        (lambda: daily_at(9, -1), "minute '-1' is out of range; expected 0-59"),
        (lambda: daily_at("9"), "hour '9' is out of range; expected 0-23"),  # type: ignore[arg-type]  # the point
        (lambda: daily_at(9, 0, "Mars"), "timezone 'Mars' is unknown"),
        (lambda: daily_at(True), "hour 'True' is out of range; expected 0-23"),  # noqa: FBT003 - the point
        (lambda: weekly_on(True), "weekday 'True' is no weekday"),  # noqa: FBT003 - the point
        (lambda: every(5), "interval '5' is no interval"),  # type: ignore[arg-type]  # the point
        (lambda: weekly_on(8), r"weekday '8' is no weekday; expected SUN-SAT, or 0-7 \(0 and 7 are Sunday\)"),
        (lambda: weekly_on("monday"), "weekday 'monday' is no weekday"),
        (lambda: every("0s"), "interval '0s' does not move forward"),
        (lambda: every(timedelta(seconds=-5)), "interval '-5s' does not move forward"),
        (lambda: every("5 parsecs"), "interval '5 parsecs' has the unknown unit 'parsecs'"),
    ],
)
def test_a_cadence_that_cannot_be_is_refused(call: object, message: str) -> None:
    """When it is asked for, by the argument's name."""
    assert callable(call)
    with pytest.raises(TriggerError, match=message):
        call()
