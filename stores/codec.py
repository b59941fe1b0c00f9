"""Task options and metadata as the JSON values that stores keep.

They are plain, readable, and open to later fields.

Spans of time are seconds. What has its default value is left out, so that a row stays narrow; what this version does
not know is ignored, so that an older node can read what a newer one wrote.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import fields

from duly.jobs import InvalidValue, RetryPolicy, TaskOptions

JSON = dict[str, Any]

_SPANS = frozenset({"time_limit", "misfire_grace_time", "min_backoff", "max_backoff", "age_limit", "delays"})


def dump_options(options: TaskOptions) -> JSON:
    """Return `options` as a JSON object; `{}` for the defaults."""
    return _dump(options)


def load_options(value: Mapping[str, Any]) -> TaskOptions:
    """Return what `dump_options` was given.

    Raises:
        InvalidValue: a value is out of its range.

    """
    known = _load(TaskOptions, value)
    if "retry" in known:
        known["retry"] = RetryPolicy(**_load(RetryPolicy, known["retry"]))
    try:
        return TaskOptions(**known)
    except InvalidValue:
        raise
    except ValueError as error:
        raise InvalidValue("options", value, str(error)) from error


def _dump(value: TaskOptions | RetryPolicy) -> JSON:
    kept: JSON = {}
    for each in fields(type(value)):
        part = getattr(value, each.name)
        if part != each.default:
            kept[each.name] = _plain(part)
    return kept


def _plain(part: object) -> object:
    if isinstance(part, timedelta):
        return part / timedelta(seconds=1)
    if isinstance(part, tuple):
        return [_plain(each) for each in part]
    return _dump(part) if isinstance(part, RetryPolicy) else part


def _load(kind: type[TaskOptions | RetryPolicy], value: Mapping[str, Any]) -> JSON:
    known = {each.name for each in fields(kind)}
    return {name: _span(part) if name in _SPANS else part for name, part in value.items() if name in known}


def _span(seconds: Any) -> Any:  # noqa: ANN401 - as JSON has it: a number, some of them, or none
    if isinstance(seconds, list):
        return tuple(_span(each) for each in seconds)
    return None if seconds is None else timedelta(seconds=seconds)
