"""Triggers as text, and back."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.triggers import (
    AfterTrigger,
    AllOf,
    AnyOf,
    Between,
    CalendarIntervalTrigger,
    CronTrigger,
    Except,
    Interval,
    Jittered,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    format_trigger,
    parse_trigger,
    validate_trigger,
)

MIDNIGHT = datetime(2030, 1, 1, tzinfo=UTC)

MIDNIGHT_IN_PARIS = CronTrigger("0 0 * * *", "Europe/Paris")
WEEKDAYS = CronTrigger("0 9 * * MON-FRI")

READ = [
    ("0 9 * * MON-FRI", WEEKDAYS),
    ("  0 9 * * 1-5 ", WEEKDAYS),
    ("CRON_TZ=Europe/Paris 0 9 * * 1-5", CronTrigger("0 9 * * MON-FRI", "Europe/Paris")),
    ("TZ=Etc/GMT+5 0 9 * * *", CronTrigger("0 9 * * *", "Etc/GMT+5")),
    ("CRON_TZ=Europe/Paris DST_GAP=skip DST_FOLD=both @daily", CronTrigger("@daily", "Europe/Paris", dst_gap="skip", dst_fold="both")),
    ("DIALECT=quartz 0 0 9 ? * 2-6", CronTrigger("0 0 9 ? * MON-FRI")),
    ("HASH=a%20b%2F%C3%A9 H 9 * * *", CronTrigger("H 9 * * *", hash_id="a b/é")),
    ("@Hourly", CronTrigger("@hourly")),
    ("@5minutes", CronTrigger("@5minutes")),
    ("@every 5s", SimpleTrigger(timedelta(seconds=5))),
    ("@every 5", SimpleTrigger(timedelta(seconds=5))),
    ("@EVERY  1 hour 20 minutes", SimpleTrigger(timedelta(minutes=80))),
    ("@every\t5s", SimpleTrigger(timedelta(seconds=5))),
    ("@every PT5M", SimpleTrigger(timedelta(minutes=5))),
    ("@every 01:02:03", SimpleTrigger(timedelta(hours=1, minutes=2, seconds=3))),
    ("START=2030-01-01T00:00:00Z TIMES=3 @every 24h", SimpleTrigger(timedelta(days=1), start=MIDNIGHT, times=3)),
    ("FIXED_DELAY=yes @every 5m", SimpleTrigger(timedelta(minutes=5), fixed_delay=True)),
    ("FIXED_DELAY=no @every 5m", SimpleTrigger(timedelta(minutes=5))),
    ("@every 1 day", CalendarIntervalTrigger(Interval(days=1))),
    ("@every 1 month 1 week 3 days", CalendarIntervalTrigger(Interval(months=1, days=10))),
    ("@every -1 year 367 days", CalendarIntervalTrigger(Interval(months=-12, days=367))),
    ("@every P1Y2M3DT4H5M6S", CalendarIntervalTrigger(Interval(months=14, days=3, time=timedelta(hours=4, minutes=5, seconds=6)))),
    (
        "CRON_TZ=Europe/Paris START=2026-01-31 AT=09:30 DST_GAP=skip DST_FOLD=both @every 1 month",
        CalendarIntervalTrigger("1mon", "Europe/Paris", start=date(2026, 1, 31), at=time(9, 30), dst_gap="skip", dst_fold="both"),
    ),
    (
        "CRON_TZ=Europe/Paris START=2026-01-31T08:30:00Z @every 1 month",
        CalendarIntervalTrigger("1mon", "Europe/Paris", start=date(2026, 1, 31), at=time(9, 30)),
    ),
    ("AT=23:59:59.5 @every 1w", CalendarIntervalTrigger("7 days", at=time(23, 59, 59, 500_000))),
    ("@at 2030-01-01T05:30:00+05:30", OnceTrigger(MIDNIGHT)),
    ("@at 2030-01-01t00:00:00.000001z", OnceTrigger(MIDNIGHT + timedelta(microseconds=1))),
    ("@after 1 week 6 days", AfterTrigger(Interval(days=13))),
    ("@after 90m", AfterTrigger(timedelta(minutes=90))),
    ("@any (0 9 * * 1-5) (CRON_TZ=Europe/Paris 0 0 * * *)", AnyOf(WEEKDAYS, MIDNIGHT_IN_PARIS)),
    ("@ALL ( 0 9 * * 1-5 )\t( @any (@hourly) (@daily) )", AllOf(WEEKDAYS, AnyOf(CronTrigger("@hourly"), CronTrigger("@daily")))),
    (
        "@except (0 9 * * 1-5) sat 2026-12-25 2026-12-24/2027-01-02 (0 9 1 * *)",
        Except(WEEKDAYS, (date(2026, 12, 24), date(2027, 1, 2)), "SAT", CronTrigger("0 9 1 * *")),
    ),
    ("CRON_TZ=Asia/Tokyo @except (0 9 * * 1-5) FRI", Except(WEEKDAYS, "FRI", timezone="Asia/Tokyo")),
    ("@except (CRON_TZ=Europe/Paris 0 0 * * *) FRI", Except(MIDNIGHT_IN_PARIS, "FRI", timezone="Europe/Paris")),
    ("HASH=a @jitter 30s (0 9 * * 1-5)", Jittered(WEEKDAYS, timedelta(seconds=30), hash_id="a")),
    ("START=2030-01-01T00:00:00Z @between (0 9 * * 1-5)", Between(WEEKDAYS, start=MIDNIGHT)),
    (
        "START=2030-01-01T00:00:00Z END=2031-01-01T00:00:00+01:00 TIMES=9 @between (0 9 * * 1-5)",
        Between(WEEKDAYS, start=MIDNIGHT, end=datetime(2030, 12, 31, 23, tzinfo=UTC), times=9),
    ),
]


@pytest.mark.parametrize(("text", "trigger"), READ)
def test_a_text_is_read(text: str, trigger: Trigger) -> None:
    """Each form means its trigger, and what is written of it reads back as the same."""
    assert parse_trigger(text) == trigger
    assert parse_trigger(format_trigger(trigger)) == trigger


REFUSED = [
    ("", "'': says no time; expected a cron expression"),
    ("CRON_TZ=UTC", "'CRON_TZ=UTC': says no time"),
    ("@fortnightly", "'@fortnightly': trigger '@fortnightly' is unknown; expected @every, @at, @after, @any,"),
    ("CRON_TZ=Mars 0 9 * * *", "'CRON_TZ=Mars 0 9 * * *': timezone 'Mars' is unknown; expected an IANA name"),
    ("CRON_TZ=UTC 0 25 * * *", "'CRON_TZ=UTC 0 25 * * *': hour '25' is out of range; expected 0-23"),
    ("CRON_TZ=UTC TZ=UTC 0 9 * * *", "option 'CRON_TZ' is given twice; expected each option once"),
    ("DST_GAP=maybe 0 9 * * *", "dst_gap 'maybe' is not a choice; expected run_after or skip"),
    ("COLOUR=red 0 9 * * *", "option 'COLOUR' does not apply to a cron expression; expected CRON_TZ, DST_GAP, DST_FOLD, DIALECT, HASH"),
    ("CRON_TZ=UTC @every 5s", "option 'CRON_TZ' does not apply to @every with exact units; expected START, TIMES, FIXED_DELAY"),
    ("TIMES=3 @every 1 day", "option 'TIMES' does not apply to @every with months, weeks or days; expected START, AT, CRON_TZ"),
    ("TIMES=3 @at 2030-01-01T00:00:00Z", "option 'TIMES' does not apply to @at; expected no options"),
    ("CRON_TZ=UTC @after 1 day", "option 'CRON_TZ' does not apply to @after; expected no options"),
    ("TIMES=3 @any (@daily)", "option 'TIMES' does not apply to @any; expected no options"),
    ("TIMES=3 @all (@daily)", "option 'TIMES' does not apply to @all; expected no options"),
    ("HASH=a @except (@daily) SAT", "option 'HASH' does not apply to @except; expected CRON_TZ"),
    ("CRON_TZ=UTC @jitter 30s (@daily)", "option 'CRON_TZ' does not apply to @jitter; expected HASH"),
    ("CRON_TZ=UTC @between (@daily)", "option 'CRON_TZ' does not apply to @between; expected START, END, TIMES"),
    ("TIMES=3 @every 5s", "times '3' cannot be counted; expected a start to count from"),
    ("START=2030-01-01T00:00:00Z TIMES=x @every 5s", "TIMES 'x' is not a number"),
    ("START=2030-01-01T00:00:00Z TIMES=3 FIXED_DELAY=yes @every 5s", "times '3' cannot be counted; expected a fixed rate"),
    ("FIXED_DELAY=true @every 5s", "FIXED_DELAY 'true' is not a choice; expected yes or no"),
    ("START=tomorrow @every 5s", "instant 'tomorrow' is not understood; expected an RFC 3339 instant"),
    ("START=2030-01-01 @every 5s", "instant '2030-01-01' is not understood; expected an RFC 3339 instant"),
    ("START=2030-02-30 @every 1 month", "START '2030-02-30' does not exist (day is out of range for month)"),
    ("AT=9 @every 1 month", "AT '9' is not understood; expected a time of day such as 09:00"),
    ("AT=24:00 @every 1 month", "AT '24:00' does not exist"),
    ("START=2030-01-01T00:00:00Z AT=09:00 @every 1 month", "at '09:00:00' is said twice; expected a date as start"),
    ("@every", "interval '' says no length; expected a length such as 30s"),
    ("@every -5s", "interval '-5s' does not move forward; expected a length that is longer than zero whatever the month"),
    ("@every 0s", "interval '0s' does not move forward"),
    ("@every 0.1us", "interval '0s' does not move forward"),
    ("@every 1 month -28 days", "interval '1mon -28d' does not move forward"),
    ("@every 1 day at 09:30", "interval '1 day at 09:30' would be misread at 'at'; expected units behind their numbers, such as"),
    ("@every 1 day AT=09:00", "interval '1 day AT=09:00' would be misread at 'AT'"),
    ("@every 1 week on 5", "interval '1 week on 5' would be misread at 'on'"),
    ("@every 1,5 hours", "interval '1,5 hours' would be misread at ','"),
    ("@after 5-10 minutes", "interval '5-10 minutes' would be misread at '5-1'"),
    ("@every */5 * * * *", "interval '*/5 * * * *' would be misread at '*'"),
    ("@every 1 day 5", "interval '1 day 5' would be misread at 'y 5'"),
    ("@every 5 1 hour", "interval '5 1 hour' would be misread at '5 1'"),
    ("@jitter 1,5 hours (@daily)", "interval '1,5 hours' would be misread at ','"),
    ("HASH=%ff H 9 * * *", "HASH '%ff' is not UTF-8; expected %-escapes of UTF-8"),
    ("@every -1 year 366 days", "interval '-1y366d' does not move forward"),
    ("@every -1 month 31 days", "interval '-1mon31d' does not move forward"),
    ("@every 5 parsecs", "interval '5 parsecs' has the unknown unit 'parsecs'"),
    ("@after -1 day", "interval '-1d' does not move forward"),
    ("@at 2030-01-01T00:00:00", "instant '2030-01-01T00:00:00' is not understood; expected an RFC 3339 instant with its offset"),
    ("@at 2030-02-30T00:00:00Z", "instant '2030-02-30T00:00:00Z' does not exist"),
    ("@at 0001-01-01T00:00:00+05:00", "lies outside the calendar in UTC"),
    ("@any", "'@any': has no parts; expected at least one trigger"),
    ("@any 0 9 * * *", "part of @any '0' is no trigger in parentheses; expected @any (0 9 * * *) …"),
    ("@any (@daily)x", "part of @any '(@daily)x' is no trigger in parentheses"),
    ("@any x(@daily)", "part of @any 'x(@daily)' is no trigger in parentheses"),
    ("@any (0 25 * * *)", "'@any (0 25 * * *)': hour '25' is out of range"),
    (
        "@any (@after 1 day)",
        "part of AnyOf '@after 1d' counts from when it is scheduled, which a part is not; expected an instant, such as @at",
    ),
    ("@all ((@daily)", "trigger '((@daily)' has parentheses that do not pair"),
    ("@all (@daily))", "trigger '(@daily))' has parentheses that do not pair"),
    (
        "@any " + "(@any " * 20 + "@daily" + ")" * 20,
        "has parentheses that do not pair, or lie too deep in each other; expected pairs, at most 16 deep",
    ),
    ("@except", "part of @except '' is no trigger in parentheses"),
    ("@except (@daily)", "'@except (@daily)': excludes nothing; expected a date"),
    ("@except (@daily) tomorrow", "excluded 'tomorrow' is not understood"),
    ("@except (@daily) 2027-01-02/2026-12-24", "excluded '2027-01-02/2026-12-24' runs backwards; expected the earlier date first"),
    ("@except (@daily) (@every 1h)", "part of Except '@every 1h' counts from the fire or run before"),
    ("@jitter 30s (@daily)", "option 'HASH' is missing; expected the text that the jitter is worked out from"),
    ("HASH=a @jitter (@daily)", "interval '' says no length"),
    ("HASH=a @jitter 1d (@daily)", "interval '1d' has no fixed length; expected hours, minutes, seconds or less"),
    ("HASH=a @jitter 1h", "part of @jitter '1h' has 0 triggers; expected one, in parentheses"),
    ("HASH=a @jitter 1h (@daily) (@daily)", "part of @jitter '1h (@daily) (@daily)' has 2 triggers; expected one, in parentheses"),
    ("HASH=a @jitter 1h (@every 5m)", "part of Jittered '@every 5m' counts from the fire or run before"),
    ("@between (@daily)", "has no bound; expected start, end or times"),
    (
        "TIMES=0 START=2030-01-01T00:00:00Z @between (@daily)",
        "times '0' is not a number of times; expected a whole number from 1 to 999999999",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_text_that_fails_says_why(text: str, message: str) -> None:
    """The whole text, the part at fault, and what is expected there."""
    with pytest.raises(TriggerError) as caught:
        parse_trigger(text)
    assert message in str(caught.value)
    assert caught.value.text == text


def test_only_text_is_text() -> None:
    """Anything else is the same kind of error."""
    with pytest.raises(TriggerError, match="trigger 'None' is not text"):
        parse_trigger(None)  # type: ignore[arg-type]


def test_an_h_takes_the_id_of_the_caller_unless_the_text_names_one() -> None:
    """So a stored text stays what it was, whoever reads it."""
    assert parse_trigger("H 9 * * *", hash_id="a") == CronTrigger("H 9 * * *", hash_id="a")
    assert parse_trigger("HASH=b H 9 * * *", hash_id="a") == CronTrigger("H 9 * * *", hash_id="b")
    assert format_trigger(parse_trigger("H 9 * * *", hash_id="a")) == "HASH=a H 9 * * *"
    with pytest.raises(TriggerError, match="minute 'H' needs a hash id"):
        parse_trigger("H 9 * * *")


@given(st.text(min_size=1, max_size=60).filter(str.isprintable))
def test_any_hash_id_survives_the_text(hash_id: str) -> None:
    """Blanks, percent signs and letters of any script."""
    trigger = CronTrigger("H H * * *", hash_id=hash_id)
    assert parse_trigger(format_trigger(trigger)) == trigger


class Lunar(Trigger):
    """A trigger of a user's own: one method is enough."""

    def next_fire_time(self, prev: datetime) -> datetime:
        """Roughly."""
        return prev + timedelta(days=29.53)


def test_a_users_own_trigger_needs_no_text() -> None:
    """It has none by default, and writing it says so."""
    assert Lunar().to_text() is None
    with pytest.raises(TriggerError, match=r"has no text form; expected a to_text\(\) method in Lunar"):
        format_trigger(Lunar())


@pytest.mark.parametrize("text", ["0 9 * * MON-FRI", "H 9 * * *", "@jitter 30s (@daily)", "@every 1 month"])
def test_a_text_that_is_fine_has_nothing_to_validate(text: str) -> None:
    """Also one that needs a slug: the scheduler will have one."""
    assert validate_trigger(text) is None


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_validating_says_why_a_text_is_refused(text: str, message: str) -> None:
    """It returns what parsing would raise, but for what a slug will settle."""
    error = validate_trigger(text)

    if "'HASH' is missing" in message:
        assert error is None
    else:
        assert message in str(error)


def test_every_word_of_the_language_reads_the_id_of_the_caller() -> None:
    """An `H` deep inside a combination is worked out from the same slug."""
    assert parse_trigger("@any (@except (H 9 * * *) SAT) (@daily)", hash_id="a") == parse_trigger(
        "@any (@except (HASH=a H 9 * * *) SAT) (@daily)"
    )
