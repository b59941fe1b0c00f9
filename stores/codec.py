"""Task options and metadata as the JSON values that stores keep.

They are plain, readable, and open to later fields.

Spans of time are seconds. What has its default value is left out, so that a row stays narrow. A field that this version does
not know is kept as it is, so that an older node can read what a newer one wrote, and write it back whole. A later version whose
field must be understood says so by `Task.needs`.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve, fields

from duly.jobs import InvalidValue, RetryPolicy, TaskOptions

JSON = dict[str, Any]

_UNKNOWN = "unknown"
"""The attribute that holds what a later version wrote; no field of the stored object."""

_SPANS = frozenset({"time_limit", "misfire_grace_time", "min_backoff", "max_backoff", "age_limit", "delays"})


def dump_options(options: TaskOptions) -> JSON:
    """Return `options` as a JSON object; `{}` for the defaults."""
    return _dump(options)


def load_options(value: Mapping[str, Any]) -> TaskOptions:
    """Return what `dump_options` was given.

    Raises:
        InvalidValue: it is no such object, or a value is out of its range.

    """
    try:
        known = _load(TaskOptions, "options", value)
        if "retry" in known:
            known["retry"] = RetryPolicy(**_load(RetryPolicy, "retry", known["retry"]))
        return TaskOptions(**known)
    except InvalidValue:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InvalidValue("options", value, str(error)) from error


def with_unknown(options: TaskOptions, former: TaskOptions) -> TaskOptions:
    """Return `options` in place of `former` ones, with what a later version wrote into these.

    Who gives a task new options with this version says nothing of what only a later one knows.
    """
    if not former.unknown and not former.retry.unknown:
        return options
    retry = evolve(options.retry, unknown=options.retry.unknown or former.retry.unknown)
    return evolve(options, retry=retry, unknown=options.unknown or former.unknown)


def _dump(value: TaskOptions | RetryPolicy) -> JSON:
    kept: JSON = json.loads(value.unknown) if value.unknown else {}
    for each in fields(type(value)):
        part = getattr(value, each.name)
        if part != each.default and each.name != _UNKNOWN:
            kept[each.name] = _plain(part)
    return kept


def _plain(part: object) -> object:
    if isinstance(part, timedelta):
        return part / timedelta(seconds=1)
    if isinstance(part, tuple):
        return [_plain(each) for each in part]
    return _dump(part) if isinstance(part, RetryPolicy) else part


def _load(kind: type[TaskOptions | RetryPolicy], field: str, value: Mapping[str, Any]) -> JSON:
    if not isinstance(value, Mapping):
        raise InvalidValue(field, value, "a JSON object")
    known = {each.name for each in fields(kind)} - {_UNKNOWN}
    loaded = {name: _span(part) if name in _SPANS else part for name, part in value.items() if name in known}
    unknown = {name: part for name, part in value.items() if name not in known}
    return {**loaded, _UNKNOWN: json.dumps(unknown, ensure_ascii=False, sort_keys=True)} if unknown else loaded


def _span(seconds: Any) -> Any:  # noqa: ANN401 - as JSON has it: a number, some of them, or none
    if isinstance(seconds, list):
        return tuple(_span(each) for each in seconds)
    return None if seconds is None else timedelta(seconds=seconds)
