"""The statements in `sql/`, one a file, made ready for one schema.

In a file, `{schema}` stands for the quoted schema. `{task}` and `{run}` stand for the columns that `rows.py` reads, in its order.
`{definition}` and `{progress_types}` stand for the names and types of what it writes as JSON. `{new_tasks}` and `{progress}` stand for
the files of these names, which several statements share. Values are psycopg's `%(name)s`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from attrs import fields, frozen

from duly.stores.postgres.rows import DEFINITION_TYPES, PROGRESS_TYPES, RUN_COLUMNS, TASK_COLUMNS

PARTS: Final = ("new_tasks", "progress")
"""The files of `sql/` that are no statements, but parts of some."""


class Step(NamedTuple):
    """A statement and its values."""

    query: bytes
    values: Mapping[str, object]
    prepare: bool = True
    """Keep its plan. Not for one that may choose among indexes: on an empty table it might choose badly for a full one."""


@frozen(kw_only=True)
class Statements:
    """The text of each file of `sql/`, under its name."""

    announce: bytes
    by_values: bytes
    clear: bytes
    count: bytes
    create: bytes
    create_missing: bytes
    delete: bytes
    edit: bytes
    enter: bytes
    extend: bytes
    get: bytes
    get_slugs: bytes
    hold_aside: bytes
    judge: bytes
    leave: bytes
    lock: bytes
    next_run: bytes
    nodes: bytes
    notify: bytes
    now: bytes
    slots: bytes
    prune: bytes
    put_off: bytes
    reschedule: bytes
    runs: bytes
    runs_of_task: bytes
    search: bytes


@lru_cache
def statements(schema: str) -> Statements:
    """Return the statements for `schema`, which must be checked already."""
    return Statements(**{each.name: render(source(each.name), schema) for each in fields(Statements)})


def source(name: str) -> str:
    """Return the text of a file of `sql/`, with the parts that it shares with others put in."""
    text = (files(__package__) / "sql" / f"{name}.sql").read_text("utf-8")
    for part in PARTS:
        if f"{{{part}}}" in text:
            text = text.replace(f"{{{part}}}", _without_comments(source(part)).strip())
    return text


def render(text: str, schema: str) -> bytes:
    """Fill in the names that no parameter can stand for, and leave the comments behind."""
    names = {
        "schema": quoted(schema),
        "task": TASK_COLUMNS,
        "run": RUN_COLUMNS,
        "definition": DEFINITION_TYPES,
        "progress_types": PROGRESS_TYPES,
    }
    filled = _without_comments(text)
    for name, meaning in names.items():
        filled = filled.replace(f"{{{name}}}", meaning)
    return filled.encode()


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
