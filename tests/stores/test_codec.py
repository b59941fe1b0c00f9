"""Options as stores keep them: plain JSON, narrow, and open to what later versions add."""

import json
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given

from duly.jobs import Consistency, InvalidValue, RetryPolicy, TaskOptions
from duly.stores.codec import dump_options, load_options, with_unknown
from support.tasks import options

TABLE: list[tuple[TaskOptions, dict[str, Any]]] = [
    (TaskOptions(), {}),
    (TaskOptions(time_limit=timedelta(minutes=1)), {"time_limit": 60}),
    (TaskOptions(time_limit=timedelta(microseconds=1)), {"time_limit": 1e-06}),
    (TaskOptions(consistency=Consistency.AT_MOST_ONCE), {"consistency": "at_most_once"}),
    (TaskOptions(retry=RetryPolicy(limit=None)), {"retry": {"limit": None}}),
    (TaskOptions(retry=RetryPolicy(limit=0, age_limit=timedelta(days=1))), {"retry": {"limit": 0, "age_limit": 86400}}),
    (
        TaskOptions(retry=RetryPolicy(min_backoff=timedelta(0), max_backoff=timedelta(days=36_500), multiplier=1.5)),
        {"retry": {"min_backoff": 0, "max_backoff": 36_500 * 86400, "multiplier": 1.5}},
    ),
]


@pytest.mark.parametrize(("value", "stored"), TABLE)
def test_options_are_stored_as_readable_json(value: TaskOptions, stored: dict[str, Any]) -> None:
    """Spans in seconds, and only what is not the default."""
    assert dump_options(value) == stored
    assert load_options(stored) == value


@given(options)
def test_what_was_stored_comes_back_equal(value: TaskOptions) -> None:
    """Through real JSON text, to the microsecond.

    An equal definition must stay equal, or declaring it again would be a write.
    """
    text = json.dumps(dump_options(value), allow_nan=False)

    assert load_options(json.loads(text)) == value


NEWER = {"colour": "green", "time_limit": 5, "retry": {"limit": 1, "colour": ["green"]}}


def test_what_a_newer_version_wrote_is_read_without_what_is_not_known_here() -> None:
    """An older node goes on working."""
    loaded = load_options(NEWER)

    assert evolve(loaded, unknown="", retry=RetryPolicy(limit=1)) == TaskOptions(
        time_limit=timedelta(seconds=5), retry=RetryPolicy(limit=1)
    )


def test_what_a_newer_version_wrote_survives_when_an_older_one_writes_it_back() -> None:
    """Also beside a change of what this version knows."""
    changed = evolve(load_options(NEWER), time_limit=timedelta(seconds=9))

    assert dump_options(changed) == {**NEWER, "time_limit": 9}


def test_new_options_keep_what_only_a_newer_version_knows() -> None:
    """Who gives them with this version says nothing of it."""
    new = TaskOptions(time_limit=timedelta(seconds=9), retry=RetryPolicy(limit=2))

    assert dump_options(with_unknown(new, load_options(NEWER))) == {
        "colour": "green",
        "time_limit": 9,
        "retry": {"limit": 2, "colour": ["green"]},
    }
    assert with_unknown(new, TaskOptions()) is new


@pytest.mark.parametrize(
    "stored",
    [
        {"time_limit": -1},
        {"time_limit": "soon"},
        {"time_limit": 1e300},
        {"overlap": "someday"},
        {"retry": {"limit": -1}},
        {"retry": {"min_backoff": 7200}},
        {"retry": [1]},
        [1],
        None,
        "text",
    ],
)
def test_a_stored_value_out_of_range_is_refused(stored: Any) -> None:  # noqa: ANN401 - whatever somebody wrote
    """Somebody wrote it by hand."""
    with pytest.raises(InvalidValue):
        load_options(stored)
