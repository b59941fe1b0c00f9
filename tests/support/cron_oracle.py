"""The rule of `CronTrigger` written a second time, for the tests.

Slow, short, and without a line of the library.

The rule is cronie's, extended to seconds. A job whose second, minute or hour field begins with `*` or has an `n/s`
follows the clock: it fires whenever the clock on the wall shows one of its times, and is not caught up. Any other is
fixed: times that the wall clock leaves out fire together, once, right after the gap (`dst_gap="run_after"`) or not at
all ("skip"); times that it shows twice fire the first time (`dst_fold="once"`) or both times ("both").

The oracle walks real time step by step, asks `zoneinfo` what each instant is called on the wall, and compares. It never
looks for a clock change, and converts in that one direction only, which is never ambiguous.

Fields are numeric: `*`, `a`, `a-b`, any of them with `/n`, and lists of these; days of the week are 0-6 from Sunday.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from attrs import frozen

__all__ = ["MINUTE", "SECOND", "Tick", "Timetable", "expected_fires", "fires_at", "walk"]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_TIME_FIELDS = 3


class Tick(NamedTuple):
    """One step of real time.

    What the wall clock shows at `instant`, and what it has just left out (naive wall times).

    `second_pass`: it has shown this before, because it was put back (the `fold` of PEP 495).
    """

    instant: datetime
    wall: datetime
    second_pass: bool
    lost: tuple[datetime, ...]


def walk(zone: ZoneInfo, after: datetime, until: datetime, step: timedelta) -> Iterator[Tick]:
    """Yield the whole steps of real time in after < instant <= until (UTC).

    A walk by minutes would go wrong where the wall clock is not on the minute when UTC is, or changes within a minute:
    there it raises ValueError. A walk by seconds is right everywhere.
    """
    before = after.replace(microsecond=0) if step == SECOND else after.replace(second=0, microsecond=0)
    last = _wall(zone, before)
    while before + step <= until:
        instant = before + step
        wall, second_pass = _wall(zone, instant), instant.astimezone(zone).fold == 1
        leap = wall - last - step
        if step == MINUTE and (wall.second or (leap and wall - _wall(zone, instant - SECOND) - SECOND != leap)):
            raise ValueError(f"{zone} must be walked by seconds at {instant}")
        yield Tick(instant, wall, second_pass, tuple(last + step * n for n in range(1, leap // step + 1)))
        before, last = instant, wall


def _wall(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


@frozen
class Timetable:
    """An expression of 5 fields, or of 6 with the seconds first."""

    values: tuple[frozenset[int], ...]
    days_intersect: bool
    follows_the_clock: bool
    step: timedelta

    @classmethod
    def read(cls, expression: str) -> Self:
        """Read the numeric subset; ValueError for anything else."""
        given = expression.split()
        texts = given if len(given) == len(_BOUNDS) else ["0", *given]
        return cls(
            values=tuple(_read_field(text, low, high) for text, (low, high) in zip(texts, _BOUNDS, strict=True)),
            days_intersect=texts[3].startswith("*") or texts[5].startswith("*"),
            follows_the_clock=any(_is_wildcard(text) for text in texts[:_TIME_FIELDS]),
            step=MINUTE if len(given) < len(_BOUNDS) else SECOND,
        )

    def matches(self, wall: datetime) -> bool:
        """Whether this wall time is one of the expression's."""
        seconds, minutes, hours, days, months, weekdays = self.values
        if wall.minute not in minutes or wall.second not in seconds or wall.hour not in hours or wall.month not in months:
            return False
        day, weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return (day and weekday) if self.days_intersect else (day or weekday)

    def concerns(self, tick: Tick) -> bool:
        """Whether a wall time shown or left out at this step is one of the expression's."""
        return self.matches(tick.wall) or any(map(self.matches, tick.lost))


def fires_at(timetable: Timetable, tick: Tick, *, dst_gap: str = "run_after", dst_fold: str = "once") -> bool:
    """Whether the job fires at this step: the rule itself."""
    shown = timetable.matches(tick.wall)
    if timetable.follows_the_clock:
        return shown
    caught_up = dst_gap == "run_after" and any(map(timetable.matches, tick.lost))
    return caught_up or (shown and (dst_fold == "both" or not tick.second_pass))


def expected_fires(timetable: Timetable, ticks: Iterable[Tick], *, dst_gap: str = "run_after", dst_fold: str = "once") -> list[datetime]:
    """Return the steps of a walk at which the job fires."""
    return [tick.instant for tick in ticks if fires_at(timetable, tick, dst_gap=dst_gap, dst_fold=dst_fold)]


def _read_field(text: str, lowest: int, highest: int) -> frozenset[int]:
    values = {value for item in text.split(",") for value in _read_item(item, lowest, highest)}
    if not values or not values <= set(range(lowest, highest + 1)):
        raise ValueError(f"{text} is not a field of {lowest}-{highest} that the oracle reads")
    return frozenset(values)


def _read_item(item: str, lowest: int, highest: int) -> range:
    body, slash, step = item.partition("/")
    if body == "*":
        return range(lowest, highest + 1, int(step or 1))
    low, dash, high = body.partition("-")
    last = int(high) if dash else highest if slash else int(low)
    return range(int(low), last + 1, int(step or 1))


def _is_wildcard(text: str) -> bool:
    return text.startswith("*") or any("/" in item and item.partition("/")[0].isdigit() for item in text.split(","))
