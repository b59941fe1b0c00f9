"""The statements in `sql/`, one a file, made ready for one schema.

In a file, `{schema}` stands for the quoted schema, `{task}` and `{run}` for the columns that `rows.py` reads, in its order; values
are psycopg's `%(name)s`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from attrs import fields, frozen

from duly.stores.postgres.rows import RUN_COLUMNS, TASK_COLUMNS


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
    reschedule: bytes
    runs: bytes
    runs_of_task: bytes
    search: bytes


@lru_cache
def statements(schema: str) -> Statements:
    """Return the statements for `schema`, which must be checked already."""
    folder = files(__package__) / "sql"
    return Statements(**{each.name: render((folder / f"{each.name}.sql").read_text("utf-8"), schema) for each in fields(Statements)})


def render(text: str, schema: str) -> bytes:
    """Fill in the names that no parameter can stand for, and leave the comments behind."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    filled = "\n".join(lines).replace("{schema}", quoted(schema)).replace("{task}", TASK_COLUMNS).replace("{run}", RUN_COLUMNS)
    return filled.encode()


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
