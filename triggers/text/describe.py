"""A trigger in plain English: `09:00 on Monday to Friday, Europe/Paris`. Pure."""

from functools import singledispatch

from duly.triggers.base import Trigger, require_trigger
from duly.triggers.calendar_interval import CalendarIntervalTrigger
from duly.triggers.combined.between import Between
from duly.triggers.combined.combine import AllOf, AnyOf
from duly.triggers.combined.excluding import Except
from duly.triggers.combined.jitter import Jittered
from duly.triggers.cron.trigger import CronTrigger
from duly.triggers.simple import AfterTrigger, OnceTrigger, SimpleTrigger
from duly.triggers.text.describe_cron import NAMES, describe_fields
from duly.triggers.text.expression import parse_trigger
from duly.triggers.text.wording import instant, interval, listed

__all__ = ["describe"]

_FIVE_FIELDS = 5
_COMBINED = (AnyOf, AllOf, Except, Jittered, Between)


@singledispatch
def describe(trigger: Trigger | str) -> str:
    """Say in English when a trigger, or the text of one, fires.

    A class of your own says it by its text, or its repr, unless it registers here:
    `describe.register(MyTrigger, function)` teaches it one. The zone stands behind times that depend on it.
    """
    return require_trigger(trigger, "trigger").to_text() or repr(trigger)


@describe.register
def _(trigger: str) -> str:
    return describe(parse_trigger(trigger))


@describe.register
def _(trigger: CronTrigger) -> str:
    said = describe_fields(trigger.fields)
    # From the hours on: what comes before them is the same in all zones but for odd quarters of an hour.
    depends_on_zone = any(text not in ("*", "?") for text in trigger.fields[len(trigger.fields) > _FIVE_FIELDS :][1:])
    zone = f", {trigger.timezone.key}" if depends_on_zone or trigger.timezone.key != "UTC" else ""
    return f"{said}{zone}{'' if trigger.hash_id is None else f' (hashed from {trigger.hash_id!r})'}"


@describe.register
def _(trigger: SimpleTrigger) -> str:
    said = f"{interval(trigger.interval)} after the end of each run" if trigger.fixed_delay else _every(interval(trigger.interval))
    return said + ("" if trigger.start is None else f" from {instant(trigger.start)}") + _times(trigger.times)


@describe.register
def _(trigger: OnceTrigger) -> str:
    return f"once at {instant(trigger.at)}"


@describe.register
def _(trigger: AfterTrigger) -> str:
    return f"once, {interval(trigger.interval)} after it is scheduled"


@describe.register
def _(trigger: CalendarIntervalTrigger) -> str:
    at = "" if trigger.at is None else f" at {trigger.at.isoformat('auto' if trigger.at.second or trigger.at.microsecond else 'minutes')}"
    start = "" if trigger.start is None else f" from {trigger.start}"
    return f"{_every(interval(trigger.interval))}{at}{start}, {trigger.timezone.key}"


@describe.register
def _(trigger: AnyOf) -> str:
    return f"whenever one of these fires: {'; '.join(_part(part) for part in trigger.parts)}"


@describe.register
def _(trigger: AllOf) -> str:
    return f"when all of these fire: {'; '.join(_part(part) for part in trigger.parts)}"


@describe.register
def _(trigger: Except) -> str:
    days = listed([NAMES.get(word, word.replace("/", " to ")) for word in trigger.days.words()])
    reasons = [f"on {days} ({trigger.timezone.key})"] if days else []
    reasons += [f"when this fires: {_part(other)}" for other in trigger.triggers]
    return f"{_part(trigger.trigger)}, but not {', nor '.join(reasons)}"


@describe.register
def _(trigger: Jittered) -> str:
    return f"{_part(trigger.trigger)}, up to {interval(trigger.by)} later (hashed from {trigger.hash_id!r})"


@describe.register
def _(trigger: Between) -> str:
    start = "" if trigger.start is None else f" from {instant(trigger.start)}"
    end = "" if trigger.end is None else f" until {instant(trigger.end)}"
    return f"{_part(trigger.trigger)},{start}{end}{_times(trigger.times)}"


def _part(trigger: Trigger) -> str:
    return f"({describe(trigger)})" if isinstance(trigger, _COMBINED) else describe(trigger)


def _every(length: str) -> str:
    """Say `every minute` rather than `every 1 minute`, where there is nothing else."""
    return f"every {length.removeprefix('1 ') if ' ' not in length.removeprefix('1 ') else length}"


def _times(times: int | None) -> str:
    return "" if times is None else ", once" if times == 1 else f", {times} times"
