"""Bring the schema up to date: numbered SQL files, forward only, one process at a time."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import psycopg
from attrs import frozen

from duly.stores.errors import SchemaMismatch, StoreError
from duly.stores.postgres.connections import Connection
from duly.stores.postgres.failures import translated
from duly.stores.postgres.statements import quoted, render

_NEEDS: Final = re.compile(r"\A-- needs: (\d+)\n")

_LOCK_TIMEOUT: Final = "60s"
"""How long a start may wait for another process that migrates, and a migration may take."""

_BEGIN: Final = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.migrations (
  version    integer PRIMARY KEY,
  -- The oldest version that can serve the schema once this migration is in it: what is only added does not stop older nodes.
  needs      integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


@frozen
class Migration:
    """One step of the schema."""

    version: int
    needs: int
    """The oldest version of this library's schema that can serve the database afterwards."""
    text: str


def migrations() -> list[Migration]:
    """Return the migrations that this library knows, in order."""
    found = [entry for entry in (files(__package__) / "migrations").iterdir() if entry.name.endswith(".sql")]
    return [_parse(entry.name, entry.read_text("utf-8")) for entry in sorted(found, key=lambda entry: entry.name)]


def _parse(name: str, text: str) -> Migration:
    needs = _NEEDS.match(text)
    assert needs is not None, f"{name} does not say which version it needs"  # noqa: S101 - our own file
    return Migration(int(name.partition("_")[0]), int(needs[1]), text)


async def migrate(connection: Connection, schema: str) -> None:
    """Create the schema or bring it up to date; safe when many processes do it at once.

    Does nothing but read if it is.

    Raises:
        SchemaMismatch: a newer version was there, and this one cannot serve what it made.
        StoreError: the database cannot keep every text, or its owner does not let us.
        StoreUnavailable: the connection was lost, or another process did not finish in time.

    """
    known = migrations()
    try:
        await _check_encoding(connection)
        if await _pending(connection, schema, known):
            async with connection.transaction():
                await _apply(connection, schema, known)
    except psycopg.Error as error:
        raise translated(error, {}) from error


async def _check_encoding(connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(f"the database's encoding is {encoding}: expected UTF8, which can keep every slug and text")


async def _pending(connection: Connection, schema: str, known: Sequence[Migration]) -> list[Migration]:
    """Return what is still to be applied."""
    exists = await (await connection.execute("SELECT to_regclass(%s)", (f"{quoted(schema)}.migrations",))).fetchone()
    if exists is None or exists[0] is None:
        return list(known)
    cursor = await connection.execute(render("SELECT coalesce(max(version), 0), coalesce(max(needs), 0) FROM {schema}.migrations", schema))
    ((version, needs),) = await cursor.fetchall()
    if needs > known[-1].version:
        raise SchemaMismatch(version, known[-1].version)
    return [migration for migration in known if migration.version > version]


async def _apply(connection: Connection, schema: str, known: Sequence[Migration]) -> None:
    # SET LOCAL takes no parameters, and with several statements at once there are none either.
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'; SET LOCAL statement_timeout = '{_LOCK_TIMEOUT}'".encode())
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{schema} migrations",))
    await connection.execute(render(_BEGIN, schema))
    for migration in await _pending(connection, schema, known):
        await connection.execute(render(migration.text, schema))
        row = (migration.version, migration.needs)
        await connection.execute(render("INSERT INTO {schema}.migrations (version, needs) VALUES (%s, %s)", schema), row)
