"""What is played to test the policies, by the model and by the real scheduler.

Scenarios, and what can be seen of them afterwards.

Time is in whole seconds from an epoch, at which the task is scheduled.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from attrs import evolve, frozen

MisfireName = Literal["fire_once", "fire_all", "skip"]
OverlapName = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]
MISFIRES: tuple[MisfireName, ...] = get_args(MisfireName)
OVERLAPS: tuple[OverlapName, ...] = get_args(OverlapName)


@frozen(kw_only=True)
class Policy:
    """The options of a task that decide which of its fires are run."""

    misfire: MisfireName = "fire_once"
    grace: int | None = None
    catch_up_limit: int = 100
    overlap: OverlapName = "skip"
    queue_limit: int = 100
    max_fires: int | None = None


@frozen(kw_only=True)
class Scenario:
    """A task, what its job does, and what happens to the node."""

    policy: Policy = Policy()
    period: int | None
    """It fires every so many seconds; None = a one-off."""
    first: int | None = None
    """A first fire of its own, from which the others count; may be in the past. A one-off has one."""
    length: int = 0
    """Every attempt takes so long."""
    failing: int = 0
    """The first so many attempts at each fire fail."""
    delays: tuple[int, ...] = ()
    """How long a failed attempt waits for its retry; one retry for each."""
    down: tuple[int, int] | None = None
    """No node is there after the first instant, until another one starts at the second."""
    is_killed: bool = False
    """Whether the node goes as by a kill; else it is stopped in order."""
    until: int
    """The last second that is played."""

    @property
    def instants(self) -> list[int]:
        """Every second at which a node is there."""
        if self.down is None:
            return [*range(self.until + 1)]
        return [*range(self.down[0] + 1), *range(self.down[1], self.until + 1)]

    def fires(self, after: int, until: int) -> Sequence[int]:
        """Return the fire times f with after < f <= until, but for a first fire of its own."""
        if self.period is None:
            return ()
        origin = self.first or 0
        periods = (after - origin) // self.period + 1
        return range(origin + periods * self.period, until + 1, self.period)

    def next_fire(self, after: int) -> int | None:
        """Return the first fire time after `after`."""
        return None if self.period is None else self.fires(after, after + self.period)[0]


@frozen(order=True)
class Ran:
    """An attempt at a fire, as the history has it."""

    fire: int
    attempt: int
    started: int
    finished: int
    status: str
    is_one_off: bool = False
    """Whether it ran in a one-off that `allow` made."""


@frozen(order=True)
class Skipped:
    """Fires that were dropped together."""

    first: int
    count: int
    reason: str


@frozen
class End:
    """What became of the task."""

    state: str
    """`scheduled`, `running`, `failed` or `gone`."""
    due: int | None
    """Its next fire or retry, if it waits for one."""
    fires: int | None
    """How many were run to their end; None where that is over."""


@frozen
class History:
    """All that can be seen of a scenario afterwards; in order of the fire times."""

    started: list[tuple[int, int, int]]
    """Fire time, attempt and instant of every start of the job."""
    ran: list[Ran]
    skipped: list[Skipped]
    end: End

    def without_fires_of_lost_runs(self) -> "History":
        """Leave out for which fires the lost runs were.

        The store records them, and it knows only the first that had passed.
        """
        return evolve(self, ran=sorted(evolve(run, fire=0) if run.status == "lost" else run for run in self.ran))
