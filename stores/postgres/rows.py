"""Rows of the tables as values, and values as JSON for the statements.

This is a hot path. What comes from a row was checked when it was written, by the validators or by the table's own constraints, so
tasks and runs are filled in without being checked again. A batch goes to the server as one JSON text, which `json_to_recordset`
unfolds: for batches of whole tasks that takes half the time of one array a column.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from duly.jobs import Request, Task, TaskOptions, TaskState
from duly.jobs.options import DEFAULT_OPTIONS
from duly.jobs.task import RunAtSource, TriggerSource
from duly.stores.codec import JSON, dump_options, load_options
from duly.stores.records import Node, Run, RunStatus

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


def read_task(row: Row, namespace: str) -> Task:
    """Return the task in a row of `TASK_COLUMNS`."""
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


def read_run(row: Row, namespace: str) -> Run:
    """Return the run in a row of `RUN_COLUMNS`."""
    status, *rest = row
    run = object.__new__(Run)
    for put, value in zip(_SET_RUN, (_STATUSES[status], *rest, namespace), strict=True):
        put(run, value)
    return run


def read_node(row: Row) -> Node:
    """Return the node in a row of `nodes.sql`."""
    name, kinds, started_at, seen_at, until, info, instance = row
    info = json.loads(info)
    return Node(name=name, kinds=tuple(kinds), started_at=started_at, seen_at=seen_at, until=until, info=info, instance=instance)


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
