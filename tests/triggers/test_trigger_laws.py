"""Laws that every trigger of the package keeps, alone and in combinations."""

import datetime as dt
import pickle
import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest.mock import patch

from hypothesis import event, given
from hypothesis import strategies as st

import duly.triggers
from duly.triggers import (
    AllOf,
    AnyOf,
    Between,
    CountsFrom,
    Except,
    Jittered,
    LooksBack,
    Trigger,
    TriggerError,
    describe,
    fire_times,
    format_trigger,
    missed,
    parse_trigger,
)
from support.selection import examples
from support.triggers import (
    DAY,
    betweens,
    days_off,
    every_kind,
    excepts,
    first_few,
    instants,
    jittereds,
    leaves,
    moments,
    timetables,
    walked,
)

TICK = timedelta(microseconds=1)
SPAN = 12 * DAY
"""What a law walks: a fire every ten minutes makes 1,728."""


@given(every_kind, moments)
@examples(300)
def test_fire_times_strictly_increase_in_utc(trigger: Trigger, prev: datetime) -> None:
    """Each is aware, in UTC, and later than the one before and than `prev`."""
    fires = first_few(trigger, prev)

    event(f"{type(trigger).__name__}: {'fires' if fires else 'never fires'}")
    assert all(fire.tzinfo is UTC for fire in fires)
    assert all(earlier < later for earlier, later in pairwise([prev, *fires]))


@given(every_kind, moments, st.data())
@examples(300)
def test_a_timetable_has_the_same_fires_wherever_one_begins(trigger: Trigger, prev: datetime, data: st.DataObject) -> None:
    """What `counts_from` says is true.

    From an instant between two fires the next one is the later of them.
    """
    if trigger.counts_from is not CountsFrom.TIMETABLE:
        return
    for earlier, later in pairwise(first_few(trigger, prev, 5)):
        between = data.draw(st.datetimes(earlier.replace(tzinfo=None), (later - TICK).replace(tzinfo=None), timezones=st.just(UTC)))
        assert trigger.next_fire_time(between) == later


@given(every_kind)
@examples(300)
def test_the_text_parses_back_to_an_equal_trigger(trigger: Trigger) -> None:
    """Text and value are one thing in two forms; so is what pickling makes of it."""
    copies = [parse_trigger(format_trigger(trigger)), pickle.loads(pickle.dumps(trigger))]  # noqa: S301 - our own bytes

    assert copies == [trigger, trigger]
    assert {hash(copy) for copy in copies} == {hash(trigger)}
    assert not hasattr(trigger, "__dict__")


@given(every_kind)
@examples(200)
def test_the_repr_builds_an_equal_trigger(trigger: Trigger) -> None:
    """As one would write it."""
    assert eval(repr(trigger), {**vars(duly.triggers), "datetime": dt, "zoneinfo": zoneinfo}) == trigger  # noqa: S307


@given(every_kind)
@examples(200)
def test_every_trigger_has_a_description_in_one_line(trigger: Trigger) -> None:
    """Whatever it is made of."""
    said = describe(trigger)

    assert said
    assert said.isprintable()
    assert "  " not in said


@given(every_kind)
@examples(100)
def test_the_repr_shows_what_a_trigger_was_built_from_and_nothing_worked_out(trigger: Trigger) -> None:
    """A message may show it."""
    assert re.search(r"\b_\w+=", repr(trigger)) is None


@given(every_kind, moments, st.timedeltas(-DAY, SPAN))
@examples(300)
def test_what_looks_back_agrees_with_a_walk(trigger: Trigger, after: datetime, length: timedelta) -> None:
    """Counting, the last fire and what was missed are those of following fire after fire.

    With a fixed delay one waits.
    """
    fires = walked(trigger, after, after + length)
    if trigger.counts_from is CountsFrom.END:
        fires = fires[:1]
    if isinstance(trigger, LooksBack):
        count = trigger.count_fires(after, after + length)
        event(f"{type(trigger).__name__} counts: {count is not None}")
        assert count is None or count == len(fires)
        assert trigger.last_fire_time(after, after + length) == (fires[-1] if fires else None)
    if trigger.counts_from is not CountsFrom.END:
        answer = missed(trigger, after, after + length, limit=10_000)
        assert (answer.count, answer.first, answer.latest) == (len(fires), fires[0] if fires else None, fires[-1] if fires else None)
        assert answer.exact


# -- combinations, against what sets of instants say ---------------------------------------------------------------------------------


@given(st.lists(timetables, min_size=1, max_size=4), moments)
@examples(150)
def test_any_of_timetables_is_their_union(parts: list[Trigger], prev: datetime) -> None:
    """Each instant once."""
    fires = {fire for part in parts for fire in walked(part, prev, prev + SPAN)}

    assert walked(AnyOf(*parts), prev, prev + SPAN) == sorted(fires)


@given(st.lists(timetables, min_size=2, max_size=3), moments)
@examples(60)
def test_all_of_timetables_is_their_intersection(parts: list[Trigger], prev: datetime) -> None:
    """As far as there is one: a search that finds none ends in an error or with the end of a part."""
    first, *others = ({*walked(part, prev, prev + SPAN)} for part in parts)
    common = sorted(first.intersection(*others))
    found = []
    try:
        with patch("duly.triggers.combined.combine._MOST_TRIES", 2000):  # as many as the span may need, for the sake of time
            for fire in fire_times(AllOf(*parts), prev, prev + SPAN):
                found.append(fire)  # noqa: PERF402 - what was found before an error counts
    except TriggerError as error:
        assert "never fire together" in str(error)  # noqa: PT017 - there may also be none

    event(f"common: {min(len(common), 3)}")
    assert found == common


@given(excepts(timetables), moments)
@examples(200)
def test_except_leaves_out_the_days_and_the_instants_and_nothing_else(trigger: Except, prev: datetime) -> None:
    """Day by day in its zone, instant by instant for triggers."""
    others = {fire for other in trigger.triggers for fire in walked(other, prev, prev + SPAN)}

    def is_excluded(fire: datetime) -> bool:
        day = fire.astimezone(trigger.timezone).date()
        in_ranges = any(first <= day <= last for first, last in trigger.days.ranges)
        return in_ranges or day.weekday() in trigger.days.weekdays or fire in others

    kept = [fire for fire in walked(trigger.trigger, prev, prev + SPAN) if not is_excluded(fire)]
    assert walked(trigger, prev, prev + SPAN) == kept


@given(leaves, st.lists(days_off, min_size=1, max_size=3), moments)
@examples(200)
def test_excluded_fires_do_not_shift_those_that_count_from_the_fire_before(
    trigger: Trigger, excluded: list[object], prev: datetime
) -> None:
    """What is left is a part of what there was."""
    if trigger.counts_from is CountsFrom.END:
        return
    left = first_few(Except(trigger, *excluded), prev, 1)  # type: ignore[arg-type]  # of every kind

    assert set(left) <= set(walked(trigger, prev, left[-1] if left else prev))


@given(betweens(timetables), moments)
@examples(200)
def test_between_is_the_part_within_its_bounds(trigger: Between, prev: datetime) -> None:
    """From the start, to the end, and the first so many from the start."""
    fires = [
        fire
        for fire in walked(trigger.trigger, prev, prev + SPAN)
        if (trigger.start is None or fire >= trigger.start) and (trigger.end is None or fire <= trigger.end)
    ]
    if trigger.times is not None and trigger.start is not None:
        counted = first_few(trigger.trigger, trigger.start - TICK, trigger.times)
        fires = [fire for fire in fires if fire in counted]

    assert walked(trigger, prev, prev + SPAN) == fires


@given(jittereds, instants)
@examples(150)
def test_a_jittered_trigger_fires_once_for_each_fire_and_before_the_next(trigger: Jittered, prev: datetime) -> None:
    """Late by less than `by`, and by less than the time to the next fire."""
    fires = first_few(trigger.trigger, prev, 15)
    if not fires:
        return
    late = walked(trigger, fires[0] - TICK, fires[-1] - TICK)

    late = late[1:] if late and late[0] < fires[0] else late
    for fire, jittered, following in zip(fires, late, fires[1:], strict=False):
        assert fire <= jittered < min(following, fire + trigger.by)
    assert len(late) >= len(fires) - 2
