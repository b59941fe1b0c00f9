"""Reads PostgreSQL's own form and the clock form of an interval; hands the ISO 8601 form on. Pure.

A text is a row of numbers, clocks and words, read from right to left, because a unit stands behind its number. PostgreSQL
takes far more than its documentation shows: most punctuation counts as a blank, a number before a clock or before a number
of hours is days, `1-2` is a year and two months whatever unit follows. The rules were learnt from "Interval Input" in its
documentation and by asking the server, and the tests ask it again on every run.
"""

import re
from string import punctuation
from typing import Literal

from attrs import Factory, define, frozen

from duly.triggers.errors import TriggerError
from duly.triggers.interval.iso import read_iso
from duly.triggers.interval.units import DAY, HOUR, MINUTE, MONTH, SECOND, IntervalSum, Unit, find_unit, refusal

__all__ = ["read_interval"]

_MAX_LENGTH = 200
_MAX_TOKENS = 25  # PostgreSQL's own limit

# All punctuation that is not part of a number is as good as a blank.
_BLANK = re.compile(rf"[\s{re.escape(punctuation.translate({ord(sign): None for sign in '+-.'}))}]+", re.ASCII)
_TOKEN = re.compile(
    r"""
      (?P<sign> [-+] ) \s* (?: (?P<signed> [0-9][-0-9:.]* ) | (?P<special> [a-z]+ ) )
    | (?P<clock> [0-9]+ : [0-9:.]* )
    | (?P<number> [0-9]+ (?P<mark> [-./] ) (?: [0-9]+ (?: (?P=mark) (?: [0-9] | (?P=mark) )* )?  |  (?: [0-9a-z] | (?P=mark) )* )
                | [0-9]+  |  \.[0-9]* )
    | (?P<word> [a-z]+ )
    """,
    re.VERBOSE | re.ASCII,
)
# Months, minutes and seconds may be missing or minus zero, but not below.
_VALUE = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*)|-(?P<months>-0+|[0-9]*))?")
_CLOCK = re.compile(r"([0-9]+):(-0+|[0-9]*)(?::(-0+|[0-9]*))?(?:\.([0-9]*))?")

# PostgreSQL knows these as words of dates too, and only such words may run into the number after them, as in `1h20m`.
_JOINING = frozenset(("y", "mon", "d", "h", "m", "mm", "s", "dec", "at", "on"))
_FILLERS = frozenset(("at", "on"))
_SECONDS = ("seconds", "milliseconds", "microseconds")
_TIMES = ("hours", "minutes", *_SECONDS)


def read_interval(text: str) -> IntervalSum:
    """Return what a text adds up to.

    Raises `TriggerError` for one that PostgreSQL refuses, that is too long, or has no end.
    """
    if len(text) > _MAX_LENGTH:
        raise TriggerError(f"is {len(text)} characters long", field="interval", value=f"{text[:40]}…", expected=f"at most {_MAX_LENGTH}")
    if not text.isascii():
        unknown = next(character for character in text if not character.isascii())
        raise refusal(text, f"has the character {unknown!r}, which no unit is written with")
    total = IntervalSum(text)
    if text.startswith("P"):
        read_iso(text, total)
    else:
        _read_tokens(_tokens(text), total)
    return total


@frozen
class _Token:
    kind: Literal["number", "clock", "word"]
    body: str
    negative: bool = False


def _tokens(text: str) -> list[_Token]:
    lowered, tokens = text.lower(), list[_Token]()
    end = _skip_blank(lowered, 0)
    while end < len(lowered):
        match = _TOKEN.match(lowered, end)
        if match is None:
            raise refusal(text, f"has {text[end : end + 1]!r} where a number or a unit may stand")
        tokens.append(_token(match, text))
        end = _skip_blank(lowered, match.end())
    if len(tokens) > _MAX_TOKENS:
        raise refusal(text, f"has {len(tokens)} numbers and words, more than {_MAX_TOKENS}")
    return tokens


def _skip_blank(lowered: str, start: int) -> int:
    match = _BLANK.match(lowered, start)
    return match.end() if match else start


def _token(match: re.Match[str], text: str) -> _Token:
    negative = match["sign"] == "-"
    if match["word"] is not None or match["special"] is not None:
        _require_word(match, text)
        return _Token("word", match["word"])
    if match["clock"] is not None or ":" in (match["signed"] or ""):
        return _Token("clock", match["clock"] or match["signed"], negative)
    return _Token("number", match["number"] or match["signed"], negative)


def _require_word(match: re.Match[str], text: str) -> None:
    """Refuse a word that is unknown, has no end, or stands too close to what is beside it."""
    word, following = match["word"] or match["special"], match.string[match.end() : match.end() + 1]
    if word == "infinity":
        raise refusal(text, "has no end, so nothing can follow it")
    if word not in (*_FILLERS, "ago") and find_unit(word) is None:
        iso = "; in the ISO 8601 form all letters are capitals and nothing stands before the P" if word.startswith("p") else ""
        raise refusal(text, f"has the unknown unit {word!r}{iso}")
    if match["special"] is not None:
        raise refusal(text, f"has a sign before {word!r}")
    if following in ("-", "/", ".") or ((following == "+" or following.isdigit()) and word not in _JOINING):
        raise refusal(text, f"has no blank between {word!r} and {following!r}")


def _read_tokens(tokens: list[_Token], total: IntervalSum) -> None:
    reader = _Reader(total)
    ago = bool(tokens) and tokens[-1].kind == "word" and tokens[-1].body == "ago"
    if ago:
        reader.unit = None
        tokens = tokens[:-1]
    readers = {"number": reader.read_number, "clock": reader.read_clock, "word": reader.read_word}
    for token in reversed(tokens):
        readers[token.kind](token)
    reader.finish()
    if ago:
        total.negate()


@define
class _Reader:
    """Goes through the tokens from right to left, and remembers what the next number counts."""

    total: IntervalSum
    unit: Unit | None = SECOND
    waiting: str = ""
    """The word of a unit that has no number yet."""
    counted: set[str] = Factory(set)

    def read_word(self, token: _Token) -> None:
        """Remember a unit; words without a meaning make the next number seconds again."""
        self._require_number()
        if token.body == "ago":
            raise self._refusal("has 'ago' before its end")
        if token.body in _FILLERS:
            self.unit = SECOND
        else:
            self.unit, self.waiting = find_unit(token.body), token.body

    def read_clock(self, token: _Token) -> None:
        """Read hours:minutes, hours:minutes:seconds or minutes:seconds.fraction.

        A unit behind it means nothing.
        """
        match = _CLOCK.fullmatch(token.body)
        if match is None:
            raise self._refusal(f"has {token.body!r}, which is not a time")
        self._count(_TIMES, token)
        first, second, third = (int(digits or 0) for digits in match.group(1, 2, 3))
        fraction = match[4]
        hours, minutes, seconds = (0, first, second) if fraction is not None and match[3] is None else (first, second, third)
        if minutes > 59 or seconds > 60:  # noqa: PLR2004 - second 60 is allowed, as on real clocks
            raise self._refusal(f"has {token.body!r}, which is not a time: minutes end at 59 and seconds at 60")
        parts = round(float(f"0.{fraction or 0}") * SECOND.scale)
        microseconds = hours * HOUR.scale + minutes * MINUTE.scale + seconds * SECOND.scale + parts
        self.total.set_clock(microseconds, negative=token.negative)
        self.unit, self.waiting = DAY, ""

    def read_number(self, token: _Token) -> None:
        """Read a number of the unit behind it, or years-months whatever stands behind it."""
        match = _VALUE.fullmatch(token.body)
        if match is None:
            raise self._refusal(f"has {token.body!r}, which is not a number")
        sign, whole = -1 if token.negative else 1, int(match["whole"] or 0)
        if match["months"] is not None:
            self._read_years_months(token, sign * whole, sign * int(match["months"] or 0))
            return
        if self.unit is None:
            raise self._refusal(f"has no unit after {token.body!r}")
        fraction = sign * float(f"0.{match['fraction'] or 0}")
        # Seconds with a fraction leave no room for milliseconds and microseconds beside them.
        self._count(_SECONDS if self.unit is SECOND and fraction else (self.unit.name,), token)
        self.total.add(self.unit, sign * whole, fraction)
        self.unit, self.waiting = DAY if self.unit is HOUR else self.unit, ""

    def finish(self) -> None:
        """Raise `TriggerError` for a unit without a number, or no number at all."""
        self._require_number()
        if not self.counted:
            raise self._refusal("says no length")

    def _read_years_months(self, token: _Token, years: int, months: int) -> None:
        if abs(months) > 11:  # noqa: PLR2004 - a year has twelve
            raise self._refusal(f"has {token.body!r} with more than 11 months after the years")
        self._count((MONTH.name,), token)
        self.total.add(MONTH, years * 12 + months)
        self.unit, self.waiting = MONTH, ""

    def _count(self, names: tuple[str, ...], token: _Token) -> None:
        again = [name for name in names if name in self.counted]
        if again:
            bare = token.kind == "number" and not self.waiting
            raise self._refusal(f"has no unit after {token.body!r}" if bare else f"counts {again[0]} twice")
        self.counted.update(names)

    def _require_number(self) -> None:
        if self.waiting:
            raise self._refusal(f"has no number before {self.waiting!r}")

    def _refusal(self, problem: str) -> TriggerError:
        return refusal(self.total.text, problem)
