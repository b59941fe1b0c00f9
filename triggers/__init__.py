"""When: triggers are pure values, functions from one fire time to the next. No clock, no I/O, no state."""

from detent.triggers.base import LooksBack, Trigger, next_fire_after
from detent.triggers.cron import CronTrigger
from detent.triggers.errors import DetentError, NaiveDatetime, TriggerError
from detent.triggers.expression import format_trigger, parse_trigger
from detent.triggers.instants import require_aware
from detent.triggers.interval import format_interval, parse_interval
from detent.triggers.misfire import Missed, missed
from detent.triggers.search import fire_times, last_fire_time
from detent.triggers.simple import OnceTrigger, SimpleTrigger

__all__ = [
    "CronTrigger",
    "DetentError",
    "LooksBack",
    "Missed",
    "NaiveDatetime",
    "OnceTrigger",
    "SimpleTrigger",
    "Trigger",
    "TriggerError",
    "fire_times",
    "format_interval",
    "format_trigger",
    "last_fire_time",
    "missed",
    "next_fire_after",
    "parse_interval",
    "parse_trigger",
    "require_aware",
]
