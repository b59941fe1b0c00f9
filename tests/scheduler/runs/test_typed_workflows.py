"""Payloads with a class in workflows: spawned, gone on with, handed to targets, wherever a job runs.

With keys all of it is encrypted.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import ExecutorChoice, InvalidPayload, InvalidValue, JobContext, JobRegistry, PayloadKeys, RetryPolicy, Task
from duly.jobs.cipher import MARK
from duly.scheduler import Cron, StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus, TaskQuery
from support import typed_jobs
from support.typed_jobs import Basket, Order, Shipping

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KEYS = PayloadKeys({"k": bytes(16)}, newest="k")


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """What is kept, as it is kept."""
    async with MemoryStore() as store:
        yield store


@pytest.fixture
def jobs() -> JobRegistry:
    """Knows two kinds with a class."""
    jobs = JobRegistry()
    jobs.register_job(Shipping())
    jobs.job("basket", payload_type=Basket)(_nothing)
    return jobs


@pytest.fixture
async def scheduler(store: MemoryStore, jobs: JobRegistry) -> AsyncIterator[StdScheduler]:
    """A node with keys, on a clock that stands at noon."""
    async with StdScheduler(store.sibling(), jobs=jobs, clock=ManualClock(NOON), keys=KEYS) as scheduler:
        yield scheduler


@pytest.fixture(params=["auto", "thread", "process", "pool of threads", "pool of processes"])
def place(request: pytest.FixtureRequest) -> Iterator[ExecutorChoice]:
    """Where a job runs."""
    if request.param.startswith("pool"):
        with ThreadPoolExecutor(1) if request.param.endswith("threads") else ProcessPoolExecutor(1, get_context("spawn")) as pool:
            yield pool
    else:
        yield request.param


async def _nothing(ctx: JobContext, payload: object) -> None:
    """Do nothing."""


async def turned(scheduler: StdScheduler) -> None:
    """Run what is due now, and write how it ended, but not what comes of it."""
    await scheduler.running_node.dispatcher.run_once()
    await scheduler.running_node.runs.rest()
    scheduler.running_node.dispatcher.is_locking = False
    await scheduler.running_node.dispatcher.run_once()


async def stored(store: MemoryStore) -> dict[str, bytes]:
    """The payloads as they are kept."""
    return {task.slug: task.payload for task in (await store.search(TaskQuery())).items}


async def errors(scheduler: StdScheduler) -> str:
    """What is on record of runs that failed."""
    return "".join(run.error or "" for run in (await scheduler.runs(RunQuery())).items)


@pytest.mark.parametrize("job", [typed_jobs.ship_on, typed_jobs.ship_on_async])
async def test_objects_are_spawned_and_gone_on_with_from_wherever_a_job_runs(
    scheduler: StdScheduler, store: MemoryStore, job: Callable[..., object], place: ExecutorChoice
) -> None:
    """And the store has ciphertext of each of them."""
    scheduler.job("work", payload_type=Order, executor=place)(job)
    await scheduler.schedule_job("w", "work", payload=Order("anvil", 3))
    await turned(scheduler)

    found = {task.slug: (task.payload, task.run_at) for task in (await scheduler.search_jobs(TaskQuery())).items}
    assert found == {
        "w": (b'{"item":"anvil","quantity":2}', NOON + HOUR),
        "rest": (b'{"item":"rest","quantity":3}', NOON),
        "bytes": (b'{"item":"bytes"}', NOON),
    }
    for payload in (await stored(store)).values():
        assert (type(payload), payload.startswith(MARK)) == (bytes, True)


async def test_an_object_of_another_class_fails_the_run_that_spawns_it(scheduler: StdScheduler, place: ExecutorChoice) -> None:
    """By both names, and without what is in it."""
    scheduler.job("work", payload_type=Order, executor=place, retry=RetryPolicy(limit=0))(typed_jobs.spawn_another_class)
    await scheduler.schedule_job("w", "work", payload=Order("4111 1111"))
    await turned(scheduler)

    error = await errors(scheduler)
    assert "payload of job 'ship' 'support.typed_jobs.Basket': expected support.typed_jobs.Order" in error
    assert "4111 1111" not in error
    assert await scheduler.get_job_slugs() == ["w"]


async def test_what_is_spawned_is_what_was_given_at_the_call(scheduler: StdScheduler, place: ExecutorChoice) -> None:
    """Although it is created at the end of the run, and the job may have changed it by then."""
    scheduler.job("work", payload_type=Order, executor=place)(typed_jobs.spawn_and_change)
    await scheduler.schedule_job("w", "work", payload=Order("anvil"))
    await turned(scheduler)

    basket = await scheduler.get_scheduled_job("basket")
    assert (basket.payload, basket.metadata) == (b'{"items":["anvil"]}', {"for": "ada"})


async def test_a_step_that_keeps_its_payload_keeps_its_stored_form(
    scheduler: StdScheduler, store: MemoryStore, place: ExecutorChoice
) -> None:
    """Also when it comes back from another process, as plain bytes."""
    scheduler.job("work", executor=place)(typed_jobs.go_on)
    await scheduler.schedule_job("w", "work", payload=b"anvil")
    before = await stored(store)
    await turned(scheduler)

    assert (await scheduler.get_scheduled_job("w")).run_at == NOON + HOUR
    assert await stored(store) == before


async def test_what_fires_fetches_and_retries_leave_is_encrypted(scheduler: StdScheduler, store: MemoryStore) -> None:
    """A fire that lives on as a task, a commit with another payload, a run that waits for its retry."""

    def fail(ctx: JobContext, order: Order) -> None:
        raise OSError

    scheduler.job("each", payload_type=Order, overlap="allow")(_nothing)
    scheduler.job("fail", payload_type=Order)(fail)
    for kind in ("each", "fail", "fetched"):
        bytes_or_object: Any = b"anvil" if kind == "fetched" else Order("anvil")
        await scheduler.schedule_job(kind, kind, payload=bytes_or_object, trigger="@every 1h", at=NOON, remote=True)
    async with scheduler.fetch("fetched") as tasks:
        await scheduler.running_node.dispatcher.run_once()
        task = await anext(tasks)
        assert task.payload == b"anvil"
        await _committed(scheduler, task.commit(payload=b"hammer"))

    payloads = await stored(store)
    assert set(payloads) == {"each", "each@2030-01-01T12:00:00+00:00", "fail", "fetched"}
    for payload in payloads.values():
        assert (type(payload), payload.startswith(MARK)) == (bytes, True)
    assert (await scheduler.get_scheduled_job("fetched")).payload == b"hammer"


async def _committed(scheduler: StdScheduler, acknowledging: Coroutine[Any, Any, None]) -> None:
    writing = asyncio.create_task(acknowledging)
    await scheduler.running_node.runs.rest()
    scheduler.running_node.dispatcher.is_locking = False
    await scheduler.running_node.dispatcher.run_once()
    await writing


async def test_a_fetched_task_takes_bytes(scheduler: StdScheduler) -> None:
    """A subscription has no class; the run goes on."""
    await scheduler.schedule_job("f", "fetched", payload=b"anvil", remote=True)
    async with scheduler.fetch("fetched") as tasks:
        await scheduler.running_node.dispatcher.run_once()
        task = await anext(tasks)
        wrong: Any = Order("anvil")
        with pytest.raises(InvalidPayload, match="registered here with no class of payloads"):
            await task.commit(payload=wrong)
        await _committed(scheduler, task.commit())


# -- a payload that was read of another task


async def test_a_job_that_returns_what_cannot_be_read_fails_by_itself(store: MemoryStore) -> None:
    """It read another task, of which it has the ciphertext; what else ended is written all the same."""
    other = PayloadKeys({"other": bytes(16)}, newest="other")
    async with StdScheduler(store.sibling(), clock=ManualClock(NOON), keys=other) as node:
        await node.schedule_job("other", "take", payload=b"anvil", delay=HOUR, remote=True)
    async with StdScheduler(store.sibling(), clock=ManualClock(NOON), keys=KEYS) as here:

        @here.job("take", retry=RetryPolicy(limit=0))
        async def take(ctx: JobContext, task: Task) -> Task:
            taken = (await here.get_scheduled_job("other")).payload
            if ctx.slug == "spawning":
                ctx.spawn("child", "take", payload=taken)
            return evolve(task, payload=taken) if ctx.slug == "taking" else task

        for slug in ("honest", "spawning", "taking"):
            await here.schedule_job(slug, "take", payload=b"hammer")
        await run_due(here)
        statuses = {run.slug: run.status for run in (await here.runs(RunQuery())).items}
        told = await errors(here)

    assert statuses == {"honest": RunStatus.DONE, "spawning": RunStatus.FAILED, "taking": RunStatus.FAILED}
    assert told.count("payload of task 'other': expected one that can be read: it is encrypted with key 'other'") == 2


async def test_a_payload_that_was_read_of_another_task_is_encrypted_anew(scheduler: StdScheduler, store: MemoryStore) -> None:
    """For the slug that it is given to."""
    await scheduler.schedule_job("t", "ship", payload=Order("anvil"), delay=HOUR)
    await scheduler.schedule_job("u", "ship", payload=(await scheduler.get_scheduled_job("t")).payload, delay=HOUR)

    payloads = await stored(store)
    assert payloads["u"].startswith(MARK)
    assert payloads["t"] != payloads["u"]
    assert (await scheduler.get_scheduled_job("u")).payload == b'{"item":"anvil","quantity":1}'


async def test_no_error_of_a_run_tells_its_payload(scheduler: StdScheduler, store: MemoryStore) -> None:
    """One that grew too large, and one that became something else: errors are kept in the clear."""

    @scheduler.job("grow", retry=RetryPolicy(limit=0))
    async def grow(ctx: JobContext, task: Task) -> Task:
        wrong: Any = "4111 1111" * 10
        return evolve(task, payload=wrong) if ctx.slug == "text" else evolve(task, payload=task.payload * 40_000)

    for slug in ("grow", "text"):
        await scheduler.schedule_job(slug, "grow", payload=b"4111 1111")
    await run_due(scheduler)
    failed = [await store.get(slug) for slug in ("grow", "text")]

    assert "expected at most 262144 bytes, this has 360000" in (failed[0].last_error or "")
    assert "expected bytes" in (failed[1].last_error or "")
    assert not [task.slug for task in failed if "4111" in (task.last_error or "")]
    assert "4111" not in await errors(scheduler)


# -- targets, handlers, cron


async def test_targets_and_handlers_take_objects(scheduler: StdScheduler) -> None:
    """A handler says its class as any function does."""
    got: list[object] = []

    async def handler(ctx: JobContext, order: Order) -> None:
        got.append(order)

    remove = scheduler.handle("orders", handler, payload_type=Order)
    await scheduler.at(NOON, "orders", Order("at"))
    await scheduler.in_(timedelta(0), "orders", Order("in"))
    with pytest.raises(InvalidPayload):
        await scheduler.at(NOON, "orders", Basket([]))
    await run_due(scheduler)
    remove()

    assert sorted(order.item for order in got if isinstance(order, Order)) == ["at", "in"]


def test_cron_takes_no_class() -> None:
    """Its tasks have no payload."""
    wrong: Any = {"payload_type": Order}
    with Cron(MemoryStore()) as cron, pytest.raises(TypeError, match="payload_type"):
        cron.go("tick", "* * * * *", _nothing, **wrong)


async def test_a_task_that_goes_on_takes_bytes(jobs: JobRegistry) -> None:
    """An object is written by its job, which knows its class."""
    task = Task(slug="t", kind="ship", run_at=NOON, anchor=NOON)
    wrong: Any = Order("anvil")
    with pytest.raises(InvalidValue, match="payload 'Order': expected bytes"):
        task.then(payload=wrong)


async def test_a_declared_task_follows_the_version_of_its_class(store: MemoryStore) -> None:
    """A release with another class declares it anew.

    The former one, started again, declares its own, which the newer can read.
    """

    def release(version: int) -> JobRegistry:
        jobs = JobRegistry()
        jobs.scheduled("tick", trigger="@daily", payload=Order("anvil"), payload_type=Order, payload_version=version)(_nothing)
        return jobs

    seen = []
    for version in (1, 2, 2, 1):
        async with StdScheduler(store.sibling(), jobs=release(version), clock=ManualClock(NOON), keys=KEYS) as scheduler:
            task = await scheduler.get_scheduled_job("tick")
            seen.append((task.payload_version, task.version))

    assert seen == [(1, 1), (2, 2), (2, 2), (1, 3)]
