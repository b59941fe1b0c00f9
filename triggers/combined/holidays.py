"""The days of an iCalendar file (RFC 5545), such as company holidays, for `Except`.

icalendar is the `icalendar` extra.
"""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from duly.triggers.combined.excluding import DateRange
from duly.triggers.errors import MissingExtra, TriggerError

if TYPE_CHECKING:
    from icalendar import Component, Event

__all__ = ["read_holidays"]

_DAY = timedelta(days=1)
_WHOLE_DAYS = "DTSTART;VALUE=DATE, and DTEND likewise, the day after the last"


def read_holidays(content: str | bytes, first: date, last: date) -> list[DateRange]:
    """Return the days of an iCalendar file's events, from `first` to `last`, in order.

    `content` is what the file holds.

    Recurrences (RRULE, RDATE, EXDATE) are worked out for that span, and cancelled events left out:

        holidays = read_holidays(Path("holidays.ics").read_bytes(), date(2026, 1, 1), date(2030, 12, 31))
        Except(CronTrigger("0 9 * * MON-FRI"), *holidays)

    The ranges are written out in the trigger's text, so that every node follows the same days, whatever its files say.

    Raises `TriggerError` for content that is no iCalendar and for an event that is not of whole days; `MissingExtra`
    where the extra is not installed.
    """
    if not isinstance(content, str | bytes):
        raise TriggerError("is no text", field="content", value=repr(content), expected="what an iCalendar file holds")
    if isinstance(first, datetime) or isinstance(last, datetime) or last < first:
        raise TriggerError("is no span", field="span", value=f"{first}/{last}", expected="two dates, the earlier one first")
    ranges = [_days(event) for event in _events(content, first, last) if str(event.get("STATUS")).upper() != "CANCELLED"]
    return sorted((max(begin, first), min(end, last)) for begin, end in ranges if begin <= last and end >= first)


def _events(content: str | bytes, first: date, last: date) -> list["Event"]:
    try:
        from icalendar import Calendar  # noqa: PLC0415 - an extra
        from recurring_ical_events import of  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("read_holidays", "icalendar") from error
    try:
        calendar = Calendar.from_ical(content)
        hasty = next((event for event in calendar.walk("VEVENT") if _recurs_within_a_day(event)), None)
        # Not worked out, because they might be millions.
        events = [] if hasty is not None else list(of(calendar).between(first, min(last, date.max - _DAY) + _DAY))
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # what a file with broken properties makes the readers raise
        raise TriggerError(f"is not understood ({error})", text=_begin(content), expected="the content of an iCalendar file") from error
    if hasty is not None:
        raise TriggerError("recurs within a day", field="event", value=str(hasty.get("SUMMARY")), expected=_WHOLE_DAYS)
    return events


def _recurs_within_a_day(event: "Component") -> bool:
    return str(event.get("RRULE", {}).get("FREQ", [""])[0]).upper() in ("HOURLY", "MINUTELY", "SECONDLY")


def _days(event: "Event") -> DateRange:
    begin, end = event.start, event.end
    if isinstance(begin, datetime) or isinstance(end, datetime):
        problem = f"is not of whole days (from {begin} to {end})"
        raise TriggerError(problem, field="event", value=str(event.get("SUMMARY")), expected=_WHOLE_DAYS)
    return begin, max(begin, end - _DAY)  # the end is the day after


def _begin(content: str | bytes) -> str:
    return repr(content[:40])
