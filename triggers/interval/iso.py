"""Reads the ISO 8601 form of an interval, as PostgreSQL does. Pure.

Capitals only, no blanks, and more than the standard allows.

    P1Y2M3DT4H5M6S              numbers with designators, in any order and as often as one likes
    P0001-02-03T04:05:06        the alternative form, also without its later parts
    P00010203T040506            the same without separators, when there are exactly 8 and 6 digits

Any number may have a sign and a fraction.
"""

import math
import re
import sys

from attrs import frozen

from duly.triggers.interval.units import DAY, HOUR, MICROSECOND, MINUTE, MONTH, SECOND, WEEK, YEAR, IntervalSum, Unit, refusal

__all__ = ["read_iso"]

# What C's strtod() reads, because that is what PostgreSQL asks: an exponent is fine, and hexadecimal is too.
_NUMBER = re.compile(
    r"-?(?:0[xX](?P<hex>[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][-+]?[0-9]+)?"
    r"|(?P<decimal>[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
)
_LARGEST = 1e15


@frozen(kw_only=True)
class _Form:
    """One side of the `T`: its designators, and its alternative form."""

    designators: dict[str, Unit]
    separator: str
    units: tuple[Unit, Unit, Unit]
    width: int
    fraction_of: Unit
    """What the fraction after a form without separators counts. (A PostgreSQL oddity for the time: not seconds.)"""


_DATE = _Form(designators={"Y": YEAR, "M": MONTH, "W": WEEK, "D": DAY}, separator="-", units=(YEAR, MONTH, DAY), width=8, fraction_of=DAY)
_TIME = _Form(
    designators={"H": HOUR, "M": MINUTE, "S": SECOND}, separator=":", units=(HOUR, MINUTE, SECOND), width=6, fraction_of=MICROSECOND
)


@frozen(kw_only=True)
class _Number:
    whole: int
    fraction: float
    width: int
    mark: str
    """The character that follows, or nothing."""


def read_iso(text: str, total: IntervalSum) -> None:
    """Add up a text that begins with `P`. Raises `TriggerError`."""
    date, *times = text[1:].split("T")
    if not date and not times:
        raise refusal(text, "says no length after its P")
    _read_side(date, _DATE, total)
    for time in times[:-1]:
        _read_designated(_numbers(time, total), _TIME, total)
    for time in times[-1:]:
        _read_side(time, _TIME, total)


def _read_side(side: str, form: _Form, total: IntervalSum) -> None:
    numbers = _numbers(side, total)
    if not numbers or numbers[-1].mark:
        _read_designated(numbers, form, total)
    elif len(numbers) == 1 and numbers[0].width == form.width:
        _read_packed(numbers[0], form, total)
    else:
        _read_separated(numbers, form, total)


def _read_designated(numbers: list[_Number], form: _Form, total: IntervalSum) -> None:
    for number in numbers:
        unit = form.designators.get(number.mark)
        if unit is None:
            what = f"has {number.mark!r}" if number.mark else "has a number and then nothing"
            side = "before" if form is _DATE else "after"
            raise refusal(total.text, f"{what} where one of {', '.join(form.designators)} may stand {side} the T")
        total.add(unit, number.whole, number.fraction)


def _read_packed(number: _Number, form: _Form, total: IntervalSum) -> None:
    first, rest = divmod(abs(number.whole), 10_000)
    sign = -1 if number.whole < 0 else 1
    for unit, amount in zip(form.units, (first, *divmod(rest, 100)), strict=True):
        total.add(unit, sign * amount)
    total.add(form.fraction_of, 0, number.fraction)


def _read_separated(numbers: list[_Number], form: _Form, total: IntervalSum) -> None:
    if any(number.mark != form.separator for number in numbers[:-1]):
        raise refusal(total.text, f"has no designator after its last number, one of {', '.join(form.designators)}")
    if len(numbers) > len(form.units):
        raise refusal(total.text, f"has {len(numbers)} numbers between {form.separator!r}, more than {len(form.units)}")
    for unit, number in zip(form.units, numbers, strict=False):
        total.add(unit, number.whole, number.fraction)


def _numbers(side: str, total: IntervalSum) -> list[_Number]:
    numbers, end = [], 0
    while end < len(side):
        match = _NUMBER.match(side, end)
        if match is None:
            raise refusal(total.text, f"has {side[end]!r} where a number may stand")
        value = _value(match, total)
        fraction, whole = math.modf(value)
        width = len((match["decimal"] or "").partition(".")[0])
        numbers.append(_Number(whole=int(whole), fraction=fraction, width=width, mark=side[match.end() : match.end() + 1]))
        end = match.end() + 1
    return numbers


def _value(match: re.Match[str], total: IntervalSum) -> float:
    value = float(match[0]) if match["hex"] is None else _read_hexadecimal(match[0])
    if abs(value) > _LARGEST:
        raise refusal(total.text, f"is out of range: {match[0]}")
    if abs(value) < sys.float_info.min and re.search("[1-9a-fA-F]", match["decimal"] or match["hex"]):
        raise refusal(total.text, f"is out of range: {match[0]} is too near to zero")
    return value


def _read_hexadecimal(number: str) -> float:
    try:
        return float.fromhex(number)
    except OverflowError:
        return math.inf
