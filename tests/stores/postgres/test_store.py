"""What the PostgreSQL store does beside what every store does.

Rows that others hold, batches with one bad outcome, its clock.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from attrs import evolve

from duly.jobs import InvalidValue, RetryPolicy, TaskOptions
from duly.stores import ClockSkew, JobAlreadyScheduled, Outcome, RunQuery, StoreError, StoreUnavailable, TaskQuery
from duly.stores.conformance.values import (
    LEASE,
    NOON,
    SECOND,
    a_run,
    a_schedule,
    a_task,
    advanced,
    finished,
    held_of,
    lock_one,
    request,
)
from duly.stores.postgres import PostgresStore
from duly.stores.postgres import leases as holding
from duly.stores.postgres import tasks as keeping
from duly.stores.postgres.rows import Row
from duly.stores.postgres.statements import Step
from duly.stores.rules import transitions
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

SCHEMA = "store_tests"
IMPATIENT = timedelta(seconds=1)
AT_ONCE = 3.0
"""Seconds within which a call is done that waits for nobody: it would wait for a row for five."""


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store in a namespace of the test's own."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA) as store:
        yield store


@pytest_asyncio.fixture
async def impatient(postgres_url: str, store: PostgresStore) -> AsyncIterator[PostgresStore]:
    """The same, which does not wait for others for more than half a second."""
    async with PostgresStore(postgres_url, namespace=store.namespace, schema=SCHEMA, timeout=IMPATIENT) as impatient:
        yield impatient


@pytest_asyncio.fixture
async def stranger(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody else's connection, with transactions of its own."""
    async with await psycopg.AsyncConnection.connect(postgres_url, options=f"-c search_path={SCHEMA}") as connection:
        yield connection


@asynccontextmanager
async def holding_row(stranger: psycopg.AsyncConnection, store: PostgresStore, slug: str) -> AsyncIterator[None]:
    """Keep the row of a task locked in an open transaction."""
    async with stranger.transaction():
        await stranger.execute("SELECT FROM tasks WHERE namespace = %s AND slug = %s FOR UPDATE", (store.namespace, slug))
        yield


async def is_waiting(stranger: psycopg.AsyncConnection) -> bool:
    """Whether any session waits for a lock that this one holds."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    row = await (await stranger.execute(query)).fetchone()
    return row is not None and row[0] > 0


async def test_a_lock_passes_over_a_row_that_a_stranger_holds(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """Without waiting; it is due still."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    async with holding_row(stranger, store, "a"), asyncio.timeout(AT_ONCE):
        assert [task.slug for task in await store.lock(NOON, request())] == ["b"]
    assert [task.slug for task in await store.lock(NOON, request())] == ["a"]


async def test_a_lock_alone_is_one_round_trip(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an exchange is; so are outcomes alone, if none is refused."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    connections, run, calls = store._session.connections, store._session.connections.run, 0

    async def counted(*steps: Step) -> list[list[Row]]:
        nonlocal calls
        calls += 1
        return await run(*steps)

    monkeypatch.setattr(connections, "run", counted)
    held = await store.lock(NOON, request())
    assert (len(held), calls) == (2, 1)
    assert (await store.reschedule(NOON, [finished(task) for task in held]), calls) == ([], 2)


async def test_a_heartbeat_calls_a_row_that_a_stranger_holds_busy(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """Neither kept nor lost, and the others are extended all the same."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    held = [held_of(task) for task in await store.lock(NOON, request())]
    async with holding_row(stranger, store, "a"), asyncio.timeout(AT_ONCE):
        extended = await store.extend(NOON + SECOND, held, LEASE)

    assert ([each.slug for each in extended.kept], extended.lost, [each.slug for each in extended.busy]) == (["b"], [], ["a"])
    assert (await store.get("a")).due_at == NOON + LEASE


async def test_an_outcome_for_a_row_that_a_stranger_holds_is_busy(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """Nothing of it is written until it is handed in again; its neighbour is."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    outcomes = [finished(task) for task in await store.lock(NOON, request())]
    async with holding_row(stranger, store, "a"), asyncio.timeout(AT_ONCE):
        refused = await store.reschedule(NOON, outcomes)
        assert [(each.outcome.task.slug, each.reason, each.task) for each in refused] == [("a", "busy", None)]
        assert [run.slug for run in (await store.runs(RunQuery())).items] == ["b"]

    assert await store.reschedule(NOON, outcomes) == []
    assert await store.get_slugs() == []


async def test_an_edit_waits_for_a_stranger_but_not_for_ever(
    store: PostgresStore, impatient: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Then it says so, and may be tried again."""
    await store.create(NOON, [a_task()])
    edit = transitions.pause(await store.get("task"))
    async with holding_row(stranger, store, "task"):
        with pytest.raises(StoreUnavailable) as refused:
            await impatient.update(NOON, edit)
    assert refused.value.retryable
    assert (await store.update(NOON, edit)).paused


async def test_a_heartbeat_while_an_edit_waits_is_no_conflict(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """The row has moved in the table, but its version has not."""
    await store.create(NOON, [a_task()])
    held = await lock_one(store)
    async with holding_row(stranger, store, "task"):
        editing = asyncio.ensure_future(store.update(NOON, transitions.pause(held)))
        await wait_until_async(lambda: is_waiting(stranger))
        await stranger.execute("UPDATE tasks SET due_at = due_at + interval '1 s' WHERE namespace = %s", (store.namespace,))

    assert (await editing).paused
    assert (await store.get("task")).due_at == NOON + LEASE + SECOND


async def test_a_slug_that_a_stranger_is_just_creating_is_waited_for(
    store: PostgresStore, impatient: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Not for ever while that transaction is open; once it is committed, the slug is taken."""
    async with stranger.transaction():
        await _copy_task(store, stranger, "new")
        with pytest.raises(StoreUnavailable):
            await impatient.create(NOON, [a_task("new")])
    with pytest.raises(JobAlreadyScheduled):
        await impatient.create(NOON, [a_task("new")])


async def test_a_spawned_slug_that_a_stranger_is_just_creating_makes_its_outcome_busy(
    store: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Whole or absent, and no neighbour waits for it in vain."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    a, b = await store.lock(NOON, request())
    outcomes = [finished(a, spawn=(a_task("new"),)), finished(b)]
    async with stranger.transaction():
        await _copy_task(store, stranger, "new")
        async with asyncio.timeout(AT_ONCE):
            refused = await store.reschedule(NOON, outcomes)
        assert [(each.outcome.task.slug, each.reason) for each in refused] == [("a", "busy")]
        assert await store.get_slugs() == ["a"]

    assert await store.reschedule(NOON, outcomes) == []
    assert await store.get_slugs() == ["new"]


async def _copy_task(store: PostgresStore, stranger: psycopg.AsyncConnection, slug: str) -> None:
    """Insert a row as another program might."""
    await store.create(NOON, [a_task("model")])
    row = {"slug": slug, "namespace": store.namespace}
    query = """INSERT INTO tasks SELECT (jsonb_populate_record(t, %s)).* FROM tasks t WHERE namespace = %s AND slug = 'model'"""
    await stranger.execute(query, (json.dumps(row), store.namespace))
    await store.delete("model")


async def test_an_outcome_that_cannot_be_kept_never_fails_its_neighbours(store: PostgresStore) -> None:
    """It raises an error that says no use in repeating; the others are written, and nothing is locked."""
    await store.create(NOON, [a_schedule("a"), a_schedule("b"), a_task("c", run_at=NOON + SECOND)])
    a, b = await store.lock(NOON, request())
    bad = evolve(advanced(a, run_at=NOON + LEASE), runs=(a_run(a, now=NOON, count=2**70),))

    with pytest.raises(StoreError) as refused:
        await store.exchange(NOON + SECOND, [bad, advanced(b, run_at=NOON + LEASE)], request())

    assert not refused.value.retryable
    assert [(await store.get(slug)).version for slug in "abc"] == [2, 3, 1]


async def test_a_task_that_ends_may_spawn_its_own_slug(store: PostgresStore) -> None:
    """The old one is gone before the new one comes."""
    await store.create(NOON, [a_task(payload=b"old")])
    held = await lock_one(store)

    assert await store.reschedule(NOON, [finished(held, spawn=(a_task(payload=b"new"),))]) == []
    assert ((await store.get("task")).payload, (await store.get("task")).version) == (b"new", 1)


async def test_the_same_outcome_twice_in_a_batch_is_written_once(store: PostgresStore) -> None:
    """Like one that is repeated."""
    await store.create(NOON, [a_schedule("s")])
    outcome = advanced(await lock_one(store), run_at=NOON + LEASE)

    assert [each.reason for each in await store.reschedule(NOON, [outcome, outcome])] == []
    assert ((await store.get("s")).version, len((await store.runs(RunQuery())).items)) == (3, 1)


async def test_a_repeated_request_waits_for_its_first_attempt(store: PostgresStore, postgres_url: str) -> None:
    """Else it would lock others under the same lease ids.

    What the first attempt took cannot be seen yet.
    """
    await store.create(NOON, [a_task("a"), a_task("b")])
    asked = request({"work": 1})
    async with await psycopg.AsyncConnection.connect(postgres_url) as first:
        async with first.transaction():
            for step in (holding._enter(store._session, NOON, (), asked), holding._lock(store._session, NOON, asked)):
                await first.execute(step.query, step.values)
            repeated = asyncio.ensure_future(store.lock(NOON, asked))
            await wait_until_async(lambda: is_waiting(first))
        assert [task.slug for task in await repeated] == ["a"]
    assert (await store.get("b")).version == 1


async def test_a_time_that_is_ahead_of_the_servers_changes_nothing(store: PostgresStore) -> None:
    """In no call that brings its time."""
    await store.create(NOON, [a_schedule("s")])
    held = await lock_one(store)
    now = await store.now()
    assert now is not None
    ahead = now + timedelta(seconds=30)
    calls = (
        store.create(ahead, [a_task("new")]),
        store.update(ahead, transitions.pause(held)),
        store.reschedule(ahead, [advanced(held, run_at=ahead)]),
        store.extend(ahead, [held_of(held)], LEASE),
        store.slots(ahead, "n", "work", 1, 1, LEASE),
    )
    for call in calls:
        with pytest.raises(ClockSkew) as refused:
            await call
        assert now <= refused.value.store_now < ahead
        assert refused.value.limit == timedelta(seconds=5)
    assert [task for task in (await store.search(TaskQuery())).items if task != held] == []


async def test_a_store_for_manual_clocks_takes_any_time(postgres_url: str) -> None:
    """There the caller's clock is the only one."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA, skew_limit=None) as store:
        later = NOON + timedelta(days=10_000)
        await store.create(later, [a_task()])
        assert (await lock_one(store, now=later)).locked_at == later


async def test_a_namespace_is_cleared_in_portions(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no statement takes long."""
    monkeypatch.setattr(keeping, "_CLEARED_AT_ONCE", 2)
    await store.create(NOON, [a_task(f"t{number}") for number in range(5)])

    assert await store.clear() == 5
    assert await store.get_slugs() == []


async def test_great_batches_are_written_in_portions_and_as_one(store: PostgresStore) -> None:
    """Several statements, and still all or none of them."""
    tasks = [a_task(f"t{number:02}", payload=b"\xff" * 500_000) for number in range(40)]
    assert await store.create(NOON, tasks) == [task.slug for task in tasks]
    outcomes = [
        Outcome(task=held, next=transitions.advance(held, now=NOON, anchor=NOON, run_at=NOON + LEASE), runs=(a_run(held, now=NOON),))
        for held in await store.lock(NOON, request({"work": 40}))
    ]
    assert await store.reschedule(NOON, outcomes) == []
    assert len((await store.runs(RunQuery())).items) == 40

    await store.delete("t00")
    with pytest.raises(JobAlreadyScheduled):
        await store.create(NOON, tasks)
    assert len(await store.get_slugs()) == 39


async def test_options_come_back_as_they_were(store: PostgresStore) -> None:
    """Also those that are not the defaults."""
    options = TaskOptions(retry=RetryPolicy(limit=None, multiplier=1.5, age_limit=LEASE), time_limit=SECOND)
    await store.create(NOON, [a_task(options=options)])

    assert (await store.get("task")).options == options


def test_a_namespace_is_checked_when_the_store_is_made(postgres_url: str) -> None:
    """Not when it is used."""
    with pytest.raises(InvalidValue):
        PostgresStore(postgres_url, namespace="")
