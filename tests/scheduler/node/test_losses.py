"""A run that was lost with its node is told by the node that takes its task over, once."""

from datetime import timedelta

from duly.jobs import JobContext
from duly.scheduler import RunLost, RunReturned
from duly.scheduler.node.dispatcher import SUSPECT_PAUSE
from duly.stores import LockRequest
from support.driven import NOON, Driven, Noting, driven

LEASE = timedelta(seconds=30)


async def dies_with(node: Driven, *slugs: str) -> None:
    """Let another node lock the tasks, and its leases end."""
    for slug in slugs:
        await node.scheduler.schedule_job(slug, "fails")
    now = node.clock.now()
    request = LockRequest(node="dead", rooms={"fails": len(slugs)}, lease=LEASE, token=f"dead-{now.isoformat()}")
    assert len(await node.store.lock(now, request)) == len(slugs)
    node.clock.advance(LEASE)


def failing(jobs: Noting) -> Noting:
    """Add a job that fails."""

    @jobs.job("fails")
    async def fails(ctx: JobContext) -> None:
        jobs.noted.append(ctx.slug)
        raise ValueError("no luck")

    return jobs


async def test_a_lost_run_is_told_when_its_task_is_taken_over_and_not_again_at_its_retries() -> None:
    """The event says which task, how often, and when the lease ended."""
    jobs = failing(Noting())
    async with driven(jobs) as node:
        await dies_with(node, "t")
        await node.turn(2)
        node.clock.advance(timedelta(hours=1))
        await node.turn(2)
        lost = node.of(RunLost)
    assert jobs.noted == ["t", "t"]
    assert lost == [RunLost(node=node.scheduler.node, slug="t", kind="fails", crashes=1, lease_ended_at=NOON + LEASE)]
    assert str(lost[0]) == "task 't' (fails) lost 1 run of its fire with the node; its lease ended at 2030-01-01T12:00:30+00:00"


async def test_a_second_loss_of_the_same_fire_is_told_again() -> None:
    """With the count."""
    jobs = failing(Noting())
    async with driven(jobs) as node:
        await dies_with(node, "t")
        await node.turn(2)
        node.clock.advance(timedelta(hours=1))
        request = LockRequest(node="dead", rooms={"fails": 1}, lease=LEASE, token="dead again")  # noqa: S106 - no password
        assert len(await node.store.lock(node.clock.now(), request)) == 1
        node.clock.advance(LEASE)
        await node.turn(2)
        lost = [event for event in node.of(RunLost) if isinstance(event, RunLost)]
    assert [event.crashes for event in lost] == [1, 2]


async def test_a_suspect_that_is_handed_back_is_told_once() -> None:
    """However often it is locked before it is its turn."""
    jobs = Noting()

    @jobs.job("sleeps")
    async def sleeps(ctx: JobContext) -> None:
        await ctx.sleep(timedelta(hours=1))

    failing(jobs)
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("g", "sleeps")
        await node.scheduler.schedule_job("t", "fails")
        for number in range(2):
            request = LockRequest(node="dead", rooms={"sleeps": 1, "fails": 1}, lease=LEASE, token=f"dead {number}")
            await node.store.lock(node.clock.now(), request)
            node.clock.advance(LEASE)
        for _ in range(3):
            await node.turn(2)
            node.clock.advance(SUSPECT_PAUSE)
        handed_back, lost = node.of(RunReturned), [event.slug for event in node.of(RunLost)]
    assert len(handed_back) == 3
    assert sorted(filter(None, lost)) == ["g", "t"]
