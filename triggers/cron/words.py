"""The day words of cron expressions: `L`, `L-3`, `LW`, `L-3W`, `15W`, `5L`, `FRIL`, `MON#1`. Pure."""

import re
from typing import NoReturn, Protocol

from duly.triggers.cron.days import DayRule, last_day, last_weekday, nearest_working_day, nth_weekday

__all__ = ["read_day_word", "read_weekday_word"]

_LAST_DAY = re.compile(r"L(?:-(?P<before>[0-9]{1,9}))?(?P<working>W)?")
_WORKING_DAY = re.compile(r"(?P<day>[0-9]{1,9})W")
_LAST_WEEKDAY = re.compile(r"(?P<weekday>[0-9]{1,9}|[A-Z]{3})L")
_NTH_WEEKDAY = re.compile(r"(?P<weekday>\w+)#(?P<nth>\w+)", re.ASCII)

_GREATEST_OFFSET = 30
_WEEKS = ("1", "2", "3", "4", "5")
_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Reader(Protocol):
    """What a word needs of its field."""

    def value(self, text: str, item: str) -> int:
        """Read a number or name of the field."""

    def refuse(self, value: str, problem: str, expected: str) -> NoReturn:
        """Raise the field's error."""


def read_day_word(item: str, reader: Reader) -> tuple[str, DayRule] | None:
    """Read a word of the day-of-month field into its canonical text and rule; None when it is not one."""
    if match := _LAST_DAY.fullmatch(item):
        before = int(match["before"] or 0)
        if before > _GREATEST_OFFSET:
            reader.refuse(item, "is out of range", f"L-0 to L-{_GREATEST_OFFSET}")
        text = ("L" if before == 0 else f"L-{before}") + ("W" if match["working"] else "")
        return text, last_day(before, working=match["working"] is not None)
    if match := _WORKING_DAY.fullmatch(item):
        day = reader.value(match["day"], item)
        return f"{day}W", nearest_working_day(day)
    return None


def read_weekday_word(item: str, reader: Reader) -> tuple[str, DayRule] | None:
    """Read a word of the day-of-week field into its canonical text and rule; None when it is not one."""
    if match := _LAST_WEEKDAY.fullmatch(item):
        weekday = reader.value(match["weekday"], item) % len(_NAMES)
        return f"{_NAMES[weekday]}L", last_weekday(weekday)
    if match := _NTH_WEEKDAY.fullmatch(item):
        weekday = reader.value(match["weekday"], item) % len(_NAMES)
        if match["nth"] not in _WEEKS:
            reader.refuse(item, "is out of range", "#1 to #5 after the weekday")
        return f"{_NAMES[weekday]}#{match['nth']}", nth_weekday(weekday, int(match["nth"]))
    return None
