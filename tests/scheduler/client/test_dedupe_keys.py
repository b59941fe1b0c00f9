"""The slug is the dedupe key, as `kind/key`.

It is taken while the task is under way, free when it has ended; and a restart is no new task.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from duly.jobs import TaskState
from duly.scheduler import JobAlreadyScheduled
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import IfExists, RunQuery, RunStatus
from support.driven import NOON
from support.tenants import STORES, Tenant, a_tenant, stores_of

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest_asyncio.fixture(params=STORES)
async def tenant(request: pytest.FixtureRequest) -> AsyncIterator[Tenant]:
    """A node on an empty store."""
    async with a_tenant(stores_of(request.param, request)("one"), ManualClock(NOON)) as tenant:
        yield tenant


async def _fail(tenant: Tenant, slug: str) -> None:
    """Schedule a one-off, and let it fail for good."""
    await tenant.scheduler.schedule_job(slug, "note", payload=b"fail")
    await run_due(tenant.scheduler)
    assert (await tenant.scheduler.get_scheduled_job(slug)).state is TaskState.FAILED
    tenant.jobs.seen.clear()
    tenant.jobs.fires.clear()


async def _runs(tenant: Tenant, slug: str) -> list[RunStatus]:
    return [run.status for run in (await tenant.scheduler.runs(RunQuery(slug=slug))).items]


async def test_a_key_is_taken_until_its_task_has_ended(tenant: Tenant) -> None:
    """While it waits and while it runs; then it is free."""
    await tenant.scheduler.schedule_job("gated/42", "gated")
    with pytest.raises(JobAlreadyScheduled):
        await tenant.scheduler.schedule_job("gated/42", "gated")
    for _ in range(3):
        await tenant.scheduler.running_node.dispatcher.run_once()
    assert not await tenant.scheduler.schedule_job("gated/42", "gated", if_exists="keep")
    tenant.jobs.gate.set()
    await run_due(tenant.scheduler)

    assert await tenant.scheduler.schedule_job("gated/42", "gated")


async def test_a_key_is_one_kinds(tenant: Tenant) -> None:
    """Two kinds that use the same key have two slugs."""
    await tenant.scheduler.schedule_job("note/42", "note", delay=HOUR)

    assert await tenant.scheduler.schedule_job("gated/42", "gated", delay=HOUR)


@pytest.mark.parametrize("if_exists", ["error", "keep"])
async def test_a_failed_task_gives_way_and_the_new_one_runs(tenant: Tenant, if_exists: IfExists) -> None:
    """Both are on record."""
    await _fail(tenant, "note/42")

    assert await tenant.scheduler.schedule_job("note/42", "note", payload=b"new", if_exists=if_exists)
    await run_due(tenant.scheduler)

    assert tenant.jobs.seen == [("note/42", b"new")]
    assert sorted(await _runs(tenant, "note/42")) == [RunStatus.DONE, RunStatus.FAILED]
    assert await tenant.scheduler.get_job_slugs() == []


async def test_a_failed_task_gives_way_to_a_one_off_by_its_slug(tenant: Tenant) -> None:
    """`at` and `in_` are no exception."""
    await _fail(tenant, "note/42")

    await tenant.scheduler.in_(MINUTE, "note", b"new", slug="note/42")
    await run_due(tenant.scheduler, until=NOON + MINUTE)

    assert (tenant.jobs.seen, tenant.jobs.fires) == ([("note/42", b"new")], [NOON + MINUTE])


async def test_a_failed_child_gives_way_to_a_new_one(tenant: Tenant) -> None:
    """What a run spawns is scheduled like any other."""
    await _fail(tenant, "child")

    await tenant.scheduler.schedule_job("parent/1", "parent", payload=b"new")
    await run_due(tenant.scheduler)

    assert tenant.jobs.seen == [("child", b"new")]


async def test_a_failed_task_is_not_restarted_by_declaring_it_again(tenant: Tenant) -> None:
    """`replace` changes the definition: a service that starts anew restarts nothing."""
    await _fail(tenant, "note/42")

    await tenant.scheduler.schedule_job("note/42", "note", payload=b"new", if_exists="replace")
    await run_due(tenant.scheduler, until=NOON + HOUR)

    assert tenant.jobs.seen == []
    assert (await tenant.scheduler.get_scheduled_job("note/42")).state is TaskState.FAILED


async def test_a_restarted_task_runs_for_the_fire_time_that_it_had(tenant: Tenant) -> None:
    """However long it was aside; and it keeps its slug meanwhile, for it is under way again."""
    await _fail(tenant, "note/42")
    tenant.clock.advance(HOUR)

    assert (await tenant.scheduler.restart_job("note/42")).run_at == NOON
    with pytest.raises(JobAlreadyScheduled):
        await tenant.scheduler.schedule_job("note/42", "note")
    await run_due(tenant.scheduler)

    assert tenant.jobs.fires == [NOON]
    assert await _runs(tenant, "note/42") == [RunStatus.FAILED, RunStatus.FAILED]


async def test_a_restarted_schedule_keeps_its_fire_times(tenant: Tenant) -> None:
    """Restarting one that waits for its next fire does not bring that forward, nor move those after it."""
    await tenant.scheduler.schedule_job("note/s", "note", trigger="0 * * * *")

    assert (await tenant.scheduler.restart_job("note/s")).run_at == NOON + HOUR
    await run_due(tenant.scheduler, until=NOON + 2 * HOUR)

    assert tenant.jobs.fires == [NOON + HOUR, NOON + 2 * HOUR]
