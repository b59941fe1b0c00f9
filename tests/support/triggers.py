"""Triggers of every kind for the laws, and what a plain walk says of them."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from hypothesis import strategies as st

from duly.triggers import (
    AllOf,
    AnyOf,
    Between,
    CalendarIntervalTrigger,
    CountsFrom,
    CronTrigger,
    Except,
    Interval,
    Jittered,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    fire_times,
)
from duly.triggers.combined.nesting import zones_of

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class EverySecond(Trigger):
    """A trigger of a user's own, which says no more than the next fire."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """Return the next full second."""
        return prev.replace(microsecond=0) + SECOND


class Ticks(EverySecond):
    """The same, which knows that it is a timetable."""

    @property
    def counts_from(self) -> CountsFrom:
        """Nothing."""
        return CountsFrom.TIMETABLE


zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"])
instants = st.timedeltas(-400 * DAY, 400 * DAY).map(lambda offset: NEW_YEAR + offset)
near_changes = st.sampled_from([datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)])
moments = st.one_of(instants, st.builds(lambda change, offset: change + offset, near_changes, st.timedeltas(-DAY, DAY)))
"""Instants, many of them near a change of the clocks."""
rates = st.integers(1, 200).map(lambda tens: tens * 10 * MINUTE)

crons = st.builds(
    CronTrigger,
    st.sampled_from(
        ["0 * * * *", "*/30 * * * *", "30 2 * * *", "0 9-17/2 * * MON-FRI", "15 0,12 */3 * *", "0 0 1 * *", "0 6 L * FRI", "5 4 3 2 *"]
    ),
    zones,
)
calendar_intervals = st.builds(
    CalendarIntervalTrigger,
    st.builds(Interval, months=st.integers(0, 14), days=st.integers(1, 20)),
    zones,
    at=st.none() | st.times().map(lambda at: at.replace(microsecond=0)),
    start=st.none() | st.dates(date(2024, 12, 1), date(2026, 6, 1)),
    dst_gap=st.sampled_from(["run_after", "skip"]),
    dst_fold=st.sampled_from(["once", "both"]),
)
started = st.one_of(
    st.builds(SimpleTrigger, rates, start=instants),
    st.builds(SimpleTrigger, rates, start=instants, times=st.integers(1, 60)),
    calendar_intervals.filter(lambda trigger: trigger.start is not None),
)
timetables = st.one_of(crons, started, st.builds(OnceTrigger, moments))
relative = st.one_of(
    st.builds(SimpleTrigger, rates),
    st.builds(SimpleTrigger, rates, start=instants, fixed_delay=st.just(value=True)),
    calendar_intervals.filter(lambda trigger: trigger.start is None),
)
days_off: st.SearchStrategy[Any] = st.one_of(
    st.dates(date(2025, 12, 1), date(2026, 12, 1)),
    st.tuples(st.dates(date(2025, 12, 1), date(2026, 3, 1)), st.dates(date(2026, 3, 1), date(2026, 5, 1))),
    st.sampled_from(["SAT", "SUN", "wed"]),
)


exclusions = st.builds(CronTrigger, st.sampled_from(["* * 10-20 * *", "0-29 * 11-15 * *", "* 0-7 3-9 JAN-FEB *"]), zones) | st.builds(
    OnceTrigger, moments
)


def is_jumpable(trigger: Trigger) -> bool:
    """Whether an `Except` takes it.

    A combination that counts from the fire before would be followed fire by fire.
    """
    return trigger.counts_from is not CountsFrom.FIRE or isinstance(trigger, SimpleTrigger | CalendarIntervalTrigger)


@st.composite
def excepts(draw: st.DrawFn, triggers: st.SearchStrategy[Trigger]) -> Except:
    """Build an `Except`, with days, triggers or both left out."""
    excluded = draw(st.lists(days_off | exclusions, min_size=1, max_size=4))
    trigger = draw(triggers.filter(is_jumpable))
    return Except(trigger, *excluded, timezone=draw(zones if len(zones_of(trigger)) > 1 else st.none() | zones))


@st.composite
def betweens(draw: st.DrawFn, triggers: st.SearchStrategy[Trigger]) -> Between:
    """Build a `Between`, with a start, an end, a number or several of them."""
    start = draw(instants)
    end = start + draw(st.timedeltas(timedelta(0), 200 * DAY))
    match draw(st.sampled_from(["start", "end", "both", "times"])):
        case "start":
            return Between(draw(triggers), start=start)
        case "end":
            return Between(draw(triggers), end=end)
        case "both":
            return Between(draw(triggers), start=start, end=end)
        case _:
            return Between(draw(timetables), start=start, times=draw(st.integers(1, 40)))


jittereds = st.builds(Jittered, timetables, st.timedeltas(timedelta(microseconds=1), 3 * HOUR), hash_id=st.text(min_size=1, max_size=5))
leaves = timetables | relative
combined = st.one_of(
    st.lists(leaves, min_size=1, max_size=3).map(lambda services: AnyOf(*services)),
    st.builds(AllOf, crons, st.just(CronTrigger("* * * * *"))),
    excepts(leaves),
    betweens(leaves),
    jittereds,
)
every_kind: st.SearchStrategy[Trigger] = st.one_of(
    leaves,
    combined,
    st.lists(combined | leaves, min_size=1, max_size=3).map(lambda services: AnyOf(*services)),
    excepts(combined),
    betweens(combined),
)


def walked(trigger: Trigger, after: datetime, until: datetime) -> list[datetime]:
    """Walk from fire to fire."""
    return list(fire_times(trigger, after, until))


def first_few(trigger: Trigger, after: datetime, count: int = 20) -> list[datetime]:
    """Return the next fires, at most so many."""
    return list(islice(fire_times(trigger, after), count))
