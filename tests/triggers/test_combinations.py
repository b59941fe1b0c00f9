"""`AnyOf`, `AllOf`, `Except`, `Between` and `Jittered`: examples, refusals and bounds. Their laws stand in test_trigger_laws.py."""

from datetime import UTC, date, datetime, timedelta
from time import perf_counter

import pytest

from detent.triggers import (
    AfterTrigger,
    AllOf,
    AnyOf,
    Between,
    CountsFrom,
    CronTrigger,
    Except,
    Jittered,
    NaiveDatetime,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    missed,
    parse_trigger,
)
from support.triggers import DAY, HOUR, MINUTE, NEW_YEAR, first_few

SECOND = timedelta(seconds=1)
DAILY = CronTrigger("0 9 * * *", "Europe/Paris")

# text | after | the next fires, in UTC; `never` for the end
TABLE = """
@any (0 9 * * MON) (0 9 * * *) (30 12 1 * *)              | 2026-02-28T12:00 | 2026-03-01T09:00 2026-03-01T12:30 2026-03-02T09:00
@any (@every 90m) (0 0 * * *)                             | 2026-01-01T22:00 | 2026-01-01T23:30 2026-01-02T00:00 2026-01-02T01:30
@any (@at 2026-01-01T10:00:00Z) (@at 2026-01-01T08:00:00Z) | 2026-01-01T00:00 | 2026-01-01T08:00 2026-01-01T10:00 never
@all (0 0 * * FRI) (0 0 13 * *)                           | 2026-01-01T00:00 | 2026-02-13T00:00 2026-03-13T00:00 2026-11-13T00:00
@all (CRON_TZ=Asia/Tokyo 0 9 * * *) (0 0 * * MON)         | 2026-01-01T00:00 | 2026-01-05T00:00 2026-01-12T00:00
@all (START=2026-01-01T00:00:00Z @every 6h) (START=2026-01-01T00:00:00Z @every 10h) | 2026-01-01T00:00 | 2026-01-02T06:00 2026-01-03T12:00
@all (* * * * * *) (0 0 29 2 *)                           | 2026-01-01T00:00 | 2028-02-29T00:00 2032-02-29T00:00
@all (@at 2026-01-01T08:00:00Z) (0 9 * * *)               | 2026-01-01T00:00 | never
@except (0 9 * * *) SAT SUN 2026-01-01                    | 2025-12-31T09:00 | 2026-01-02T09:00 2026-01-05T09:00
@except (0 9 * * MON-FRI) 2026-12-24/2027-01-03           | 2026-12-23T09:00 | 2027-01-04T09:00
@except (* * * * * *) 2026-01-01/2026-06-30               | 2026-01-01T00:00 | 2026-07-01T00:00 2026-07-01T00:00:01
CRON_TZ=Asia/Tokyo @except (0 20 * * *) SAT               | 2026-01-01T20:00 | 2026-01-03T20:00 2026-01-04T20:00
@except (CRON_TZ=Asia/Tokyo 0 5 * * *) SAT                | 2026-01-01T20:00 | 2026-01-03T20:00 2026-01-04T20:00
@except (0 * * * *) (0 0-21 * * *)                        | 2026-01-01T00:00 | 2026-01-01T22:00 2026-01-01T23:00 2026-01-02T22:00
@except (@every 168h) 2026-01-08 2026-01-15               | 2026-01-01T12:00 | 2026-01-22T12:00 2026-01-29T12:00
@except (@every 1 month) 2026-02-01/2026-02-28            | 2026-01-31T12:00 | 2026-03-28T12:00
@except (@at 2026-01-03T00:00:00Z) SAT                    | 2026-01-01T00:00 | never
START=2026-01-05T09:00:00Z @between (0 9 * * *)           | 2025-01-01T00:00 | 2026-01-05T09:00 2026-01-06T09:00
END=2026-01-02T09:00:00Z @between (0 9 * * *)             | 2026-01-01T00:00 | 2026-01-01T09:00 2026-01-02T09:00 never
START=2026-01-01T00:00:00Z TIMES=2 @between (0 9 * * *)   | 2025-01-01T00:00 | 2026-01-01T09:00 2026-01-02T09:00 never
START=2026-01-01T00:00:00Z TIMES=9 END=2026-01-01T12:00:00Z @between (0 9 * * *) | 2026-01-01T00:00 | 2026-01-01T09:00 never
START=2026-01-01T00:00:00Z TIMES=5 @between (@at 2026-01-03T00:00:00Z) | 2026-01-01T00:00 | 2026-01-03T00:00 never
START=2026-01-01T00:00:00Z @between (@every 90m)          | 2025-01-01T00:00 | 2026-01-01T01:30 2026-01-01T03:00
"""


@pytest.mark.parametrize(("text", "after", "expected"), [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()])
def test_a_combination_fires_as_it_says(text: str, after: str, expected: str) -> None:
    """One line each."""
    words = expected.split()
    fires = [datetime.fromisoformat(word).replace(tzinfo=UTC) for word in words if word != "never"]

    found = first_few(parse_trigger(text), datetime.fromisoformat(after).replace(tzinfo=UTC), len(words))
    assert found == fires


def test_a_combination_counts_as_loosely_as_its_loosest_part() -> None:
    """So that others know whether they may jump, and the scheduler from where it counts."""
    relative, delayed = SimpleTrigger(HOUR), SimpleTrigger(HOUR, fixed_delay=True)

    assert AnyOf(DAILY, OnceTrigger(NEW_YEAR)).counts_from is CountsFrom.TIMETABLE
    assert AnyOf(DAILY, relative).counts_from is CountsFrom.FIRE
    assert AnyOf(relative, delayed, DAILY).counts_from is CountsFrom.END
    assert AllOf(DAILY, OnceTrigger(NEW_YEAR)).counts_from is CountsFrom.TIMETABLE
    assert Except(relative, "SAT", DAILY).counts_from is CountsFrom.FIRE
    assert Between(delayed, start=NEW_YEAR).counts_from is CountsFrom.END


def test_parts_that_never_meet_are_an_error_before_long() -> None:
    """It names the parts and how far the search went."""
    trigger = AllOf(CronTrigger("0 0 * * *"), CronTrigger("30 0 * * *"))

    began = perf_counter()
    with pytest.raises(TriggerError, match=r"'@all \(0 0 \* \* \*\) \(30 0 \* \* \*\)': has parts that never fire together") as caught:
        trigger.next_fire_time(NEW_YEAR)
    assert perf_counter() - began < 2
    assert caught.value.expected is not None
    assert caught.value.expected.startswith("a common fire time within 10000 tries, from 2026-01-01 00:00:00+00:00 to 20")


@pytest.mark.parametrize("trigger", [Except(CronTrigger("0 9 * * SAT,SUN"), "SAT", "SUN"), Except(DAILY, DAILY)])
def test_excluding_every_fire_is_an_error_before_long(trigger: Except) -> None:
    """Whether by days or by instants."""
    began = perf_counter()
    with pytest.raises(TriggerError, match="excludes every fire, as it seems"):
        trigger.next_fire_time(NEW_YEAR)
    assert perf_counter() - began < 5


def test_a_night_of_seconds_is_excluded_by_a_trigger() -> None:
    """28,800 fires in a row are within the bound."""
    trigger = Except(CronTrigger("* * * * * *"), CronTrigger("* * 0-7 * * *"))

    assert trigger.next_fire_time(NEW_YEAR) == NEW_YEAR + 8 * HOUR


def test_days_off_may_reach_to_the_end_of_the_calendar() -> None:
    """Then there is no fire any more."""
    trigger = Except(DAILY, (date(2026, 2, 1), date.max))

    assert len(first_few(trigger, NEW_YEAR, 100)) == 31


def test_days_off_are_a_set() -> None:
    """Order, repeats and how they are cut into ranges do not matter; dates, pairs and texts mean the same."""
    christmas, boxing_day = date(2026, 12, 25), date(2026, 12, 26)

    assert (
        Except(DAILY, "SUN", "SAT", christmas, boxing_day)
        == Except(DAILY, "2026-12-25/2026-12-26", "sat", "SUN", "SUN")
        == Except(DAILY, (boxing_day, boxing_day), "2026-12-25", "SAT", "SUN")
    )
    assert Except(DAILY, boxing_day, christmas).to_text() == "@except (CRON_TZ=Europe/Paris 0 9 * * *) 2026-12-25/2026-12-26"


def test_days_off_are_those_of_the_triggers_zone_unless_another_is_named() -> None:
    """Through all that it is made of; one that follows none has them in UTC, and one that follows several must say."""
    assert Except(DAILY, "SAT").timezone.key == "Europe/Paris"
    assert Except(Except(DAILY, "SAT"), "SUN").timezone.key == "Europe/Paris"
    assert Except(DAILY, "SAT", timezone="Asia/Tokyo").timezone.key == "Asia/Tokyo"
    assert Except(Between(AnyOf(DAILY, OnceTrigger(NEW_YEAR)), end=NEW_YEAR), "SAT").timezone.key == "Europe/Paris"
    assert Except(Jittered(DAILY, SECOND, hash_id="a"), "SAT").timezone.key == "Europe/Paris"
    assert Except(OnceTrigger(NEW_YEAR), "SAT").timezone.key == "UTC"
    with pytest.raises(
        TriggerError, match="timezone 'Europe/Paris, UTC' follows several time zones; expected timezone=, whose days are meant"
    ):
        Except(AnyOf(DAILY, CronTrigger("@daily")), "SAT")
    assert Except(AnyOf(DAILY, CronTrigger("@daily")), OnceTrigger(NEW_YEAR)).timezone.key == "UTC"


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


@pytest.mark.parametrize("part", [EverySecond(), AnyOf(SimpleTrigger(HOUR)), Between(AnyOf(SimpleTrigger(HOUR)), start=NEW_YEAR)])
def test_days_off_need_a_trigger_that_can_be_asked_from_an_instant_on(part: Trigger) -> None:
    """One that would be followed fire by fire is refused when it is built, not on the night before the holidays."""
    assert Except(Ticks(), (date(2026, 1, 1), date(2026, 1, 31))).next_fire_time(NEW_YEAR) == NEW_YEAR + 31 * DAY
    with pytest.raises(TriggerError, match="would be followed fire by fire; expected a timetable"):
        Except(part, "SAT")


def test_a_fixed_delay_that_would_end_on_a_day_off_begins_anew_after_it() -> None:
    """However short it is and long they are; and what stands beside it fires at the first instant, if it does then."""
    days_off, after = "2026-01-01/2026-01-31", NEW_YEAR + 31 * DAY
    delayed = SimpleTrigger(10 * SECOND, fixed_delay=True)

    assert Except(delayed, days_off).next_fire_time(NEW_YEAR) == after + 10 * SECOND
    assert Except(AnyOf(delayed, CronTrigger("0 0 * * *")), days_off).next_fire_time(NEW_YEAR) == after
    assert missed(Except(AnyOf(delayed), "SUN"), NEW_YEAR, NEW_YEAR + DAY).count == 1


def test_days_off_end_where_a_day_begins_in_the_zone() -> None:
    """Also a day without a midnight, one that comes after a day that was lost, and one to which the clocks go back."""
    havana = Except(CronTrigger("* * * * * *", "America/Havana"), "SAT")
    apia = Except(CronTrigger("*/10 * * * * *", "Pacific/Apia"), "2011-12-29")
    st_johns = Except(CronTrigger("*/15 * * * *", "America/St_Johns"), "2006-10-29/2006-10-30")

    assert havana.next_fire_time(datetime(2026, 3, 7, 12, tzinfo=UTC)) == datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert apia.next_fire_time(datetime(2011, 12, 29, 12, tzinfo=UTC)) == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert first_few(st_johns, datetime(2006, 10, 29, 2, 20, tzinfo=UTC), 3) == [
        datetime(2006, 10, 29, 2, 45, tzinfo=UTC),
        datetime(2006, 10, 29, 3, 0, tzinfo=UTC),
        datetime(2006, 10, 29, 3, 15, tzinfo=UTC),
    ]


def test_days_off_at_the_ends_of_the_calendar_are_no_trap() -> None:
    """Where a zone's offset leads out of it."""
    late, early = datetime(9999, 12, 31, 23, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

    assert Except(OnceTrigger(late), "SAT", timezone="Pacific/Kiritimati").next_fire_time(NEW_YEAR) == late
    assert Except(SimpleTrigger(HOUR), "SUN", timezone="America/New_York").next_fire_time(early) == early + HOUR


def test_a_combination_with_a_users_own_trigger_has_no_text() -> None:
    """It lives in code, as its part does."""
    for trigger in (AnyOf(DAILY, Ticks()), AllOf(Ticks()), Except(DAILY, Ticks()), Between(Ticks(), end=NEW_YEAR)):
        assert trigger.to_text() is None
    assert Jittered(Ticks(), SECOND, hash_id="a").to_text() is None
    assert missed(Between(Ticks(), start=NEW_YEAR), NEW_YEAR - DAY, NEW_YEAR + 10 * SECOND).count == 11


@pytest.mark.parametrize("part", ["0 9 * * *", None, CronTrigger, AfterTrigger("1h")])
def test_what_cannot_be_a_part_is_refused_by_name(part: Trigger) -> None:
    """Texts, classes, and what counts from the scheduling of a task."""
    for combine in (AnyOf, AllOf, lambda it: Except(it, "SAT"), lambda it: Between(it, end=NEW_YEAR)):
        with pytest.raises(TriggerError, match=r"part of (AnyOf|AllOf|Except|Between) .* (is no trigger|counts from when it is scheduled)"):
            combine(part)
    with pytest.raises(TriggerError, match="part of Jittered"):
        Jittered(part, SECOND, hash_id="a")


@pytest.mark.parametrize("part", [SimpleTrigger(HOUR), SimpleTrigger(HOUR, fixed_delay=True), EverySecond()])
def test_a_jitter_and_an_exclusion_need_a_timetable(part: Trigger) -> None:
    """A late fire would move all that come after it; and one that counts from others has no instants of its own."""
    for combine in (lambda it: Jittered(it, SECOND, hash_id="a"), lambda it: Except(DAILY, it)):
        with pytest.raises(TriggerError, match="expected a timetable: give it a start"):
            combine(part)


@pytest.mark.parametrize(
    "excluded", [(), ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"), (5,), (NEW_YEAR,), ("2026-02-30",), ((1, 2, 3),)]
)
def test_what_cannot_be_excluded_is_refused(excluded: tuple[object, ...]) -> None:
    """Nothing at all, every day, and what is no day."""
    with pytest.raises(TriggerError, match=r"excludes nothing|excludes every day|excluded .* is not understood"):
        Except(DAILY, *excluded)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "has no bound; expected start, end or times"),
        ({"start": NEW_YEAR, "end": NEW_YEAR - SECOND}, "end '2025-12-31 23:59:59.*' is before the start"),
        ({"times": 3}, "times '3' cannot be counted; expected a start to count from"),
        ({"start": NEW_YEAR, "times": 0}, "times '0' is not a number of times"),
        ({"start": NEW_YEAR, "times": True}, "times 'True' is not a number of times"),
    ],
)
def test_bounds_that_say_nothing_are_refused(bounds: dict[str, object], message: str) -> None:
    """By the bound's name."""
    with pytest.raises(TriggerError, match=message):
        Between(DAILY, **bounds)  # type: ignore[arg-type]  # the point


def test_a_number_of_fires_needs_a_timetable_or_few_of_them() -> None:
    """What cannot be counted is not guessed."""
    with pytest.raises(TriggerError, match="times '3' cannot be counted; expected a timetable, not @every 1h"):
        Between(SimpleTrigger(HOUR), start=NEW_YEAR, times=3)
    with pytest.raises(TriggerError, match="times '200000' cannot be counted; expected at most 10000"):
        Between(AnyOf(DAILY), start=NEW_YEAR, times=200_000)


@pytest.mark.parametrize("times", [1, 999, 1000, 1001, 123_456, 10_000_000])
def test_a_great_number_of_fires_is_counted_not_walked(times: int) -> None:
    """The last one of so many, also far away."""
    trigger = Between(CronTrigger("*/5 * * * *", "America/New_York"), start=NEW_YEAR + SECOND, times=times)
    last = NEW_YEAR + 5 * MINUTE * times

    assert trigger.next_fire_time(last - SECOND) == last
    assert trigger.next_fire_time(last) is None
    assert trigger.count_fires(NEW_YEAR, last + DAY) == times


def test_bounds_are_kept_in_utc_and_refused_when_naive() -> None:
    """The same instant in another zone is the same bound."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point

    assert Between(DAILY, end=datetime.fromisoformat("2026-01-01T05:30:00+05:30")) == Between(DAILY, end=NEW_YEAR)
    with pytest.raises(NaiveDatetime, match="start must be"):
        Between(DAILY, start=naive)
    with pytest.raises(NaiveDatetime, match="end must be"):
        Between(DAILY, end=naive)


def test_a_start_at_the_beginning_of_the_calendar_is_no_trap() -> None:
    """There is no instant before it to ask from."""
    trigger = Between(CronTrigger("0 0 1 1 *"), start=datetime.min.replace(tzinfo=UTC))

    assert trigger.next_fire_time(datetime.min.replace(tzinfo=UTC)) is not None


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
