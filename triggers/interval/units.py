"""The units of an interval, what a part of one spills over into, and the sum of what a text says.

Pure.

Fractions are binary floating point and sums are checked at each step, because PostgreSQL's are: the same text must come to
the same microsecond, and to the same refusal.
"""

from typing import Literal

from attrs import define, field, frozen

from duly.triggers.errors import TriggerError

__all__ = [
    "DAY",
    "HOUR",
    "INT32",
    "INT64",
    "MICROSECOND",
    "MINUTE",
    "MONTH",
    "SECOND",
    "WEEK",
    "YEAR",
    "IntervalSum",
    "Unit",
    "find_unit",
    "refusal",
]

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)

_EXAMPLES = "a length such as 30s, 1h20m, 1 day 2 hours, 1.5 months, 01:30:00 or P1Y2M3DT4H5M6S"
_DAY_MICROSECONDS = 86_400_000_000
_MONTH_DAYS = 30
_SIGNIFICANT = 10  # PostgreSQL compares no more letters of a word

_Part = Literal["years", "months", "days", "microseconds"]


@frozen(kw_only=True)
class Unit:
    """A unit is `scale` of one of the four parts that PostgreSQL sums up."""

    name: str
    part: _Part
    scale: int


YEAR = Unit(name="years", part="years", scale=1)
MONTH = Unit(name="months", part="months", scale=1)
WEEK = Unit(name="weeks", part="days", scale=7)
DAY = Unit(name="days", part="days", scale=1)
HOUR = Unit(name="hours", part="microseconds", scale=3_600_000_000)
MINUTE = Unit(name="minutes", part="microseconds", scale=60_000_000)
SECOND = Unit(name="seconds", part="microseconds", scale=1_000_000)
MILLISECOND = Unit(name="milliseconds", part="microseconds", scale=1000)
MICROSECOND = Unit(name="microseconds", part="microseconds", scale=1)

_WORDS = {
    Unit(name="millennia", part="years", scale=1000): "mil mils millennium millennia",
    Unit(name="centuries", part="years", scale=100): "c cent century centuries",
    Unit(name="decades", part="years", scale=10): "dec decs decade decades",
    YEAR: "y yr yrs year years",
    MONTH: "mon mons month months",
    WEEK: "w week weeks",
    DAY: "d day days",
    HOUR: "h hr hrs hour hours",
    MINUTE: "m mm min mins minute minutes",
    SECOND: "s sec secs second seconds",
    MILLISECOND: "ms msec msecs msecond mseconds millisecond milliseconds",
    MICROSECOND: "us usec usecs usecond useconds microsecond microseconds",
}
_BY_WORD = {word[:_SIGNIFICANT]: unit for unit, words in _WORDS.items() for word in words.split()}


def find_unit(word: str) -> Unit | None:
    """Return the unit that a lower-case word names, in any of PostgreSQL's spellings.

    None when it names none.
    """
    return _BY_WORD.get(word[:_SIGNIFICANT])


def refusal(text: str, problem: str) -> TriggerError:
    """Return the error for an interval's text."""
    return TriggerError(problem, field="interval", value=text, expected=_EXAMPLES)


@define
class IntervalSum:
    """What has been read of a text so far.

    `years` and `months` become one only at the end, in `total_months`.
    """

    text: str
    years: int = field(default=0, init=False)
    months: int = field(default=0, init=False)
    days: int = field(default=0, init=False)
    microseconds: int = field(default=0, init=False)

    def add(self, unit: Unit, whole: int, fraction: float = 0.0) -> None:
        """Add a number of units, given as a whole number and a fraction with the same sign.

        A fraction of years goes to the nearest month, one of a month or week to days and then to time, and all others
        to the nearest microsecond. Raises `TriggerError` where a part outgrows PostgreSQL's range on the way.
        """
        self._add(unit.part, whole * unit.scale)
        if unit.part == "years":
            self._add("months", round(fraction * unit.scale * 12))
        elif unit is MONTH or unit is WEEK:
            days = fraction * (_MONTH_DAYS if unit is MONTH else unit.scale)
            self._add("days", int(days))
            self._add("microseconds", _nearest((days - int(days)) * _DAY_MICROSECONDS))
        else:
            self._add("microseconds", _nearest(fraction * (_DAY_MICROSECONDS if unit is DAY else unit.scale)))

    def set_clock(self, microseconds: int, *, negative: bool) -> None:
        """Replace the time.

        PostgreSQL forgets what a fraction of a day has put there before (`01:00 1.5 days`).
        """
        self._checked("microseconds", microseconds)
        self.microseconds = -microseconds if negative else microseconds

    def negate(self) -> None:
        """Turn every sign round, for `ago`."""
        for part in ("years", "months", "days", "microseconds"):
            amount: int = getattr(self, part)
            setattr(self, part, 0)
            self._add(part, -amount)

    @property
    def total_months(self) -> int:
        """The months with twelve for each year, within their range."""
        return self._checked("months", self.years * 12 + self.months)

    def _add(self, part: _Part, amount: int) -> None:
        total: int = getattr(self, part) + self._checked(part, amount)
        setattr(self, part, self._checked(part, total))

    def _checked(self, part: _Part, amount: int) -> int:
        low, high = INT64 if part == "microseconds" else INT32
        if not low <= amount <= high:
            raise refusal(self.text, f"is out of range: {amount} {part}")
        return amount


def _nearest(microseconds: float) -> int:
    """Round to whole microseconds, halves towards zero."""
    whole = int(microseconds)
    rest = microseconds - whole
    return whole + (rest > 0.5) - (rest < -0.5)  # noqa: PLR2004 - a half
