"""When: triggers are pure values, functions from one fire time to the next.

No clock, no I/O, no state.
"""

from duly.triggers.base import CountsFrom, LooksBack, Trigger, next_fire_after, require_trigger
from duly.triggers.cadence import (
    DAILY,
    EVERY_FIFTEEN_MINUTES,
    EVERY_FIVE_MINUTES,
    EVERY_MINUTE,
    EVERY_TEN_MINUTES,
    EVERY_THIRTY_MINUTES,
    HOURLY,
    MONTHLY,
    WEEKLY,
    daily_at,
    every,
    hourly_at,
    weekly_on,
)
from duly.triggers.calendar_interval import CalendarIntervalTrigger
from duly.triggers.combined.between import Between
from duly.triggers.combined.combine import AllOf, AnyOf
from duly.triggers.combined.excluding import DateRange, Except
from duly.triggers.combined.holidays import read_holidays
from duly.triggers.combined.jitter import Jittered
from duly.triggers.cron.trigger import CronTrigger, Dialect
from duly.triggers.errors import DulyError, MissingExtra, NaiveDatetime, TriggerError
from duly.triggers.exports import name_exports
from duly.triggers.instants import END_OF_TIME, TICK, require_aware
from duly.triggers.interval.interval import Interval, format_interval, parse_interval
from duly.triggers.localtime import DstFold, DstGap
from duly.triggers.misfire import Missed, missed
from duly.triggers.search import fire_times, first_delay, last_fire_time, latest_fires
from duly.triggers.simple import AfterTrigger, OnceTrigger, SimpleTrigger
from duly.triggers.text.describe import describe
from duly.triggers.text.expression import format_trigger, parse_trigger, validate_trigger

__all__ = [
    "DAILY",
    "END_OF_TIME",
    "EVERY_FIFTEEN_MINUTES",
    "EVERY_FIVE_MINUTES",
    "EVERY_MINUTE",
    "EVERY_TEN_MINUTES",
    "EVERY_THIRTY_MINUTES",
    "HOURLY",
    "MONTHLY",
    "TICK",
    "WEEKLY",
    "AfterTrigger",
    "AllOf",
    "AnyOf",
    "Between",
    "CalendarIntervalTrigger",
    "CountsFrom",
    "CronTrigger",
    "DateRange",
    "Dialect",
    "DstFold",
    "DstGap",
    "DulyError",
    "Except",
    "Interval",
    "Jittered",
    "LooksBack",
    "Missed",
    "MissingExtra",
    "NaiveDatetime",
    "OnceTrigger",
    "SimpleTrigger",
    "Trigger",
    "TriggerError",
    "daily_at",
    "describe",
    "every",
    "fire_times",
    "first_delay",
    "format_interval",
    "format_trigger",
    "hourly_at",
    "last_fire_time",
    "latest_fires",
    "missed",
    "next_fire_after",
    "parse_interval",
    "parse_trigger",
    "read_holidays",
    "require_aware",
    "require_trigger",
    "validate_trigger",
    "weekly_on",
]

name_exports(__name__)
