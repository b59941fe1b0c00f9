"""How a task is run: what options may say."""

from datetime import timedelta
from enum import StrEnum
from typing import get_args

import pytest

from duly.jobs import Consistency, InvalidValue, JobRegistry, Misfire, Overlap, RetryPolicy, TaskOptions
from duly.jobs.options import FIRES_MAX, ConsistencyText, MisfireText, OptionValues, OverlapText

SECOND = timedelta(seconds=1)


def test_a_policy_may_be_named_by_its_text() -> None:
    """As the configuration of a program has it."""
    options = TaskOptions(misfire="fire_all", overlap="queue_one", consistency="at_most_once")

    assert (options.misfire, options.overlap, options.consistency) == (Misfire.FIRE_ALL, Overlap.QUEUE_ONE, Consistency.AT_MOST_ONCE)


def test_what_is_not_said_is_as_it_is_documented() -> None:
    """A change of a default changes the tasks of everybody who relies on it."""
    assert TaskOptions() == TaskOptions(
        retry=RetryPolicy(limit=5, min_backoff=SECOND, max_backoff=timedelta(hours=1), multiplier=2.0, jitter=1.0, age_limit=None),
        consistency=Consistency.AT_LEAST_ONCE,
        time_limit=None,
        misfire=Misfire.FIRE_ONCE,
        misfire_grace_time=None,
        catch_up_limit=100,
        overlap=Overlap.SKIP,
        queue_limit=100,
        max_fires=None,
        pause_on_failure=False,
    )


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("misfire", "later", "'fire_once' or 'fire_all' or 'skip'"),
        ("overlap", None, "'skip' or 'queue_one' or 'queue_all' or 'cancel_running' or 'allow'"),
        ("consistency", "exactly_once", "'at_least_once' or 'at_most_once'"),
        ("misfire_grace_time", timedelta(0), "longer than 0"),
        ("misfire_grace_time", 60, "timedelta"),
        ("time_limit", -SECOND, "longer than 0"),
        ("catch_up_limit", 0, f"1 to {FIRES_MAX}"),
        ("catch_up_limit", FIRES_MAX + 1, f"1 to {FIRES_MAX}"),
        ("queue_limit", True, f"1 to {FIRES_MAX}"),
        ("queue_limit", 2.0, f"1 to {FIRES_MAX}"),
        ("max_fires", 0, "whole number from 1"),
        ("pause_on_failure", "no", "True or False"),
        ("retry", 3, "RetryPolicy"),
    ],
)
def test_an_option_out_of_its_range_is_refused(field: str, value: object, expected: str) -> None:
    """The error names the field, the value and what is allowed."""
    with pytest.raises(InvalidValue, match=field) as caught:
        TaskOptions(**{field: value})  # type: ignore[arg-type]  # on purpose

    assert (caught.value.field, caught.value.value) == (field, value)
    assert expected in caught.value.expected


def test_every_option_may_be_given_when_a_job_is_registered() -> None:
    """As a keyword of the same name, which is then the default of its tasks.

    What a later version wrote is for stores alone.
    """
    assert [*OptionValues.__annotations__, "unknown"] == list(TaskOptions.__annotations__)
    registry = JobRegistry()
    registry.job("report", overlap="allow", misfire_grace_time=SECOND, max_fires=3, pause_on_failure=True)(lambda: None)

    expected = TaskOptions(overlap=Overlap.ALLOW, misfire_grace_time=SECOND, max_fires=3, pause_on_failure=True)
    assert registry.get("report").options == expected


@pytest.mark.parametrize(("texts", "members"), [(OverlapText, Overlap), (MisfireText, Misfire), (ConsistencyText, Consistency)])
def test_a_type_checker_knows_every_text(texts: object, members: type[StrEnum]) -> None:
    """And no other: a misspelt policy is found before the program runs."""
    assert get_args(texts) == tuple(members)
