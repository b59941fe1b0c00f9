"""The real scheduler, playing the scenarios of `support.policy_model`.

Its clock is moved by hand.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from duly.jobs import JobContext, JobRegistry, Misfire, Overlap, RetryPolicy, TaskOptions, TaskState
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, kill, run_due
from duly.stores import JobNotFound, JobStore, MemoryStore, Run, RunQuery, RunStatus
from duly.triggers import SimpleTrigger
from support.policy_scenarios import End, History, Policy, Ran, Scenario, Skipped

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SLUG = "t"
_PAGE = 1000

OpenStore = Callable[[], JobStore]
"""Returns a store for one scheduler; always on the same data."""


def in_memory() -> OpenStore:
    """Return how to get at a fresh store in memory."""
    store = MemoryStore()
    return lambda: store


def at(second: int) -> datetime:
    """Return the instant of a second of the model."""
    return EPOCH + second * SECOND


def second_of(instant: datetime) -> int:
    """Return the model's second of an instant, which must lie on one."""
    seconds, rest = divmod(instant - EPOCH, SECOND)
    assert not rest, f"{instant} is between two seconds"
    return seconds


def options_of(policy: Policy, delays: Sequence[int] = ()) -> TaskOptions:
    """Return a policy of the model as options of a task."""
    return TaskOptions(
        misfire=Misfire(policy.misfire),
        misfire_grace_time=None if policy.grace is None else policy.grace * SECOND,
        catch_up_limit=policy.catch_up_limit,
        overlap=Overlap(policy.overlap),
        queue_limit=policy.queue_limit,
        max_fires=policy.max_fires,
        retry=RetryPolicy(limit=len(delays), delays=tuple(delay * SECOND for delay in delays)),
    )


async def perform(scenario: Scenario, open_store: OpenStore) -> History:
    """Let real schedulers, one before and one after the downtime, play a scenario; return its history."""
    clock, started = ManualClock(EPOCH), list[tuple[int, int, int]]()
    jobs = _jobs(scenario, clock, started)
    first = _scheduler(open_store(), jobs, clock)
    async with first:
        await first.schedule_job(
            SLUG,
            "work",
            trigger=None if scenario.period is None else SimpleTrigger(scenario.period * SECOND),
            at=None if scenario.first is None else at(scenario.first),
            options=options_of(scenario.policy, scenario.delays),
        )
        await run_due(first, until=at(scenario.until if scenario.down is None else scenario.down[0]))
        if scenario.down is None:
            return await _history(first, started)
        if scenario.is_killed:
            await kill(first)
    clock.move_to(at(scenario.down[1]))
    async with _scheduler(open_store(), jobs, clock) as second:
        await run_due(second, until=at(scenario.until))
        return await _history(second, started)


def _scheduler(store: JobStore, jobs: JobRegistry, clock: ManualClock) -> StdScheduler:
    return StdScheduler(store, jobs=jobs, clock=clock, keep_runs=None, keep_runs_for=None)


def _jobs(scenario: Scenario, clock: ManualClock, started: list[tuple[int, int, int]]) -> JobRegistry:
    jobs = JobRegistry()

    @jobs.job("work")
    async def work(ctx: JobContext) -> None:
        started.append((second_of(ctx.fire_time), ctx.attempt, second_of(clock.now())))
        if scenario.length:
            await ctx.sleep(scenario.length * SECOND)
        if ctx.attempt <= scenario.failing:
            raise ValueError("as the scenario says")

    return jobs


async def _history(scheduler: StdScheduler, started: list[tuple[int, int, int]]) -> History:
    page = await scheduler.runs(RunQuery(limit=_PAGE))
    assert page.next is None, "the scenario is too long for one page"
    skipped = [_skipped(run) for run in page.items if run.status is RunStatus.SKIPPED]
    ran = [_ran(run) for run in page.items if run.status is not RunStatus.SKIPPED]
    return History(sorted(started), sorted(ran), sorted(skipped), await _end(scheduler))


def _ran(run: Run) -> Ran:
    fire, one_off = second_of(run.fire_time), f"{SLUG}@{run.fire_time.isoformat()}"
    assert run.slug in {SLUG, one_off}
    return Ran(fire, run.attempt, second_of(run.started_at), second_of(run.finished_at), run.status.value, run.slug == one_off)


def _skipped(run: Run) -> Skipped:
    reason = next((word for word in ("misfire", "overlap", "limit") if word in (run.error or "")), repr(run.error))
    return Skipped(second_of(run.fire_time), run.count, reason)


async def _end(scheduler: StdScheduler) -> End:
    try:
        task = await scheduler.get_scheduled_job(SLUG)
    except JobNotFound:
        return End("gone", None, None)
    if task.state is TaskState.FAILED:
        return End("failed", None, None)
    is_waiting = task.due_at is not None and task.lease_id is None
    return End(task.state.value, second_of(task.due_at) if is_waiting and task.due_at is not None else None, task.fires)
