"""A scheduler with keys.

The store has ciphertext, and everybody who asks the scheduler has plain bytes.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, InvalidValue, JobContext, JobRegistry, PayloadKeys, Task
from duly.jobs.cipher import ENVELOPE_MAX, MARK
from duly.scheduler import PayloadTooLarge, SchedulerConfig, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus, TaskQuery
from duly.stores.postgres import PostgresStore

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SECRET = b"4111 1111 1111 1111"
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_KEYS = PayloadKeys({"2026-10": OLD}, newest="2026-10")
KEYS = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-11")
ONLY_NEW = PayloadKeys({"2026-11": NEW}, newest="2026-11")

got: list[bytes] = []
jobs = JobRegistry()


@jobs.job("pay")
def pay(ctx: JobContext, task: Task) -> Task:
    """Note the payload, and keep another for the next run."""
    got.append(bytes(task.payload))
    return evolve(task, payload=task.payload + b"+")


@jobs.job("look", overlap="allow")
def look(ctx: JobContext, task: Task) -> None:
    """Note the payload."""
    got.append(bytes(task.payload))


@pytest.fixture(autouse=True)
def forget() -> None:
    """Begin with nothing noted."""
    got.clear()


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """What is kept, as it is kept."""
    async with MemoryStore() as store:
        yield store


@pytest.fixture
def clock() -> ManualClock:
    """It stands at noon."""
    return ManualClock(NOON)


@pytest.fixture
async def scheduler(store: MemoryStore, clock: ManualClock) -> AsyncIterator[StdScheduler]:
    """A node with both keys."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=KEYS) as scheduler:
        yield scheduler


async def test_the_store_has_ciphertext_and_whoever_asks_the_scheduler_has_not(scheduler: StdScheduler, store: MemoryStore) -> None:
    """One task, or a page of them."""
    await scheduler.schedule_job("t", "pay", payload=SECRET, delay=HOUR)

    assert (await store.get("t")).payload.startswith(MARK)
    assert SECRET not in (await store.get("t")).payload
    assert (await scheduler.get_scheduled_job("t")).payload == SECRET
    assert [task.payload for task in (await scheduler.search_jobs(TaskQuery())).items] == [SECRET]


async def test_an_edit_is_encrypted(scheduler: StdScheduler, store: MemoryStore) -> None:
    """The task that is returned has the plain bytes."""
    await scheduler.schedule_job("t", "pay", payload=b"old", delay=HOUR)

    assert (await scheduler.update_job("t", payload=SECRET)).payload == SECRET

    stored = (await store.get("t")).payload
    assert stored.startswith(MARK)
    assert SECRET not in stored


async def test_the_job_has_plain_bytes_and_what_it_keeps_is_encrypted(scheduler: StdScheduler, store: MemoryStore) -> None:
    """From run to run."""
    await scheduler.schedule_job("t", "pay", payload=SECRET, trigger="@every 1m")
    await run_due(scheduler, until=NOON + 2 * MINUTE)

    assert got == [SECRET, SECRET + b"+"]
    assert (await scheduler.get_scheduled_job("t")).payload == SECRET + b"++"
    assert SECRET not in (await store.get("t")).payload


async def test_a_payload_that_stays_is_not_written_anew_at_every_run(scheduler: StdScheduler, store: MemoryStore) -> None:
    """Its stored form is the same bytes."""
    await scheduler.schedule_job("t", "look", payload=SECRET, trigger="@every 1m")
    before = (await store.get("t")).payload
    await run_due(scheduler, until=NOON + 2 * MINUTE)

    assert (await store.get("t")).payload == before


async def test_fires_that_live_on_as_tasks_have_the_payload(scheduler: StdScheduler) -> None:
    """Each encrypted for its own slug."""
    await scheduler.schedule_job("t", "look", payload=SECRET, trigger="@every 1m")
    await run_due(scheduler, until=NOON + 2 * MINUTE)

    assert got == [SECRET, SECRET]


async def test_a_payload_from_before_encryption_is_run_and_then_encrypted(store: MemoryStore, clock: ManualClock) -> None:
    """Switching it on is a restart with keys."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock) as plain:
        await plain.schedule_job("t", "pay", payload=SECRET, trigger="@every 1m")
    assert (await store.get("t")).payload == SECRET
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=KEYS) as scheduler:
        await run_due(scheduler, until=NOON + MINUTE)

    assert got == [SECRET]
    assert (await store.get("t")).payload.startswith(MARK)


async def test_after_encrypting_anew_the_old_key_is_not_needed(store: MemoryStore, clock: ManualClock) -> None:
    """Also for tasks that are paused, and not due for years; a second time there is nothing left to do."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=OLD_KEYS) as old:
        for number in range(150):  # more than a page
            await old.schedule_job(f"t{number:03}", "pay", payload=SECRET, delay=100 * HOUR)
        await old.pause_job("t000")
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=KEYS) as both:
        await both.update_job("t001", payload=b"new")
        assert (await both.reencrypt_payloads(), await both.reencrypt_payloads()) == (149, 0)
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=ONLY_NEW) as new:
        assert (await new.get_scheduled_job("t000")).payload == SECRET
        assert (await new.get_scheduled_job("t001")).payload == b"new"
        assert (await new.get_scheduled_job("t000")).paused


async def test_encrypting_anew_leaves_what_cannot_be_read(store: MemoryStore, clock: ManualClock) -> None:
    """It is still there for a node with its key."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=OLD_KEYS) as old:
        await old.schedule_job("t", "pay", payload=SECRET, delay=HOUR)
    stored = (await store.get("t")).payload
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=ONLY_NEW) as new:
        assert await new.reencrypt_payloads() == 0

    assert (await store.get("t")).payload == stored


async def test_a_run_that_went_well_is_done_also_if_its_payload_was_given_another_key_meanwhile(
    store: MemoryStore, clock: ManualClock
) -> None:
    """What this node cannot read any more was read when the run began.

    It is not handed back, as if it had not been run.
    """
    jobs = JobRegistry()
    jobs.job("noting")(lambda ctx: got.append(ctx.slug.encode()))
    async with (
        StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=OLD_KEYS) as scheduler,
        StdScheduler(store.sibling(), clock=clock, keys=ONLY_NEW) as other,
    ):
        await scheduler.schedule_job("p", "noting", trigger="@every 1h", payload=SECRET, at=NOON)
        await scheduler.running_node.dispatcher.run_once()
        await scheduler.running_node.runs.rest()
        await other.update_job("p", payload=b"another")
        for _ in range(2):
            await scheduler.running_node.dispatcher.run_once()
        (run,) = (await scheduler.runs(RunQuery())).items
        task = await other.get_scheduled_job("p")
    assert (got, run.status) == ([b"p"], RunStatus.DONE)
    assert (task.payload, task.run_at, task.attempt) == (b"another", NOON + HOUR, 0)


async def test_without_keys_nothing_is_encrypted_anew(store: MemoryStore) -> None:
    """It is no error to ask."""
    async with StdScheduler(store.sibling(), jobs=jobs) as scheduler:
        assert await scheduler.reencrypt_payloads() == 0


async def test_where_encryption_is_required_a_payload_in_the_clear_is_not_run(store: MemoryStore, clock: ManualClock) -> None:
    """Whoever can write to the store but has no key has nothing run."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock) as plain:
        await plain.schedule_job("t", "pay", payload=b"forged")
    strict = PayloadKeys({"2026-11": NEW}, newest="2026-11", require=True)
    async with StdScheduler(store.sibling(), jobs=jobs, clock=clock, keys=strict) as scheduler:
        await scheduler.running_node.dispatcher.run_once()
        await scheduler.running_node.dispatcher.run_once()
        assert "it is not encrypted, and this node requires that it is" in await scheduler.why("t")

    assert got == []


async def test_the_limit_is_on_the_plain_bytes(store: MemoryStore) -> None:
    """The envelope is not the user's affair."""
    async with StdScheduler(store.sibling(), jobs=jobs, keys=KEYS, payload_limit=10) as scheduler:
        await scheduler.schedule_job("t", "pay", payload=bytes(10), delay=HOUR)
        await scheduler.update_job("t", metadata={"a": "b"})
        with pytest.raises(PayloadTooLarge, match="at most 10 bytes, this has 11"):
            await scheduler.schedule_job("u", "pay", payload=bytes(11))


def test_the_limit_leaves_room_for_the_envelope() -> None:
    """What is stored is bounded, too."""
    most = PAYLOAD_MAX - ENVELOPE_MAX
    assert SchedulerConfig(keys=KEYS, payload_limit=most).payload_limit == most
    with pytest.raises(InvalidValue, match=f"1 to {most} bytes"):
        SchedulerConfig(keys=KEYS, payload_limit=most + 1)


@pytest.mark.postgres
async def test_on_postgresql_the_stored_bytes_are_not_the_plain_ones(postgres_url: str) -> None:
    """End to end, with what the run leaves; the secret is nowhere in the table."""
    namespace = uuid4().hex
    store = PostgresStore(postgres_url, namespace=namespace)
    async with StdScheduler(store, jobs=jobs, keys=KEYS) as scheduler:
        await scheduler.schedule_job("t", "pay", payload=SECRET, trigger="@every 1h", delay=timedelta(0))
        await scheduler.running_node.dispatcher.run_once()
        await scheduler.drain()
        kept = await scheduler.get_scheduled_job("t")
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        found = await connection.execute("SELECT payload, t::text FROM duly.tasks t WHERE namespace = %s", [namespace])
        payload, row = await found.fetchone() or (b"", "")

    assert got == [SECRET]
    assert kept.payload == SECRET + b"+"
    assert payload.startswith(MARK)
    assert SECRET.hex() not in row
    assert SECRET.decode() not in row
