"""`CronTrigger` as a value: what is equal, what is shown, what may be shared, and what is hashed."""

import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest

from duly.triggers import CronTrigger, TriggerError, fire_times

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def next_five(trigger: CronTrigger) -> list[datetime]:
    """Return the first five fires of 2024."""
    return [fire for fire, _ in zip(fire_times(trigger, NEW_YEAR), range(5), strict=False)]


def test_seconds_come_first() -> None:
    """`1/5` in the first of six fields fires at seconds 1, 6, 11, 16, 21."""
    assert [fire.second for fire in next_five(CronTrigger("1/5 * * * * *"))] == [1, 6, 11, 16, 21]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 9 * * 1-5", "0  9 * * mon-fri"),
        ("0 9 * * 7", "00 09 * * SUN"),
        ("0 0 1 1 *", "0 0 1 jan *"),
        ("@DAILY", "@daily"),
        ("0 0 * * 5-7", "0 0 * * FRI-SUN"),
        ("5-5 * * * *", "5 * * * *"),
        ("0 0 * * 0-7", "0 0 * * SUN-SAT"),
    ],
)
def test_what_means_the_same_to_a_reader_is_equal(one: str, other: str) -> None:
    """Case, blanks, leading zeros and names do not matter; equal values have equal hashes and texts."""
    assert CronTrigger(one) == CronTrigger(other)
    assert hash(CronTrigger(one)) == hash(CronTrigger(other))
    assert CronTrigger(one).to_text() == CronTrigger(other).to_text()


def test_zone_and_choices_are_part_of_the_value() -> None:
    """Two triggers that differ in any of them are different."""
    triggers = {
        CronTrigger("0 2 * * *"),
        CronTrigger("0 2 * * *", "Europe/Paris"),
        CronTrigger("0 2 * * *", ZoneInfo("Europe/Paris"), dst_gap="skip"),
        CronTrigger("0 2 * * *", "Europe/Paris", dst_fold="both"),
    }
    assert len(triggers) == 4
    assert CronTrigger("0 2 * * *", "Europe/Paris") == CronTrigger("0 2 * * *", ZoneInfo.no_cache("Europe/Paris"))
    assert CronTrigger("0 2 * * *", UTC) == CronTrigger("0 2 * * *")


def test_a_zone_may_stand_before_the_fields() -> None:
    """As in a crontab; it becomes the trigger's zone, and saying it twice is an error."""
    assert CronTrigger("CRON_TZ=Europe/Paris 0 2 * * *") == CronTrigger("0 2 * * *", "Europe/Paris")
    assert CronTrigger("TZ=Etc/GMT+5  @daily", dst_gap="skip") == CronTrigger("@daily", "Etc/GMT+5", dst_gap="skip")
    with pytest.raises(TriggerError, match="CRON_TZ 'Europe/Paris' is said twice; expected no zone beside it"):
        CronTrigger("CRON_TZ=Europe/Paris 0 2 * * *", "Europe/Paris")


def test_the_value_shows_names_so_that_no_dialect_is_needed_to_read_it() -> None:
    """Quartz counts Sunday as 1; what is kept says MON-FRI either way."""
    quartz = CronTrigger("0 0 9 ? * 2-6", dialect="quartz")

    assert repr(quartz) == "CronTrigger('0 0 9 ? * MON-FRI')"
    assert quartz == CronTrigger("0 0 9 ? * 1-5")


@pytest.mark.parametrize(
    ("quartz", "unix"),
    [
        ("1", "SUN"),
        ("7", "SAT"),
        ("L", "SAT"),
        ("6L", "FRIL"),
        ("2#1", "MON#1"),
        ("7-2", "SAT-MON"),
        ("1,7", "SUN,SAT"),
        ("1-7", "SUN-SAT"),
    ],
)
def test_quartz_weekdays_count_from_sunday_as_one(quartz: str, unix: str) -> None:
    """Every form of the day-of-week field is shifted alike."""
    assert CronTrigger(f"0 0 0 ? * {quartz}", dialect="quartz") == CronTrigger(f"0 0 0 ? * {unix}")


def test_a_trigger_cannot_be_changed() -> None:
    """It is frozen, without a dict."""
    trigger = CronTrigger("0 9 * * *")
    with pytest.raises(AttributeError):
        trigger.dst_gap = "skip"  # type: ignore[misc]
    assert not hasattr(trigger, "__dict__")


def test_a_trigger_survives_pickling() -> None:
    """It pickles as its arguments."""
    trigger = CronTrigger("H 2 * * MON", "Europe/Paris", dst_gap="skip", dst_fold="both", hash_id="a b/é")

    copy = pickle.loads(pickle.dumps(trigger))  # noqa: S301 - our own bytes
    assert copy == trigger
    assert next_five(copy) == next_five(trigger)


def test_one_trigger_serves_eight_threads() -> None:
    """Each asks it about the same instants in an order of its own.

    Each gets the answers of a trigger that nobody else has used.
    """
    expression, zone = "*/7 1,2 * * *", "America/New_York"
    starts = [NEW_YEAR + timedelta(hours=37) * n for n in range(401)]  # a prime number: every stride visits all of them
    answers = {start: ask(CronTrigger(expression, zone), start) for start in starts}
    shared, barrier = CronTrigger(expression, zone), Barrier(8)

    def differing(thread: int) -> list[datetime]:
        barrier.wait()
        in_order = (starts[n * (thread + 1) % len(starts)] for n in range(len(starts)))
        return [start for start in in_order if ask(shared, start) != answers[start]]

    with switching_often(), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(differing, range(8))) == [[]] * 8


def ask(trigger: CronTrigger, start: datetime) -> tuple[datetime | None, int]:
    """Ask what comes after `start`, and how often in two days."""
    return trigger.next_fire_time(start), trigger.count_fires(start, start + timedelta(days=2))


@contextmanager
def switching_often() -> Iterator[None]:
    """Let threads take turns within a call.

    By default one of a few microseconds would nearly always finish first.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def test_a_hash_is_stable_and_spread() -> None:
    """`H` depends on the id alone, and ids spread over the whole hour."""
    minutes = {next_five(CronTrigger("H * * * *", hash_id=f"task-{n}"))[0].minute for n in range(2000)}

    assert minutes == set(range(60))
    assert next_five(CronTrigger("H H * * *", hash_id="report:emea"))[0] == datetime(2024, 1, 1, 22, 19, tzinfo=UTC)


@pytest.mark.parametrize(("field", "allowed"), [("H(10-19)", range(10, 20)), ("H(55-4)", [*range(55, 60), *range(5)]), ("H", range(60))])
def test_a_hash_stays_in_its_range(field: str, allowed: range) -> None:
    """A range bounds the hash, also round the end of the dial."""
    found = {next_five(CronTrigger(f"{field} * * * *", hash_id=str(n)))[0].minute for n in range(600)}
    assert found == set(allowed)


def test_a_hashed_step_keeps_its_distance() -> None:
    """`H/15` fires every 15 minutes from a hashed first one."""
    fires = next_five(CronTrigger("H/15 * * * *", hash_id="x"))
    assert {later - earlier for earlier, later in pairwise(fires)} == {timedelta(minutes=15)}


def test_a_hashed_day_of_month_exists_in_every_month() -> None:
    """A bare `H` draws from 1 to 28."""
    assert {next_five(CronTrigger("0 0 H * *", hash_id=str(n)))[1].day for n in range(600)} == set(range(1, 29))


def test_an_unused_hash_id_is_not_part_of_the_value() -> None:
    """An id given to every task's trigger makes only those with an `H` differ."""
    assert CronTrigger("0 9 * * THU", hash_id="a") == CronTrigger("0 9 * * THU")
    assert CronTrigger("H 9 * * *", hash_id="a") != CronTrigger("H 9 * * *", hash_id="b")


def test_first_delay_is_the_time_to_the_first_fire() -> None:
    """From now, to the microsecond."""
    now = datetime(2024, 1, 1, 8, 59, 59, 250_000, tzinfo=timezone(timedelta(hours=1)))

    assert CronTrigger("0 9 * * *", "Europe/Paris").first_delay(now) == timedelta(milliseconds=750)
    with pytest.raises(TriggerError, match="does not fire any more"):
        CronTrigger("0 0 0 1 1 ? 2020").first_delay(now)


@pytest.mark.parametrize("expression", ["* * * * * *", "0 0 29 2 *"])
def test_the_ends_of_the_calendar_are_no_trap(expression: str) -> None:
    """The first and the last instant that Python knows have an answer."""
    trigger = CronTrigger(expression, "Asia/Tokyo")

    assert trigger.next_fire_time(datetime.max.replace(tzinfo=UTC)) is None
    assert trigger.next_fire_time(datetime.min.replace(tzinfo=UTC)) is not None
    assert CronTrigger(expression, "America/New_York").next_fire_time(datetime.min.replace(tzinfo=UTC)) is not None


def test_years_reach_beyond_2099() -> None:
    """The seventh field goes on where croniter ends."""
    assert CronTrigger("0 0 0 1 1 ? 2150/49").next_fire_time(datetime(2151, 1, 1, tzinfo=UTC)) == datetime(2199, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("weekday", "number"), [("MON", 0), ("THU", 3), ("SUN", 6)])
def test_no_two_kinds_of_year_are_taken_for_one(weekday: str, number: int) -> None:
    """A trigger remembers the days of a month by the calendar of its year.

    There are 14 such calendars: here each comes up.
    """
    fires = list(fire_times(CronTrigger(f"0 0 * * {weekday}"), datetime(2000, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)))

    assert {fire.weekday() for fire in fires} == {number}
    assert {later - earlier for earlier, later in pairwise(fires)} == {timedelta(weeks=1)}


def test_a_range_from_0_to_7_is_eight_values_but_for_weekdays() -> None:
    """There it is the whole week, because 0 and 7 are both Sunday."""
    assert [fire.minute for fire in fire_times(CronTrigger("0-7 0 * * *"), NEW_YEAR, NEW_YEAR + timedelta(hours=9))] == [*range(1, 8)]
    assert [fire.day for fire in next_five(CronTrigger("0 0 * * 0-7"))] == [2, 3, 4, 5, 6]
