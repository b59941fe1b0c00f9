"""What a function returns, as the text of its result; it never raises, whatever is returned."""

import json

from duly.jobs.storable import TEXT_LIMIT, storable

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def result_text(value: object) -> str | None:
    """Return `value` as the text of a result.

    Text stays as it is, what has a JSON form becomes JSON, and anything else is told by the name of its class. None is
    no result. The text is cut to 64 KiB of UTF-8, like every result.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return storable(str.__str__(value))
    try:
        return storable(_json(value))
    except Exception:  # noqa: BLE001 - a class of anybody's may raise anything, and so does a value that contains itself
        return storable(_name(type(value)))


def _json(value: object) -> str:
    """Return the JSON of `value`, or as much of its beginning as is kept: it may be of any size."""
    parts, size = list[str](), 0
    for part in _ENCODER.iterencode(value):
        parts.append(part)
        size += len(part)
        if size > TEXT_LIMIT:
            break
    return "".join(parts)


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
