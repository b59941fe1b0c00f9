"""Records as plain values that `json` takes: for logs, APIs and scripts."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from attrs import fields, has

from duly.triggers import Trigger

Plain = dict[str, Any]
"""What `json.dumps` takes as an object."""


def to_dict(record: Any) -> Plain:  # noqa: ANN401 - any attrs record
    """Return the public fields of a record by name, as values that `json` takes.

    Instants are ISO 8601 text in UTC, lengths of time are seconds, bytes are Base64, and an enumeration's member is its text. A
    trigger is its text, an error its class and message. What is opaque (`etag`) is left out.
    """
    return {each.name: plain(getattr(record, each.name)) for each in fields(type(record)) if _is_public(each.name)}


def plain(value: object) -> object:
    """Return one value as `json` takes it."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case Trigger():
            return value.to_text() or repr(value)
    return to_dict(value) if has(type(value)) else repr(value)


def _is_public(name: str) -> bool:
    return not name.startswith("_") and name != "etag"
