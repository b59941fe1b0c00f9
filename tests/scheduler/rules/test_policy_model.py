"""The model of the policies, against histories that were worked out by hand."""

from collections.abc import Sequence

from support.policy_model import kept, play, without
from support.policy_scenarios import End, History, Policy, Ran, Scenario, Skipped


def test_the_model_tells_a_downtime_and_an_overlap_that_nobody_waits_for() -> None:
    """Fires at 10, 20, 30.

    The node is back at 36 and runs the last of them, during which 40, 50 and 60 pass.

    The run ends at 61, the next fire is at 70.
    """
    scenario = Scenario(period=10, length=25, down=(2, 36), until=80)

    assert play(scenario) == History(
        started=[(30, 1, 36), (70, 1, 70)],
        ran=[Ran(30, 1, 36, 61, "done")],
        skipped=[Skipped(10, 2, "misfire"), Skipped(40, 3, "overlap")],
        end=End("running", None, 1),
    )


def test_the_model_catches_up_with_retries_and_lets_one_fire_wait() -> None:
    """Fires at 10, 20, 30, 40; at 41 the latest two are to be made up.

    Each fire takes 3 + 5 + 3 seconds, as its first attempt fails.

    41-52 is fire 30: during it 50 passes, and is dropped, because 40 waits already. 52-63 is fire 40: 60 passes, and waits.
    63-74 is fire 60: 70 passes, and waits. 74-85 is fire 70, and so on.
    """
    policy = Policy(misfire="fire_all", catch_up_limit=2, overlap="queue_one")
    scenario = Scenario(policy=policy, period=10, length=3, failing=1, delays=(5,), down=(2, 41), until=84)

    assert play(scenario) == History(
        started=[(30, 1, 41), (30, 2, 49), (40, 1, 52), (40, 2, 60), (60, 1, 63), (60, 2, 71), (70, 1, 74), (70, 2, 82)],
        ran=[
            Ran(30, 1, 41, 44, "retried"),
            Ran(30, 2, 49, 52, "done"),
            Ran(40, 1, 52, 55, "retried"),
            Ran(40, 2, 60, 63, "done"),
            Ran(60, 1, 63, 66, "retried"),
            Ran(60, 2, 71, 74, "done"),
            Ran(70, 1, 74, 77, "retried"),
        ],
        skipped=[Skipped(10, 2, "misfire"), Skipped(50, 1, "overlap")],
        end=End("running", None, 3),
    )


def test_the_model_tells_a_lost_run() -> None:
    """Fire 20 runs from 20; its node is killed at 24, so that its lease ends at 54.

    The next node comes at 90.

    Until 54 the run counts as going: 40 overlaps, and waits. 60 and 80 are misfires: the latest is run. At 95 the second attempt ends.
    """
    scenario = Scenario(policy=Policy(overlap="queue_all"), period=20, length=5, down=(24, 90), is_killed=True, until=108)

    assert play(scenario) == History(
        started=[(20, 1, 20), (20, 2, 90), (40, 1, 95), (80, 1, 100), (100, 1, 105)],
        ran=[Ran(20, 1, 20, 54, "lost"), Ran(20, 2, 90, 95, "done"), Ran(40, 1, 95, 100, "done"), Ran(80, 1, 100, 105, "done")],
        skipped=[Skipped(60, 1, "misfire")],
        end=End("running", None, 3),
    )


def test_the_model_cuts_a_run_short_for_the_next_fire() -> None:
    """Fires at 10, 20 and 30, of which the first two run until the next.

    One that fails at 34 is not tried again at 41.
    """
    policy = Policy(overlap="cancel_running")

    assert play(Scenario(policy=policy, period=10, length=12, until=25)) == History(
        started=[(10, 1, 10), (20, 1, 20)],
        ran=[Ran(10, 1, 10, 20, "cancelled")],
        skipped=[],
        end=End("running", None, 1),
    )
    assert play(Scenario(policy=policy, period=10, length=4, failing=1, delays=(7,), until=15)) == History(
        started=[(10, 1, 10)],
        ran=[Ran(10, 1, 10, 14, "failed")],
        skipped=[],
        end=End("scheduled", 20, 1),
    )


def test_the_model_lets_fires_run_side_by_side() -> None:
    """Fires at 10 and 20, each of which runs for 15 seconds as a one-off.

    The schedule itself waits for the next.
    """
    assert play(Scenario(policy=Policy(overlap="allow"), period=10, length=15, until=29)) == History(
        started=[(10, 1, 10), (20, 1, 20)],
        ran=[Ran(10, 1, 10, 25, "done", is_one_off=True)],
        skipped=[],
        end=End("scheduled", 30, 2),
    )


def test_the_model_counts_a_range_as_it_would_a_list() -> None:
    """Fires, what is kept of them and what is dropped: the same as by looking at each."""
    for period in (1, 2, 3, 7):
        scenario = Scenario(period=period, until=0)
        listed = [number * period for number in range(1, 40)]
        for after in range(20):
            assert scenario.next_fire(after) == next(fire for fire in listed if fire > after)
            for until in range(after, 30):
                passed = scenario.fires(after, until)
                assert [*passed] == [fire for fire in listed if after < fire <= until]
                _assert_kept_as_listed(passed, until)


def _assert_kept_as_listed(passed: Sequence[int], now: int) -> None:
    for grace in (None, 1, 2, 5, 10):
        in_time = [fire for fire in passed if grace is None or now - fire <= grace]
        latest = kept(Policy(misfire="fire_once", grace=grace), passed, now)
        several = kept(Policy(misfire="fire_all", grace=grace, catch_up_limit=3), passed, now)
        assert [*latest] == in_time[-1:]
        assert [*several] == in_time[-3:]
        assert [*without(passed, several), *several] == [*passed]
