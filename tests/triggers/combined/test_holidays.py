"""Days off from an iCalendar file."""

import sys
from datetime import UTC, date, datetime

import pytest

from duly.triggers import CronTrigger, Except, MissingExtra, TriggerError, parse_trigger, read_holidays
from support.triggers import first_few

FIRST, LAST = date(2026, 1, 1), date(2028, 12, 31)


def calendar(*events: str) -> str:
    """Write a calendar file; an event is the lines that differ."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example//holidays//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", "DTSTAMP:20250101T000000Z", *event.split(" | "), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


@pytest.mark.parametrize(
    ("event", "days"),
    [
        ("DTSTART;VALUE=DATE:20260501", [(date(2026, 5, 1), date(2026, 5, 1))]),
        ("DTSTART;VALUE=DATE:20261224 | DTEND;VALUE=DATE:20270102", [(date(2026, 12, 24), date(2027, 1, 1))]),
        ("DTSTART;VALUE=DATE:20261224 | DURATION:P3D", [(date(2026, 12, 24), date(2026, 12, 26))]),
        (
            "DTSTART;VALUE=DATE:20201225 | RRULE:FREQ=YEARLY | EXDATE;VALUE=DATE:20271225",
            [(date(2026, 12, 25), date(2026, 12, 25)), (date(2028, 12, 25), date(2028, 12, 25))],
        ),
        (
            "DTSTART;VALUE=DATE:20260525 | RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;COUNT=2",
            [(date(2026, 5, 25), date(2026, 5, 25)), (date(2027, 5, 31), date(2027, 5, 31))],
        ),
        ("DTSTART;VALUE=DATE:20251228 | DTEND;VALUE=DATE:20260104", [(date(2026, 1, 1), date(2026, 1, 3))]),
        ("DTSTART;VALUE=DATE:20281230 | DTEND;VALUE=DATE:20290106", [(date(2028, 12, 30), date(2028, 12, 31))]),
        ("DTSTART;VALUE=DATE:20260101", [(FIRST, FIRST)]),
        ("DTSTART;VALUE=DATE:20281231", [(LAST, LAST)]),
        ("DTSTART;VALUE=DATE:20290101", []),
        ("DTSTART;VALUE=DATE:20251231", []),
        ("DTSTART;VALUE=DATE:20260501 | STATUS:CANCELLED", []),
        ("DTSTART;VALUE=DATE:20260501 | STATUS:cancelled", []),
        ("DTSTART;VALUE=DATE:20260501 | DTEND;VALUE=DATE:20260501", [(date(2026, 5, 1), date(2026, 5, 1))]),
    ],
)
def test_the_whole_days_of_events_are_read(event: str, days: list[tuple[date, date]]) -> None:
    """Ends, durations and recurrences are worked out, cut to the span, and cancelled events left out."""
    assert read_holidays(calendar(event), FIRST, LAST) == days
    assert read_holidays(calendar(event).encode(), FIRST, LAST) == days


def test_a_schedule_leaves_out_what_a_calendar_says() -> None:
    """Every node reads the same days from the text, without the file."""
    off = read_holidays(calendar("DTSTART;VALUE=DATE:20261225 | RRULE:FREQ=YEARLY", "DTSTART;VALUE=DATE:20261228"), FIRST, LAST)
    trigger = Except(CronTrigger("0 9 * * MON-FRI"), *off)

    assert first_few(trigger, datetime(2026, 12, 24, 12, tzinfo=UTC), 1) == [datetime(2026, 12, 29, 9, tzinfo=UTC)]
    assert parse_trigger(trigger.to_text() or "") == trigger


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not understood"),
        ("no calendar at all", "is not understood"),
        (b"\xff\xfe\x00", "is not understood"),
        (calendar("DTSTART;VALUE=DATE:2026"), "is not understood"),
        (calendar("DTSTART;VALUE=DATE:20260501 | RRULE:FREQ=SOMETIMES"), "is not understood"),
        (calendar("SUMMARY:Tick | DTSTART;VALUE=DATE:20260501 | RRULE:FREQ=SECONDLY"), "event 'Tick' recurs within a day"),
        (None, "content 'None' is no text"),
        (
            calendar("SUMMARY:Party | DTSTART:20260601T180000Z | DTEND:20260601T200000Z"),
            r"event 'Party' is not of whole days \(from 2026-06-01 18:00",
        ),
    ],
)
def test_what_is_no_calendar_of_whole_days_is_refused(content: str | bytes, message: str) -> None:
    """Rather than leaving out less than the file says."""
    with pytest.raises(TriggerError, match=message):
        read_holidays(content, FIRST, LAST)


def test_what_is_refused_is_shown_by_its_first_forty_characters() -> None:
    """A file may be long."""
    content = "0123456789" * 10

    with pytest.raises(TriggerError) as caught:
        read_holidays(content, FIRST, LAST)
    assert caught.value.text == repr(content[:40])


def test_a_span_may_be_one_day() -> None:
    """Its first day is its last."""
    content = calendar("DTSTART;VALUE=DATE:20260501", "DTSTART;VALUE=DATE:20260502", "DTSTART;VALUE=DATE:20260430 | DURATION:P7D")

    assert read_holidays(content, date(2026, 5, 1), date(2026, 5, 1)) == [(date(2026, 5, 1), date(2026, 5, 1))] * 2


def test_the_span_runs_forward() -> None:
    """From one date to another, up to the end of the calendar."""
    assert read_holidays(calendar("DTSTART;VALUE=DATE:20260501"), FIRST, date.max) == [(date(2026, 5, 1), date(2026, 5, 1))]
    for first, last in ((LAST, FIRST), (datetime(2026, 1, 1, tzinfo=UTC), LAST)):
        with pytest.raises(TriggerError, match=r"span .* is no span; expected two dates, the earlier one first"):
            read_holidays(calendar(), first, last)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who reads such files needs the packages."""
    monkeypatch.setitem(sys.modules, "icalendar", None)
    with pytest.raises(MissingExtra, match=r"\.\[icalendar\]"):
        read_holidays(calendar(), FIRST, LAST)
