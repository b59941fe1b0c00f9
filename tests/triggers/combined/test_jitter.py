"""`Jittered`: stable, uniform, and always before the next fire."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.triggers import (
    AnyOf,
    CronTrigger,
    Jittered,
    OnceTrigger,
    TriggerError,
    missed,
)
from support.triggers import DAY, HOUR, MINUTE, NEW_YEAR, first_few

SECOND = timedelta(seconds=1)
DAILY = CronTrigger("0 9 * * *", "Europe/Paris")


def test_a_jitter_is_stable_and_uniform_over_ids() -> None:
    """The same id is late by as much on every node; ten thousand ids spread over the whole span."""
    span, fire = 10 * SECOND, NEW_YEAR + 5 * MINUTE
    base = CronTrigger("*/5 * * * *")
    late = [
        (found - fire) / span for n in range(10_000) if (found := Jittered(base, span, hash_id=f"task-{n}").next_fire_time(fire - SECOND))
    ]

    assert all(0 <= share < 1 for share in late)
    tenths = [sum(share // 0.1 == tenth for share in late) for tenth in range(10)]
    assert min(tenths) > 850
    assert max(tenths) < 1150


def test_the_jitter_of_a_fire_is_the_same_in_every_version() -> None:
    """A change of the hash would move every task of every user."""
    late = Jittered(CronTrigger("*/5 * * * *"), 10 * SECOND, hash_id="report:emea").next_fire_time(NEW_YEAR + 10 * SECOND)

    assert late == datetime(2026, 1, 1, 0, 5, 4, 837_397, UTC)


def test_a_jitter_differs_from_fire_to_fire() -> None:
    """So that two tasks that once met do not meet for ever."""
    fires = first_few(Jittered(CronTrigger("0 * * * *"), 10 * MINUTE, hash_id="a"), NEW_YEAR, 50)

    assert len({(fire.minute, fire.second, fire.microsecond) for fire in fires}) > 45


def test_a_jitter_of_what_cannot_count_cannot_count() -> None:
    """But it knows its last fire, and a span without any."""
    trigger = Jittered(AnyOf(DAILY), SECOND, hash_id="a")

    assert trigger.count_fires(NEW_YEAR, NEW_YEAR + 9 * DAY) is None
    assert trigger.last_fire_time(NEW_YEAR, NEW_YEAR + 9 * DAY) == first_few(trigger, NEW_YEAR, 9)[-1]
    assert trigger.last_fire_time(NEW_YEAR, NEW_YEAR + HOUR) is None


def test_the_ends_of_the_calendar_are_no_trap_for_a_jitter() -> None:
    """A fire that would be late beyond the last instant is not late.

    Before the first one nothing is pending.
    """
    begin, end = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert Jittered(OnceTrigger(end), HOUR, hash_id="a").next_fire_time(NEW_YEAR) == end
    assert Jittered(OnceTrigger(NEW_YEAR), HOUR, hash_id="a").next_fire_time(begin) is not None


@pytest.mark.parametrize(("by", "hash_id", "message"), [(timedelta(0), "a", "by '0:00:00'"), (5, "a", "by '5'"), (SECOND, "", "hash_id")])
def test_a_jitter_of_nothing_is_refused(by: timedelta, hash_id: str, message: str) -> None:
    """And one without an id, which would be the same for all."""
    with pytest.raises(TriggerError, match=message):
        Jittered(DAILY, by, hash_id=hash_id)


def test_a_jitter_longer_than_the_time_to_the_next_fire_stays_before_it() -> None:
    """However long: each fire still comes, and in its order."""
    trigger = Jittered(CronTrigger("* * * * * *"), 365 * DAY, hash_id="a")
    fires = first_few(trigger, NEW_YEAR + SECOND / 2, 100)

    assert [fire.replace(microsecond=0) for fire in fires][1:] == [fires[1].replace(microsecond=0) + SECOND * n for n in range(99)]
    assert missed(trigger, NEW_YEAR, NEW_YEAR + 365 * DAY).count in (365 * 86_400, 365 * 86_400 + 1)
