"""Queries as predicates."""

from datetime import timedelta
from typing import Any

import pytest

from duly.jobs import InvalidValue, Task, TaskState
from duly.stores import Run, RunQuery, RunStatus, TaskQuery
from duly.stores.matching import check_batch, matches_run, matches_task
from support.tasks import HOUR, NOON, SECOND, a_one_off

TASK = a_one_off(slug="report:emea", kind="report", metadata={"team": "a", "tier": "1"})
PAUSED = a_one_off(paused=True)
RUN = Run(id="lease-1", slug="s", kind="k", node="a", fire_time=NOON, started_at=NOON, finished_at=NOON + SECOND, status=RunStatus.DONE)
TICK = timedelta(microseconds=1)

TASK_QUERIES: list[tuple[dict[str, Any], Task, bool]] = [
    ({}, TASK, True),
    ({"kinds": ("other", "report")}, TASK, True),
    ({"kinds": ("other",)}, TASK, False),
    ({"kinds": ()}, TASK, False),
    ({"states": (TaskState.SCHEDULED,)}, TASK, True),
    ({"states": (TaskState.RUNNING, TaskState.FAILED)}, TASK, False),
    ({"paused": False}, TASK, True),
    ({"paused": True}, TASK, False),
    ({"paused": True}, PAUSED, True),
    ({"prefix": "report:"}, TASK, True),
    ({"prefix": "Report"}, TASK, False),
    ({"prefix": "report%"}, TASK, False),
    ({"contains": "rt:e"}, TASK, True),
    ({"contains": "RT"}, TASK, False),
    ({"contains": "r%a"}, TASK, False),
    ({"metadata": {"team": "a"}}, TASK, True),
    ({"metadata": {"team": "a", "tier": "1"}}, TASK, True),
    ({"metadata": {"team": "a", "tier": "2"}}, TASK, False),
    ({"metadata": {"owner": "x"}}, TASK, False),
    ({"due_from": NOON}, TASK, True),
    ({"due_from": NOON + TICK}, TASK, False),
    ({"due_until": NOON + TICK}, TASK, True),
    ({"due_until": NOON}, TASK, False),
    ({"due_from": NOON - HOUR}, PAUSED, False),
    ({"due_until": NOON + HOUR}, PAUSED, False),
    ({"kinds": ("report",), "paused": True}, TASK, False),
]


@pytest.mark.parametrize(("conditions", "task", "expected"), TASK_QUERIES, ids=[str(case[0]) for case in TASK_QUERIES])
def test_every_condition_must_hold(conditions: dict[str, Any], task: Task, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """Ranges take their start in and leave their end out; what is never due is in none."""
    assert matches_task(TaskQuery(**conditions), task) == expected


RUN_QUERIES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"slug": "s"}, True),
    ({"slug": "S"}, False),
    ({"prefix": "s"}, True),
    ({"prefix": "s@"}, False),
    ({"node": "a"}, True),
    ({"node": "b"}, False),
    ({"kinds": ("k",)}, True),
    ({"kinds": ()}, False),
    ({"statuses": (RunStatus.DONE, RunStatus.LOST)}, True),
    ({"statuses": (RunStatus.FAILED,)}, False),
    ({"since": NOON + SECOND}, True),
    ({"since": NOON + SECOND + TICK}, False),
    ({"until": NOON + SECOND + TICK}, True),
    ({"until": NOON + SECOND}, False),
]


@pytest.mark.parametrize(("conditions", "expected"), RUN_QUERIES, ids=[str(case[0]) for case in RUN_QUERIES])
def test_runs_are_found_by_when_they_ended(conditions: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """And by slug, kind and status."""
    assert matches_run(RunQuery(**conditions), RUN) == expected


def test_a_slug_stands_once_in_a_batch() -> None:
    """Nobody could say which of the two was meant."""
    check_batch([a_one_off(slug="a"), a_one_off(slug="b")])
    with pytest.raises(InvalidValue, match="'b'"):
        check_batch([a_one_off(slug="a"), a_one_off(slug="b"), a_one_off(slug="b", kind="other")])
