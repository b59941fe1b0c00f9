"""Small words for describing triggers: lists, ordinals, lengths of time. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from duly.triggers.interval.interval import Interval

__all__ = ["every", "instant", "interval", "listed", "ordinal"]

_TEENS = range(11, 14)
_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}
_UNITS = (
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
    ("millisecond", timedelta(milliseconds=1)),
    ("microsecond", timedelta(microseconds=1)),
)


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words as people do: `a`, `a and b`, `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `13th`."""
    suffix = "th" if number % 100 in _TEENS else _SUFFIXES.get(number % 10, "th")
    return f"{number}{suffix}"


def every(step: int, unit: str) -> str:
    """Return `every minute`, `every 5 minutes`."""
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def instant(moment: datetime) -> str:
    """Return an instant in UTC, without seconds where there are none."""
    whole = moment.second == moment.microsecond == 0
    return f"{moment.replace(tzinfo=None).isoformat(' ', 'minutes' if whole else 'auto')} UTC"


def interval(length: Interval | timedelta) -> str:
    """Return `1 hour 20 minutes`, `1 month 10 days`: an interval that is longer than zero."""
    whole = Interval(time=length) if isinstance(length, timedelta) else length
    sign, months = (-1 if whole.months < 0 else 1), abs(whole.months)
    counted = [(sign * (months // 12), "year"), (sign * (months % 12), "month"), (whole.days, "day"), *_clock(whole.time)]
    return " ".join(f"{number} {unit}{'' if abs(number) == 1 else 's'}" for number, unit in counted if number)


def _clock(length: timedelta) -> list[tuple[int, str]]:
    sign, rest, counted = (-1 if length < timedelta(0) else 1), abs(length), []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        counted.append((sign * number, unit))
    return counted
