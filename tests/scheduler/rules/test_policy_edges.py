"""The policies at their edges.

Limits, grace times to the second, first fires of their own, one-offs and fixed delays.

What a scenario of the model can say is compared with the model, and with what is expected in words.
"""

from datetime import timedelta

import pytest

from duly.jobs import JobContext, JobRegistry, TaskOptions
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus
from duly.triggers import SimpleTrigger, Trigger
from support.policy_model import play
from support.policy_scenarios import MISFIRES, OVERLAPS, End, History, MisfireName, OverlapName, Policy, Scenario, Skipped
from support.policy_stage import EPOCH, SECOND, at, in_memory, options_of, perform, second_of

YEAR = 365 * 24 * 3600


async def performed(scenario: Scenario) -> History:
    """Return what the scheduler made of a scenario, which is what the model does."""
    history = await perform(scenario, in_memory())
    assert history == play(scenario)
    return history


def fires_of(history: History) -> list[int]:
    """Return the fire times that were started, once for each attempt, in order of their starts."""
    return [fire for _, fire in sorted((at, fire) for fire, _, at in history.started)]


# -- limits


@pytest.mark.parametrize(("missed", "limit"), [(3, 5), (5, 5), (6, 5), (100, 100), (101, 100), (40, 1)])
async def test_of_the_missed_fires_no_more_are_made_up_than_the_limit_says(missed: int, limit: int) -> None:
    """The latest, oldest first; the others are dropped."""
    policy = Policy(misfire="fire_all", catch_up_limit=limit)
    back = missed * 10 + 5
    history = await performed(Scenario(policy=policy, period=10, down=(2, back), until=back))

    made_up = min(missed, limit)
    assert fires_of(history) == [number * 10 for number in range(missed - made_up + 1, missed + 1)]
    assert history.skipped == ([Skipped(10, missed - limit, "misfire")] if missed > limit else [])


@pytest.mark.parametrize(("limit", "waiting"), [(1, [60]), (2, [50, 60]), (5, [20, 30, 40, 50, 60]), (6, [20, 30, 40, 50, 60])])
async def test_no_more_fires_wait_for_the_end_of_a_run_than_the_limit_says(limit: int, waiting: list[int]) -> None:
    """The latest of them."""
    scenario = Scenario(policy=Policy(overlap="queue_all", queue_limit=limit), period=10, length=52, until=62)
    history = await performed(scenario)
    dropped = 5 - len(waiting)

    assert fires_of(history) == [10, waiting[0]]
    assert history.skipped == ([Skipped(20, dropped, "overlap")] if dropped else [])


async def test_what_is_made_up_takes_the_room_of_what_overlaps() -> None:
    """Three fires are owed when fire 20 ends; two more may wait until there are fewer."""
    policy = Policy(misfire="fire_all", overlap="queue_all", queue_limit=3)
    history = await performed(Scenario(policy=policy, period=10, length=14, down=(2, 55), until=120))

    assert fires_of(history) == [10, 20, 30, 40, 50]
    assert Skipped(60, 1, "overlap") in history.skipped


# -- at most so many fires


@pytest.mark.parametrize(("misfire", "fires"), [("fire_once", [50, 60, 70]), ("fire_all", [10, 20, 30])])
async def test_a_schedule_ends_after_its_last_fire(misfire: MisfireName, fires: list[int]) -> None:
    """Dropped fires do not count."""
    history = await performed(Scenario(policy=Policy(misfire=misfire, max_fires=3), period=10, down=(2, 55), until=200))

    assert fires_of(history) == fires
    assert history.end == End("gone", None, None)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("misfire", MISFIRES)
async def test_a_schedule_ends_after_its_last_fire_whatever_waits(misfire: MisfireName, overlap: OverlapName) -> None:
    """Under every policy, with a backlog and with runs that take longer than it is between two fires."""
    policy = Policy(misfire=misfire, overlap=overlap, max_fires=2)
    history = await performed(Scenario(policy=policy, period=10, length=25, down=(2, 56), until=300))

    assert len(history.ran) == 2
    assert history.end == End("gone", None, None)


async def test_a_last_fire_that_failed_sets_the_schedule_aside() -> None:
    """As a one-off's does; the fires before it may fail."""
    history = await performed(Scenario(policy=Policy(max_fires=2), period=10, failing=1, until=50))

    assert [run.status for run in history.ran] == ["failed", "failed"]
    assert history.end == End("failed", None, None)


async def test_every_attempt_at_the_last_fire_is_made() -> None:
    """Attempts are not fires."""
    history = await performed(Scenario(policy=Policy(max_fires=1), period=10, failing=2, delays=(15, 15), until=90))

    assert [run.status for run in history.ran] == ["retried", "retried", "done"]
    assert history.end == End("gone", None, None)


# -- grace times


@pytest.mark.parametrize(("grace", "fires"), [(7, [30]), (6, [30]), (5, [])])
@pytest.mark.parametrize("misfire", ["fire_once", "skip"])
async def test_a_fire_is_in_time_up_to_the_very_end_of_its_grace_time(misfire: MisfireName, grace: int, fires: list[int]) -> None:
    """The node is back six seconds after a fire."""
    history = await performed(Scenario(policy=Policy(misfire=misfire, grace=grace), period=10, down=(2, 36), until=39))

    assert fires_of(history) == fires
    assert history.end == End("scheduled", 40, len(fires))
    assert history.skipped == [Skipped(10, 3 - len(fires), "misfire")]


@pytest.mark.parametrize(("grace", "fires"), [(27, [10, 20, 30]), (26, [10, 20, 30]), (25, [20, 30]), (16, [20, 30]), (5, [])])
async def test_each_fire_that_is_made_up_is_in_time(grace: int, fires: list[int]) -> None:
    """When it is first locked, not when its turn comes."""
    history = await performed(Scenario(policy=Policy(misfire="fire_all", grace=grace), period=10, length=30, down=(2, 36), until=96))

    assert fires_of(history)[: len(fires)] == fires


@pytest.mark.parametrize(("back", "fires"), [(160, [100]), (161, [])])
async def test_without_a_grace_time_skip_leaves_a_minute(back: int, fires: list[int]) -> None:
    """Because a fire is always locked a moment after its time."""
    assert fires_of(await performed(Scenario(policy=Policy(misfire="skip"), period=100, down=(2, back), until=199))) == fires


async def test_a_schedule_that_skips_runs_every_fire_that_is_not_missed() -> None:
    """The policy is for late fires alone."""
    assert fires_of(await performed(Scenario(policy=Policy(misfire="skip", grace=1), period=10, until=35))) == [10, 20, 30]


# -- retries


@pytest.mark.parametrize(("overlap", "fires"), [("queue_one", [10, 20, 40]), ("queue_all", [10, 20, 30])])
async def test_what_passes_while_a_fire_that_had_to_wait_is_retried_overlaps(overlap: OverlapName, fires: list[int]) -> None:
    """Fire 20 waits until 25 and is retried at 40: 30 and 40 pass while it is going, and are no misfires."""
    history = await performed(Scenario(policy=Policy(overlap=overlap), period=10, failing=1, delays=(15,), until=41))

    assert [fire for fire, attempt, _ in history.started if attempt == 1] == fires
    assert {skipped.reason for skipped in history.skipped} <= {"overlap"}


@pytest.mark.parametrize(("delay", "status"), [(5, "retried"), (6, "failed"), (7, "failed")])
async def test_a_retry_that_could_not_start_before_the_next_fire_cancels_it_is_not_made(delay: int, status: str) -> None:
    """Fire 10 fails at 14, the next one is at 20."""
    scenario = Scenario(policy=Policy(overlap="cancel_running"), period=10, length=4, failing=1, delays=(delay,), until=15)

    assert [run.status for run in (await performed(scenario)).ran] == [status]


# -- one-offs


@pytest.mark.parametrize("misfire", MISFIRES)
async def test_a_one_off_is_run_however_late_it_is(misfire: MisfireName) -> None:
    """A minute is no grace time of a one-off."""
    scenario = Scenario(policy=Policy(misfire=misfire), period=None, first=10, down=(2, YEAR), until=YEAR)

    assert (await performed(scenario)).started == [(10, 1, YEAR)]


@pytest.mark.parametrize("misfire", MISFIRES)
@pytest.mark.parametrize(("back", "is_run"), [(40, True), (41, False)])
async def test_a_one_off_is_not_run_after_its_grace_time(misfire: MisfireName, back: int, is_run: bool) -> None:  # noqa: FBT001 - a column
    """It is removed then, with a record."""
    policy = Policy(misfire=misfire, grace=30)
    history = await performed(Scenario(policy=policy, period=None, first=10, down=(2, back), until=back))

    assert fires_of(history) == ([10] if is_run else [])
    assert history.skipped == ([] if is_run else [Skipped(10, 1, "misfire")])
    assert history.end == End("gone", None, None)


async def test_a_one_off_in_time_is_retried_after_its_grace_time() -> None:
    """Whether it is late is decided when it is first locked."""
    scenario = Scenario(policy=Policy(grace=5), period=None, first=10, failing=1, delays=(60,), until=100)

    assert (await performed(scenario)).started == [(10, 1, 10), (10, 2, 70)]


# -- a first fire of its own


@pytest.mark.parametrize("misfire", MISFIRES)
@pytest.mark.parametrize("grace", [None, 10, 20])
@pytest.mark.parametrize(("first", "back"), [(15, 41), (15, 17), (15, 15)])
async def test_a_first_fire_of_its_own_is_missed_as_the_others_are(misfire: MisfireName, grace: int | None, first: int, back: int) -> None:
    """Together with those of the trigger, which count from it."""
    policy = Policy(misfire=misfire, grace=grace)
    history = await performed(Scenario(policy=policy, period=10, first=first, down=(2, back), until=back + 20))

    dropped = sum(skipped.count for skipped in history.skipped if skipped.reason == "misfire")
    assert len(history.started) + dropped == len(range(first, back + 21, 10))


@pytest.mark.parametrize(("misfire", "fires"), [("fire_once", [-5]), ("fire_all", [-25, -15, -5]), ("skip", [-5])])
async def test_a_first_fire_in_the_past_is_late(misfire: MisfireName, fires: list[int]) -> None:
    """It was asked for by name, unlike what the trigger alone would have fired before the scheduling."""
    assert fires_of(await performed(Scenario(policy=Policy(misfire=misfire), period=10, first=-25, until=2))) == fires


async def test_a_first_fire_off_the_timetable_comes_before_the_timetable() -> None:
    """A trigger with a start of its own keeps to it."""
    policy, timetable = Policy(misfire="fire_all"), SimpleTrigger(10 * SECOND, start=EPOCH)

    assert await _ran_after(timetable, options_of(policy), first=13, back=41, until=41) == ([13, 20, 30, 40], [], 50)


# -- fixed delays


@pytest.mark.parametrize("overlap", [overlap for overlap in OVERLAPS if overlap != "allow"])
@pytest.mark.parametrize("misfire", ["fire_once", "fire_all"])
async def test_a_fixed_delay_misses_one_fire_at_most(misfire: MisfireName, overlap: OverlapName) -> None:
    """Its next one comes only after the run, however long that takes.

    Nothing is dropped, nothing is cut short.
    """
    delay = SimpleTrigger(10 * SECOND, fixed_delay=True)
    options = options_of(Policy(misfire=misfire, overlap=overlap))

    # 10 is run from 1000 to 1035, 1045 to 1080, 1090 to 1125.
    assert await _ran_after(delay, options, back=1000, length=35, until=1126) == ([10, 1045, 1090], [], 1135)


async def test_a_fixed_delay_that_is_too_late_counts_from_when_it_was_dropped() -> None:
    """One fire is dropped, and there is one delay from then."""
    delay, options = SimpleTrigger(10 * SECOND, fixed_delay=True), options_of(Policy(misfire="skip"))

    assert await _ran_after(delay, options, back=1000, until=1015) == ([1010], [Skipped(10, 1, "misfire")], 1020)


async def _ran_after(
    trigger: Trigger, options: TaskOptions, *, first: int | None = None, back: int, length: int = 0, until: int
) -> tuple[list[int], list[Skipped], int]:
    """Return the fires that were started, those that were dropped, and the next one.

    Nobody is there until `back`.
    """
    clock, store, jobs, started = ManualClock(EPOCH), MemoryStore(), JobRegistry(), list[int]()

    @jobs.job("work")
    async def work(ctx: JobContext) -> None:
        started.append(second_of(ctx.fire_time))
        await ctx.sleep(timedelta(seconds=length))

    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await scheduler.schedule_job("t", "work", trigger=trigger, at=None if first is None else at(first), options=options)
    clock.move_to(at(back))
    async with StdScheduler(store, jobs=jobs, clock=clock) as scheduler:
        await run_due(scheduler, until=at(until))
        skipped = (await scheduler.runs(RunQuery(statuses=(RunStatus.SKIPPED,)))).items
        next_fire = (await scheduler.get_scheduled_job("t")).run_at
    return started, [Skipped(second_of(run.fire_time), run.count, (run.error or "").split(":")[0]) for run in skipped], second_of(next_fire)
