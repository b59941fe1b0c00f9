"""A cron expression in plain English, from the texts of its fields. Pure.

Examples: `09:00 on Monday to Friday`, `every 5 minutes from second 1`.

The texts are canonical, as `cron_fields` writes them: names for months and weekdays, no blanks, no superfluous steps.
"""

import re
from collections.abc import Callable, Sequence
from itertools import product

from attrs import frozen

from duly.triggers.cron.fields import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, FieldSpec
from duly.triggers.errors import TriggerError
from duly.triggers.text.wording import every, listed, ordinal

__all__ = ["NAMES", "describe_fields"]

_ITEM = re.compile(r"(?P<low>[*?]|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\d+))?")
_DAY_WORD = re.compile(r"L(?:-(?P<before>\d+))?(?P<working>W)?|(?P<near>\d+)W")
_WEEKDAY_WORD = re.compile(r"(?P<name>[A-Z]{3})(?:L|#(?P<nth>\d))")
_MOST_TIMES = 6
"""Up to so many times of day are listed one by one."""
_SECONDS_FIRST, _WITH_YEAR = 6, 7

_FULL_NAMES = (
    "Sunday Monday Tuesday Wednesday Thursday Friday Saturday "
    "January February March April May June July August September October November December"
)
NAMES = {full[:3].upper(): full for full in _FULL_NAMES.split()}

_SPECS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)

Label = Callable[[str], str]


@frozen
class _Item:
    """One item of a field's list: a value, a range or the whole (`*`), with or without a step."""

    low: str
    high: str | None
    step: int | None

    @classmethod
    def read(cls, text: str) -> "_Item":
        match = _ITEM.fullmatch(text)
        if match is None:
            raise TriggerError("is not canonical", field="cron field", value=text, expected="a text that CronTrigger wrote")
        return cls(match["low"], match["high"], int(match["step"]) if match["step"] else None)

    @property
    def is_whole(self) -> bool:
        return self.low in ("*", "?")

    def say(self, unit: str, label: Label) -> str:
        """Say it within a sentence: `9`, `Monday to Friday`, `every 2nd hour from 1 to 9`."""
        span = "" if self.is_whole else label(self.low) + (f" to {label(self.high)}" if self.high else "")
        if self.step is None:
            return span
        return f"every {ordinal(self.step)} {unit}" + (f" from {span}" if span else "")


@frozen
class _Field:
    """A field's text and how to say a value of it."""

    text: str
    unit: str
    label: Label = str
    values_in_all: int = 0
    """How many the dial has, where it is one that begins anew; 0 elsewhere."""
    within: str = ""
    """Where it begins anew."""

    @property
    def is_any(self) -> bool:
        return self.text in ("*", "?")

    @property
    def items(self) -> list[_Item]:
        return [_Item.read(text) for text in self.text.split(",")]

    @property
    def values(self) -> list[int] | None:
        """The numbers of a plain list of numbers."""
        return [int(text) for text in self.text.split(",")] if self.text.replace(",", "").isdigit() else None

    @property
    def rhythm(self) -> str | None:
        """`every minute`, `every 5 minutes from minute 2`, where the field follows the clock."""
        item = self.items[0]
        if "," in self.text or item.high or not (item.is_whole or item.step):
            return None
        step = item.step or 1
        # Not all round the dial, but anew with it: `*/45` is minutes 0 and 45, `30/20` is 30 and 50.
        begins_anew = self.values_in_all % step or (self.values_in_all and not item.is_whole and int(item.low) >= step)
        within = f" within each {self.within}" if begins_anew else ""
        return every(step, self.unit) + ("" if item.is_whole else f" from {self.unit} {item.low}") + within

    def say(self) -> str:
        """Say it within a sentence."""
        return listed([item.say(self.unit, self.label) for item in self.items])

    def numbered(self) -> str:
        """Say it with its unit: `minute 5`, `minutes 0 and 30`, `every 5th minute`."""
        said = self.say()
        if said.startswith("every"):
            return said
        return f"{self.unit}{'' if self.text.isdigit() else 's'} {said}"


def describe_fields(texts: Sequence[str]) -> str:
    """Describe 5, 6 or 7 fields of a cron expression."""
    whole = [*texts] if len(texts) >= _SECONDS_FIRST else ["0", *texts]
    second, minute, hour, day, month, weekday = (_written_out(text, spec) for text, spec in zip(whole, _SPECS, strict=False))
    clock = _times_of_day(second, minute, hour)
    days = _days(day, weekday) or ("" if clock is None else "every day")
    months = _Field(month, "month", NAMES.__getitem__)
    years = _Field(texts[6] if len(texts) == _WITH_YEAR else "*", "year")
    spans = [f"in {span.say()}" for span in (months, years) if not span.is_any]
    return " ".join(part for part in [clock or _rhythm(second, minute, hour), days, *spans] if part)


def _written_out(text: str, spec: FieldSpec) -> str:
    """Write steps that are too long for the dial as the one value that they are.

    `*/90` is minute 0.
    """
    return ",".join(_only_value(item, spec) for item in text.split(","))


def _only_value(item: str, spec: FieldSpec) -> str:
    first, _, step = item.partition("/")
    if not step or "-" in first:
        return item
    first = spec.label(spec.low) if first == "*" else first
    value = spec.low + spec.names.index(first) if spec.names else int(first)
    return first if value + int(step) > spec.high else item


def _times_of_day(second: str, minute: str, hour: str) -> str | None:
    """List the times of day one by one; None when they are too many."""
    seconds, minutes, hours = _Field(second, "second").values, _Field(minute, "minute").values, _Field(hour, "hour").values
    if seconds is None or minutes is None or hours is None or len(seconds) * len(minutes) * len(hours) > _MOST_TIMES:
        return None
    times = sorted(product(hours, minutes, seconds))
    return listed([f"{hour:02}:{minute:02}" + (f":{second:02}" if seconds != [0] else "") for hour, minute, second in times])


def _rhythm(second_text: str, minute_text: str, hour_text: str) -> str:
    """Describe times of day that are too many to be listed: how often, then within which part of the day."""
    second = _Field(second_text, "second", values_in_all=60, within="minute")
    minute = _Field(minute_text, "minute", values_in_all=60, within="hour")
    hour = _Field(hour_text, "hour", values_in_all=24, within="day")
    if second.rhythm:
        within = "" if minute.is_any else f" of {minute.numbered()}"
        return f"{second.rhythm}{within}{_part_of_day(hour)}"
    at_second = "" if second.text == "0" else f" from second {second.text}" if second.text.isdigit() else f" at {second.numbered()}"
    if minute.rhythm:
        return f"{minute.rhythm}{at_second}{_part_of_day(hour)}"
    at_minute = "" if minute.text == "0" and not at_second else f" at {minute.numbered()}"
    item = hour.items[0]
    if minute.text.isdigit() and not at_second and "," not in hour.text and item.high and not item.step:
        return f"every hour from {int(item.low):02}:{int(minute.text):02} to {int(item.high):02}:{int(minute.text):02}"
    if hour.rhythm:
        return f"{hour.rhythm}{at_minute}{at_second}"
    return f"{minute.numbered()} of {hour.numbered()}{at_second}"


def _part_of_day(hour: _Field) -> str:
    if hour.is_any:
        return ""
    item = hour.items[0]
    if "," in hour.text or item.step:
        return f" in {hour.numbered()}"
    return f" from {int(item.low):02}:00 to {int(item.high or item.low):02}:59"


def _days(day: str, weekday: str) -> str:
    """Describe both day fields together: either may match, unless one of them begins with `*` or `?`."""
    by_day = None if day in ("*", "?") else listed([_say_day(text) for text in day.split(",")])
    by_weekday = None if weekday in ("*", "?") else listed([_say_weekday(text) for text in weekday.split(",")])
    if by_day is None or by_weekday is None:
        said = by_day or by_weekday
        return f"on {said}" if said else ""
    if day[0] in "*?" or weekday[0] in "*?":
        return f"on days that are both {by_weekday} and {by_day}"
    return f"on {by_day} or on {by_weekday}"


def _say_day(text: str) -> str:
    match = _DAY_WORD.fullmatch(text)
    if match is None:
        return _Item.read(text).say("day of the month", lambda number: f"the {ordinal(int(number))}")
    if match["near"]:
        return f"the working day nearest to the {ordinal(int(match['near']))}"
    if match["before"] is None:
        return "the last working day" if match["working"] else "the last day"
    counted = f"the {ordinal(int(match['before']))} day before the last"
    return f"the working day nearest to {counted}" if match["working"] else counted


def _say_weekday(text: str) -> str:
    match = _WEEKDAY_WORD.fullmatch(text)
    if match is None:
        return _Item.read(text).say("day of the week", NAMES.__getitem__)
    return f"the {ordinal(int(match['nth'])) if match['nth'] else 'last'} {NAMES[match['name']]}"
