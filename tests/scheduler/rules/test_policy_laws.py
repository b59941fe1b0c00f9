"""Random scenarios, and those with a lost or interrupted run, against the model of the policies."""

import asyncio
from itertools import product

import pytest
from attrs import frozen
from hypothesis import event, given
from hypothesis import strategies as st

from support.policy_model import play
from support.policy_scenarios import MISFIRES, OVERLAPS, MisfireName, OverlapName, Policy, Ran, Scenario
from support.policy_stage import in_memory, perform
from support.selection import examples, spread

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
@examples(400)
def test_whatever_happens_the_scheduler_does_what_the_model_says(scenario: Scenario) -> None:
    """Starts, runs, dropped fires and the next fire."""
    expected = play(scenario).without_fires_of_lost_runs()

    event(f"{scenario.policy.overlap}, {'once' if scenario.period is None else 'again and again'}")
    event("a run was lost" if any(run.status == "lost" for run in expected.ran) else "no run was lost")
    assert asyncio.run(perform(scenario, in_memory())).without_fires_of_lost_runs() == expected


@frozen
class Interruption:
    """A run that is killed or stopped at 24, and when its node is back."""

    misfire: MisfireName
    overlap: OverlapName
    grace: int | None
    failing: int
    is_killed: bool
    back: int

    def __str__(self) -> str:
        names = [f"grace {self.grace}", f"fails {self.failing} times", "killed" if self.is_killed else "stopped", f"back at {self.back}"]
        return "-".join([self.misfire, self.overlap, *names])

    @property
    def scenario(self) -> Scenario:
        """What it means."""
        return Scenario(
            policy=Policy(misfire=self.misfire, grace=self.grace, overlap=self.overlap, catch_up_limit=3, queue_limit=4),
            period=10,
            length=7,
            failing=self.failing,
            delays=(4,),
            down=(24, self.back),
            is_killed=self.is_killed,
            until=self.back + 150,
        )


def interruptions() -> list[Interruption]:
    """Return all there are but those under `allow`, back at once, after three fires and after a year."""
    overlaps = [overlap for overlap in OVERLAPS if overlap != "allow"]
    return [Interruption(*row) for row in product(MISFIRES, overlaps, (None, 25), (0, 1), (True, False), (26, 90, 30_000_000))]


@pytest.mark.parametrize("interruption", spread(interruptions(), every=5))
async def test_fires_in_a_lost_lease_overlap_and_those_after_it_are_misfires(interruption: Interruption) -> None:
    """A run ends with its lease, and one that was interrupted when it was; the rerun ends what they began."""
    scenario = interruption.scenario

    history = await perform(scenario, in_memory())
    assert history.without_fires_of_lost_runs() == play(scenario).without_fires_of_lost_runs()


async def test_a_lost_run_is_run_again_for_the_same_fire_and_recorded_for_the_first_that_was_missed() -> None:
    """Who records it is the store, which knows the row, and no trigger."""
    scenario = Scenario(period=10, first=-25, length=20, down=(2, 40), is_killed=True, until=40)
    history = await perform(scenario, in_memory())

    assert history.started == [(-5, 1, 0), (-5, 2, 40)]
    assert history.ran == [Ran(-25, 1, 0, 32, "lost")]


async def test_what_passes_while_a_rerun_waits_for_its_retry_overlaps() -> None:
    """Fire 10 is interrupted at 14, and run again from 26: 20 is a misfire.

    Its run fails at 31, and its retry ends at 65.
    """
    policy = Policy(misfire="fire_all")
    history = await perform(Scenario(policy=policy, period=10, length=5, failing=1, delays=(29,), down=(14, 26), until=66), in_memory())

    assert history.started == [(10, 1, 10), (10, 1, 26), (10, 2, 60), (20, 1, 65)]
    assert [(skipped.first, skipped.count, skipped.reason) for skipped in history.skipped] == [(30, 4, "overlap")]
