"""From one fire of a schedule to the next."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from attrs import evolve

from duly.jobs import Task
from duly.stores.rules.misfires import MISFIRE, OVERLAP, Dropped
from duly.stores.rules.overlaps import Following
from duly.triggers import CronTrigger, OnceTrigger, SimpleTrigger, Trigger, TriggerError
from support.tasks import DAY, HOUR, MINUTE, NOON, SECOND, a_schedule, followed

HOURLY = SimpleTrigger(HOUR)
TASK = a_schedule("@every 1h")
"""Its anchor is 11:00, its first fire noon."""


def follow(trigger: Trigger, task: Task, *, fire_time: datetime, until: datetime) -> Following:
    """Follow a run for `fire_time` that was locked as soon as that came."""
    return followed(trigger, evolve(task, first_run_at=fire_time), fire_time=fire_time, until=until)


def misfires(count: int, first: datetime) -> Dropped:
    """Fires that nobody was there to run."""
    return Dropped(MISFIRE, count, first, exact=True)


def overlaps(count: int, first: datetime) -> Dropped:
    """Fires that passed during a run."""
    return Dropped(OVERLAP, count, first, exact=True)


# What was run, when its run ended -> the new anchor, the next fire, the fires that were dropped; all in hours from noon.
TABLE: list[tuple[str, float, float, float, float, tuple[Dropped, ...]]] = [
    ("in time", 0, 0.1, 0, 1, ()),
    ("ended just before the next", 0, 0.999, 0, 1, ()),
    ("ended at the next", 0, 1, 1, 2, (overlaps(1, NOON + HOUR),)),
    ("ended after the next", 0, 1.5, 1, 2, (overlaps(1, NOON + HOUR),)),
    ("ended long after", 0, 5.5, 5, 6, (overlaps(5, NOON + HOUR),)),
    ("one was missed", 1, 1.1, 1, 2, (misfires(1, NOON),)),
    ("many were missed", 9, 9.1, 9, 10, (misfires(9, NOON),)),
    ("missed and overlapped", 2, 4.5, 4, 5, (misfires(2, NOON), overlaps(2, NOON + 3 * HOUR))),
    ("the first was run late", 0, 3.2, 3, 4, (overlaps(3, NOON + HOUR),)),
    ("the clock went back during the run", 0, -3, 0, 1, ()),
    ("the clock went back after a misfire", 2, -3, 2, 3, (misfires(2, NOON),)),
]


@pytest.mark.parametrize(("fired", "ended", "anchor", "run_at", "dropped"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_an_hourly_schedule_goes_on(fired: float, ended: float, anchor: float, run_at: float, dropped: tuple[Dropped, ...]) -> None:
    """The anchor moves along the fires alone, and each fire that was not run is accounted for."""
    following = follow(HOURLY, TASK, fire_time=NOON + fired * HOUR, until=NOON + ended * HOUR)

    assert following == Following(NOON + anchor * HOUR, NOON + run_at * HOUR, dropped)


@pytest.mark.parametrize(
    ("fired", "ended", "anchor", "run_at", "dropped"),
    [
        (-0.5, -0.4, -1, 0, ()),
        (-0.5, 0.5, 0, 1, (overlaps(1, NOON),)),
        (0.5, 0.6, 0, 1, (misfires(1, NOON),)),
    ],
    ids=["before the first fire", "lasting beyond it", "between two fires"],
)
def test_a_run_of_its_own_is_no_fire_of_the_trigger(
    fired: float, ended: float, anchor: float, run_at: float, dropped: tuple[Dropped, ...]
) -> None:
    """A run that was moved to another time; what it passes over is accounted for."""
    moved = evolve(TASK, run_at=NOON + fired * HOUR)
    following = follow(HOURLY, moved, fire_time=moved.run_at, until=NOON + ended * HOUR)

    assert following == Following(NOON + anchor * HOUR, NOON + run_at * HOUR, dropped)


def test_a_schedule_ends_with_its_last_fire() -> None:
    """Then there is no next one."""
    twice = SimpleTrigger(HOUR, start=NOON, times=2)

    assert follow(twice, TASK, fire_time=NOON, until=NOON) == Following(NOON, NOON + HOUR)
    assert follow(twice, TASK, fire_time=NOON, until=NOON + HOUR) == Following(NOON + HOUR, None, (overlaps(1, NOON + HOUR),))
    assert follow(OnceTrigger(NOON), TASK, fire_time=NOON, until=NOON) == Following(NOON, None)
    assert follow(OnceTrigger(NOON - DAY), TASK, fire_time=NOON, until=NOON) == Following(NOON - HOUR, None)


def test_a_fixed_delay_goes_on_from_the_end_of_the_run() -> None:
    """However late it began and long it took: no fire passed meanwhile.

    A clock that went back does not fire twice.
    """
    delayed, task = SimpleTrigger(HOUR, fixed_delay=True), a_schedule("FIXED_DELAY=yes @every 1h")

    for ended in (NOON, NOON + MINUTE, NOON + 99 * HOUR):
        assert follow(delayed, task, fire_time=NOON, until=ended) == Following(ended, ended + HOUR)
    assert follow(delayed, task, fire_time=NOON, until=NOON - HOUR) == Following(NOON, NOON + HOUR)


@pytest.mark.parametrize(("fired", "anchor", "run_at", "count"), [(0, 0, 1, 1), (1, 1, 2, 2)], ids=["at once", "later"])
def test_a_first_fire_of_its_own_that_was_missed_is_accounted_for(fired: float, anchor: float, run_at: float, count: int) -> None:
    """The trigger knows nothing of it.

    It was set with the schedule, for 11:30, and no node was there until noon or later.
    """
    own = NOON - HOUR / 2
    task = evolve(TASK, anchor=own, run_at=own)

    following = follow(CronTrigger("0 * * * *"), task, fire_time=NOON + fired * HOUR, until=NOON + fired * HOUR + MINUTE)
    assert following == Following(NOON + anchor * HOUR, NOON + run_at * HOUR, (misfires(count, own),))


def test_a_run_that_was_moved_leaves_out_the_fires_before_it() -> None:
    """The first of them was a fire of the trigger, not the instant that the run was moved to."""
    task = evolve(TASK, run_at=NOON + 3.5 * HOUR)

    following = follow(HOURLY, task, fire_time=task.run_at, until=task.run_at + MINUTE)
    assert following == Following(NOON + 3 * HOUR, NOON + 4 * HOUR, (misfires(4, NOON),))


def test_a_night_without_its_hour_has_its_fire_after_the_gap() -> None:
    """Berlin, 31 March 2024: 02:30 does not exist, so the fire is at 03:00 (01:00 UTC)."""
    trigger = CronTrigger("30 2 * * *", "Europe/Berlin")
    saturday, gap, monday = (
        datetime(2024, 3, 30, 1, 30, tzinfo=UTC),
        datetime(2024, 3, 31, 1, tzinfo=UTC),
        datetime(2024, 4, 1, 0, 30, tzinfo=UTC),
    )
    task = a_schedule("CRON_TZ=Europe/Berlin 30 2 * * *", anchor=saturday - MINUTE)

    assert follow(trigger, task, fire_time=saturday, until=saturday) == Following(saturday, gap)
    assert follow(trigger, task, fire_time=gap, until=gap + HOUR).run_at == monday


def test_a_night_with_an_hour_twice_has_one_fire() -> None:
    """Berlin, 27 October 2024: 02:30 comes twice; the schedule fires the first time only."""
    trigger = CronTrigger("30 2 * * *", "Europe/Berlin")
    first, next_day = datetime(2024, 10, 27, 0, 30, tzinfo=UTC), datetime(2024, 10, 28, 1, 30, tzinfo=UTC)
    task = a_schedule("CRON_TZ=Europe/Berlin 30 2 * * *", anchor=first - MINUTE)

    assert follow(trigger, task, fire_time=first, until=first + 2 * HOUR) == Following(first, next_day)


@pytest.mark.parametrize("trigger", [SimpleTrigger(SECOND), CronTrigger("* * * * * *"), CronTrigger("* * * * * *", "America/New_York")])
def test_a_year_of_every_second_is_accounted_for_at_once(trigger: Trigger) -> None:
    """Without visiting each of its fires."""
    began = perf_counter()
    following = follow(trigger, TASK, fire_time=NOON, until=NOON + 365 * DAY)
    took = perf_counter() - began

    assert sum(dropped.count for dropped in following.dropped) == (365 * DAY + HOUR) // SECOND - 1
    assert following.run_at == NOON + 365 * DAY + SECOND
    assert took < 0.5


class EveryMinute(Trigger):
    """A timetable of the user's own, which can only be asked for its next fire."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """The next full minute."""
        return prev.replace(second=0, microsecond=0) + MINUTE


def test_a_trigger_that_cannot_look_back_says_at_least_how_many() -> None:
    """It is not walked for ever, and goes on from its latest fire all the same."""
    task = evolve(TASK, run_at=TASK.anchor + MINUTE)
    following = follow(EveryMinute(), task, fire_time=task.run_at, until=NOON + 30 * DAY)

    (dropped,) = following.dropped
    assert (following.anchor, following.run_at) == (NOON + 30 * DAY, NOON + 30 * DAY + MINUTE)
    assert not dropped.exact
    assert str(dropped).startswith("overlap: at least 1001 passed while the run before")


def test_more_misfires_than_can_be_counted_do_not_hide_the_overlaps() -> None:
    """Each is counted from where it begins."""
    following = follow(EveryMinute(), TASK, fire_time=NOON + 30 * DAY, until=NOON + 30 * DAY + 5.5 * MINUTE)

    assert [(dropped.reason, dropped.exact) for dropped in following.dropped] == [(MISFIRE, False), (OVERLAP, True)]
    assert following.dropped[1].count == 5


@pytest.mark.parametrize(("lost_after", "locked_after"), [(30 * DAY, 2 * MINUTE), (5 * MINUTE, 30 * DAY)])
def test_more_fires_than_can_be_counted_do_not_become_exact_by_those_that_can(lost_after: timedelta, locked_after: timedelta) -> None:
    """A run was lost and made up for: the fires of both runs are told together."""
    task = evolve(TASK, first_run_at=NOON, idle_since=NOON + lost_after, locked_at=NOON + lost_after + SECOND)
    following = followed(EveryMinute(), evolve(task, anchor=NOON - MINUTE), fire_time=NOON, until=NOON + lost_after + locked_after)

    (dropped,) = following.dropped
    assert (dropped.reason, dropped.exact) == (OVERLAP, False)


def test_a_trigger_that_does_not_move_forward_is_an_error() -> None:
    """Following it would never end."""

    class Stuck(Trigger):
        def next_fire_time(self, prev: datetime) -> datetime:
            return prev

    with pytest.raises(TriggerError, match="forward"):
        follow(Stuck(), TASK, fire_time=NOON, until=NOON)


def test_a_reason_is_a_sentence_for_people() -> None:
    """It stands in the history."""
    assert str(misfires(3, NOON)) == "misfire: 3 passed while no node ran the task"
    assert str(overlaps(1, NOON)) == "overlap: 1 passed while the run before, its retries included, was still going"


def test_fire_times_are_exact_to_the_microsecond() -> None:
    """A fire at the very end of the run passed during it; one a microsecond later did not."""
    tick = timedelta(microseconds=1)

    assert follow(HOURLY, TASK, fire_time=NOON, until=NOON + HOUR - tick).run_at == NOON + HOUR
    assert follow(HOURLY, TASK, fire_time=NOON, until=NOON + HOUR).run_at == NOON + 2 * HOUR
