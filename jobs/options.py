"""How a task is run: the policies that its job gives it, and that a single task may override."""

from datetime import timedelta
from enum import StrEnum
from typing import Literal, TypeAlias, TypedDict

from attrs import field, frozen

from duly.jobs.retry import RetryPolicy
from duly.jobs.validators import at_least, boolean, choice, instance_of, or_none, positive, text, up_to

FIRES_MAX = 1000
"""Most fires that may wait for their turn: they stand in the task's own record."""


class Consistency(StrEnum):
    """What a crash in the middle of a run means for its fire."""

    AT_LEAST_ONCE = "at_least_once"
    """Run it again: a job may see the same fire twice."""
    AT_MOST_ONCE = "at_most_once"
    """Never run it again: the lock itself consumes the fire."""


class Misfire(StrEnum):
    """What becomes of a schedule's fires that passed while nobody ran it, when somebody does."""

    FIRE_ONCE = "fire_once"
    """The latest is run, at once."""
    FIRE_ALL = "fire_all"
    """Each is run, in order, for its own fire time; the latest `catch_up_limit` of them, if there are more."""
    SKIP = "skip"
    """None is run that comes late."""


class Overlap(StrEnum):
    """What becomes of a schedule's fires that pass while its previous run is still going.

    The run's retries count as the run.
    """

    SKIP = "skip"
    """None is run."""
    QUEUE_ONE = "queue_one"
    """The latest is run when the run has ended."""
    QUEUE_ALL = "queue_all"
    """Each is run in turn; at most `queue_limit` wait at a time."""
    CANCEL_RUNNING = "cancel_running"
    """The next fire cancels the run, and takes its place."""
    ALLOW = "allow"
    """Each is run at its time, side by side: every fire is a one-off task of its own, `slug@fire-time`."""


ConsistencyText: TypeAlias = Literal["at_least_once", "at_most_once"]
"""A `Consistency` by its text."""
MisfireText: TypeAlias = Literal["fire_once", "fire_all", "skip"]
"""A `Misfire` by its text."""
OverlapText: TypeAlias = Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"]
"""An `Overlap` by its text."""


def _consistency(value: Consistency | ConsistencyText) -> Consistency:
    return choice(Consistency, "consistency", value)


def _misfire(value: Misfire | MisfireText) -> Misfire:
    return choice(Misfire, "misfire", value)


def _overlap(value: Overlap | OverlapText) -> Overlap:
    return choice(Overlap, "overlap", value)


@frozen(kw_only=True)
class TaskOptions:
    """How a task is run; set on its job, or for a single task when it is scheduled.

    `time_limit` bounds each run, `None` leaves it unbounded. An `async def` job is cancelled at the limit. A thread
    cannot be killed: its context asks it to stop, and its run is given up.

    `misfire_grace_time` is how late a fire may be run; what could not be locked by then is dropped. None: no limit. For
    `Misfire.SKIP`: one minute, because a fire is always locked a moment after its time. A one-off has no limit unless a grace
    time is set.
    """

    retry: RetryPolicy = field(default=RetryPolicy(), validator=instance_of(RetryPolicy))
    """When a failed run is tried again."""
    consistency: Consistency = field(default=Consistency.AT_LEAST_ONCE, converter=_consistency)
    """Whether a fire whose run was lost is run again."""
    time_limit: timedelta | None = field(default=None, validator=or_none(positive))
    """Longest run; None: no limit."""
    misfire: Misfire = field(default=Misfire.FIRE_ONCE, converter=_misfire)
    """What becomes of fires that passed while nobody ran the task."""
    misfire_grace_time: timedelta | None = field(default=None, validator=or_none(positive))
    """How late a fire may still run; None: no limit, but one minute for `Misfire.SKIP`."""
    catch_up_limit: int = field(default=100, validator=up_to(FIRES_MAX))
    """Most fires that wait to be made up under `Misfire.FIRE_ALL`; of more, the latest wait."""
    overlap: Overlap = field(default=Overlap.SKIP, converter=_overlap)
    """What becomes of fires that passed while the previous run was still going."""
    queue_limit: int = field(default=100, validator=up_to(FIRES_MAX))
    """Most fires that wait under `Overlap.QUEUE_ALL`; of more, the latest wait."""
    max_fires: int | None = field(default=None, validator=or_none(at_least(1)))
    """The schedule ends after so many fires that were run; None = never. What was dropped does not count."""
    pause_on_failure: bool = field(default=False, validator=boolean)
    """Whether a fire that failed for good pauses the task, until somebody resumes it."""
    unknown: str = field(default="", validator=text, repr=False)
    """JSON text of the fields that a later version wrote: kept, and not read. Stores set it; empty: there are none."""


DEFAULT_OPTIONS = TaskOptions()


class OptionValues(TypedDict, total=False):
    """The fields of `TaskOptions`, as keywords; `unknown` is for stores alone."""

    retry: RetryPolicy
    consistency: Consistency | ConsistencyText
    time_limit: timedelta | None
    misfire: Misfire | MisfireText
    misfire_grace_time: timedelta | None
    catch_up_limit: int
    overlap: Overlap | OverlapText
    queue_limit: int
    max_fires: int | None
    pause_on_failure: bool
