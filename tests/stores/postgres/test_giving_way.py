"""A task that was set aside gives way on PostgreSQL.

Also while somebody's transaction is just editing it.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from attrs import evolve

from duly.jobs import TaskState
from duly.stores import IfExists, JobAlreadyScheduled, RunStatus
from duly.stores.conformance.values import NOON, a_run, a_task, finished, lock_one
from duly.stores.postgres import PostgresStore
from duly.stores.records import Outcome
from duly.stores.rules import transitions
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

SCHEMA = "giving_way_tests"
EDIT = 'UPDATE tasks SET metadata = \'{"seen": "yes"}\', version = version + 1 WHERE namespace = %s AND slug = %s'
RESTART = "UPDATE tasks SET state = 'scheduled', due_at = run_at, version = version + 1 WHERE namespace = %s AND slug = %s"


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store in a namespace of the test's own, in which the task `work/42` was set aside."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA) as store:
        await store.create(NOON, [a_task("work/42", payload=b"old")])
        held = await lock_one(store)
        run = a_run(held, now=NOON, status=RunStatus.FAILED)
        assert await store.reschedule(NOON, [Outcome(task=held, next=transitions.fail(held, now=NOON), runs=(run,))]) == []
        yield store


@pytest_asyncio.fixture
async def stranger(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody else's connection, with transactions of its own."""
    async with await psycopg.AsyncConnection.connect(postgres_url, options=f"-c search_path={SCHEMA}") as connection:
        yield connection


async def is_waiting(stranger: psycopg.AsyncConnection) -> bool:
    """Whether any session waits for a lock that this one holds."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    row = await (await stranger.execute(query)).fetchone()
    return row is not None and row[0] > 0


@pytest.mark.parametrize("if_exists", ["error", "keep"])
async def test_a_task_gives_way_that_was_just_being_edited(
    store: PostgresStore, stranger: psycopg.AsyncConnection, if_exists: IfExists
) -> None:
    """It was set aside before the edit and is after it: at no moment was it in the way."""
    async with stranger.transaction():
        await stranger.execute(EDIT, (store.namespace, "work/42"))
        creating = asyncio.ensure_future(store.create(NOON, [a_task("work/42", payload=b"new")], if_exists=if_exists))
        await wait_until_async(lambda: is_waiting(stranger))

    assert await creating == ["work/42"]
    new = await store.get("work/42")
    assert (new.payload, new.metadata, new.state, new.version) == (b"new", {}, TaskState.SCHEDULED, 5)


async def test_a_task_that_was_just_being_edited_gives_way_to_a_spawned_one(
    store: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Else what the run asked for would never be run."""
    await store.create(NOON, [a_task("parent")])
    held = await lock_one(store)
    async with stranger.transaction():
        await stranger.execute(EDIT, (store.namespace, "work/42"))
        writing = asyncio.ensure_future(store.reschedule(NOON, [finished(held, spawn=(a_task("work/42", payload=b"new"),))]))
        await wait_until_async(lambda: is_waiting(stranger))

    assert await writing == []
    assert ((await store.get("work/42")).payload, (await store.get("work/42")).state) == (b"new", TaskState.SCHEDULED)


async def test_a_task_that_was_just_being_restarted_is_in_the_way(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """It is under way again, and stays."""
    async with stranger.transaction():
        await stranger.execute(RESTART, (store.namespace, "work/42"))
        creating = asyncio.ensure_future(store.create(NOON, [a_task("work/42", payload=b"new")]))
        await wait_until_async(lambda: is_waiting(stranger))

    with pytest.raises(JobAlreadyScheduled):
        await creating
    assert (await store.get("work/42")).payload == b"old"


async def test_one_of_two_who_create_at_once_over_a_task_set_aside_is_refused(store: PostgresStore) -> None:
    """Whoever comes first has the slug."""
    new = [a_task("work/42", payload=str(number).encode()) for number in range(8)]
    answers = await asyncio.gather(*(store.create(NOON, [evolve(task)], if_exists="keep") for task in new))

    (first,) = [number for number, written in enumerate(answers) if written]
    assert (await store.get("work/42")).payload == new[first].payload
