"""Validators for the fields of attrs classes.

Each refusal names the field, the value and what is expected.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

from attrs import Attribute

from duly.jobs.errors import InvalidSlug, InvalidValue, PayloadTooLarge
from duly.jobs.storable import UNSTORABLE
from duly.triggers import Trigger, require_aware

NAME_LIMIT = 255
"""Longest slug, kind, namespace or node name, in characters."""

PAYLOAD_MAX = 512 * 1024
"""Largest payload that any store keeps, in bytes: with result and error of full size it fits the 1 MiB of a Firestore document."""

METADATA_MAX = 16 * 1024
"""Most characters in all keys and texts of one task's metadata."""

TRIGGER_MAX = 8 * 1024
"""Longest text of a trigger, in characters."""

TALLY_MAX = 2**62
"""No count reaches it: a number of 64 bits has room to count on."""

LONGEST = timedelta(days=36_500)
"""Longest span of time in an option: a hundred years, which seconds as a float still tell to the microsecond."""

_HIGHEST: Mapping[type, Any] = {int: 2**31 - 1, float: 1e6, timedelta: LONGEST}
_KINDS: Mapping[type, str] = {int: "a whole number", float: "a number", timedelta: "a timedelta"}

E = TypeVar("E", bound=StrEnum)

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def check_name(field: str, value: object, error: type[InvalidValue] = InvalidValue) -> None:
    """Refuse a name that is not 1 to `NAME_LIMIT` storable characters.

    A name is a key, so it is never escaped or cut.
    """
    if not isinstance(value, str) or not 0 < len(value) <= NAME_LIMIT:
        raise error(field, value, f"text of 1 to {NAME_LIMIT} characters")
    if "\x00" in value or (not value.isascii() and UNSTORABLE.search(value)):
        raise error(field, value, "text without NUL and lone surrogates")


def name(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept a storable name."""
    check_name(attribute.name, value)


def slug(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept a storable slug."""
    check_name(attribute.name, value, InvalidSlug)


def trigger_text(_: object, attribute: "Attribute[Any]", value: str | None) -> None:
    """Accept None or a storable text of bounded length; whether it says a time is for `parse_trigger`."""
    if value is not None:
        if not isinstance(value, str) or not 0 < len(value) <= TRIGGER_MAX:
            raise InvalidValue(attribute.name, value, f"text of 1 to {TRIGGER_MAX} characters")
        if UNSTORABLE.search(value):
            raise InvalidValue(attribute.name, value, "text without NUL and lone surrogates")


def text_of_trigger(value: Trigger | str | None) -> str | None:
    """Convert a trigger to its text, and leave everything else to `trigger_text`."""
    if value is None or isinstance(value, str) or not isinstance(value, Trigger):
        return value
    text = value.to_text()
    if text is None:
        raise InvalidValue("trigger", value, "a trigger with a text form, or its text")
    return text


def payload(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept bytes that every store can keep."""
    if not isinstance(value, bytes):
        raise InvalidValue(attribute.name, type(value).__name__, "bytes")  # not the value, which may be a secret
    if len(value) > PAYLOAD_MAX:
        raise PayloadTooLarge(value, PAYLOAD_MAX)


def utc(value: datetime) -> datetime:
    """Convert an aware datetime to UTC; refuse a naive one with `NaiveDatetime`, and what is no datetime."""
    if not isinstance(value, datetime):
        raise InvalidValue("an instant", value, "an aware datetime")
    return value if value.tzinfo is UTC else require_aware(value, "an instant")


def utc_or_none(value: datetime | None) -> datetime | None:
    """Convert as `utc` does what is not None."""
    return value if value is None or (type(value) is datetime and value.tzinfo is UTC) else utc(value)


def texts(_: object, attribute: "Attribute[Any]", value: Mapping[str, str]) -> None:
    """Accept a mapping of storable names to storable texts, as metadata is."""
    for key, label in value.items():
        check_name(f"{attribute.name} key", key)
        if not isinstance(label, str):
            raise InvalidValue(f"{attribute.name}[{key!r}]", label, "text")
        if UNSTORABLE.search(label):
            raise InvalidValue(f"{attribute.name}[{key!r}]", label, "text without NUL and lone surrogates")
    if sum(len(key) + len(label) for key, label in value.items()) > METADATA_MAX:
        raise InvalidValue(attribute.name, value, f"at most {METADATA_MAX} characters in all")


def at_least(low: Any) -> Validator:  # noqa: ANN401 - numbers and timedeltas alike
    """Accept a finite value of the type of `low`, of at least that."""

    def check(_: object, attribute: "Attribute[Any]", value: Any) -> None:  # noqa: ANN401
        if not (_is_like(value, low) and low <= value <= _HIGHEST[type(low)]):
            raise InvalidValue(attribute.name, value, f"{_KINDS[type(low)]} from {low} to {_HIGHEST[type(low)]}")

    return check


def require_span(field: str, value: object) -> None:
    """Refuse, as `InvalidValue`, what is no timedelta: a number would leave its unit to chance."""
    if not isinstance(value, timedelta):
        raise InvalidValue(field, value, "a timedelta")


def positive(_: object, attribute: "Attribute[Any]", value: timedelta) -> None:
    """Accept a span of time longer than none, and of at most `LONGEST`."""
    if not (isinstance(value, timedelta) and timedelta(0) < value <= LONGEST):
        raise InvalidValue(attribute.name, value, f"a timedelta longer than 0 and up to {LONGEST}")


def up_to(most: int) -> Validator:
    """Accept a whole number from 1 to `most`."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise InvalidValue(attribute.name, value, f"a whole number from 1 to {most}")

    return check


def fraction(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept a number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InvalidValue(attribute.name, value, "a number from 0 to 1")


def boolean(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept True or False."""
    if not isinstance(value, bool):
        raise InvalidValue(attribute.name, value, "True or False")


def tally(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept a whole number of 0 or more that every store can keep."""
    if type(value) is not int or not 0 <= value < TALLY_MAX:  # the type first: it is asked of six fields of every task
        raise InvalidValue(attribute.name, value, f"a whole number from 0 to {TALLY_MAX - 1}")


def text(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept text."""
    if not isinstance(value, str):
        raise InvalidValue(attribute.name, value, "text")


def choice(kind: type[E], field: str, value: E | str) -> E:
    """Convert one of an enumeration's texts to its member, and refuse any other by naming all of them."""
    try:
        return kind(value)
    except ValueError:
        raise InvalidValue(field, value, " or ".join(repr(member.value) for member in kind)) from None


def utc_each(value: Iterable[datetime]) -> tuple[datetime, ...]:
    """Convert aware datetimes to UTC."""
    return tuple(utc(each) for each in value)


def instants(_: object, attribute: "Attribute[Any]", value: tuple[datetime, ...]) -> None:
    """Accept instants in ascending order."""
    if any(a >= b for a, b in pairwise(value)):
        raise InvalidValue(attribute.name, value, "instants in ascending order")


def or_none(check: Validator) -> Validator:
    """Accept None, or what `check` accepts."""

    def check_if_any(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if value is not None:
            check(instance, attribute, value)

    return check_if_any


def instance_of(kind: type) -> Validator:
    """Accept what is of `kind`."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            raise InvalidValue(attribute.name, value, f"a {kind.__name__}")

    return check


def _is_like(value: object, low: object) -> bool:
    return isinstance(value, int | float if isinstance(low, float) else type(low)) and not isinstance(value, bool)


def text_map(value: Mapping[str, str]) -> Mapping[str, str]:
    """Convert to a dictionary of one's own, so that the caller's may change."""
    if not isinstance(value, Mapping):
        raise InvalidValue("metadata", value, "a mapping of text to text")
    return dict(value)
