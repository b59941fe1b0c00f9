"""Reading the fields of a cron expression into one unambiguous form. Pure, and without croniter.

What comes out of a field is its canonical text (names where the field has names, so that no reader has to know
which dialect's weekday numbers were meant), the plain ranges in the only form that every cron reader understands
alike, and the day words.
"""

import re
from hashlib import blake2b
from typing import Literal, NoReturn

from attrs import Factory, define, frozen

from duly.triggers.cron.days import DayRule
from duly.triggers.cron.words import read_day_word, read_weekday_word
from duly.triggers.errors import TriggerError

__all__ = ["DAY", "HOUR", "MINUTE", "MONTH", "SECOND", "WEEKDAY", "YEAR", "Dialect", "FieldReader", "FieldSpec", "ParsedField"]

Dialect = Literal["unix", "quartz"]
"""How weekday digits count: unix 0-7 with 0 and 7 = Sunday, quartz 1-7 with 1 = Sunday."""

_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<hash>H)(?:\((?P<from>\w+)-(?P<to>\w+)\))?|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\w+))?", re.ASCII
)
_NUMBER = re.compile(r"[0-9]{1,9}")
_QUARTZ_OFFSET = 1


@frozen
class FieldSpec:
    """A field's name in messages, its range, and the names of its values from `low` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1

    def label(self, value: int) -> str:
        """Return the canonical text of a value: its name where it has one."""
        return self.names[value - self.low] if self.names else str(value)


SECOND = FieldSpec("second", 0, 59)
MINUTE = FieldSpec("minute", 0, 59)
HOUR = FieldSpec("hour", 0, 23)
DAY = FieldSpec("day of month", 1, 31)
MONTH = FieldSpec("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
WEEKDAY = FieldSpec("day of week", 0, 6, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
YEAR = FieldSpec("year", 1970, 2199)

_SYNTAX = "*, a value, a-b, any of them with /n, or a list of these"
_WORDS = {"day of month": "; also ?, L, L-n, LW, L-nW, nW", "day of week": "; also ?, nL, n#k"}
# The last days of the months differ: a hashed day has to exist in all of them.
_LAST_COMMON_DAY = 28


@frozen(kw_only=True)
class ParsedField:
    """A field that was understood.

    `drawn`: the text, but with the values that were drawn for each `H`.
    `ranges`: ascending `a-b/n`, `a-b` and `a`, or a lone `*`; empty when there are only day words.
    `star`: begins with `*` or `?`. `open_ended`: has some `n/s`, Quartz' spelling of "every s". `hashed`: has an `H`.
    """

    spec: FieldSpec
    text: str
    drawn: str
    ranges: tuple[str, ...]
    rules: tuple[DayRule, ...]
    star: bool
    open_ended: bool
    hashed: bool

    @property
    def wildcard(self) -> bool:
        """Whether the field follows the clock ("every so many") rather than naming times."""
        return self.star or self.open_ended


@define(kw_only=True)
class FieldReader:
    """Reads one field of `expression`; every error names the field, the value and what is allowed there."""

    expression: str
    spec: FieldSpec
    dialect: Dialect
    hash_id: str | None
    _texts: list[str] = Factory(list)
    _drawn: list[str] = Factory(list)
    _ranges: list[str] = Factory(list)
    _rules: list[DayRule] = Factory(list)
    _open_ended: bool = False
    _hashed: bool = False

    def read(self, text: str) -> ParsedField:
        """Read the field's text (upper case)."""
        if text == "?":
            if self.spec not in (DAY, WEEKDAY):
                self.refuse(text, "is for the day fields only", self._allowed())
            self._add("?", "*")
        else:
            for item in text.split(","):
                self._read_item(item)
        return ParsedField(
            spec=self.spec,
            text=",".join(self._texts),
            drawn=",".join(self._drawn),
            ranges=("*",) if "*" in self._ranges else tuple(self._ranges),
            rules=tuple(self._rules),
            star=text[0] in "*?",
            open_ended=self._open_ended,
            hashed=self._hashed,
        )

    def refuse(self, value: str, problem: str, expected: str) -> NoReturn:
        """Raise the error for a part of this field."""
        raise TriggerError(problem, text=self.expression, field=self.spec.name, value=value, expected=expected)

    def value(self, text: str, item: str) -> int:
        """Read a number or a name. A weekday comes as 0-6, or 7 for a Sunday that may end a range."""
        if text in self.spec.names:
            return self.spec.low + self.spec.names.index(text)
        low, high = self._digits()
        if _NUMBER.fullmatch(text) is None:
            self.refuse(item, "is not understood", self._allowed())
        if not low <= int(text) <= high:
            self.refuse(item, "is out of range", self._allowed())
        return int(text) - (_QUARTZ_OFFSET if self._quartz() else 0)

    def _quartz(self) -> bool:
        return self.spec is WEEKDAY and self.dialect == "quartz"

    def _digits(self) -> tuple[int, int]:
        if self.spec is WEEKDAY:
            return (1, 7) if self._quartz() else (0, 7)
        return self.spec.low, self.spec.high

    def _allowed(self) -> str:
        low, high = self._digits()
        sunday = {(0, 7): " (0 and 7 are Sunday)", (1, 7): " (1 is Sunday)"}.get((low, high), "")
        names = f" or {self.spec.names[0]}-{self.spec.names[-1]}" if self.spec.names else ""
        return f"{low}-{high}{sunday}{names}: {_SYNTAX}{_WORDS.get(self.spec.name, '')}"

    def _add(self, text: str, *ranges: str, drawn: str | None = None) -> None:
        self._texts.append(text)
        self._drawn.append(text if drawn is None else drawn)
        self._ranges.extend(ranges)

    def _read_item(self, item: str) -> None:
        word = None
        if self.spec is DAY:
            word = read_day_word(item, self)
        elif self.spec is WEEKDAY:
            word = read_weekday_word(item, self)
        if word is not None:
            self._add(word[0])
            self._rules.append(word[1])
            return
        if item == "L" and self._quartz():  # Quartz: a lone L in the day of week is Saturday
            item = "SAT"
        match = _ITEM.fullmatch(item)
        if match is None:
            self.refuse(item, "is not understood", self._allowed())
        step = self._step(match["step"], item)
        if match["star"]:
            self._add(f"*/{step}" if step > 1 else "*", self._range(self.spec.low, self.spec.high, step))
        elif match["hash"]:
            self._read_hash(match, step, item)
        elif match["high"]:
            self._read_range(match, step, item)
        else:
            self._read_value(match, step, item)

    def _step(self, text: str | None, item: str) -> int:
        if text is None:
            return 1
        if _NUMBER.fullmatch(text) is None or int(text) < 1:
            self.refuse(item, "has a step that is not understood", "a whole number from 1 on after the /")
        return int(text)

    def _range(self, low: int, high: int, step: int) -> str:
        """Write an ascending range in a form that all cron readers take alike.

        It avoids `a-a` and steps that are too large.
        """
        if (low, high, step) == (self.spec.low, self.spec.high, 1):
            return "*"
        if low + step > high:
            return str(low)
        return f"{low}-{high}" + (f"/{step}" if step > 1 else "")

    def _read_value(self, match: re.Match[str], step: int, item: str) -> None:
        low = self._on_dial(self.value(match["low"], item))
        if match["step"] is None:
            self._add(self.spec.label(low), str(low))
            return
        self._open_ended = True
        self._add(f"{self.spec.label(low)}/{step}", self._range(low, self.spec.high, step))

    def _on_dial(self, value: int) -> int:
        """Bring a weekday 7 back to Sunday."""
        return self.spec.low if value > self.spec.high else value

    def _bounds(self, low_text: str, high_text: str, item: str) -> tuple[int, int]:
        low, high = self.value(low_text, item), self.value(high_text, item)
        if self.spec is WEEKDAY and (low, high) == (0, 7):  # Sunday to Sunday is the whole week, not one day
            return low, self.spec.high
        low, high = self._on_dial(low), self._on_dial(high)
        if low > high and self.spec is YEAR:
            self.refuse(item, "runs backwards", self._allowed())
        return low, high

    def _around(self, low: int, high: int, step: int) -> list[str]:
        """List a range that may run past the end of the dial, keeping the step."""
        return [str(self.spec.low + (value - self.spec.low) % self.spec.size) for value in range(low, high + 1, step)]

    def _read_range(self, match: re.Match[str], step: int, item: str) -> None:
        low, high = self._bounds(match["low"], match["high"], item)
        text = f"{self.spec.label(low)}-{self.spec.label(high)}" + (f"/{step}" if step > 1 else "")
        if low == high:
            self._add(self.spec.label(low), str(low))
        elif low < high:
            self._add(text, self._range(low, high, step))
        else:
            self._add(text, *self._around(low, high + self.spec.size, step))

    def _read_hash(self, match: re.Match[str], step: int, item: str) -> None:
        if self.spec is YEAR:
            self.refuse(item, "cannot be hashed", self._allowed())
        if self.hash_id is None:
            self.refuse(item, "needs a hash id", "hash_id=, the text that H is worked out from (the slug of the task)")
        self._hashed = True
        low, high, text = self.spec.low, _LAST_COMMON_DAY if self.spec is DAY else self.spec.high, "H"
        if match["from"]:
            low, high = self._bounds(match["from"], match["to"], item)
            text = f"H({self.spec.label(low)}-{self.spec.label(high)})"
            high += self.spec.size if high < low else 0
        if match["step"] is None:
            drawn = self._around(value := self._draw(self.hash_id, low, high), value, 1)
            self._add(text, *drawn, drawn=self.spec.label(int(drawn[0])))
            return
        self._open_ended = self._open_ended or not match["from"]
        start = self._draw(self.hash_id, low, min(low + step - 1, high))
        drawn = self._around(start, high, step)
        self._add(f"{text}/{step}", *drawn, drawn=",".join(self.spec.label(int(value)) for value in drawn))

    def _draw(self, hash_id: str, low: int, high: int) -> int:
        """Draw a value that depends on the id and the field only: the same in every process, uniform over ids."""
        digest = blake2b(f"{self.spec.name}\0{hash_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return low + int.from_bytes(digest, "big") % (high - low + 1)
