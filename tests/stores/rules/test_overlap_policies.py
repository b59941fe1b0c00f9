"""Which fires are run, wait or are dropped, by the policies of misfires and overlaps.

The cases stand in tables, in hours from noon.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Misfire, Overlap, Task, TaskOptions
from duly.stores.rules.misfires import LIMIT, MISFIRE, OVERLAP, Dropped, Due, fires_due
from duly.stores.rules.overlaps import Following
from duly.triggers import SimpleTrigger, Trigger, parse_trigger
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, a_one_off, a_schedule, followed, held

HOURLY = SimpleTrigger(HOUR)
ONCE, ALL, SKIP = Misfire.FIRE_ONCE, Misfire.FIRE_ALL, Misfire.SKIP


def hourly(**options: Any) -> Task:  # noqa: ANN401 - any field of TaskOptions
    """A schedule whose anchor is 11:00, and whose first fire is noon."""
    return a_schedule("@every 1h", options=TaskOptions(**options))


def at(hours: float) -> datetime:
    """An instant, in hours from noon."""
    return NOON + hours * HOUR


def dropped(reason: str, count: int, first: float) -> Dropped:
    """Fires that are not run."""
    return Dropped(reason, count, at(first))


# policy, grace in hours, limit, when the task is locked -> what is run, how many are dropped
MISSED: list[tuple[Misfire, float | None, int, float, Sequence[float], int]] = [
    (ONCE, None, 100, 0, [0], 0),
    (ONCE, None, 100, 0.9, [0], 0),
    (ONCE, None, 100, 5.5, [5], 5),
    (ONCE, None, 100, 8760, [8760], 8760),
    (ONCE, 0.5, 100, 5.5, [5], 5),
    (ONCE, 0.4, 100, 5.5, [], 6),
    (ONCE, 0.4, 100, 0.5, [], 1),
    (ALL, None, 100, 0, [0], 0),
    (ALL, None, 100, 3.5, [0, 1, 2, 3], 0),
    (ALL, None, 2, 3.5, [2, 3], 2),
    (ALL, None, 1, 3.5, [3], 3),
    (ALL, 1.5, 100, 3.5, [2, 3], 2),
    (ALL, 1.4, 100, 3.5, [3], 3),
    (ALL, 1.5, 1, 3.5, [3], 3),
    (ALL, 0.4, 100, 3.5, [], 4),
    (ALL, None, 3, 8760, [8758, 8759, 8760], 8758),
    (SKIP, None, 100, 0, [0], 0),
    (SKIP, None, 100, 1 / 60, [0], 0),
    (SKIP, None, 100, 1.1 / 60, [], 1),
    (SKIP, None, 100, 5, [5], 5),
    (SKIP, None, 100, 5.5, [], 6),
    (SKIP, 0.5, 100, 5.5, [5], 5),
]


@pytest.mark.parametrize(("misfire", "grace", "limit", "locked", "kept", "count"), MISSED)
def test_of_the_fires_that_nobody_ran(
    misfire: Misfire, grace: float | None, limit: int, locked: float, kept: Sequence[float], count: int
) -> None:
    """Those that the policy chooses are run, the others are dropped as misfires, and none is forgotten."""
    task = hourly(misfire=misfire, misfire_grace_time=None if grace is None else grace * HOUR, catch_up_limit=limit)
    due = fires_due(HOURLY, task, at(locked))

    assert due.kept == tuple(map(at, kept))
    assert due.dropped == ((dropped(MISFIRE, count, 0),) if count else ())
    assert due.settled == at(int(locked))


@pytest.mark.parametrize(
    ("misfire", "own", "locked", "kept", "count"),
    [
        (ONCE, -0.5, 0.1, [0], 1),
        (ONCE, -0.5, -0.4, [-0.5], 0),
        (ALL, -0.5, 1.1, [-0.5, 0, 1], 0),
        (ONCE, 1.5, 1.6, [1.5], 2),
        (ONCE, 1.5, 2.6, [2], 3),
        (ONCE, 1, 1.5, [1], 1),
        (ALL, 1, 1.5, [0, 1], 0),
        (SKIP, 1.5, 1.5, [1.5], 2),
    ],
)
def test_a_run_that_was_set_to_a_time_of_its_own_counts_as_one_of_them(
    misfire: Misfire, own: float, locked: float, kept: Sequence[float], count: int
) -> None:
    """Once, also where it was set to the very time of a fire."""
    due = fires_due(HOURLY, evolve(hourly(misfire=misfire), run_at=at(own)), at(locked))

    assert due.kept == tuple(map(at, kept))
    assert sum(each.count for each in due.dropped) == count


@pytest.mark.parametrize("misfire", Misfire)
def test_a_one_off_is_run_however_late_unless_it_has_a_grace_time(misfire: Misfire) -> None:
    """A reminder that nobody wants an hour late says so."""
    patient = a_one_off(options=TaskOptions(misfire=misfire))
    strict = a_one_off(options=TaskOptions(misfire=misfire, misfire_grace_time=HOUR))

    assert fires_due(None, patient, NOON + 99 * DAY).kept == (NOON,)
    assert fires_due(None, strict, NOON + HOUR).kept == (NOON,)
    assert fires_due(None, strict, NOON + HOUR + SECOND).dropped == (dropped(MISFIRE, 1, 0),)


@pytest.mark.parametrize("misfire", Misfire)
def test_a_fixed_delay_has_one_fire_however_late(misfire: Misfire) -> None:
    """None passes before it was run; by `skip` it is dropped when it is late."""
    trigger = parse_trigger("FIXED_DELAY=yes @every 1h")
    due = fires_due(trigger, hourly(misfire=misfire), at(9))

    assert (due.kept, sum(each.count for each in due.dropped)) == (((), 1) if misfire is SKIP else ((at(0),), 0))


# overlap, limit, what waited before -> what waits after a run from noon to 3:30, how many are dropped
PASSED: list[tuple[Overlap, int, Sequence[float], Sequence[float], int]] = [
    (Overlap.SKIP, 100, [], [], 3),
    (Overlap.QUEUE_ONE, 100, [], [3], 2),
    (Overlap.QUEUE_ONE, 100, [-1], [-1], 3),
    (Overlap.QUEUE_ALL, 100, [], [1, 2, 3], 0),
    (Overlap.QUEUE_ALL, 2, [], [2, 3], 1),
    (Overlap.QUEUE_ALL, 2, [-1], [-1, 3], 2),
    (Overlap.QUEUE_ALL, 2, [-2, -1], [-2, -1], 3),
    (Overlap.CANCEL_RUNNING, 100, [], [3], 2),
    (Overlap.CANCEL_RUNNING, 100, [-2, -1], [-2, -1, 3], 2),
    (Overlap.ALLOW, 100, [], [], 3),
]


@pytest.mark.parametrize(("overlap", "limit", "waited", "waits", "count"), PASSED)
def test_of_the_fires_that_passed_during_a_run(
    overlap: Overlap, limit: int, waited: Sequence[float], waits: Sequence[float], count: int
) -> None:
    """As many wait as there is room for, the latest of them; the others are dropped as overlaps."""
    task = evolve(hourly(overlap=overlap, queue_limit=limit), first_run_at=NOON, owed=tuple(map(at, waited)))
    following = followed(HOURLY, task, fire_time=NOON, until=at(3.5))

    overlaps = (dropped(OVERLAP, count, 1),) if count else ()
    assert following == Following(at(3), at(waits[0] if waits else 4), overlaps, tuple(map(at, waits)))


def test_an_owed_fire_is_run_first_and_what_was_missed_meanwhile_is_chosen_from() -> None:
    """It was decided on before; the policy of misfires is for what passed since."""
    task = evolve(hourly(), anchor=at(0), owed=(at(-1), at(0)), run_at=at(-1), first_run_at=at(5.5))

    assert fires_due(HOURLY, task, at(5.5)).kept == (at(5),)
    following = followed(HOURLY, task, fire_time=at(-1), until=at(5.6))
    assert following == Following(at(5), at(0), (dropped(MISFIRE, 4, 1),), (at(0), at(5)))


def test_a_fire_that_was_late_when_somebody_asked_for_a_run_comes_after_that_run() -> None:
    """Though its time was before."""
    task = evolve(hourly(), owed=(at(0.5),), run_at=at(0.5), first_run_at=at(0.6))

    assert followed(HOURLY, task, fire_time=at(0.5), until=at(0.7)) == Following(at(0), at(0), (), (at(0),))


def test_a_run_that_was_moved_goes_before_the_fires_that_wait() -> None:
    """It has a time of its own, and those keep their turn."""
    task = evolve(hourly(), anchor=at(0), owed=(at(0),), run_at=at(0.5), first_run_at=at(0.5))

    assert fires_due(HOURLY, task, at(0.5)).kept == (at(0.5),)
    assert followed(HOURLY, task, fire_time=at(0.5), until=at(0.6)) == Following(at(0), at(0), (), (at(0),))


@pytest.mark.parametrize("trigger", [SimpleTrigger(HOUR, start=NOON, times=1), SimpleTrigger(HOUR, fixed_delay=True), None])
def test_beside_a_fire_that_waited_nothing_passes_where_no_other_comes_before_it_was_run(trigger: Trigger | None) -> None:
    """The trigger has ended, counts from the end of the run, or is gone."""
    task = evolve(hourly(), anchor=at(0), owed=(at(0),), run_at=at(0))

    assert fires_due(trigger, task, at(5)) == Due((), at(0))


def test_catching_up_goes_on_through_the_fires_that_wait() -> None:
    """Each in turn; what passes while it does is an overlap."""
    task = evolve(hourly(misfire=ALL), first_run_at=at(2.5))
    following = followed(HOURLY, task, fire_time=at(0), until=at(4.5))

    assert following == Following(at(4), at(1), (dropped(OVERLAP, 2, 3),), (at(1), at(2)))


def crashed_at_half_past_two(overlap: Overlap, misfire: Misfire) -> Task:
    """A task that ran from noon until its lease ended at 2:30, and was locked again at 6:30."""
    row = held(hourly(overlap=overlap, misfire=misfire), lease=2.5 * HOUR)
    return held(row, now=at(6.5), lease_id="lease-2")


def test_fires_after_a_lease_ended_are_misfires_and_those_before_it_overlaps() -> None:
    """1:00 and 2:00 passed during the lost run, 3:00 to 6:00 while nobody ran it.

    7:00 passed during the second run.
    """
    once = followed(HOURLY, crashed_at_half_past_two(Overlap.SKIP, ONCE), fire_time=NOON, until=at(7.5))
    both = (dropped(MISFIRE, 3, 3), dropped(OVERLAP, 3, 1))
    assert once == Following(at(7), at(6), both, (at(6),))

    every = followed(HOURLY, crashed_at_half_past_two(Overlap.QUEUE_ONE, ALL), fire_time=NOON, until=at(7.5))
    assert every.owed == (at(3), at(4), at(5), at(6), at(7))
    assert every.dropped == (dropped(OVERLAP, 2, 1),)


def test_misfires_before_the_first_lock_and_after_a_lost_lease_are_counted_together() -> None:
    """12:00 and 13:00 passed before the fire of 14:00 was locked.

    17:00 to 19:00 passed after its lease ended at 16:30.
    """
    row = held(held(hourly(), now=at(2.5), lease=2 * HOUR), now=at(8.5), lease_id="lease-2")
    following = followed(HOURLY, row, fire_time=at(2), until=at(8.6))

    assert following.dropped == (dropped(MISFIRE, 2 + 3, 0), dropped(OVERLAP, 2, 3))
    assert following.owed == (at(8),)


def test_a_reason_is_a_sentence_for_people() -> None:
    """It stands in the history."""
    assert str(dropped(LIMIT, 2, 0)) == "limit: 2 waited when the schedule came to its last run"


def test_a_year_of_every_second_with_every_policy_is_settled_at_once() -> None:
    """Without visiting each of its fires: the steps of a search are bounded, and these are a few."""
    trigger = SimpleTrigger(SECOND)
    for misfire in Misfire:
        for overlap in Overlap:
            task = a_schedule("@every 1s", options=TaskOptions(misfire=misfire, overlap=overlap))
            following = followed(trigger, evolve(task, first_run_at=NOON + 365 * DAY), fire_time=NOON, until=NOON + 366 * DAY)
            assert sum(each.count for each in following.dropped) + len(following.owed) > 366 * DAY // SECOND
            assert following.anchor == NOON + 366 * DAY


def test_what_is_asked_within_a_microsecond_of_the_grace_is_told_apart() -> None:
    """Equal is in time."""
    task = hourly(misfire_grace_time=MINUTE)
    tick = timedelta(microseconds=1)

    assert fires_due(HOURLY, task, NOON + MINUTE).kept == (NOON,)
    assert fires_due(HOURLY, task, NOON + MINUTE + tick).kept == ()
