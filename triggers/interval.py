"""Lengths of time as text: `1h20m`, `1 hour 20 minutes`, `PT1H20M` <-> `timedelta`. Pure.

Exact units only: a day is 24 hours and a week seven of these. Months and years have no length of their own.
"""

import re
from datetime import timedelta
from fractions import Fraction

from detent.triggers.errors import TriggerError

__all__ = ["format_interval", "parse_interval"]

_MICROSECOND = timedelta(microseconds=1)
_EXPECTED = "a length such as 30s, 1h20m, 1 hour 20 minutes or PT5M"
_SPELLINGS = {
    timedelta(weeks=1): ("w", "week", "weeks"),
    timedelta(days=1): ("d", "day", "days"),
    timedelta(hours=1): ("h", "hr", "hrs", "hour", "hours"),
    timedelta(minutes=1): ("m", "min", "mins", "minute", "minutes"),
    timedelta(seconds=1): ("s", "sec", "secs", "second", "seconds"),
    timedelta(milliseconds=1): ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    timedelta(microseconds=1): ("us", "µs", "μs", "usec", "usecs", "microsecond", "microseconds"),
}
_UNITS = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_CALENDAR_UNITS = ("mo", "mon", "mons", "month", "months", "y", "yr", "yrs", "year", "years")
_WRITTEN = {spellings[0]: unit for unit, spellings in _SPELLINGS.items() if spellings[0] != "w"}

_PART = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,15})?)\s*(?P<unit>[a-zµμ]*)\s*", re.ASCII)
_ISO_DATE = {"years": "y", "months": "m", "weeks": "w", "days": "d"}
_ISO_TIME = {"hours": "h", "minutes": "m", "seconds": "s"}


def _iso_pattern(units: dict[str, str]) -> str:
    number = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
    return "".join(f"(?:(?P<{name}>{number}){letter})?" for name, letter in units.items())


_ISO = re.compile(f"p{_iso_pattern(_ISO_DATE)}(?:t{_iso_pattern(_ISO_TIME)})?")


def parse_interval(text: str) -> timedelta:
    """Read a length of time, to the microsecond, longer than zero; upper and lower case mean the same.

    `m` is minutes, except before the `T` of the ISO 8601 form.
    """
    lowered = text.strip().lower()
    parts = _iso_parts(lowered, text) if lowered.startswith("p") else _plain_parts(lowered, text)
    total = sum((Fraction(number) * _unit(unit, text) for number, unit in parts), Fraction(0))
    if total.denominator != 1:
        raise TriggerError("is finer than a microsecond", field="interval", value=text, expected="whole microseconds")
    if total == 0:
        raise TriggerError("is no time at all", field="interval", value=text, expected=f"{_EXPECTED}, longer than zero")
    try:
        return timedelta(microseconds=int(total))
    except OverflowError:
        raise TriggerError("is too long", field="interval", value=text, expected=f"at most {timedelta.max.days} days") from None


def format_interval(interval: timedelta) -> str:
    """Write a length of time in the shortest of these forms, from days down: `1d2h30m`, `500ms`."""
    rest, parts = interval, []
    for unit, length in _WRITTEN.items():
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def _plain_parts(lowered: str, text: str) -> list[tuple[str, str]]:
    parts, end = [], 0
    while match := _PART.match(lowered, end):
        if not match["unit"]:
            raise TriggerError(f"has no unit after {match['number']}", field="interval", value=text, expected=_EXPECTED)
        parts.append((match["number"], match["unit"]))
        end = match.end()
    if not parts or end < len(lowered):
        raise TriggerError("is not understood", field="interval", value=text, expected=_EXPECTED)
    return parts


def _iso_parts(lowered: str, text: str) -> list[tuple[str, str]]:
    match = _ISO.fullmatch(lowered)
    parts = [(number, unit) for unit, number in match.groupdict().items() if number] if match else []
    if not parts:
        raise TriggerError("is not understood", field="interval", value=text, expected=_EXPECTED)
    return parts


def _unit(unit: str, text: str) -> int:
    """Return the microseconds in a unit."""
    if unit in _CALENDAR_UNITS:
        raise TriggerError(
            f"counts in {unit!r}, which has no fixed length",
            field="interval",
            value=text,
            expected="weeks, days, hours, minutes, seconds, ms or us; for the calendar a cron expression, such as @monthly",
        )
    if unit not in _UNITS:
        raise TriggerError(f"has the unknown unit {unit!r}", field="interval", value=text, expected=_EXPECTED)
    return _UNITS[unit] // _MICROSECOND
