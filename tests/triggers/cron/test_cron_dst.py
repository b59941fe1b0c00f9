"""Daylight saving: the gap, the repeated hour, and the choices, zone by zone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from duly.triggers import CronTrigger, fire_times, parse_trigger
from duly.triggers.zones import clock_changes

# trigger | after | the next fires, in the zone's own time
TABLE = """
CRON_TZ=Europe/Berlin 30 2 * * *              | 2024-03-30T12:00+01:00| 2024-03-31T03:00+02:00 2024-04-01T02:30+02:00
CRON_TZ=Europe/Berlin 0 3 * * *               | 2024-03-30T12:00+01:00| 2024-03-31T03:00+02:00 2024-04-01T03:00+02:00
CRON_TZ=Europe/Berlin 0,30 2,3 * * *          | 2024-03-30T12:00+01:00| 2024-03-31T03:00+02:00 2024-03-31T03:30+02:00 2024-04-01T02:00+02:00
CRON_TZ=Europe/Berlin 59 59 2 * * *           | 2024-03-30T12:00+01:00| 2024-03-31T03:00+02:00 2024-04-01T02:59:59+02:00
CRON_TZ=Europe/Berlin */15 2 * * *            | 2024-03-31T00:00+01:00| 2024-04-01T02:00+02:00
CRON_TZ=Europe/Berlin 0/15 2 * * *            | 2024-03-31T00:00+01:00| 2024-04-01T02:00+02:00
CRON_TZ=Europe/Berlin DST_GAP=skip 30 2 * * * | 2024-03-30T12:00+01:00| 2024-04-01T02:30+02:00
CRON_TZ=Europe/Berlin 30 2 31 3 *             | 2024-03-01T00:00+01:00| 2024-03-31T03:00+02:00 2025-03-31T02:30+02:00
CRON_TZ=Europe/Berlin 30 2 * * *              | 2024-10-26T12:00+02:00| 2024-10-27T02:30+02:00 2024-10-28T02:30+01:00
CRON_TZ=Europe/Berlin 30 2 * * *              | 2024-10-27T02:45+02:00| 2024-10-28T02:30+01:00
CRON_TZ=Europe/Berlin 30 2 * * *              | 2024-10-27T02:10+01:00| 2024-10-28T02:30+01:00
CRON_TZ=Europe/Berlin DST_FOLD=both 30 2 * * *| 2024-10-26T12:00+02:00| 2024-10-27T02:30+02:00 2024-10-27T02:30+01:00 2024-10-28T02:30+01:00
CRON_TZ=Europe/Berlin 30 * * * *              | 2024-10-27T01:45+02:00| 2024-10-27T02:30+02:00 2024-10-27T02:30+01:00 2024-10-27T03:30+01:00
CRON_TZ=America/New_York 30 1 * * *           | 2026-10-31T12:00-04:00| 2026-11-01T01:30-04:00 2026-11-02T01:30-05:00
CRON_TZ=America/New_York 0 2 * * *            | 2026-10-31T12:00-04:00| 2026-11-01T02:00-05:00 2026-11-02T02:00-05:00
CRON_TZ=America/New_York 30 2 * * *           | 2026-03-07T12:00-05:00| 2026-03-08T03:00-04:00 2026-03-09T02:30-04:00
CRON_TZ=Australia/Lord_Howe 15 2 * * *        | 2024-10-05T12:00+10:30| 2024-10-06T02:30+11:00 2024-10-07T02:15+11:00
CRON_TZ=Australia/Lord_Howe 45 1 * * *        | 2024-04-06T12:00+11:00| 2024-04-07T01:45+11:00 2024-04-08T01:45+10:30
CRON_TZ=Australia/Lord_Howe */20 1 * * *      | 2024-04-07T01:20+11:00| 2024-04-07T01:40+11:00 2024-04-07T01:40+10:30 2024-04-08T01:00+10:30
CRON_TZ=Antarctica/Troll 30 2 * * *           | 2024-03-30T12:00+00:00| 2024-03-31T03:00+02:00 2024-04-01T02:30+02:00
CRON_TZ=Antarctica/Troll 0,30 1,2 * * *       | 2024-03-31T00:30+00:00| 2024-03-31T03:00+02:00 2024-04-01T01:00+02:00
CRON_TZ=Europe/Dublin 30 1 * * *              | 2024-10-26T12:00+01:00| 2024-10-27T01:30+01:00 2024-10-28T01:30+00:00
CRON_TZ=America/Havana 0 0 * * *              | 2024-03-09T12:00-05:00| 2024-03-10T01:00-04:00 2024-03-11T00:00-04:00
CRON_TZ=America/Nuuk 30 23 * * *              | 2024-10-25T23:40-01:00| 2024-10-26T23:30-01:00 2024-10-27T23:30-02:00
CRON_TZ=Pacific/Apia 0 12 * * *               | 2011-12-29T12:00-10:00| 2011-12-31T00:00+14:00 2011-12-31T12:00+14:00
CRON_TZ=Pacific/Apia 0 */12 * * *             | 2011-12-29T12:00-10:00| 2011-12-31T00:00+14:00 2011-12-31T12:00+14:00
CRON_TZ=Asia/Kathmandu 0 9 * * MON-FRI        | 2024-05-03T09:00+05:45| 2024-05-06T09:00+05:45
"""


@pytest.mark.parametrize(("text", "after", "expected"), [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()])
def test_a_job_meets_a_clock_change_by_the_rule(text: str, after: str, expected: str) -> None:
    """Fixed jobs run once, wildcard jobs just go on, and the options choose otherwise."""
    trigger = parse_trigger(text)
    assert isinstance(trigger, CronTrigger)
    fires = fire_times(trigger, datetime.fromisoformat(after))

    # As text: a datetime in a repeated hour equals no datetime of another zone (PEP 495).
    for each in expected.split():
        assert next(fires).astimezone(trigger.timezone).isoformat() == datetime.fromisoformat(each).isoformat()


@pytest.mark.parametrize("expression", ["0 1 * * *", "30 2 * * *", "*/7 * * * *", "0 0 1 * *", "5,35 */2 * * *", "0 12 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"])
def test_the_quick_way_and_the_careful_way_agree(zone: str, expression: str) -> None:
    """Far from any change the next time is found in one step; walking every stretch gives the same."""
    trigger, fire = CronTrigger(expression, zone), datetime(2011, 1, 1, tzinfo=ZoneInfo("UTC"))
    for _ in range(300):
        found = trigger.next_fire_time(fire)
        assert found is not None
        assert found == trigger._rule._walk(trigger._times, fire)
        fire = found


@pytest.mark.parametrize("expression", ["* * * * *", "30 2 * * *", "0 0 1 * *", "0 12 29 2 *"])
def test_the_order_of_the_questions_plays_no_part(expression: str) -> None:
    """What a trigger remembers of one question changes no later answer.

    Here it is asked back and forth over 40 years.
    """
    trigger, random = CronTrigger(expression, "America/New_York"), Random(expression)  # noqa: S311 - a seed, no secret
    begin, end = datetime(2000, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    asked = [begin + random.random() * (end - begin) for _ in range(300)]
    # As many near a change: there the remembered stretch begins and ends.
    changes = [change.at for change in clock_changes(trigger.timezone, begin, end)]
    asked += [random.choice(changes) + timedelta(hours=random.randrange(-60, 60)) for _ in range(300)]
    random.shuffle(asked)

    assert [trigger.next_fire_time(prev) for prev in asked] == [trigger._rule._walk(trigger._times, prev) for prev in asked]


def test_the_changes_of_a_span_are_those_of_its_parts() -> None:
    """Wherever a span is cut, also at a change: each change belongs to the part that ends with it."""
    zone, begin, end = ZoneInfo("Africa/Casablanca"), datetime(2010, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    whole = list(clock_changes(zone, begin, end))
    cuts = [begin, *(change.at + timedelta(seconds=shift) for change in whole for shift in (-1, 0, 1)), end]

    # From 2010 to 2024 Morocco changed its clocks 43 times: in 2012 to 2018 for Ramadan, too, since then for Ramadan alone.
    assert (len(whole), whole[0].at, whole[-1].at) == (43, datetime(2010, 5, 2, tzinfo=UTC), datetime(2024, 4, 14, 2, tzinfo=UTC))
    assert [change for early, late in pairwise(cuts) for change in clock_changes(zone, early, late)] == whole
