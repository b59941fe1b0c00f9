"""Two tenants of one database, as their schedulers see it.

What one does is nothing to the other, on every store, encrypted or not.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve

from duly.jobs import JobRegistry, PayloadKeys, Request
from duly.scheduler import JobNotFound, NewTask, RunEnded, StdScheduler
from duly.scheduler.testing import run_due
from duly.stores import RunQuery, TaskQuery
from support.driven import NOON
from support.schedulers import heard
from support.tenants import STORES, MakeStore, Tenant, stores_of, two_tenants

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
KEYS = PayloadKeys({"2026": bytes(32)}, newest="2026")
NEXT_KEYS = PayloadKeys({"2026": bytes(32), "2027": bytes(range(32))}, newest="2027")

Two = tuple[Tenant, Tenant]
Operation = Callable[[StdScheduler], Awaitable[object]]

REFUSED: dict[str, Operation] = {
    "get_scheduled_job": lambda scheduler: scheduler.get_scheduled_job("same"),
    "delete_job": lambda scheduler: scheduler.delete_job("same"),
    "pause_job": lambda scheduler: scheduler.pause_job("same"),
    "resume_job": lambda scheduler: scheduler.resume_job("same"),
    "trigger_job": lambda scheduler: scheduler.trigger_job("same"),
    "stop_job": lambda scheduler: scheduler.stop_job("same"),
    "restart_job": lambda scheduler: scheduler.restart_job("same"),
    "update_job": lambda scheduler: scheduler.update_job("same", payload=b"theirs", trigger="@every 1s", metadata={"a": "b"}),
    "reschedule_job": lambda scheduler: scheduler.reschedule_job("same", delay=timedelta(0)),
    "why": lambda scheduler: scheduler.why("same"),
}
"""What is asked of a task by its slug."""

EMPTY: dict[str, tuple[Operation, object]] = {
    "get_job_slugs": (lambda scheduler: scheduler.get_job_slugs(), []),
    "search_jobs": (lambda scheduler: _items(scheduler.search_jobs(TaskQuery(prefix="sa"))), []),
    "iterate_jobs": (lambda scheduler: _all(scheduler.iterate_jobs(TaskQuery())), []),
    "count_jobs": (lambda scheduler: scheduler.count_jobs(TaskQuery()), 0),
    "runs": (lambda scheduler: _items(scheduler.runs(RunQuery(slug="same"))), []),
    "iterate_runs": (lambda scheduler: _all(scheduler.iterate_runs(RunQuery())), []),
    "clear": (lambda scheduler: scheduler.clear(), 0),
    "reencrypt_payloads": (lambda scheduler: scheduler.reencrypt_payloads(), 0),
}
"""What is asked of all tasks or runs, and the answer where there are none."""

TRIED = {
    "schedule_job": "test_both_schedule_the_same_slug",
    "schedule_jobs": "test_both_schedule_many_of_the_same_slugs",
    "at": "test_a_slug_that_is_given_to_a_one_off_is_free",
    "in_": "test_a_slug_that_is_given_to_a_one_off_is_free",
    "nodes": "test_each_lists_its_own_node_of_the_same_name",
    "fetch": "test_what_is_fetched_is_ones_own",
    "events": "test_runs_and_events_are_ones_own",
    "subscribe": "test_runs_and_events_are_ones_own",
    "start": "test_a_task_that_is_declared_is_each_tenants_own",
}
"""What else there is, and where it is tried."""

UNTRIED = {
    **dict.fromkeys(("jobs", "register_job", "job", "scheduled", "handle"), "is of the registry, and of no store"),
    **dict.fromkeys(("drain", "stop_now", "close", "run", "running_node", "node"), "is of this node"),
}
"""What asks the store of no task, run or node by itself."""


async def _items(page: Awaitable[Any]) -> list[object]:
    return list((await page).items)


async def _begin(tenant: Tenant) -> None:
    """Let the node have its places of the limited kind, and lock what there is room for."""
    for _ in range(3):
        await tenant.scheduler.running_node.dispatcher.run_once()


async def _all(found: AsyncIterator[object]) -> list[object]:
    return [each async for each in found]


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Namespaces of one database."""
    return stores_of(request.param, request)


@pytest_asyncio.fixture(params=[None, KEYS], ids=["plain", "encrypted"])
async def two(make_store: MakeStore, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """A tenant with a schedule called `same`, that has run once, and one with nothing."""
    async with two_tenants(make_store, request.param) as (mine, theirs):
        await mine.scheduler.schedule_job("same", "note", payload=b"mine", trigger="0 * * * *", delay=timedelta(0))
        await run_due(mine.scheduler)
        yield mine, theirs


def test_every_method_of_a_scheduler_is_tried_from_another_tenant() -> None:
    """Or there is a reason why not; a new one is not forgotten."""
    members = {name for name in dir(StdScheduler) if not name.startswith("_")}

    assert members == {*REFUSED, *EMPTY, *TRIED, *UNTRIED}
    assert {name for name in TRIED.values() if name not in globals()} == set()


@pytest.mark.parametrize("name", REFUSED)
async def test_a_task_of_another_tenant_is_not_found(two: Two, name: str) -> None:
    """And is as it was."""
    mine, theirs = two
    before = await mine.scheduler.get_scheduled_job("same")

    with pytest.raises(JobNotFound, match="same"):
        await REFUSED[name](theirs.scheduler)

    assert await mine.scheduler.get_scheduled_job("same") == before
    assert await theirs.scheduler.get_job_slugs() == []


@pytest.mark.parametrize("name", EMPTY)
async def test_nothing_of_another_tenant_is_seen_or_touched(two: Two, name: str) -> None:
    """The store is empty, and what the other one has stays."""
    mine, theirs = two
    before = await _all(mine.scheduler.iterate_jobs(TaskQuery()))
    ask, empty = EMPTY[name]

    assert await ask(theirs.scheduler) == empty

    assert await _all(mine.scheduler.iterate_jobs(TaskQuery())) == before
    assert len(await _all(mine.scheduler.iterate_runs(RunQuery()))) == 1


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"get_scheduled_job", "why"}))
async def test_an_operation_on_the_same_slug_is_on_ones_own_task(two: Two, name: str) -> None:
    """Where both have it, the other's is as it was."""
    mine, theirs = two
    await theirs.scheduler.schedule_job("same", "note", payload=b"theirs", trigger="0 * * * *", delay=HOUR)
    before = await mine.scheduler.get_scheduled_job("same")

    await REFUSED[name](theirs.scheduler)

    assert await mine.scheduler.get_scheduled_job("same") == before


async def test_both_schedule_the_same_slug(two: Two) -> None:
    """It exists for one of them only."""
    mine, theirs = two

    assert await theirs.scheduler.schedule_job("same", "note", payload=b"theirs")

    await run_due(theirs.scheduler, until=NOON + HOUR)
    await run_due(mine.scheduler)
    assert (mine.jobs.seen, theirs.jobs.seen) == ([("same", b"mine")] * 2, [("same", b"theirs")])


async def test_both_schedule_many_of_the_same_slugs(two: Two) -> None:
    """Whatever they say of those that exist."""
    mine, theirs = two
    new = [NewTask(f"t{number}", "note", payload=b"theirs") for number in range(5)]
    await mine.scheduler.schedule_jobs([evolve(each, payload=b"mine", delay=HOUR) for each in new])

    assert await theirs.scheduler.schedule_jobs(new, if_exists="keep") == [each.slug for each in new]
    await run_due(theirs.scheduler)

    assert {payload for _, payload in theirs.jobs.seen} == {b"theirs"}
    assert await mine.scheduler.count_jobs(TaskQuery(prefix="t")) == 5


async def test_a_slug_that_is_given_to_a_one_off_is_free(two: Two) -> None:
    """By a time, or by a delay."""
    mine, theirs = two
    await mine.scheduler.in_(HOUR, "note", b"mine", slug="one-off")

    assert await theirs.scheduler.at(NOON, "note", b"theirs", slug="same") == "same"
    assert await theirs.scheduler.in_(timedelta(0), "note", b"theirs", slug="one-off") == "one-off"
    await run_due(theirs.scheduler)

    assert sorted(theirs.jobs.seen) == [("one-off", b"theirs"), ("same", b"theirs")]
    assert await mine.scheduler.get_job_slugs() == ["one-off", "same"]


async def test_what_a_run_spawns_is_its_own_tenants(two: Two) -> None:
    """Of a slug that the other one has too."""
    mine, theirs = two
    await mine.scheduler.schedule_job("child", "note", payload=b"mine", delay=HOUR)
    await theirs.scheduler.schedule_job("same", "parent", payload=b"theirs")
    await run_due(theirs.scheduler)

    assert theirs.jobs.seen == [("child", b"theirs")]
    assert (await mine.scheduler.get_scheduled_job("child")).payload == b"mine"


async def test_what_runs_is_stopped_for_its_own_tenant(two: Two) -> None:
    """The other one's run of the same slug goes on: nobody asked for its end."""
    mine, theirs = two
    for tenant in two:
        await tenant.scheduler.schedule_job("long", "gated")
        await _begin(tenant)

    assert await theirs.scheduler.stop_job("long")

    kept = await mine.scheduler.get_scheduled_job("long")
    assert (kept.lease_id is not None, kept.request) == (True, Request.NONE)
    await theirs.scheduler.running_node.heartbeat.run_once()
    await mine.scheduler.running_node.heartbeat.run_once()
    assert [run.stop.reason for run in mine.scheduler.running_node.runs] == [None]


async def test_a_limit_over_all_nodes_is_over_those_of_one_tenant(make_store: MakeStore) -> None:
    """One run of the kind at once for each of them."""
    async with two_tenants(make_store) as two:
        for tenant in two:
            await tenant.scheduler.schedule_jobs([NewTask(slug, "gated") for slug in ("a", "b")])
            await _begin(tenant)

        assert [len(tenant.scheduler.running_node.runs) for tenant in two] == [1, 1]


async def test_each_lists_its_own_node_of_the_same_name(two: Two) -> None:
    """And not the other's."""
    mine, theirs = two
    for tenant in two:
        await tenant.scheduler.running_node.heartbeat.run_once()

    assert [node.name for node in await mine.scheduler.nodes()] == ["n"]
    await mine.scheduler.drain()
    assert [node.name for node in await theirs.scheduler.nodes()] == ["n"]


async def test_what_is_fetched_is_ones_own(two: Two) -> None:
    """Of a kind and a slug that both have."""
    mine, theirs = two
    for tenant, payload in ((mine, b"mine"), (theirs, b"theirs")):
        await tenant.scheduler.schedule_job("disk", "backup", payload=payload, remote=True)
    async with theirs.scheduler.fetch("backup") as tasks:
        await theirs.scheduler.running_node.dispatcher.run_once()
        task = await tasks.read()
        assert task is not None
        assert (task.slug, task.payload) == ("disk", b"theirs")
        assert len(theirs.scheduler.running_node.runs) == 1

    assert (await mine.scheduler.get_scheduled_job("disk")).attempt == 0


async def test_runs_and_events_are_ones_own(two: Two) -> None:
    """Nobody hears of the other one's runs, nor finds them in the history."""
    mine, theirs = two
    events = heard(theirs.scheduler)
    async with theirs.scheduler.events(types=(RunEnded,)) as stream:
        await run_due(mine.scheduler, until=NOON + HOUR)
        await theirs.scheduler.schedule_job("own", "note")
        await run_due(theirs.scheduler)

        assert {event.run.slug for event in events if isinstance(event, RunEnded)} == {"own"}
        assert (await anext(aiter(stream))).slug == "own"
    assert {run.slug for run in (await theirs.scheduler.runs(RunQuery())).items} == {"own"}
    assert {run.slug for run in (await mine.scheduler.runs(RunQuery())).items} == {"same"}


async def test_a_task_that_is_declared_is_each_tenants_own(make_store: MakeStore) -> None:
    """One registry may declare it for both; pausing it for one is not pausing it for the other."""
    jobs = JobRegistry()
    jobs.scheduled("tick", trigger="@every 1h")(lambda: None)
    async with StdScheduler(make_store("mine"), jobs=jobs) as mine, StdScheduler(make_store("theirs"), jobs=jobs) as theirs:
        await mine.pause_job("tick")

        assert (await mine.get_scheduled_job("tick")).paused
        assert not (await theirs.get_scheduled_job("tick")).paused


async def test_an_envelope_does_not_open_for_another_tenant(make_store: MakeStore) -> None:
    """Not even under the same key: what somebody copies over is listed as unreadable, and not run."""
    async with two_tenants(make_store, KEYS) as (mine, theirs), make_store("mine") as stored, make_store("theirs") as copied:
        await mine.scheduler.schedule_job("same", "note", payload=b"secret", delay=MINUTE)
        await copied.create(NOON, [await stored.get("same")])
        await run_due(theirs.scheduler, until=NOON + HOUR)

        assert theirs.jobs.seen == []
        assert b"secret" not in (await theirs.scheduler.get_scheduled_job("same")).payload
        assert "it does not open with key '2026'" in await theirs.scheduler.why("same")
        assert (await mine.scheduler.get_scheduled_job("same")).payload == b"secret"


async def test_payloads_are_encrypted_anew_for_ones_own_tenant_only(make_store: MakeStore) -> None:
    """The other one's stay under the key that they have."""
    async with two_tenants(make_store, KEYS) as (mine, theirs):
        for tenant in (mine, theirs):
            await tenant.scheduler.schedule_job("same", "note", payload=b"secret", delay=HOUR)
    async with two_tenants(make_store, NEXT_KEYS) as (mine, theirs), make_store("theirs") as stored:
        before = await stored.get("same")
        assert await mine.scheduler.reencrypt_payloads() == 1

        assert await stored.get("same") == before
        assert await theirs.scheduler.reencrypt_payloads() == 1
