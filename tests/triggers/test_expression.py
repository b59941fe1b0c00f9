"""Triggers as text, and back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detent.triggers import (
    CronTrigger,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    format_interval,
    format_trigger,
    parse_interval,
    parse_trigger,
)

MIDNIGHT = datetime(2030, 1, 1, tzinfo=UTC)

READ = [
    ("0 9 * * MON-FRI", CronTrigger("0 9 * * MON-FRI")),
    ("  0 9 * * 1-5 ", CronTrigger("0 9 * * MON-FRI")),
    ("CRON_TZ=Europe/Paris 0 9 * * 1-5", CronTrigger("0 9 * * MON-FRI", "Europe/Paris")),
    ("TZ=Etc/GMT+5 0 9 * * *", CronTrigger("0 9 * * *", "Etc/GMT+5")),
    ("CRON_TZ=Europe/Paris DST_GAP=skip DST_FOLD=both @daily", CronTrigger("@daily", "Europe/Paris", dst_gap="skip", dst_fold="both")),
    ("DIALECT=quartz 0 0 9 ? * 2-6", CronTrigger("0 0 9 ? * MON-FRI")),
    ("HASH=a%20b%2F%C3%A9 H 9 * * *", CronTrigger("H 9 * * *", hash_id="a b/é")),
    ("@Hourly", CronTrigger("@hourly")),
    ("@every 5s", SimpleTrigger(timedelta(seconds=5))),
    ("@EVERY  1 hour 20 minutes", SimpleTrigger(timedelta(minutes=80))),
    ("@every\t5s", SimpleTrigger(timedelta(seconds=5))),
    ("@every PT5M", SimpleTrigger(timedelta(minutes=5))),
    ("START=2030-01-01T00:00:00Z TIMES=3 @every 1d", SimpleTrigger(timedelta(days=1), start=MIDNIGHT, times=3)),
    ("@at 2030-01-01T05:30:00+05:30", OnceTrigger(MIDNIGHT)),
    ("@at 2030-01-01t00:00:00.000001z", OnceTrigger(MIDNIGHT + timedelta(microseconds=1))),
]


@pytest.mark.parametrize(("text", "trigger"), READ)
def test_a_text_is_read(text: str, trigger: Trigger) -> None:
    """Each form means its trigger, and what is written of it reads back as the same."""
    assert parse_trigger(text) == trigger
    assert parse_trigger(format_trigger(trigger)) == trigger


REFUSED = [
    ("", "'': says no time; expected a cron expression"),
    ("CRON_TZ=UTC", "'CRON_TZ=UTC': says no time"),
    ("@fortnightly", "'@fortnightly': trigger '@fortnightly' is unknown; expected @every, @at, @yearly,"),
    ("CRON_TZ=Mars 0 9 * * *", "'CRON_TZ=Mars 0 9 * * *': timezone 'Mars' is unknown; expected an IANA name"),
    ("CRON_TZ=UTC 0 25 * * *", "'CRON_TZ=UTC 0 25 * * *': hour '25' is out of range; expected 0-23"),
    ("CRON_TZ=UTC TZ=UTC 0 9 * * *", "option 'CRON_TZ' is given twice; expected each option once"),
    ("DST_GAP=maybe 0 9 * * *", "dst_gap 'maybe' is not a choice; expected run_after or skip"),
    ("COLOUR=red 0 9 * * *", "option 'COLOUR' does not apply to a cron expression; expected CRON_TZ, DST_GAP, DST_FOLD, DIALECT, HASH"),
    ("CRON_TZ=UTC @every 5s", "option 'CRON_TZ' does not apply to @every; expected START, TIMES"),
    ("TIMES=3 @at 2030-01-01T00:00:00Z", "option 'TIMES' does not apply to @at; expected no options"),
    ("TIMES=3 @every 5s", "times '3' cannot be counted; expected a start to count from"),
    ("START=2030-01-01T00:00:00Z TIMES=x @every 5s", "TIMES 'x' is not a number"),
    ("START=tomorrow @every 5s", "instant 'tomorrow' is not understood; expected an RFC 3339 instant"),
    ("@every", "interval '' is not understood; expected a length such as 30s"),
    ("@every 5", "interval '5' has no unit after 5"),
    ("@every -5s", "interval '-5s' is not understood"),
    ("@every 0s", "interval '0s' is no time at all"),
    ("@every 5 parsecs", "interval '5 parsecs' has the unknown unit 'parsecs'"),
    ("@every 1 month", "interval '1 month' counts in 'month', which has no fixed length"),
    ("@every P1Y", "interval 'P1Y' counts in 'years', which has no fixed length"),
    ("@every PT", "interval 'PT' is not understood"),
    ("@every P1.2.3D", "interval 'P1.2.3D' is not understood"),
    ("@every 0.1us", "interval '0.1us' is finer than a microsecond"),
    ("@every 999999999999 weeks", "interval '999999999999 weeks' is too long"),
    ("@at 2030-01-01T00:00:00", "instant '2030-01-01T00:00:00' is not understood; expected an RFC 3339 instant with its offset"),
    ("@at 2030-02-30T00:00:00Z", "instant '2030-02-30T00:00:00Z' does not exist"),
    ("@at 0001-01-01T00:00:00+05:00", "lies outside the calendar in UTC"),
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


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("1m30s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2 weeks 1 day", timedelta(days=15)),
        ("250ms", timedelta(milliseconds=250)),
        ("10 µs", timedelta(microseconds=10)),
        ("1 Hour 5 Min", timedelta(minutes=65)),
        ("P1W2DT3H4M5.5S", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5.5)),
    ],
)
def test_lengths_of_time_are_read(text: str, interval: timedelta) -> None:
    """Compact, wordy and ISO 8601."""
    assert parse_interval(text) == interval


@given(st.timedeltas(min_value=timedelta(microseconds=1)))
def test_every_length_of_time_reads_back(interval: timedelta) -> None:
    """To the microsecond, up to the longest that Python has."""
    assert parse_interval(format_interval(interval)) == interval
