"""Tasks, runs and nodes as Firestore documents: pure functions from values to fields and back.

A field whose value would be None is absent. So a task that may not be locked has no `due_at`, and is in no index of it
(a null would sort first). Options, metadata and a node's info are JSON text, because a map would refuse some of
their keys. Fields that this version does not know are left alone.

A document may hold anything, if a person wrote it: what this version cannot read is `UnreadableTask`. One whose `slug` is no text is in no
order of slugs, and so in no listing.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from duly.jobs import InvalidSlug, Task
from duly.stores.codec import dump_options, load_options
from duly.stores.errors import UnreadableTask
from duly.stores.reading import reading
from duly.stores.records import Node, Run
from duly.triggers import DulyError

Fields = Mapping[str, Any]
"""A document's fields by name."""

_TASK = (
    *("slug", "kind", "payload", "payload_version", "trigger", "trigger_from", "declared", "needs", "state", "paused"),
    *("anchor", "run_at", "run_at_from", "due_at", "retry_at", "attempt", "first_run_at", "crashes", "fires", "ended_at", "idle_since"),
    *("lease_id", "last_lease", "node", "instance", "locked_at", "request", "result", "last_error", "version", "created_at", "updated_at"),
)
_RUN = ("id", "slug", "kind", "fire_time", "attempt", "node", "started_at", "finished_at", "status", "count", "error", "result")
_NODE = ("name", "started_at", "seen_at", "until", "instance")

_ALWAYS = ("slug", "kind", "needs", "state", "paused", "run_at", "anchor", "version")
"""What is in every task's document: queries ask for most of it, and would pass over a document without it in silence."""

TASK_FIELDS = (*_TASK, "options", "metadata", "owed")
"""Every field of a task's document but `edited_at`."""

EDITED_AT = "edited_at"
"""The server's time of the last write by somebody who is not the task's holder: what listeners watch."""


EARLIEST = datetime.min.replace(tzinfo=UTC)
"""No instant is earlier. A query from here on finds instants alone: numbers sort before all of them, and texts after."""


@frozen
class Row:
    """A document as it was last read or written: what the next write is compared with, and differs from.

    It is the `etag` of a task from this store.
    """

    fields: Fields = field(repr=False)
    update_time: datetime
    """Firestore's own version of the document, to be given back as it came."""
    id: str | None = field(default=None, repr=False)
    """The document's id as it was read; None: it was written here, and is that of its name."""

    @property
    def name(self) -> str:
        """The slug of the task in it; where that is not the one whose document this is, the document's id."""
        slug = self.fields.get("slug")
        is_own = isinstance(slug, str) and (self.id is None or document_id(slug) == self.id)
        return slug if isinstance(slug, str) and is_own else self.id or "?"


_FORBIDDEN = re.compile(r"[%/\x00-\x1f\x7f]")


def document_id(name: str) -> str:
    """Return the id of the document for `name`.

    Unlike names have unlike ids, and most names are their own.

    A slash, `.`, `..` and `__x__` are what Firestore forbids; these, control characters and the percent sign itself
    are percent-encoded. 255 characters never take more than 1,020 of the 1,500 bytes that an id may have: what is
    encoded takes three, and no character of UTF-8 more than four.
    """
    if name in {".", ".."} or re.fullmatch(r"__.*__", name, re.DOTALL):
        return f"%{ord(name[0]):02X}{_encoded(name[1:])}"
    return _encoded(name)


def _encoded(name: str) -> str:
    return _FORBIDDEN.sub(lambda found: f"%{ord(found[0]):02X}", name)


def utc(instant: datetime) -> datetime:
    """Return Google's `DatetimeWithNanoseconds`, which is in UTC, as a plain datetime."""
    return datetime.combine(instant.date(), instant.time(), UTC)


def dump_task(task: Task) -> dict[str, Any]:
    """Return the fields of a task's document; its namespace is in the document's path."""
    fields = _dump(task, _TASK)
    if options := dump_options(task.options):
        fields["options"] = _json(options)
    if task.metadata:
        fields["metadata"] = _json(task.metadata)
    if task.owed:
        fields["owed"] = list(task.owed)
    return fields


def load_task(row: Row, namespace: str) -> Task:
    """Return the task that `dump_task` was given, with the row as its etag.

    Raises:
        UnreadableTask: the document is no task, or one that this version cannot understand.

    """
    return reading(row.name, lambda: _task(row, namespace))


def _task(row: Row, namespace: str) -> Task:
    fields = row.fields
    if missing := [name for name in _ALWAYS if fields.get(name) is None]:
        raise UnreadableTask(row.name, f"{', '.join(missing)}: missing")
    if row.name != fields["slug"]:
        raise InvalidSlug("slug", fields["slug"], f"that of the document {row.id!r}")
    return Task(
        **_load(fields, _TASK),
        namespace=namespace,
        options=load_options(json.loads(fields.get("options", "{}"))),
        metadata=json.loads(fields.get("metadata", "{}")),
        owed=tuple(utc(fire) for fire in fields.get("owed", ())),
        etag=row,
    )


def dump_run(run: Run) -> dict[str, Any]:
    """Return the fields of a run's document."""
    return _dump(run, _RUN)


def load_run(fields: Fields, namespace: str) -> Run:
    """Return the run that `dump_run` was given.

    Raises:
        UnreadableTask: it is no run, or one that this version cannot understand.

    """
    return reading(str(fields.get("slug")), lambda: Run(**_load(fields, _RUN), namespace=namespace))


def dump_node(node: Node) -> dict[str, Any]:
    """Return the fields of a node's document."""
    return {**_dump(node, _NODE), "kinds": list(node.kinds), "info": _json(node.info)}


def load_node(fields: Fields) -> Node | None:
    """Return the node that `dump_node` was given; None: this version cannot read it."""
    try:
        return Node(**_load(fields, _NODE), kinds=tuple(fields["kinds"]), info=json.loads(fields["info"]))
    except (DulyError, LookupError, TypeError, ValueError):
        return None


def changed(old: Fields, new: Fields) -> dict[str, Any]:
    """Return the task fields of `new` that `old` has not, or has otherwise.

    A lock need not send the payload again.
    """
    return {name: value for name, value in new.items() if name not in old or old[name] != value}


def dropped(old: Fields, new: Fields) -> list[str]:
    """Return the task fields of `old` that `new` no longer has."""
    return [name for name in TASK_FIELDS if name in old and name not in new]


def _dump(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: part for name in names if (part := _plain(getattr(value, name))) is not None}


def _plain(part: object) -> object:
    return str(part) if isinstance(part, str) else part  # an enumeration is its text


def _load(fields: Fields, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: utc(part) if isinstance(part, datetime) else part for name in names if (part := fields.get(name)) is not None}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
