"""How fast `CronTrigger` finds fire times.

As ratios to croniter and cronsim, and what the rest of its work costs.

The contenders take turns in short rounds of pinned work, and the best round of each counts: noise hits all alike, so that
the ratios hold where the figures do not. Each rival is used in its best form: built once, its state kept from fire to fire.
Before anything is timed the answers are compared, from a start far from any clock change, where the three agree by rule.
Caches are warm, as in a process that has run for a while: the first round of each fills them.

    python -P benchmarks/triggers.py --rounds 40 --check
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from duly.triggers import CronTrigger, TriggerError, missed

ZONES = ("UTC", "America/New_York")
EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "0 0 * * *",
    "30 9 * * 1-5",
    "0 0 13 * 5",
    "0 0 1 1 *",
    "0 0 29 2 *",
    "*/15 9-17 * * 1-5",
    "0 0 L * *",
    "15,45 */3 1,15 * *",
    "1/5 * * * * *",
)
FOR_CRONSIM = {"1/5 * * * * *": "1-59/5 * * * * *"}  # the same seconds: it does not read `1/5`
NEVER = "0 0 30 2 *"
EVERY_SECOND = "* * * * * *"
START = datetime(2024, 1, 15, 8, 59, 30, tzinfo=UTC)
YEAR = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
SECONDS_OF_YEAR = 366 * 86_400

ITERATING = {"UTC": 14.0, "America/New_York": 7.0}  # croniter / duly, geometric mean
CRONSIM = 1.0  # cronsim / duly, on every expression
STATELESS = 14.0  # croniter / duly, on every expression
PARSE_MS, NEVER_MS, MISSED_MS = 0.4, 0.5, 1.0
CALLS = 20  # in a round of what is not followed from fire to fire

Work = Callable[[], list[datetime]]
"""A piece of pinned work, ready to be timed, that returns its answers."""


class Target(NamedTuple):
    """A figure and what it is measured against."""

    what: str
    value: float
    bound: float
    at_least: bool

    def __str__(self) -> str:
        mark = ">=" if self.at_least else "<="
        return f"{self.what:64} {self.value:9.3f}   {mark} {self.bound:<6g} {'' if self.met else 'MISSED'}".rstrip()

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def start_in(zone: str) -> datetime:
    """Return the start in a zone.

    In UTC with the standard library's own constant, for which the rivals are quickest.
    """
    return START if zone == "UTC" else START.astimezone(ZoneInfo(zone))


def croniter_at(expression: str, start: datetime) -> croniter:
    """Build croniter, seconds first where there are six fields."""
    return croniter(expression, start, second_at_beginning=True)


def cronsim_at(expression: str, start: datetime) -> CronSim:
    """Build cronsim, with its own spelling of the expression."""
    return CronSim(FOR_CRONSIM.get(expression, expression), start)


def follow_duly(expression: str, zone: str, fires: int) -> Work:
    """Go from fire to fire by `next_fire_time(prev)`, which keeps no state."""
    find = CronTrigger(expression, zone).next_fire_time

    def work() -> list[datetime]:
        fire, found = START, list[datetime]()
        for _ in range(fires):
            following = find(fire)
            if following is None:
                break
            found.append(fire := following)
        return found

    return work


def follow_croniter(expression: str, zone: str, fires: int) -> Work:
    """Go from fire to fire with one croniter."""
    find = croniter_at(expression, start_in(zone)).get_next
    return lambda: [find(datetime) for _ in range(fires)]


def follow_cronsim(expression: str, zone: str, fires: int) -> Work:
    """Go from fire to fire with one CronSim."""
    fires_of = cronsim_at(expression, start_in(zone))
    return lambda: [next(fires_of) for _ in range(fires)]


def ask_duly(expression: str, zone: str, calls: int) -> Work:
    """Build a trigger of an expression seen before, and ask it once."""
    return lambda: [fire for _ in range(calls) if (fire := CronTrigger(expression, zone).next_fire_time(START))]


def ask_croniter(expression: str, zone: str, calls: int) -> Work:
    """Build a croniter, and ask it once."""
    start = start_in(zone)
    return lambda: [croniter_at(expression, start).get_next(datetime) for _ in range(calls)]


def ask_cronsim(expression: str, zone: str, calls: int) -> Work:
    """Build a CronSim, and ask it once."""
    start = start_in(zone)
    return lambda: [next(cronsim_at(expression, start)) for _ in range(calls)]


FOLLOW = {"duly": follow_duly, "croniter": follow_croniter, "cronsim": follow_cronsim}
ASK = {"duly": ask_duly, "croniter": ask_croniter, "cronsim": ask_cronsim}


def race(contenders: Mapping[str, Callable[[], Work]], rounds: int, pieces: int) -> dict[str, float]:
    """Return each one's microseconds a piece in its best round.

    Every round is prepared anew, and begins at the start.
    """
    best = dict.fromkeys(contenders, math.inf)
    for _ in range(rounds):
        for name, prepare in contenders.items():
            work = prepare()
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: seconds / pieces * 1e6 for name, seconds in best.items()}


def require_agreement(what: str, contenders: Mapping[str, Callable[[], Work]], pieces: int) -> None:
    """Stop unless all give the same instants, and all of them: a wrong answer's speed says nothing."""
    answers = {name: [fire.astimezone(UTC) for fire in prepare()()] for name, prepare in contenders.items()}
    for name, fires in answers.items():
        if len(fires) != pieces or fires != answers["duly"]:
            sys.exit(f"{what}: {name} and duly disagree on the fire times from {START}")


class Row(NamedTuple):
    """One expression in one zone: microseconds by contender."""

    zone: str
    expression: str
    micros: dict[str, float]

    def ratio(self, rival: str) -> float:
        """How many times as long the rival takes."""
        return self.micros[rival] / self.micros["duly"]

    def __str__(self) -> str:
        duly, croniter_, cronsim = (self.micros[name] for name in ("duly", "croniter", "cronsim"))
        figures = f"{duly:8.2f} {croniter_:9.2f} {cronsim:8.2f} {self.ratio('croniter'):16.1f} {self.ratio('cronsim'):15.1f}"
        return f"{self.zone:17} {self.expression:19} {figures}"


def compare(title: str, table: Mapping[str, Callable[[str, str, int], Work]], rounds: int, pieces: int) -> list[Row]:
    """Race the contenders over every expression and zone; print and return the rows."""
    print(f"\n{title}: microseconds, best of {rounds} rounds of {pieces}")
    print(f"{'zone':17} {'expression':19} {'duly':>8} {'croniter':>9} {'cronsim':>8} {'croniter/duly':>16} {'cronsim/duly':>15}")
    rows = list[Row]()
    for zone in ZONES:
        for expression in EXPRESSIONS:
            contenders = {name: partial(build, expression, zone, pieces) for name, build in table.items()}
            require_agreement(f"{expression} in {zone}", contenders, pieces)
            row = Row(zone, expression, race(contenders, rounds, pieces))
            rows.append(row)
            print(row)
    return rows


def best_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the milliseconds of one call in the best round."""
    best = math.inf
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e3


def parse_ms(expression: str, rounds: int) -> float:
    """Return the milliseconds of compiling.

    One more blank at the end makes a text that was not seen before, with the same meaning.
    """
    blanks = count(1)
    return best_ms(lambda: CronTrigger(expression + " " * next(blanks)), rounds)


def refuse() -> None:
    """Build the trigger that never fires: a refusal is not cached."""
    try:
        CronTrigger(NEVER)
    except TriggerError:
        return
    sys.exit(f"{NEVER} was not refused")


def missed_ms(zone: str, rounds: int) -> float:
    """Return the milliseconds of counting a year of every second."""
    trigger = CronTrigger(EVERY_SECOND, zone)
    if missed(trigger, *YEAR).count != SECONDS_OF_YEAR:
        sys.exit(f"{EVERY_SECOND} in {zone}: wrong count")
    return best_ms(lambda: missed(trigger, *YEAR), rounds)


def targets(iterating: list[Row], stateless: list[Row], rounds: int) -> Iterator[Target]:
    """Yield every figure that has a target; the last few are measured here."""
    for zone, bound in ITERATING.items():
        rows = [row for row in iterating if row.zone == zone]
        mean = statistics.geometric_mean(row.ratio("croniter") for row in rows)
        yield Target(f"iterating, {zone}: croniter/duly, geometric mean", mean, bound, at_least=True)
        slowest = min(rows, key=lambda row: row.ratio("cronsim"))
        what = f"iterating, {zone}: cronsim/duly, least: {slowest.expression}"
        yield Target(what, slowest.ratio("cronsim"), CRONSIM, at_least=True)
    least = min(stateless, key=lambda row: row.ratio("croniter"))
    yield Target(f"stateless: croniter/duly, least: {least.expression}, {least.zone}", least.ratio("croniter"), STATELESS, at_least=True)
    parse = max((parse_ms(expression, rounds), expression) for expression in EXPRESSIONS)
    yield Target(f"parse uncached, ms, most: {parse[1]}", parse[0], PARSE_MS, at_least=False)
    yield Target(f"refuse {NEVER}, ms", best_ms(refuse, rounds), NEVER_MS, at_least=False)
    for zone in ZONES:
        yield Target(f"count a year of every second missed, {zone}, ms", missed_ms(zone, rounds), MISSED_MS, at_least=False)


def main(rounds: int, fires: int, *, check: bool) -> None:
    """Print the tables and the figures; with `check`, fail when one misses its target."""
    iterating = compare("Iterating from fire to fire", FOLLOW, rounds, fires)
    stateless = compare("Stateless: an expression seen before, and one next", ASK, rounds, CALLS)
    print(f"\n{'figure':64} {'value':>9}   target")
    found = list[Target]()
    for target in targets(iterating, stateless, rounds):
        found.append(target)
        print(target)
    failed = [target.what for target in found if not target.met]
    if check and failed:
        sys.exit(f"targets missed: {'; '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--fires", type=int, default=40, help="in a round of iterating")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.fires, check=arguments.check)
