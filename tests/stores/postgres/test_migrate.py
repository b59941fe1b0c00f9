"""The schema comes into being, once, whoever opens the store first."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from duly.stores import SchemaMismatch, StoreError, StoreUnavailable
from duly.stores.postgres import PostgresStore, migrate
from support.postgres import ask

pytestmark = pytest.mark.postgres

# Waits for its input to end, opens the store at argv, and closes it.
_OPENER = """
import asyncio, sys
from duly.stores.postgres import PostgresStore

async def main():
    async with PostgresStore(sys.argv[1], schema=sys.argv[2]):
        pass

sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def schema(postgres_url: str) -> Iterator[str]:
    """The name of a schema that does not exist yet."""
    name = f"migrate_{uuid4().hex[:8]}"
    yield name
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


async def test_twenty_stores_may_open_at_once(postgres_url: str, schema: str) -> None:
    """One of them creates the schema, the others find it."""
    stores = [PostgresStore(postgres_url, schema=schema) for _ in range(20)]
    await asyncio.gather(*(store.open() for store in stores))
    assert [await store.get_slugs() for store in stores] == [[]] * 20
    await asyncio.gather(*(store.close() for store in stores))

    assert ask(f"{postgres_url}?options=-csearch_path%3D{schema}", "SELECT array_agg(version) FROM migrations") == [1]


def test_processes_may_open_at_once(postgres_url: str, schema: str) -> None:
    """As nodes do that are started together."""
    command = [sys.executable, "-c", _OPENER, postgres_url, schema]
    openers = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()  # go

    assert [(opener.wait(), opener.stderr.read() if opener.stderr else "") for opener in openers] == [(0, "")] * 4
    for opener in openers:
        assert opener.stderr is not None
        opener.stderr.close()


async def test_a_schema_that_this_version_cannot_serve_is_refused(postgres_url: str, schema: str) -> None:
    """With one clear line, before anything is done."""
    async with PostgresStore(postgres_url, schema=schema):
        pass
    _record(postgres_url, schema, version=999, needs=998)

    store = PostgresStore(postgres_url, schema=schema)
    with pytest.raises(SchemaMismatch, match=r"^the store's schema is version 999, this duly knows up to 1: upgrade") as refused:
        await store.open()
    assert (refused.value.found, refused.value.known) == (999, 1)
    await store.close()


async def test_a_newer_schema_that_only_adds_is_served(postgres_url: str, schema: str) -> None:
    """So that nodes of two versions run side by side while a fleet is upgraded."""
    async with PostgresStore(postgres_url, schema=schema):
        pass
    _record(postgres_url, schema, version=999, needs=1)

    async with PostgresStore(postgres_url, schema=schema) as store:
        assert await store.get_slugs() == []


async def test_a_migration_that_was_broken_off_leaves_nothing(postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction; the next opener begins anew."""
    broken = [*migrate.migrations(), migrate.Migration(2, 1, "SELECT pg_terminate_backend(pg_backend_pid())")]
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: broken)
        with pytest.raises(StoreUnavailable):
            await PostgresStore(postgres_url, schema=schema).open()
    assert ask(postgres_url, f"SELECT to_regnamespace('{schema}')::text") is None

    async with PostgresStore(postgres_url, schema=schema) as store:
        assert await store.get_slugs() == []


async def test_a_database_that_cannot_keep_every_text_is_refused(postgres_url: str) -> None:
    """Before a slug of somebody's language fails in the night."""
    name = f"latin_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
        try:
            with pytest.raises(StoreError, match="encoding is LATIN1: expected UTF8"):
                await PostgresStore(postgres_url.removesuffix("/postgres") + f"/{name}").open()
        finally:
            connection.execute(f"DROP DATABASE {name}".encode())


async def test_a_user_who_may_not_create_the_schema_is_told(postgres_url: str, schema: str) -> None:
    """It is no use trying again."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE nobody_in_particular LOGIN")
        try:
            with pytest.raises(StoreError, match="permission denied") as refused:
                await PostgresStore(postgres_url.replace("postgres@", "nobody_in_particular@"), schema=schema).open()
            assert not refused.value.retryable
        finally:
            connection.execute("DROP ROLE nobody_in_particular")


def _record(url: str, schema: str, *, version: int, needs: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        insert = sql.SQL("INSERT INTO {} (version, needs) VALUES (%s, %s)").format(sql.Identifier(schema, "migrations"))
        connection.execute(insert, (version, needs))
