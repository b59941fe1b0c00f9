"""The table of the policies: every value of each column.

Its selections are such that every two or three values meet.
"""

from collections.abc import Hashable, Iterable
from itertools import chain, combinations, product
from math import ceil

from attrs import frozen

from support.policy_scenarios import MISFIRES, OVERLAPS, MisfireName, OverlapName, Policy, Scenario

CATCH_UP_LIMIT, QUEUE_LIMIT = 8, 3
"""Smaller than a hundred missed fires, and smaller than what passes while those that are caught up are run."""

_TAIL = 20
"""Periods that are played after the downtime."""


@frozen
class Grace:
    """How late a fire may be, in seconds."""

    name: str
    limit: int | None


@frozen
class Downtime:
    """How many fires pass while no node is there; there is one every `period` seconds."""

    name: str
    period: int
    span: tuple[int, int]


@frozen
class Length:
    """How long a run takes, in periods."""

    name: str
    periods: float


@frozen
class Retries:
    """How long the failed first attempt at each fire waits for its retry, in periods.

    None = it does not fail.
    """

    name: str
    wait: float | None


GRACES = (Grace("", None), Grace(" within 5 s", 5), Grace(" within 25 s", 25))
# The second node starts six seconds after a fire: one grace time ends before that, the other two fires earlier. With a fire every
# second there is always one that is not late.
DOWNTIMES = (
    Downtime("down 0", 10, (2, 6)),
    Downtime("down 1", 10, (2, 16)),
    Downtime("down 100", 10, (2, 1006)),
    Downtime("down a year of seconds", 1, (0, 365 * 24 * 3600)),
)
LENGTHS = (Length("runs of no time", 0), Length("runs of one period", 1), Length("long runs", 2.5))
RETRIES = (Retries("no retry", None), Retries("one retry", 1.5))


@frozen
class Case:
    """One row of the table."""

    misfire: MisfireName
    grace: Grace
    overlap: OverlapName
    downtime: Downtime
    length: Length
    retries: Retries

    def __str__(self) -> str:
        return f"{self.misfire}{self.grace.name}-{self.overlap}-{self.downtime.name}-{self.length.name}-{self.retries.name}"

    @property
    def scenario(self) -> Scenario:
        """What it means."""
        period, wait = self.downtime.period, self.retries.wait
        return Scenario(
            policy=Policy(
                misfire=self.misfire,
                grace=self.grace.limit,
                catch_up_limit=CATCH_UP_LIMIT,
                overlap=self.overlap,
                queue_limit=QUEUE_LIMIT,
            ),
            period=period,
            length=ceil(self.length.periods * period),
            failing=0 if wait is None else 1,
            delays=() if wait is None else (ceil(wait * period),),
            down=self.downtime.span,
            until=self.downtime.span[1] + _TAIL * period,
        )


def every_case() -> list[Case]:
    """Return the whole table."""
    return [Case(*row) for row in product(MISFIRES, GRACES, OVERLAPS, DOWNTIMES, LENGTHS, RETRIES)]


def meetings(case: Case, size: int) -> list[Hashable]:
    """Return every so many values of a case, each with its column."""
    return [*combinations(enumerate((case.misfire, case.grace, case.overlap, case.downtime, case.length, case.retries)), size)]


def selection(size: int, among: Iterable[Case] | None = None) -> list[Case]:
    """Return few rows in which every so many values of different columns meet.

    They are of the table or of some of it, found greedily, and need not be the fewest.
    """
    met = {case: meetings(case, size) for case in among or every_case()}
    bits = {meeting: 1 << number for number, meeting in enumerate(dict.fromkeys(chain(*met.values())))}
    masks = {case: sum(bits[meeting] for meeting in meetings) for case, meetings in met.items()}
    missing, chosen = (1 << len(bits)) - 1, list[Case]()
    while missing:
        best = max(masks, key=lambda case: (masks[case] & missing).bit_count())
        chosen.append(best)
        missing &= ~masks[best]
    return chosen
