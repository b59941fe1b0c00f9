"""Rows of the tables as values, and values as JSON for the statements.

This is a hot path. What comes from a row was checked when it was written, by the validators or by the table's own constraints, so
tasks and runs are filled in without being checked again. Only what neither of them forbids is looked at: a row that somebody else wrote
may hold it. Such a row is read once more, field by field, and is an `UnreadableTask` if it is none of ours. A batch goes to the server
as one JSON text, which `json_to_recordset` unfolds: for batches of whole tasks that takes half the time of one array a column.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from attrs import frozen

from duly.jobs import Request, Task, TaskOptions, TaskState
from duly.jobs.options import DEFAULT_OPTIONS
from duly.jobs.task import RunAtSource, TriggerSource
from duly.jobs.validators import TALLY_MAX
from duly.stores.codec import JSON, dump_options, load_options
from duly.stores.errors import UnreadableTask
from duly.stores.reading import reading
from duly.stores.records import Node, Run, RunStatus
from duly.triggers import DulyError

Row = tuple[Any, ...]

_TASK_FIELDS: Final = (
    *("slug", "kind", "state", "trigger_from", "run_at_from", "request", "options", "metadata", "owed"),
    *("payload", "payload_version", "trigger", "declared", "needs", "paused"),
    *("anchor", "run_at", "due_at", "retry_at", "attempt", "first_run_at", "crashes", "fires", "ended_at", "idle_since"),
    *("lease_id", "last_lease", "node", "instance", "locked_at", "result", "last_error", "version", "created_at", "updated_at"),
)
_RUN_FIELDS: Final = (
    *("status", "id", "slug", "kind", "fire_time", "attempt", "node", "started_at", "finished_at", "count", "error", "result"),
)
_AS_TEXT: Final = frozenset({"options", "metadata"})

TASK_COLUMNS: Final = ", ".join(f"t.{name}::text" if name in _AS_TEXT else f"t.{name}" for name in _TASK_FIELDS)
RUN_COLUMNS: Final = ", ".join(f"r.{name}" for name in _RUN_FIELDS)

DEFINITION_TYPES: Final = (
    "slug text, kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb, metadata jsonb, "
    "declared text, needs int, paused boolean, anchor timestamptz, run_at timestamptz, run_at_from text"
)
"""The names and types of what `definition` returns, as `json_to_recordset` takes them."""

PROGRESS_TYPES: Final = (
    f"{DEFINITION_TYPES}, state text, request text, owed timestamptz[], retry_at timestamptz, attempt bigint, first_run_at timestamptz, "
    "crashes bigint, fires bigint, ended_at timestamptz, idle_since timestamptz, result text, last_error text"
)
"""The same for `progress`."""

_Setter = Callable[[object, object], None]


def _setters(kind: type, names: Iterable[str]) -> tuple[_Setter, ...]:
    """Return what sets each slot of a frozen class, past its `__setattr__`."""
    return tuple(getattr(kind, name).__set__ for name in names)


_SET_TASK: Final = _setters(Task, (*_TASK_FIELDS, "namespace", "etag"))
_SET_RUN: Final = _setters(Run, (*_RUN_FIELDS, "namespace"))
_STATES: Final = {state.value: state for state in TaskState}
_SOURCES: Final = {source.value: source for source in TriggerSource}
_SETTERS: Final = {source.value: source for source in RunAtSource}
_REQUESTS: Final = {request.value: request for request in Request}
_STATUSES: Final = {status.value: status for status in RunStatus}


@frozen
class Broken:
    """What stands in a row for a value that Python cannot hold, such as an instant of the year 20000."""

    reason: str


class BrokenRow(tuple[Any, ...]):
    """A row with a `Broken` value."""

    __slots__ = ()


def part_of(row: Row, start: int) -> Row:
    """Return the columns from `start` on, as a row of the same class."""
    return type(row)(row[start:])


def task_cell(row: Row, name: str) -> Any:  # noqa: ANN401 - of any column
    """Return the value of a field of the task in a row of `TASK_COLUMNS`, as the server sent it."""
    return row[_TASK_FIELDS.index(name)]


def read_task(row: Row, namespace: str) -> Task:
    """Return the task in a row of `TASK_COLUMNS`.

    Raises:
        UnreadableTask: this version cannot read it.

    """
    if not isinstance(row, BrokenRow):
        try:
            task = _filled_task(row, namespace)
            if _is_plausible(task):
                return task
        except Exception:  # noqa: BLE001, S110 - whatever it is, the reading below says it in words
            pass
    return reading(row[0], lambda: _checked_task(row, namespace))


def _filled_task(row: Row, namespace: str) -> Task:
    slug, kind, state, source, setter, request, options, metadata, owed, *rest = row
    values = (
        *(slug, kind, _STATES[state], _SOURCES[source], _SETTERS[setter], _REQUESTS[request]),
        _read_options(options),
        {} if metadata == "{}" else json.loads(metadata),
        tuple(owed),
        *rest,
        *(namespace, None),
    )
    task = object.__new__(Task)
    for put, value in zip(_SET_TASK, values, strict=True):
        put(task, value)
    return task


def _is_plausible(task: Task) -> bool:
    """Tell whether the task holds nothing that the table would keep, and no task of ours has."""
    return (
        (int(task.lease_id is not None) <= task.attempt < TALLY_MAX)
        and (0 <= task.crashes < TALLY_MAX and 0 <= task.fires < TALLY_MAX and task.version < TALLY_MAX)
        and (not task.owed or (all(type(each) is datetime for each in task.owed) and all(a < b for a, b in pairwise(task.owed))))
        and (type(task.metadata) is dict and all(type(each) is str for each in task.metadata.values()))
    )


def _checked_task(row: Row, namespace: str) -> Task:
    values = dict(zip(_TASK_FIELDS, row, strict=True))
    _refuse_broken(values, values["slug"])
    values |= {"options": load_options(json.loads(values["options"])), "metadata": json.loads(values["metadata"])}
    task = Task(**values, namespace=namespace)
    if task.lease_id is not None and not task.attempt:
        raise UnreadableTask(task.slug, "attempt 0: expected at least 1 of a task that is held")
    return task


def _refuse_broken(values: JSON, slug: str) -> None:
    for name, value in values.items():
        if isinstance(value, Broken):
            raise UnreadableTask(slug, f"{name}: {value.reason}")


def read_run(row: Row, namespace: str) -> Run:
    """Return the run in a row of `RUN_COLUMNS`.

    Raises:
        UnreadableTask: this version cannot read it.

    """
    status, *rest = row
    if isinstance(row, BrokenRow) or status not in _STATUSES:
        return reading(run_cell(row, "slug"), lambda: _checked_run(row, namespace))
    run = object.__new__(Run)
    for put, value in zip(_SET_RUN, (_STATUSES[status], *rest, namespace), strict=True):
        put(run, value)
    return run


def run_cell(row: Row, name: str) -> Any:  # noqa: ANN401 - of any column
    """Return the value of a field of the run in a row of `RUN_COLUMNS`, as the server sent it."""
    return row[_RUN_FIELDS.index(name)]


def _checked_run(row: Row, namespace: str) -> Run:
    values = dict(zip(_RUN_FIELDS, row, strict=True))
    _refuse_broken(values, values["slug"])
    return Run(**values, namespace=namespace)


def read_node(row: Row) -> Node | None:
    """Return the node in a row of `nodes.sql`; None: this version cannot read it."""
    name, kinds, started_at, seen_at, until, info, instance = row
    try:
        return Node(
            name=name, kinds=tuple(kinds), started_at=started_at, seen_at=seen_at, until=until, info=json.loads(info), instance=instance
        )
    except (DulyError, TypeError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _read_options(text: str) -> TaskOptions:
    return DEFAULT_OPTIONS if text == "{}" else load_options(json.loads(text))


@lru_cache(maxsize=1024)
def _write_options(options: TaskOptions) -> JSON:
    return dump_options(options)


def definition(task: Task) -> JSON:
    """Return what somebody may say of a new task."""
    return {
        "slug": task.slug,
        "kind": task.kind,
        "payload": "\\x" + task.payload.hex(),
        "payload_version": task.payload_version,
        "trigger": task.trigger,
        "trigger_from": task.trigger_from,
        "options": {} if task.options is DEFAULT_OPTIONS else _write_options(task.options),
        "metadata": task.metadata,
        "declared": task.declared,
        "needs": task.needs,
        "paused": task.paused,
        "anchor": task.anchor.isoformat(),
        "run_at": task.run_at.isoformat(),
        "run_at_from": task.run_at_from,
    }


def progress(task: Task) -> JSON:
    """Return the definition of a task, and how far it has come."""
    return {
        **definition(task),
        "state": task.state,
        "request": task.request,
        "owed": [fire.isoformat() for fire in task.owed],
        "retry_at": _instant(task.retry_at),
        "attempt": task.attempt,
        "first_run_at": _instant(task.first_run_at),
        "crashes": task.crashes,
        "fires": task.fires,
        "ended_at": _instant(task.ended_at),
        "idle_since": _instant(task.idle_since),
        "result": task.result,
        "last_error": task.last_error,
    }


def released(task: Task) -> JSON:
    """Return a task as its holder leaves it."""
    return {**progress(task), "due_at": _instant(task.due_at), "updated_at": _instant(task.updated_at)}


def edited(task: Task, version: int) -> JSON:
    """Return an edit that was made on `version` of a task."""
    return {**progress(task), "version": version}


def record(run: Run) -> JSON:
    """Return a run for the history."""
    return {
        "id": run.id,
        "slug": run.slug,
        "kind": run.kind,
        "fire_time": run.fire_time.isoformat(),
        "attempt": run.attempt,
        "node": run.node,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat(),
        "status": run.status,
        "count": run.count,
        "error": run.error,
        "result": run.result,
    }


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def batch(rows: Sequence[JSON]) -> str:
    """Return rows as the one text that the statements take."""
    return json.dumps(rows, ensure_ascii=False, allow_nan=False)
