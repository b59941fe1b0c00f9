"""`Except`: days off, of a zone, and the instants of other triggers."""

from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from duly.triggers import (
    AnyOf,
    Between,
    CronTrigger,
    Except,
    Jittered,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    missed,
)
from support.triggers import DAY, HOUR, NEW_YEAR, EverySecond, Ticks, first_few

SECOND = timedelta(seconds=1)
DAILY = CronTrigger("0 9 * * *", "Europe/Paris")


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


def test_days_off_are_written_weekdays_first_and_a_day_alone_as_one_date() -> None:
    """However they were given."""
    new_year, christmas = date(2026, 1, 1), date(2026, 12, 25)

    text = Except(CronTrigger("0 9 * * *"), (christmas, christmas), "SUN", new_year, "sat", DAILY).to_text()
    assert text == "@except (0 9 * * *) SAT SUN 2026-01-01 2026-12-25 (CRON_TZ=Europe/Paris 0 9 * * *)"


def test_days_off_are_those_of_the_triggers_zone_unless_another_is_named() -> None:
    """Through all that it is made of.

    One that follows none has them in UTC, and one that follows several must say.
    """
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


class Somewhere(Ticks):
    """The same, in a zone as a user may say it."""

    def __init__(self, timezone: object) -> None:
        self.timezone = timezone


@pytest.mark.parametrize(("timezone", "key"), [(ZoneInfo("Asia/Tokyo"), "Asia/Tokyo"), ("Asia/Tokyo", "UTC"), (None, "UTC"), (9, "UTC")])
def test_days_off_are_those_of_a_users_own_zone_where_it_is_one(timezone: object, key: str) -> None:
    """Another attribute of that name is none."""
    assert Except(Somewhere(timezone), "SAT").timezone.key == key


@pytest.mark.parametrize("part", [EverySecond(), AnyOf(SimpleTrigger(HOUR)), Between(AnyOf(SimpleTrigger(HOUR)), start=NEW_YEAR)])
def test_days_off_need_a_trigger_that_can_be_asked_from_an_instant_on(part: Trigger) -> None:
    """One that would be followed fire by fire is refused when it is built.

    Not on the night before the holidays.
    """
    assert Except(Ticks(), (date(2026, 1, 1), date(2026, 1, 31))).next_fire_time(NEW_YEAR) == NEW_YEAR + 31 * DAY
    with pytest.raises(TriggerError, match="would be followed fire by fire; expected a timetable"):
        Except(part, "SAT")


def test_a_fixed_delay_that_would_end_on_a_day_off_begins_anew_after_it() -> None:
    """However short it is and long they are.

    What stands beside it fires at the first instant, if it does then.
    """
    days_off, after = "2026-01-01/2026-01-31", NEW_YEAR + 31 * DAY
    delayed = SimpleTrigger(10 * SECOND, fixed_delay=True)

    assert Except(delayed, days_off).next_fire_time(NEW_YEAR) == after + 10 * SECOND
    assert Except(AnyOf(delayed, CronTrigger("0 0 * * *")), days_off).next_fire_time(NEW_YEAR) == after
    assert missed(Except(AnyOf(delayed), "SUN"), NEW_YEAR, NEW_YEAR + DAY).count == 1


def test_days_off_end_where_a_day_begins_in_the_zone() -> None:
    """Also a day without a midnight, and one that comes after a day that was lost.

    Also one to which the clocks go back.
    """
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


@pytest.mark.parametrize(
    "excluded", [(), ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"), (5,), (NEW_YEAR,), ("2026-02-30",), ((1, 2, 3),)]
)
def test_what_cannot_be_excluded_is_refused(excluded: tuple[object, ...]) -> None:
    """Nothing at all, every day, and what is no day."""
    with pytest.raises(TriggerError, match=r"excludes nothing|excludes every day|excluded .* is not understood"):
        Except(DAILY, *excluded)  # type: ignore[arg-type]  # the point
