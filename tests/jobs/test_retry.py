"""When a failed run is tried again."""

from datetime import timedelta
from json import JSONDecodeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.jobs import InvalidValue, RetryPolicy

MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)

spans = st.timedeltas(min_value=timedelta(0), max_value=100 * YEAR)
spreads = st.floats(0, 1, exclude_max=True)
retries = st.integers(1, 100_000)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    """Any policy."""
    low, high = sorted((draw(spans), draw(spans)))
    multiplier = draw(st.floats(1, 1e6))
    limit = draw(st.none() | st.integers(0, 20))
    age_limit = draw(st.none() | st.timedeltas(min_value=MS, max_value=YEAR))
    return RetryPolicy(limit=limit, age_limit=age_limit, min_backoff=low, max_backoff=high, multiplier=multiplier)


ALLOWED = [
    # limit, age limit, failures, age, whether it is tried again
    (5, None, 1, timedelta(0), True),
    (5, None, 5, 9 * YEAR, True),
    (5, None, 6, timedelta(0), False),
    (0, None, 1, timedelta(0), False),
    (None, HOUR, 999, HOUR - MS, True),
    (None, HOUR, 1, HOUR, False),
    (None, None, 999, 9 * YEAR, True),
    (5, HOUR, 5, 2 * HOUR, True),
    (5, HOUR, 999, HOUR - MS, True),
    (5, HOUR, 6, HOUR, False),
    (0, HOUR, 1, MS, True),
]


@pytest.mark.parametrize(("limit", "age_limit", "failures", "age", "expected"), ALLOWED)
def test_a_run_is_tried_again_until_its_limits(
    limit: int | None, age_limit: timedelta | None, failures: int, age: timedelta, *, expected: bool
) -> None:
    """With both limits until both are reached; a limit that is None is not there."""
    assert RetryPolicy(limit=limit, age_limit=age_limit).allows(failures=failures, age=age) is expected


@given(policy=policies(), failures=st.integers(1, 30), age=spans)
def test_what_is_given_up_stays_given_up(policy: RetryPolicy, failures: int, age: timedelta) -> None:
    """Neither another failure nor more time brings a run back."""
    if not policy.allows(failures=failures, age=age):
        assert not policy.allows(failures=failures + 1, age=age)
        assert not policy.allows(failures=failures, age=age + SECOND)


BACKOFF = [
    # retry, spread, wait by the default policy: 1 s, doubling, to 1 h
    (1, 0.0, SECOND),
    (1, 0.5, 1.5 * SECOND),
    (2, 0.5, 2.5 * SECOND),
    (3, 0.0, SECOND),
    (3, 0.5, 4.5 * SECOND),
    (11, 0.5, 1024.5 * SECOND),
    (12, 0.5, 1800.5 * SECOND),
    (5000, 0.5, 1800.5 * SECOND),
]


@pytest.mark.parametrize(("retry", "spread", "expected"), BACKOFF)
def test_the_wait_grows_with_each_retry(retry: int, spread: float, expected: timedelta) -> None:
    """From the least wait to a reach that doubles; also where the power is no float any more."""
    assert RetryPolicy().backoff(retry, spread) == expected


@given(policy=policies(), retry=retries, spread=spreads)
def test_a_wait_is_within_its_bounds(policy: RetryPolicy, retry: int, spread: float) -> None:
    """Whatever the policy and however often; floats are good to a millisecond in a century."""
    assert policy.min_backoff - MS <= policy.backoff(retry, spread) <= policy.max_backoff + MS


@given(policy=policies(), retry=retries, spread=spreads)
def test_a_later_retry_waits_no_less(policy: RetryPolicy, retry: int, spread: float) -> None:
    """At the same place in the jitter."""
    assert policy.backoff(retry, spread) <= policy.backoff(retry + 1, spread)


@given(policy=policies(), retry=retries, spread=spreads)
def test_a_wider_spread_waits_no_less(policy: RetryPolicy, retry: int, spread: float) -> None:
    """0 is the least wait."""
    assert policy.backoff(retry, 0) <= policy.backoff(retry, spread)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", -1),
        ("age_limit", timedelta(0)),
        ("age_limit", -SECOND),
        ("min_backoff", -SECOND),
        ("min_backoff", 2 * HOUR),
        ("max_backoff", -SECOND),
        ("multiplier", 0.9),
        ("multiplier", float("nan")),
        ("jitter", 1.1),
        ("jitter", True),
    ],
)
def test_an_impossible_policy_is_refused(field: str, value: object) -> None:
    """The error names the field, the value and what is allowed."""
    with pytest.raises(InvalidValue, match=field) as caught:
        RetryPolicy(**{field: value})  # type: ignore[arg-type]

    assert (caught.value.field, caught.value.value) == (field, value)
    assert caught.value.expected


def test_fixed_delays_are_kept_to_and_the_last_one_goes_on() -> None:
    """Whatever the place in the jitter."""
    policy = RetryPolicy(delays=[SECOND, 10 * SECOND, HOUR])

    assert [policy.backoff(retry, 0.7) for retry in (1, 2, 3, 4, 99)] == [SECOND, 10 * SECOND, HOUR, HOUR, HOUR]


@pytest.mark.parametrize(("jitter", "least", "most"), [(1, 1, 8), (0, 8, 8), (0.5, 4.5, 8)])
def test_jitter_is_the_part_of_the_wait_that_is_left_to_chance(jitter: float, least: float, most: float) -> None:
    """The third retry reaches eight seconds, one of which is the floor."""
    policy = RetryPolicy(jitter=jitter)

    assert policy.backoff(3, 0) == least * SECOND
    assert (most - 0.01) * SECOND < policy.backoff(3, 0.999999) <= most * SECOND


def test_exceptions_are_kept_by_name() -> None:
    """A class, several, or their names: what a store keeps is text."""
    names = ("builtins.KeyError", "json.decoder.JSONDecodeError")

    assert RetryPolicy(never=(KeyError, JSONDecodeError)).never == RetryPolicy(never=names).never == names
    assert RetryPolicy(never=KeyError).never == ("builtins.KeyError",)
    assert hash(RetryPolicy(never=[KeyError], delays=[SECOND]))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("delays", [SECOND, -SECOND], r"delays\[1\]"),
        ("delays", [5], r"delays\[0\]"),
        ("delays", [SECOND] * 101, "at most 100"),
        ("never", [KeyError, 5], r"never\[1\]"),
        ("never", [KeyError] * 101, "at most 100"),
        ("never", [""], r"never\[0\]"),
    ],
)
def test_a_bad_item_of_a_list_is_named(field: str, value: object, named: str) -> None:
    """By its place."""
    with pytest.raises(InvalidValue, match=named):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]  # on purpose


def test_a_policy_may_list_a_hundred_delays_and_classes() -> None:
    """As many may stand in the record of a task; a delay may be none at all."""
    policy = RetryPolicy(delays=[timedelta(0)] * 100, never=[KeyError] * 100)

    assert (len(policy.delays), len(policy.never)) == (100, 100)


def test_no_wait_at_all_is_possible() -> None:
    """For who retries at once."""
    assert RetryPolicy(min_backoff=timedelta(0), max_backoff=timedelta(0)).backoff(3, 0.9) == timedelta(0)
