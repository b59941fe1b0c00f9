"""Connections that break, answers that get lost, servers that are away, hang or refuse.

Bounded, clear, and repeatable.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from duly.jobs import TaskState
from duly.stores import ClockSkew, IfExists, JobAlreadyScheduled, JobNotFound, Outcome, RunQuery, StoreUnavailable
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, held_of, lock_one, request
from duly.stores.postgres import PostgresStore
from duly.stores.rules import transitions
from support.postgres import OwnServer
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

SCHEMA = "outage_tests"
READY = b"Z\x00\x00\x00\x05I"
"""How the server ends an answer when it has committed."""


class Proxy:
    """A way to the server on which the next answer can be lost."""

    def __init__(self, host: str, port: int) -> None:
        self._target, self._tasks = (host, port), set[asyncio.Task[None]]()
        self._server: asyncio.Server | None = None
        self.loses_answer = False
        self.lost = 0

    async def start(self) -> int:
        """Return the port to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Cut every line."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        there = asyncio.ensure_future(self._copy(reader, server_writer))
        try:
            with suppress(ConnectionError):
                await self._answer(server_reader, writer)
        finally:
            there.cancel()
            server_writer.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.loses_answer:
                writer.write(data)
            elif data.endswith(READY):
                self.loses_answer = False
                self.lost += 1
                return


@pytest_asyncio.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    """A way to the shared server."""
    services = urlsplit(postgres_url)
    proxy = Proxy(services.hostname or "", services.port or 0)
    yield proxy
    await proxy.stop()


@pytest_asyncio.fixture
async def store(proxy: Proxy) -> AsyncIterator[PostgresStore]:
    """A store that reaches the server over the proxy only, in a namespace of the test's own."""
    url = f"postgresql://postgres@127.0.0.1:{await proxy.start()}/postgres"
    async with PostgresStore(url, namespace=uuid4().hex, schema=SCHEMA, timeout=timedelta(seconds=5)) as store:
        yield store


async def test_an_exchange_whose_answer_was_lost_is_repeated_exactly(store: PostgresStore, proxy: Proxy) -> None:
    """What it had locked comes back, what it had written counts as done, and nothing more is locked."""
    await store.create(NOON, [a_schedule("s"), *(a_task(f"t{number}", run_at=NOON + SECOND) for number in range(3))])
    outcome, asked = advanced(await lock_one(store), run_at=NOON + LEASE), request({"work": 2})

    proxy.loses_answer = True
    with pytest.raises(StoreUnavailable) as lost:
        await store.exchange(NOON + SECOND, [outcome], asked)
    assert lost.value.retryable
    again = await store.exchange(NOON + SECOND, [outcome], asked)

    assert proxy.lost == 1
    assert ([task.slug for task in again.tasks], again.refused) == (["t0", "t1"], [])
    assert [task.lease_id for task in again.tasks] == [asked.lease_id(0), asked.lease_id(1)]
    assert [(await store.get(slug)).version for slug in ("s", "t0", "t1", "t2")] == [3, 2, 2, 1]
    assert len((await store.runs(RunQuery())).items) == 1


async def test_a_creation_whose_answer_was_lost_may_be_repeated(store: PostgresStore, proxy: Proxy) -> None:
    """It answers as if it were the first; somebody else's creation is refused as ever."""
    tasks = [a_task("a"), a_task("b")]
    proxy.loses_answer = True
    with pytest.raises(StoreUnavailable):
        await store.create(NOON, tasks)

    assert await store.create(NOON, tasks) == ["a", "b"]
    with pytest.raises(JobAlreadyScheduled):
        await store.create(NOON, tasks)


@pytest.mark.parametrize("if_exists", ["error", "keep"])
async def test_a_repeated_creation_leaves_what_it_created_and_has_failed_since(
    store: PostgresStore, proxy: Proxy, if_exists: IfExists
) -> None:
    """Its task was run between the attempts: it gives way to a new one, and not to itself."""
    proxy.loses_answer = True
    with pytest.raises(StoreUnavailable):
        await store.create(NOON, [a_task()], if_exists=if_exists)
    held = await lock_one(store, now=NOON + SECOND)
    failed = transitions.fail(held, now=NOON + SECOND)
    assert await store.reschedule(NOON + SECOND, [Outcome(task=held, next=failed)]) == []

    assert await store.create(NOON, [a_task()], if_exists=if_exists) == ["task"]

    assert (await store.get("task")).state is TaskState.FAILED


async def test_other_edits_whose_answers_were_lost_may_be_repeated(store: PostgresStore, proxy: Proxy) -> None:
    """Update, replace, keep and delete answer as if each were the first."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    edit = transitions.pause(await store.get("a"))
    replaced = [a_task("a", payload=b"2"), a_task("b"), a_task("c")]
    calls: Sequence[tuple[Callable[[], Awaitable[Any]], Callable[[Any], bool]]] = (
        (lambda: store.update(NOON + SECOND, edit), lambda answer: answer.paused),
        (lambda: store.create(NOON + SECOND, replaced, if_exists="replace"), lambda answer: answer == ["a", "c"]),
        (lambda: store.create(NOON + SECOND, [a_task("a"), a_task("d")], if_exists="keep"), lambda answer: "d" in answer),
        (lambda: store.delete("d"), lambda answer: answer is None),
    )
    for call, fits in calls:
        proxy.loses_answer = True
        with pytest.raises(StoreUnavailable):
            await call()
        assert fits(await call())
    assert proxy.lost == len(calls)
    with pytest.raises(JobNotFound):
        await store.delete("d")


async def test_a_store_recovers_when_its_connections_are_ended(postgres_url: str) -> None:
    """Those that lie idle are not even missed; a call under way says that it may be repeated."""
    async with (
        PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA) as store,
        await _administrator(postgres_url) as administrator,
    ):
        await store.create(NOON, [a_task()])
        (idle,) = store._session.connections._idle
        await administrator.execute("SELECT pg_terminate_backend(%s)", (idle.info.backend_pid,))
        await wait_until_async(lambda: _is_gone(administrator, idle.info.backend_pid))
        assert await store.get_slugs() == ["task"]

        async with administrator.transaction():
            await administrator.execute(f"SELECT FROM {SCHEMA}.tasks WHERE namespace = %s FOR UPDATE".encode(), (store.namespace,))
            editing = asyncio.ensure_future(store.update(NOON, transitions.pause(await store.get("task"))))
            await wait_until_async(lambda: _end_waiting(administrator))
        with pytest.raises(StoreUnavailable):
            await editing
        assert not (await store.get("task")).paused


async def _administrator(url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


async def _is_gone(administrator: psycopg.AsyncConnection, pid: int) -> bool:
    row = await (await administrator.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,))).fetchone()
    return row == (0,)


async def _is_waited_for(stranger: psycopg.AsyncConnection) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    row = await (await stranger.execute(query)).fetchone()
    return row is not None and row[0] > 0


async def _end_waiting(administrator: psycopg.AsyncConnection) -> bool:
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    row = await (await administrator.execute(query)).fetchone()
    return row is not None and row[0] > 0


async def test_a_cancelled_call_leaves_the_store_usable(postgres_url: str) -> None:
    """Its connection is not used again; the others are."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA, pool_size=1) as store:
        await store.create(NOON, [a_task()])
        async with await _administrator(postgres_url) as stranger, stranger.transaction():
            await stranger.execute(f"SELECT FROM {SCHEMA}.tasks WHERE namespace = %s FOR UPDATE".encode(), (store.namespace,))
            edit = transitions.pause(await store.get("task"))
            for number in range(3):
                editing = asyncio.ensure_future(store.update(NOON + number * SECOND, edit))
                await wait_until_async(lambda: _is_waited_for(stranger))
                editing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await editing
                assert store._session.connections._idle == []
        assert not (await store.get("task")).paused
        assert (await store.update(NOON, edit)).paused


async def test_a_server_that_does_not_answer_holds_nobody_for_long(postgres_server: OwnServer) -> None:
    """Neither a call nor a new connection nor the end; and when it answers again, all goes on."""
    store = PostgresStore(postgres_server.url, timeout=timedelta(seconds=1))
    async with store:
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await asyncio.gather(store.get("task"), store.get("task"))
        idle = [connection.info.backend_pid for connection in store._session.connections._idle]
        assert len(idle) == 2
        start = time.monotonic()
        _send(postgres_server, idle, signal.SIGSTOP)
        try:
            for call in (store.extend(NOON, [held_of(held)], LEASE), store.get("task")):
                with pytest.raises(StoreUnavailable):
                    await call
                assert store._session.connections._idle == []  # none is waited for in turn
        finally:
            _send(postgres_server, idle, signal.SIGCONT)
        assert time.monotonic() - start < 10
        assert await store.get("task") == held


def _send(server: OwnServer, backends: list[int], number: signal.Signals) -> None:
    for pid in backends:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    server.signal(number)


async def test_a_server_that_was_killed_is_found_again(postgres_server: OwnServer) -> None:
    """The next call after its return succeeds, without any waiting of our own."""
    async with PostgresStore(postgres_server.url) as store:
        await store.create(NOON, [a_task()])
        await asyncio.to_thread(postgres_server.kill)
        with pytest.raises(StoreUnavailable):
            await store.get_slugs()
        await asyncio.to_thread(postgres_server.start)
        assert await store.get_slugs() == ["task"]


async def test_all_connections_in_use_is_said_in_time(postgres_url: str) -> None:
    """Whoever waits for a turn waits within the same bounds."""
    async with PostgresStore(postgres_url, schema=SCHEMA, pool_size=1, timeout=timedelta(milliseconds=50)) as store:
        async with store._session.connections.borrow():
            with pytest.raises(StoreUnavailable, match="all 1 connections to PostgreSQL were busy"):
                await store.get_slugs()
        assert isinstance(await store.get_slugs(), list)


async def test_a_connection_to_a_read_only_server_is_not_kept(postgres_url: str) -> None:
    """After a failover the former primary may live on as a standby: the next call connects anew."""
    async with PostgresStore(postgres_url, schema=SCHEMA, namespace=uuid4().hex) as store:
        async with store._session.connections.borrow() as connection:
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.create(NOON, [a_task()])
        assert await store.create(NOON, [a_task()]) == ["task"]


async def test_the_databases_own_defaults_do_not_matter(postgres_url: str) -> None:
    """Isolation, time zone and date style are the connection's."""
    options = {"default_transaction_isolation": "serializable", "timezone": "Asia/Kathmandu", "datestyle": "German"}
    name = f"odd_{uuid4().hex[:8]}"
    async with await _administrator(postgres_url) as administrator:
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        for option, value in options.items():
            await administrator.execute(f"ALTER DATABASE {name} SET {option} = '{value}'".encode())
        try:
            async with PostgresStore(postgres_url.removesuffix("/postgres") + f"/{name}") as store:
                async with store._session.connections.borrow() as connection:
                    shown = await connection.execute("SHOW default_transaction_isolation")
                    assert await shown.fetchone() == ("read committed",)
                await store.create(NOON, [a_task()])
                held = await lock_one(store)
                assert held.locked_at is not None
                assert (held.locked_at, held.locked_at.tzname()) == (NOON, "UTC")
                ahead = NOON + timedelta(days=36500)
                with pytest.raises(ClockSkew):
                    await store.extend(ahead, [held_of(held)], LEASE)
        finally:
            await administrator.execute(f"DROP DATABASE {name}".encode())
