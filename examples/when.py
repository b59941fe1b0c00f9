"""Every kind of trigger: its text, what it says in English, and its next fire times.

Takes other texts as arguments.

python -P examples/when.py "CRON_TZ=Europe/Paris 30 2 * * *" --after 2026-03-28T12:00:00Z
"""

import argparse
import sys
from datetime import date, datetime, time, timedelta
from itertools import islice

from duly.triggers import (
    EVERY_FIVE_MINUTES,
    AfterTrigger,
    AllOf,
    AnyOf,
    Between,
    CalendarIntervalTrigger,
    CronTrigger,
    Except,
    Jittered,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    daily_at,
    describe,
    fire_times,
    format_trigger,
    parse_trigger,
    validate_trigger,
)

WORKDAYS = CronTrigger("0 9 * * MON-FRI", "Europe/Paris")
PAYDAY = CronTrigger("0 0 18 LW * ?", "America/New_York")
START = datetime.fromisoformat("2026-01-31T09:00:00+01:00")

TRIGGERS: list[Trigger | str] = [
    EVERY_FIVE_MINUTES,
    daily_at(9, 30, "Europe/Paris"),
    WORKDAYS,
    PAYDAY,
    CronTrigger("H H(0-5) * * *", hash_id="report:emea"),
    SimpleTrigger(timedelta(hours=1, minutes=20), start=START, times=3),
    SimpleTrigger(timedelta(minutes=5), fixed_delay=True),
    CalendarIntervalTrigger("1 month", "Europe/Paris", start=date(2026, 1, 31), at=time(9)),
    OnceTrigger(START),
    AfterTrigger("1 week 6 days"),
    AnyOf(WORKDAYS, PAYDAY),
    AllOf(CronTrigger("0 0 13 * *"), CronTrigger("0 0 * * FRI")),
    Except(WORKDAYS, "MON", "2026-12-24/2027-01-02"),
    Jittered(WORKDAYS, timedelta(minutes=10), hash_id="report:emea"),
    Between(WORKDAYS, start=START, times=100),
]


def show(trigger: Trigger, after: datetime) -> None:
    """Print a trigger, and the first three fires after an instant."""
    fires = ", ".join(f"{fire:%Y-%m-%d %H:%M:%S}" for fire in islice(fire_times(trigger, after), 3))
    print(f"{format_trigger(trigger)}\n    {describe(trigger)}\n    {fires or 'never'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", metavar="text")
    parser.add_argument("--after", type=datetime.fromisoformat, default=datetime.fromisoformat("2026-01-01T00:00:00Z"))
    arguments = parser.parse_args()
    for refused in filter(None, map(validate_trigger, arguments.texts)):
        sys.exit(str(refused))
    for given in arguments.texts or TRIGGERS:
        show(parse_trigger(given, hash_id="example") if isinstance(given, str) else given, arguments.after)
