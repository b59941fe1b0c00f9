"""Random texts for intervals: every form that PostgreSQL has, mixtures of them, and damaged ones."""

from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

UNITS = [
    "mil", "mils", "millennium", "millennia", "millenniums", "c", "cent", "century", "centuries", "dec", "decs", "decade", "decades",
    "y", "yr", "yrs", "year", "years", "mon", "mons", "month", "months", "w", "week", "weeks", "d", "day", "days", "h", "hr", "hrs",
    "hour", "hours", "m", "min", "mins", "minute", "minutes", "mm", "s", "sec", "secs", "second", "seconds", "ms", "msec", "msecs",
    "msecond", "mseconds", "millisecond", "milliseconds", "us", "usec", "usecs", "usecond", "useconds", "microsecond", "microseconds",
]  # fmt: skip
LIMITS = (2**31, 2**63, 178956971, 306783379, 2562047788, 9223372036855)
KEYS = "0123456789 .:-+PTymdhsat,/@"
JOINED = ("y", "mon", "d", "h", "m", "s")


_Choice = TypeVar("_Choice")


class IntervalTexts:
    """A source of texts; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - tests, not secrets

    def take(self, count: int) -> Iterator[str]:
        """Yield so many texts, each form in turn and every third one damaged; some are refused by any reader."""
        forms = (self.spoken, self.compact, self.clock, self.mixture, self.designators, self.alternative)
        for number in range(count):
            text = forms[number % len(forms)]()
            yield self._damaged(text) if number // len(forms) % 3 == 2 else text

    def spoken(self) -> str:
        """`@ 1 year -2 months 3.5 days ago`, in any case, with blanks, commas and joined words."""
        services = [self._signed(self._number()) + self._one(" ", " ", "", "  ") + self._unit() for _ in range(self._random.randint(1, 5))]
        text = self._one("", "", "@ ", " ") + self._one(" ", " ", ", ", " @ ").join(services) + self._one("", "", "", " ago", " ")
        return self._one(text, text, text.upper(), text.title())

    def compact(self) -> str:
        """`1y2mon3d4h5m6s`, from any unit down, with blanks before the negative numbers."""
        units = JOINED[self._random.randrange(len(JOINED)) :]
        services = [f"{self._one('', '', '', '+', ' -')}{self._number()}{unit}" for unit in units if self._random.random() < 0.8]
        return "".join(services).strip() + self._one("", "", f"{self._random.randint(1, 5000)}ms", f"{self._random.randint(1, 5000)}us")

    def clock(self) -> str:
        """`3 4:05:06`, `-1:30`, `1-2 3 4:05:06`, `5:06.7`."""
        years = self._one("", "", self._signed(f"{self._random.randint(0, 20)}-{self._random.randint(0, 12)} "))
        days = self._one("", "", self._signed(f"{self._number()} "))
        return years + days + self._one("", self._signed(self._time())) + self._one("", "", "", " ago")

    def mixture(self) -> str:
        """Any forms but ISO 8601 one after another, also units with no number and numbers with no unit."""
        makers: tuple[Callable[[], str], ...] = (self._number, self._time, self._unit, self._time, self.clock, self.compact, self.spoken)
        return " ".join(self._one(*makers)() for _ in range(self._random.randint(1, 3)))

    def designators(self) -> str:
        """`P1Y2M3DT4H5M6S` in any order, with signs, fractions and exponents."""
        date = "".join(self._iso_number() + self._one("Y", "M", "W", "D") for _ in range(self._random.randint(0, 4)))
        time = "".join(self._iso_number() + self._one("H", "M", "S") for _ in range(self._random.randint(0, 3)))
        return f"P{date}{self._one('', 'T')}{time}" if not time else f"P{date}T{time}"

    def alternative(self) -> str:
        """`P0001-02-03T04:05:06`, its shorter forms, and `P00010203T040506`."""
        date = "-".join(self._iso_number() for _ in range(self._random.randint(1, 3)))
        time = ":".join(self._iso_number() for _ in range(self._random.randint(1, 3)))
        packed = (
            f"{self._random.randint(0, 10**8 - 1):08}",
            f"{self._random.randint(0, 10**6 - 1):06}{self._one('', '', '.75', '.9999999')}",
        )
        return "P" + self._one(date, packed[0]) + self._one("", f"T{time}", f"T{packed[1]}")

    def _number(self) -> str:
        draw = self._random.randint
        whole = str(self._one(draw(0, 9), draw(0, 99), draw(0, 10 ** draw(3, 8)), draw(0, 60)))
        part = f"{draw(0, 9)}{draw(0, 10 ** draw(0, 11))}"
        rare = self._one("0", "0.0000005", "1.5", "2.5", "00012", ".", f"{whole}.", f".{part}", str(self._one(*LIMITS) + draw(-1, 1)))
        return self._one(whole, whole, whole, f"{whole}.{part}", f"{whole}.{part}", rare)

    def _time(self) -> str:
        draw = self._random.randint
        hours, minutes, seconds = draw(0, self._one(23, 300, 2562047788)), draw(0, 60), draw(0, 61)
        fraction = f".{draw(0, 10 ** draw(1, 9))}"
        return self._one(
            f"{hours:02}:{minutes:02}",
            f"{hours}:{minutes}:{seconds}{self._one('', fraction)}",
            f"{minutes}:{seconds}{fraction}",
            f"{hours}:",
        )

    def _iso_number(self) -> str:
        draw = self._random.randint
        rare = self._one(f"{draw(0, 9)}e{draw(-4, 8)}", f"{draw(1, 9)}E+{draw(0, 3)}", f".{draw(0, 99)}", "0x1F", "-0x1.8p1", "1e-400")
        plain = f"{draw(0, 99)}"
        return self._one("", "", "-") + self._one(plain, plain, plain, f"{plain}.{draw(0, 10 ** draw(1, 9))}", f"{draw(0, 9999):04}", rare)

    def _unit(self) -> str:
        return self._one(*UNITS) + self._one(*[""] * 24, "x")

    def _signed(self, number: str) -> str:
        return self._one("", "", "", "-", "-", "+", "- ") + number

    def _damaged(self, text: str) -> str:
        place = self._random.randrange(len(text) + 1)
        key = self._random.choice(KEYS)
        return self._one(text[:place] + text[place + 1 :], text[:place] + key + text[place:], text[:place] + key + text[place + 1 :])

    def _one(self, *choices: _Choice) -> _Choice:
        return self._random.choice(choices)
