"""A record with some of its fields changed."""

from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest

from duly.jobs import InvalidValue, Request, Task, TaskState
from duly.jobs.with_changes import with_changes

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TASK = Task(slug="a", kind="k", run_at=NOON, anchor=NOON, metadata={"team": "red"}, etag=object())


def test_what_is_not_changed_is_as_it_was() -> None:
    """Also what does not belong to the value."""
    changed = with_changes(TASK, attempt=2, state=TaskState.RUNNING)
    assert changed == attrs.evolve(TASK, attempt=2, state=TaskState.RUNNING)
    assert (changed.etag, TASK.attempt) == (TASK.etag, 0)


def test_any_frozen_record_is_changed_so() -> None:
    """What a job returns to go on, as well as a task."""
    then = TASK.then(after=timedelta(days=1))
    assert with_changes(then, result="sent") == attrs.evolve(then, result="sent")


def test_what_is_changed_is_converted_as_the_class_does() -> None:
    """To UTC, and to a member of its enumeration."""
    one = timezone(timedelta(hours=1))
    changed = with_changes(TASK, run_at=datetime(2030, 1, 1, 13, tzinfo=one), request="stop")
    assert (changed.run_at.tzinfo, changed.run_at, changed.request) == (UTC, NOON, Request.STOP)


def test_what_is_changed_is_checked_as_the_class_does() -> None:
    """By the validators of the fields that changed."""
    with pytest.raises(InvalidValue, match="payload_version"):
        with_changes(TASK, payload_version=0)


def test_a_field_that_does_not_exist_is_named() -> None:
    """Nothing is silently ignored."""
    with pytest.raises(TypeError, match="Task has no field 'colour'"):
        with_changes(TASK, colour="red")  # type: ignore[call-arg]  # the mistake
