"""A trigger in plain English."""

from datetime import datetime, timedelta

import pytest

from duly.triggers import AnyOf, CronTrigger, Trigger, TriggerError, describe, parse_trigger
from duly.triggers.text.describe_cron import describe_fields

# text | what is said of it
TABLE = """
1 */5 * * * * | every 5 minutes from second 1
1/5 * * * * * | every 5 seconds from second 1
CRON_TZ=Europe/Paris 0 9 * * MON-FRI | 09:00 on Monday to Friday, Europe/Paris
* * * * * | every minute
*/5 * * * * | every 5 minutes
0 * * * * | every hour
15 * * * * | every hour at minute 15
0,30 * * * * | every hour at minutes 0 and 30
0 0 * * * | 00:00 every day, UTC
@daily | 00:00 every day, UTC
@weekly | 00:00 on Sunday, UTC
@yearly | 00:00 on the 1st in January, UTC
@hourly | every hour
@minutely | every minute
@always | every minute
@5minutes | every 5 minutes
@10minutes | every 10 minutes
@15minutes | every 15 minutes
@30minutes | every 30 minutes
@everysecond | every second
@every 1 month | every month, UTC
*/15 9-17 * * MON-FRI | every 15 minutes from 09:00 to 17:59 on Monday to Friday, UTC
0 9-17 * * MON-FRI | every hour from 09:00 to 17:00 on Monday to Friday, UTC
5 9-17/2 * * * | minute 5 of every 2nd hour from 9 to 17, UTC
0 */2 * * * | every 2 hours, UTC
30 1/3 * * * | every 3 hours from hour 1 at minute 30, UTC
0 9,12,17 * * * | 09:00, 12:00 and 17:00 every day, UTC
*/10 * * * * * | every 10 seconds
30 */10 * * * * | every 10 minutes from second 30
10,20 */10 * * * * | every 10 minutes at seconds 10 and 20
* 5 * * * * | every second of minute 5
* */5 9 * * * | every second of every 5th minute from 09:00 to 09:59, UTC
0 0 1,15 * FRI | 00:00 on the 1st and the 15th or on Friday, UTC
0 0 */2 * MON | 00:00 on days that are both Monday and every 2nd day of the month, UTC
0 0 ? * FRIL | 00:00 on the last Friday, UTC
0 0 L * ? | 00:00 on the last day, UTC
0 0 L-3 * ? | 00:00 on the 3rd day before the last, UTC
0 0 LW * ? | 00:00 on the last working day, UTC
0 0 L-3W,15W * ? | 00:00 on the working day nearest to the 3rd day before the last and the working day nearest to the 15th, UTC
0 0 ? * MON#1,THU#3 | 00:00 on the 1st Monday and the 3rd Thursday, UTC
0 0 1-7 * * | 00:00 on the 1st to the 7th, UTC
0 0 1 JAN * | 00:00 on the 1st in January, UTC
0 0 1 */3 * | 00:00 on the 1st in every 3rd month, UTC
0 0 0 1 JAN-MAR ? 2030-2032 | 00:00 on the 1st in January to March in 2030 to 2032, UTC
HASH=x H H * * * | 03:12 every day, UTC (hashed from 'x')
HASH=x H/15 * * * * | every hour at minutes 12, 27, 42 and 57 (hashed from 'x')
HASH=x H(0-29)/10 H(2-4) * * THU | 02:02, 02:12 and 02:22 on Thursday, UTC (hashed from 'x')
*/90 * * * * | every hour
*/45 * * * * | every 45 minutes within each hour
0 */36 * * * | 00:00 every day, UTC
0/75 * * * * * | every minute
55/10 * * * * | every hour at minute 55
0 0 */40 * * | 00:00 on the 1st, UTC
0 0 1 DEC/3 * | 00:00 on the 1st in December, UTC
0 0 * * */9 | 00:00 on Sunday, UTC
0 0 * * */2 | 00:00 on every 2nd day of the week, UTC
0 0 */2 * * | 00:00 on every 2nd day of the month, UTC
30/20 * * * * | every 20 minutes from minute 30 within each hour
0 0 9 * * * * | 09:00 every day, UTC
0 1/5 * * * | every 5 hours from hour 1 within each day, UTC
0-10 * * * * | every hour at minutes 0 to 10
0,5,10,20,30,40,50 3,4 * * * | minutes 0, 5, 10, 20, 30, 40 and 50 of hours 3 and 4, UTC
0,20,40 8,9 * * * | 08:00, 08:20, 08:40, 09:00, 09:20 and 09:40 every day, UTC
0 1,2,3,4,5,6,7 * * * | minute 0 of hours 1, 2, 3, 4, 5, 6 and 7, UTC
*/15 9,12 * * * | every 15 minutes in hours 9 and 12, UTC
*/15 9 * * * | every 15 minutes from 09:00 to 09:59, UTC
*/15 */2 * * * | every 15 minutes in every 2nd hour, UTC
*/15 9-17/2 * * * | every 15 minutes in every 2nd hour from 9 to 17, UTC
0 22-2 * * * | every hour from 22:00 to 02:00, UTC
0 0 * * 5-7/2 | 00:00 on every 2nd day of the week from Friday to Sunday, UTC
0 0 20/3 * * | 00:00 on every 3rd day of the month from the 20th, UTC
@every 1h20m | every 1 hour 20 minutes
@every 1 minute | every minute
@every 30s | every 30 seconds
@every 1 month 1 week 3 days | every 1 month 10 days, UTC
CRON_TZ=Europe/Paris START=2026-01-31 AT=09:00 @every 1 month | every month at 09:00 from 2026-01-31, Europe/Paris
FIXED_DELAY=yes @every 5m | 5 minutes after the end of each run
START=2030-01-01T00:00:00Z TIMES=3 @every 24h | every 24 hours from 2030-01-01 00:00 UTC, 3 times
START=2030-01-01T00:00:00Z TIMES=1 @every 24h | every 24 hours from 2030-01-01 00:00 UTC, once
@at 2030-01-01T00:00:00+05:30 | once at 2029-12-31 18:30 UTC
@after 1 week 6 days | once, 13 days after it is scheduled
HASH=x @jitter 30s (*/5 * * * *) | every 5 minutes, up to 30 seconds later (hashed from 'x')
"""

LONG = [
    (
        "@any (@daily) (@all (0 9 * * *) (0 * 13 * FRI))",
        (
            "whenever one of these fires: 00:00 every day, UTC; "
            "(when all of these fire: 09:00 every day, UTC; every hour on the 13th or on Friday, UTC)"
        ),
    ),
    (
        "@except (0 9 * * MON-FRI) SAT 2026-12-25 2026-12-24/2027-01-02 (0 9 1 * *)",
        (
            "09:00 on Monday to Friday, UTC, but not on Saturday and 2026-12-24 to 2027-01-02 (UTC), "
            "nor when this fires: 09:00 on the 1st, UTC"
        ),
    ),
    (
        "START=2026-02-01T00:00:00Z END=2027-01-01T00:00:00Z TIMES=3 @between (*/5 * * * *)",
        "every 5 minutes, from 2026-02-01 00:00 UTC until 2027-01-01 00:00 UTC, 3 times",
    ),
    ("END=2027-01-01T00:00:00Z @between (*/5 * * * *)", "every 5 minutes, until 2027-01-01 00:00 UTC"),
    ("START=2027-01-01T00:00:00Z @between (*/5 * * * *)", "every 5 minutes, from 2027-01-01 00:00 UTC"),
]


@pytest.mark.parametrize(("text", "said"), [*(line.split(" | ") for line in TABLE.strip().splitlines()), *LONG])
def test_a_trigger_is_described(text: str, said: str) -> None:
    """As people would say it, with the zone where it matters."""
    assert describe(parse_trigger(text)) == said


def test_a_text_is_described_as_its_trigger() -> None:
    """And what is neither is refused."""
    assert describe("CRON_TZ=Europe/Paris @daily") == "00:00 every day, Europe/Paris"
    with pytest.raises(TriggerError, match="trigger '5' is no trigger"):
        describe(5)  # type: ignore[arg-type]  # the point


class Lunar(Trigger):
    """A trigger of a user's own."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """Roughly."""
        return prev + timedelta(days=29.53)

    def __repr__(self) -> str:
        return "Lunar()"


class Tidal(Lunar):
    """Another, with a description."""


def test_a_users_own_trigger_is_described_by_its_repr_until_it_registers() -> None:
    """Also within a combination."""
    assert describe(AnyOf(Lunar(), CronTrigger("@daily"))) == "whenever one of these fires: Lunar(); 00:00 every day, UTC"

    describe.register(Tidal, lambda _: "with the tide")
    assert describe(Tidal()) == "with the tide"


@pytest.mark.parametrize("field", range(5))
def test_a_field_that_is_not_canonical_is_refused(field: int) -> None:
    """The texts are those that a `CronTrigger` wrote; another would be described as what it is not."""
    texts = ["5", "5", "5", "MAY", "MON"]
    texts[field] = "1--2"

    with pytest.raises(TriggerError, match="cron field '1--2' is not canonical"):
        describe_fields(texts)
