"""Random scenarios, and those with a lost or interrupted run, against the model of the policies."""

import asyncio

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from support.policy_model import play
from support.policy_scenarios import MISFIRES, OVERLAPS, MisfireName, OverlapName, Policy, Ran, Scenario
from support.policy_stage import in_memory, perform

policies = st.builds(
    Policy,
    misfire=st.sampled_from(MISFIRES),
    grace=st.none() | st.integers(1, 40),
    catch_up_limit=st.integers(1, 5),
    overlap=st.sampled_from(OVERLAPS),
    queue_limit=st.integers(1, 4),
    max_fires=st.none() | st.integers(1, 6),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A schedule or a one-off whose node is away once or never, at any moment of its runs.

    No node is killed under `allow`: what was lost of several one-offs is run one at a time, which is a rule of its own.
    """
    policy = draw(policies)
    goes = draw(st.none() | st.integers(0, 60))
    back = 0 if goes is None else goes + draw(st.integers(1, 150))
    period = draw(st.none() | st.integers(1, 15))
    return Scenario(
        policy=policy,
        period=period,
        first=draw(st.integers(-30, 40) if period is None else st.none() | st.integers(-30, 40)),
        length=draw(st.integers(0, 35)),
        failing=draw(st.integers(0, 3)),
        delays=tuple(draw(st.lists(st.integers(0, 25), max_size=2))),
        down=None if goes is None else (goes, back),
        is_killed=goes is not None and policy.overlap != "allow" and draw(st.booleans()),
        until=back + draw(st.integers(0, 120)),
    )


@given(scenarios())
@settings(max_examples=400, deadline=None)
def test_whatever_happens_the_scheduler_does_what_the_model_says(scenario: Scenario) -> None:
    """Starts, runs, dropped fires and the next fire."""
    expected = play(scenario).without_fires_of_lost_runs()

    event(f"{scenario.policy.overlap}, {'once' if scenario.period is None else 'again and again'}")
    event("a run was lost" if any(run.status == "lost" for run in expected.ran) else "no run was lost")
    assert asyncio.run(perform(scenario, in_memory())).without_fires_of_lost_runs() == expected


@pytest.mark.parametrize("misfire", MISFIRES)
@pytest.mark.parametrize("overlap", [overlap for overlap in OVERLAPS if overlap != "allow"])
@pytest.mark.parametrize("grace", [None, 25], ids=["no grace", "within 25 s"])
@pytest.mark.parametrize("failing", [0, 1], ids=["no retry", "one retry"])
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
@pytest.mark.parametrize("down", [(24, 26), (24, 90), (24, 30_000_000)], ids=["back at once", "down 3", "down for a year"])
async def test_fires_in_a_lost_lease_overlap_and_those_after_it_are_misfires(
    misfire: MisfireName, overlap: OverlapName, grace: int | None, failing: int, *, is_killed: bool, down: tuple[int, int]
) -> None:
    """A run ends with its lease, and one that was interrupted when it was; the rerun ends what they began."""
    policy = Policy(misfire=misfire, grace=grace, overlap=overlap, catch_up_limit=3, queue_limit=4)
    scenario = Scenario(
        policy=policy, period=10, length=7, failing=failing, delays=(4,), down=down, is_killed=is_killed, until=down[1] + 150
    )

    history = await perform(scenario, in_memory())
    assert history.without_fires_of_lost_runs() == play(scenario).without_fires_of_lost_runs()


async def test_a_lost_run_is_run_again_for_the_same_fire_and_recorded_for_the_first_that_was_missed() -> None:
    """Who records it is the store, which knows the row, and no trigger."""
    scenario = Scenario(period=10, first=-25, length=20, down=(2, 40), is_killed=True, until=40)
    history = await perform(scenario, in_memory())

    assert history.started == [(-5, 1, 0), (-5, 2, 40)]
    assert history.ran == [Ran(-25, 1, 0, 32, "lost")]


async def test_what_passes_while_a_rerun_waits_for_its_retry_overlaps() -> None:
    """Fire 10 is interrupted at 14, and run again from 26: 20 is a misfire. Its run fails at 31, and its retry ends at 65."""
    policy = Policy(misfire="fire_all")
    history = await perform(Scenario(policy=policy, period=10, length=5, failing=1, delays=(29,), down=(14, 26), until=66), in_memory())

    assert history.started == [(10, 1, 10), (10, 1, 26), (10, 2, 60), (20, 1, 65)]
    assert [(skipped.first, skipped.count, skipped.reason) for skipped in history.skipped] == [(30, 4, "overlap")]
