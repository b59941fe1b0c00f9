"""The common cadences by name: the texts of triggers, for `trigger=` anywhere. Pure.

scheduler.schedule_job("clean", "clean", trigger=EVERY_FIVE_MINUTES)
scheduler.schedule_job("report", "report", trigger=daily_at(9, 30, "Europe/Paris"))
"""

from datetime import timedelta, tzinfo

from duly.triggers.cron.fields import HOUR, MINUTE, WEEKDAY, FieldSpec
from duly.triggers.errors import TriggerError
from duly.triggers.interval.interval import Interval, format_interval, plain_interval, require_forward
from duly.triggers.options import write_options, zone_options
from duly.triggers.zones import load_zone

__all__ = [
    "DAILY",
    "EVERY_FIFTEEN_MINUTES",
    "EVERY_FIVE_MINUTES",
    "EVERY_MINUTE",
    "EVERY_TEN_MINUTES",
    "EVERY_THIRTY_MINUTES",
    "HOURLY",
    "MONTHLY",
    "WEEKLY",
    "daily_at",
    "every",
    "hourly_at",
    "weekly_on",
]

EVERY_MINUTE = "* * * * *"
EVERY_FIVE_MINUTES = "*/5 * * * *"
EVERY_TEN_MINUTES = "*/10 * * * *"
EVERY_FIFTEEN_MINUTES = "*/15 * * * *"
EVERY_THIRTY_MINUTES = "*/30 * * * *"
HOURLY = "0 * * * *"
DAILY = "0 0 * * *"
WEEKLY = "0 0 * * SUN"
MONTHLY = "0 0 1 * *"


def every(interval: str | timedelta | Interval) -> str:
    """Return the cadence of a fixed interval.

    Examples: `30s`, `1 hour 20 minutes`, `timedelta(minutes=5)`, `1 month`.
    """
    length = plain_interval(interval)
    require_forward(length)
    return f"@every {format_interval(length)}"


def hourly_at(minute: int, timezone: str | tzinfo = "UTC") -> str:
    """Return the cadence of once an hour, at this minute (0-59)."""
    return _cron(f"{_number(MINUTE, minute)} * * * *", timezone)


def daily_at(hour: int, minute: int = 0, timezone: str | tzinfo = "UTC") -> str:
    """Return the cadence of once a day, at this wall-clock time (0-23, 0-59) in a zone."""
    return _cron(f"{_clock(hour, minute)} * * *", timezone)


def weekly_on(weekday: str | int, hour: int = 0, minute: int = 0, timezone: str | tzinfo = "UTC") -> str:
    """Return the cadence of once a week, at this wall-clock time.

    The weekday is a name (`MON`) or a number (0 and 7 are Sunday).
    """
    return _cron(f"{_clock(hour, minute)} * * {_weekday(weekday)}", timezone)


def _cron(expression: str, timezone: str | tzinfo) -> str:
    return write_options(zone_options(load_zone(timezone)), expression)


def _clock(hour: int, minute: int) -> str:
    return f"{_number(MINUTE, minute)} {_number(HOUR, hour)}"


def _weekday(weekday: str | int) -> str:
    names = WEEKDAY.names
    if isinstance(weekday, str) and weekday.upper() in names:
        return weekday.upper()
    if type(weekday) is int and 0 <= weekday <= len(names):
        return names[weekday % len(names)]
    raise TriggerError("is no weekday", field="weekday", value=str(weekday), expected="SUN-SAT, or 0-7 (0 and 7 are Sunday)")


def _number(spec: FieldSpec, value: int) -> int:
    if type(value) is not int or not spec.low <= value <= spec.high:
        raise TriggerError("is out of range", field=spec.name, value=str(value), expected=f"{spec.low}-{spec.high}")
    return value
