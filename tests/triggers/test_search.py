"""The latest fire times of a trigger, forwards and backwards."""

from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from duly.triggers import (
    AnyOf,
    Between,
    CronTrigger,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    fire_times,
    first_delay,
    latest_fires,
)
from support.selection import examples
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, triggers

_FOLLOWED = 3000
"""As many fires as are walked here; what comes before a walk's end matters more than its length."""


@given(triggers, st.timedeltas(timedelta(0), 3 * DAY), st.integers(1, 8))
@examples(100)
def test_the_latest_fires_are_the_last_ones_of_a_walk(trigger: Trigger, span: timedelta, count: int) -> None:
    """However many there are in between, and whether the trigger can be asked backwards or not."""
    walked = list(islice(fire_times(trigger, NOON, NOON + span), _FOLLOWED + 1))
    assume(len(walked) <= _FOLLOWED)

    assert latest_fires(trigger, NOON, NOON + span, count) == tuple(walked)[-count:]


def test_a_year_of_every_second_is_not_walked() -> None:
    """A cron expression and an interval are asked backwards; either answers in the steps of one search."""
    for trigger in (CronTrigger("* * * * * *", "America/New_York"), SimpleTrigger(SECOND)):
        latest = latest_fires(trigger, NOON, NOON + 365 * DAY, 1000)
        assert (len(latest), latest[0], latest[-1]) == (1000, NOON + 365 * DAY - 999 * SECOND, NOON + 365 * DAY)


class EveryMinute(Trigger):
    """A trigger of the user's own, which can only be followed."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """A minute later."""
        return prev + MINUTE


def test_a_trigger_that_can_only_be_followed_tells_the_latest_of_very_many() -> None:
    """Ten thousand are followed; beyond them the latest is found by bisection."""
    assert latest_fires(EveryMinute(), NOON, NOON + HOUR, 2) == (NOON + 59 * MINUTE, NOON + HOUR)
    (latest,) = latest_fires(EveryMinute(), NOON, NOON + 30 * DAY, 2)
    assert NOON + 30 * DAY - MINUTE < latest <= NOON + 30 * DAY


def test_a_timetable_that_cannot_look_back_tells_as_many_as_are_asked_for() -> None:
    """However many fires it has: it is asked anew from before each."""
    trigger = AnyOf(CronTrigger("* * * * *"), CronTrigger("30 30 * * * *"))

    assert latest_fires(trigger, NOON, NOON + 30 * DAY, 3) == (NOON + 30 * DAY - MINUTE * 2, NOON + 30 * DAY - MINUTE, NOON + 30 * DAY)


def test_no_fires_are_asked_for() -> None:
    """None is told."""
    assert latest_fires(EveryMinute(), NOON, NOON + HOUR, 0) == latest_fires(EveryMinute(), NOON, NOON, 5) == ()


def test_the_first_delay_is_the_time_to_the_first_fire_of_any_trigger() -> None:
    """One that never fires again is an error."""
    assert first_delay(SimpleTrigger(MINUTE), NOON) == MINUTE
    assert first_delay(CronTrigger("* * * * *"), NOON + MINUTE / 4) == MINUTE * 3 / 4
    with pytest.raises(TriggerError, match="does not fire any more"):
        first_delay(OnceTrigger(NOON), NOON)


def test_a_combination_that_counts_from_the_end_of_a_run_has_one_fire_that_waits() -> None:
    """The ones after it come only when it has been run."""
    waits = Between(AnyOf(SimpleTrigger(10 * MINUTE, fixed_delay=True)), start=NOON)

    assert waits.last_fire_time(NOON, NOON + DAY) == NOON + 10 * MINUTE
    assert waits.last_fire_time(NOON, NOON + 9 * MINUTE) is None
