"""Hints by LISTEN/NOTIFY: for what is soon, once a statement, and again after the line was lost."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from duly.stores import Outcome
from duly.stores.conformance.values import NOON, SECOND, a_schedule, a_task, advanced, finished, lock_one
from duly.stores.postgres import PostgresStore, listener
from duly.stores.postgres.address import parse_address
from duly.stores.postgres.connections import connect
from duly.stores.rules import transitions
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

DEADLINE = 10.0


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store in a namespace of the test's own."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema="listen_tests") as store:
        yield store


@pytest_asyncio.fixture
async def ear(postgres_url: str, store: PostgresStore) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection that listens as any listener of the namespace does."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        await connection.execute(f'LISTEN "{store._session.channel}"'.encode())
        yield connection


async def heard(ear: psycopg.AsyncConnection, store: PostgresStore) -> int:
    """Return how many hints came in so far, by sending a mark behind them."""
    mark, count = uuid4().hex, 0
    await store._session.ask(store._session.sql.notify, payload=mark)
    async for notification in ear.notifies(timeout=DEADLINE):
        if notification.payload == mark:
            return count
        assert not notification.payload
        count += 1
    pytest.fail("the mark did not come in")


async def test_what_is_due_soon_is_told_once_a_call(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """Fifty tasks are one hint."""
    await store.create(NOON, [a_task(f"t{number}", run_at=NOON + number * SECOND) for number in range(50)])
    assert await heard(ear, store) == 1


async def test_what_is_due_much_later_is_not_told(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """A hint costs every node a look, and the server a lock at commit."""
    later = NOON + timedelta(hours=1)
    await store.create(NOON, [a_task("later", run_at=later), a_task("paused", paused=True)])
    await store.create(NOON, [a_task("later", kind="other", run_at=later)], if_exists="replace")
    held = await lock_one(store, now=later, kind="other")
    await store.reschedule(later, [advanced(held, now=later, run_at=later + timedelta(hours=1))])

    assert await heard(ear, store) == 0


async def test_what_is_handed_back_is_told(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """A node that drains leaves its tasks to the others at once."""
    await store.create(NOON, [a_schedule("s")])
    held = await lock_one(store)
    assert await heard(ear, store) == 1

    await store.reschedule(NOON, [Outcome(task=held, next=transitions.hand_back(held, now=NOON))])
    assert await heard(ear, store) == 1


async def test_what_is_spawned_is_told(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """Once, if it is due soon."""
    await store.create(NOON, [a_task("now"), a_task("later", kind="other")])
    assert await heard(ear, store) == 1
    children = tuple(a_task(f"child{number}") for number in range(3))
    await store.reschedule(NOON, [finished(await lock_one(store), spawn=children)])
    assert await heard(ear, store) == 1

    grandchild = a_task("grandchild", run_at=NOON + timedelta(hours=1))
    await store.reschedule(NOON, [finished(await lock_one(store, kind="other"), spawn=(grandchild,))])
    assert await heard(ear, store) == 0


async def test_namespaces_do_not_hear_each_other(postgres_url: str, store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """Each has a channel of its own."""
    async with PostgresStore(postgres_url, namespace=store.namespace + "x", schema="listen_tests") as other:
        await other.create(NOON, [a_task()])
    assert await heard(ear, store) == 0


async def _cut_listeners(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """End every session that listens to the namespace, but for our own."""
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = %s AND pid <> %s"

    async def cut() -> int:
        statement = f'LISTEN "{store._session.channel}"'
        async with store._session.connections.borrow() as connection:
            row = await (await connection.execute(query, (statement, ear.info.backend_pid))).fetchone()
        return 0 if row is None else int(row[0])

    await wait_until_async(cut)


async def test_a_listener_that_lost_its_line_hears_again(store: PostgresStore, ear: psycopg.AsyncConnection) -> None:
    """What was told while it was deaf is made good by a ring of its own."""
    async with store.listen() as rings:
        await _cut_listeners(store, ear)
        await store.create(NOON, [a_task("while deaf")])
        await asyncio.wait_for(anext(rings), DEADLINE)

        await store.create(NOON, [a_task("afterwards")])
        await asyncio.wait_for(anext(rings), DEADLINE)


async def test_a_line_that_hears_nothing_is_noticed(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a pooler: LISTEN succeeds, and its own probe does not come in."""
    monkeypatch.setattr(listener, "_PROBE_TIMEOUT", timedelta(milliseconds=100))

    async def connect_behind_a_pooler(*arguments: object) -> object:
        connection = await connect(*arguments)  # type: ignore[arg-type]  # handed through
        execute = connection.execute

        async def execute_elsewhere(query: bytes) -> object:
            return await execute(query.replace(b"LISTEN", b"UNLISTEN"))

        connection.execute = execute_elsewhere  # type: ignore[method-assign,assignment]  # a LISTEN that another session got
        return connection

    monkeypatch.setattr(listener, "connect", connect_behind_a_pooler)
    with caplog.at_level(logging.WARNING):
        async with store.listen() as rings:
            ring = asyncio.ensure_future(anext(rings))
            await store.create(NOON, [a_task()])
            await wait_until_async(lambda: "did not come in within" in caplog.text)
            assert not ring.done()
            ring.cancel()


async def test_a_listener_outlives_a_server_that_is_away(store: PostgresStore, caplog: pytest.LogCaptureFixture) -> None:
    """Entering raises nothing: the poll is the net until the line can be made."""
    nowhere = parse_address("postgresql://postgres@127.0.0.1:1/postgres")
    async with listener.Listener(store._session, nowhere, timedelta(seconds=1)).listening():
        await wait_until_async(lambda: "next attempt in" in caplog.text)


async def test_a_listener_that_a_foreign_error_ends_tells_its_caller(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not go deaf in silence: the caller makes another."""

    async def fail(*_: object) -> None:
        raise KeyError("a fault of the driver")

    monkeypatch.setattr(listener.Listener, "_hear", fail)
    async with store.listen() as rings:
        with pytest.raises(KeyError, match="a fault of the driver"):
            await asyncio.wait_for(anext(rings), 10)
