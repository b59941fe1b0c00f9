"""What a task may hold."""

import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from duly.jobs import (
    PAYLOAD_LIMIT,
    PAYLOAD_MAX,
    Consistency,
    InvalidSlug,
    InvalidValue,
    PayloadTooLarge,
    Task,
    TaskOptions,
    TaskState,
    TriggerSource,
)
from duly.jobs.payload import check_payload
from duly.jobs.storable import TEXT_LIMIT, storable
from duly.jobs.validators import METADATA_MAX
from duly.triggers import NaiveDatetime

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
TASK = Task(slug="s", kind="k", run_at=NOON, anchor=NOON)
INSTANTS = ("run_at", "anchor", "due_at", "retry_at", "first_run_at", "ended_at", "locked_at", "created_at", "updated_at")


def changed(**values: Any) -> Task:  # noqa: ANN401 - good or bad
    """The task with other values."""
    return evolve(TASK, **values)


REFUSED: list[tuple[str, object, type[InvalidValue]]] = [
    ("slug", "", InvalidSlug),
    ("slug", "x" * 256, InvalidSlug),
    ("slug", "a\0b", InvalidSlug),
    ("slug", "\ud800", InvalidSlug),
    ("slug", b"bytes", InvalidSlug),
    ("slug", None, InvalidSlug),
    ("kind", "", InvalidValue),
    ("kind", "x" * 256, InvalidValue),
    ("kind", "\udfff", InvalidValue),
    ("namespace", "", InvalidValue),
    ("payload", "text", InvalidValue),
    ("payload", None, InvalidValue),
    ("payload", bytearray(b"x"), InvalidValue),
    ("payload", bytes(PAYLOAD_MAX + 1), PayloadTooLarge),
    ("payload_version", 0, InvalidValue),
]


@pytest.mark.parametrize(("field", "value", "error"), REFUSED, ids=[f"{field} {value!r:.20}" for field, value, _ in REFUSED])
def test_a_bad_value_is_refused(field: str, value: object, error: type[InvalidValue]) -> None:
    """With an error of its own, which names the field, the value and what is expected.

    Of a payload, which may be a secret, its class.
    """
    with pytest.raises(error) as caught:
        changed(**{field: value})

    assert (caught.value.field, caught.value.value) == (field, type(value).__name__ if field == "payload" else value)
    assert caught.value.expected in str(caught.value)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 300, "a message is for people, whatever the value's size"


@pytest.mark.parametrize("slug", ["x" * 255, "é" * 255, "a/b:c@d e\n", "\U0001f570"])
def test_any_other_text_is_a_slug(slug: str) -> None:
    """Up to 255 characters."""
    assert changed(slug=slug).slug == slug


@pytest.mark.parametrize("field", INSTANTS)
def test_an_instant_without_a_zone_is_refused(field: str) -> None:
    """Guessing its zone would move it."""
    with pytest.raises(NaiveDatetime):
        changed(**{field: NOON.replace(tzinfo=None)})


@pytest.mark.parametrize("field", INSTANTS)
def test_an_instant_is_kept_in_utc(field: str) -> None:
    """Whatever zone it came in."""
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))

    assert getattr(changed(**{field: local}), field).tzinfo is UTC


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"": "x"}, "metadata key"),
        ({"a\0": "x"}, "metadata key"),
        ({"a": "x\0"}, "metadata['a']"),
        ({"a": "\ud800"}, "metadata['a']"),
        ({"a": 1}, "metadata['a']"),
        ({"a": "x" * METADATA_MAX}, "metadata"),
    ],
)
def test_metadata_that_no_store_keeps_is_refused(metadata: dict[str, str], field: str) -> None:
    """The error names the entry."""
    with pytest.raises(InvalidValue) as caught:
        changed(metadata=metadata)

    assert caught.value.field == field


def test_metadata_is_a_copy() -> None:
    """The caller's may change afterwards."""
    metadata = {"team": "a"}
    task = changed(metadata=metadata)
    metadata["team"] = "b"

    assert task.metadata == {"team": "a"}


@pytest.mark.parametrize("text", ["result", "last_error"])
def test_a_text_of_a_run_is_made_storable(text: str) -> None:
    """It is escaped and cut, not refused: the run is over, and must be written."""
    task = changed(**{text: "a\0b\ud800" + "x" * TEXT_LIMIT})

    kept: str = getattr(task, text)
    assert kept.startswith("a\\x00b\\ud800x")
    assert kept.endswith("...[cut]")
    assert len(kept) == TEXT_LIMIT


@given(st.text(st.characters(codec=None)), st.integers(20, 200))
def test_storable_text_is_encodable_bounded_and_stays_as_it_is(text: str, limit: int) -> None:
    """For any text."""
    kept = storable(text, limit)

    assert kept is not None
    assert len(kept.encode()) <= limit
    assert "\0" not in kept
    assert storable(kept, limit) == kept


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_text_that_is_fit_is_kept(text: str) -> None:
    """Unchanged, down to the last character."""
    assert storable(text, 200) == text


def test_no_text_is_no_text() -> None:
    """None stays None."""
    assert storable(None) is None


def test_a_payload_is_checked_against_the_schedulers_limit() -> None:
    """The error holds both sizes."""
    assert check_payload(bytes(PAYLOAD_LIMIT)) == bytes(PAYLOAD_LIMIT)
    with pytest.raises(PayloadTooLarge) as caught:
        check_payload(b"12345", 4)

    assert (caught.value.size, caught.value.limit) == (5, 4)


@pytest.mark.parametrize(
    ("trigger", "source", "recurring"),
    [(None, "task", False), ("@every 1s", "task", True), ("@after 1h", "task", False), (None, "job", True)],
)
def test_a_task_with_a_trigger_is_recurring(trigger: str | None, source: str, *, recurring: bool) -> None:
    """Its own, or its job's."""
    assert changed(trigger=trigger, trigger_from=source).recurring is recurring


def test_words_from_a_store_become_its_terms() -> None:
    """A row holds text."""
    task = changed(state="running", trigger_from="job")

    assert (task.state, task.trigger_from) == (TaskState.RUNNING, TriggerSource.JOB)
    assert TaskOptions(consistency="at_most_once").consistency is Consistency.AT_MOST_ONCE


@pytest.mark.parametrize("limit", [timedelta(0), timedelta(seconds=-1)])
def test_a_time_limit_is_longer_than_none(limit: timedelta) -> None:
    """None is how to have none."""
    with pytest.raises(InvalidValue, match="time_limit"):
        TaskOptions(time_limit=limit)


def test_a_task_cannot_be_changed() -> None:
    """A change is a new value."""
    with pytest.raises(FrozenInstanceError):
        TASK.slug = "other"  # type: ignore[misc]


def test_a_stores_mark_is_not_part_of_the_value() -> None:
    """Two stores keep the same task under different marks."""
    assert changed(etag=1) == changed(etag=2)


def test_payload_result_and_error_stay_out_of_the_logs() -> None:
    """They may be large, or secret."""
    assert "secret" not in repr(changed(payload=b"secret", result="secret", last_error="secret"))


def test_an_error_travels_between_processes() -> None:
    """With its class, message and data."""
    with pytest.raises(PayloadTooLarge) as caught:
        check_payload(b"12345", 4)

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes

    assert (type(copy), str(copy), copy.limit) == (PayloadTooLarge, str(caught.value), 4)
