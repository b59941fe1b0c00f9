"""Instants: the door for datetimes, and their text (RFC 3339). Pure."""

import re
from datetime import UTC, datetime

from detent.triggers.errors import NaiveDatetime, TriggerError

__all__ = ["format_instant", "parse_instant", "require_aware"]

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
    """Read an RFC 3339 date and time, to the microsecond; its offset is required and honoured. Returns UTC."""
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
