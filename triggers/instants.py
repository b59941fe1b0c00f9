"""Instants: the door for datetimes, the ends of time, and their text (RFC 3339). Pure."""

import re
from datetime import UTC, datetime, timedelta

from duly.triggers.errors import NaiveDatetime, TriggerError

__all__ = ["BEGIN_OF_TIME", "END_OF_TIME", "TICK", "format_instant", "parse_instant", "require_aware"]

TICK = timedelta(microseconds=1)
"""Instants are this far apart: `next_fire_time(instant - TICK)` is the first fire at or after `instant`."""

BEGIN_OF_TIME, END_OF_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EXPECTED = "an RFC 3339 instant with its offset, such as 2030-01-01T00:00:00Z or 2030-01-01T00:00:00.25+05:30"


def require_aware(value: datetime, what: str) -> datetime:
    """Return `value` in UTC; `what` names the argument in the error.

    Called at every door of the library, so that everything inside is aware and UTC. Raises `NaiveDatetime` for
    a datetime without a zone and for anything that is not a datetime.
    """
    if not isinstance(value, datetime):
        raise NaiveDatetime(what, value)
    if value.tzinfo is UTC:
        return value
    # A tzinfo may still have no offset to offer; astimezone() would then silently take the machine's zone.
    if value.utcoffset() is None:
        raise NaiveDatetime(what, value)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise TriggerError("lies outside the calendar in UTC", field=what, value=str(value), expected="years 1 to 9999") from None


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 date and time, to the microsecond; its offset is required and honoured.

    Returns UTC.
    """
    if _RFC_3339.fullmatch(text) is None:
        raise TriggerError("is not understood", field="instant", value=text, expected=_EXPECTED)
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise TriggerError(f"does not exist ({error})", field="instant", value=text, expected=_EXPECTED) from error
    return require_aware(instant, "instant")


def format_instant(instant: datetime) -> str:
    """Write an instant in UTC with a `Z`; fractions of a second only where there are any."""
    return require_aware(instant, "instant").isoformat().replace("+00:00", "Z")
