"""Tasks as Firestore documents: pure functions, no emulator."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from hypothesis import example, given
from hypothesis import strategies as st

from duly.jobs import RetryPolicy, Task, TaskOptions
from duly.stores import UnreadableTask
from duly.stores.firestore.documents import Row, changed, document_id, dropped, dump_task, load_task
from duly.stores.rules import transitions

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=255)


@given(NAMES)
@example(".")
@example("..")
@example("__x__")
@example("____")
@example("__a\nb__")
@example("a/b")
@example("%2F")
@example("🙂" * 255)
@example("/" * 255)
def test_every_name_has_an_id_that_firestore_takes(name: str) -> None:
    """No slash, none of the reserved names, and short enough."""
    made = document_id(name)

    assert made
    assert "/" not in made
    assert made not in {".", ".."}
    assert not (made.startswith("__") and made.endswith("__") and len(made) > 3)
    assert len(made.encode()) <= 1500


@given(NAMES, NAMES)
@example(".", "%2E")
@example("__x__", "%5F_x__")
@example("a/b", "a%2Fb")
def test_unlike_names_have_unlike_ids(one: str, other: str) -> None:
    """So that no task takes another one's place."""
    assert (document_id(one) == document_id(other)) == (one == other)


def test_a_plain_name_is_its_own_id() -> None:
    """People find it in the console."""
    assert document_id("report:emea 1") == "report:emea 1"


def a_task() -> Task:
    """A task as it is kept, with most of its fields set."""
    options = TaskOptions(retry=RetryPolicy(limit=2), time_limit=timedelta(seconds=5))
    task = Task(slug="s", kind="k", run_at=NOON, anchor=NOON, trigger="@every 5s", options=options, metadata={"__k__": "v"}, payload=b"p")
    return transitions.create(task, namespace="n", now=NOON)


def test_a_task_comes_back_from_its_document() -> None:
    """With every field, and its row as the etag."""
    row = Row(dump_task(a_task()), NOON)
    loaded = load_task(row, "n")

    assert loaded == a_task()
    assert loaded.etag is row


def test_a_document_without_the_later_fields_is_read_with_their_defaults() -> None:
    """It was written by somebody who did not know them; a write of it leaves them out or sets them.

    Not so without `needs`: no lock would find it, and nobody would know why it never runs.
    """
    later = {"declared", "run_at_from", "idle_since", "instance"}
    fields = {name: value for name, value in dump_task(a_task()).items() if name not in later}

    assert load_task(Row(fields, NOON), "n") == a_task()
    del fields["needs"]
    with pytest.raises(UnreadableTask, match="needs: missing"):
        load_task(Row(fields, NOON), "n")


def test_instants_come_back_as_plain_datetimes() -> None:
    """Google's own subclass, whose sums are of its kind too, stays at the door."""
    instant = DatetimeWithNanoseconds(2024, 6, 1, 12, nanosecond=1_000, tzinfo=UTC)  # type: ignore[no-untyped-call]
    task = load_task(Row({**dump_task(a_task()), "run_at": instant}, NOON), "n")

    assert type(task.run_at) is datetime
    assert task.run_at == NOON + timedelta(microseconds=1)


def test_what_is_none_is_absent() -> None:
    """A paused task has no `due_at` at all: a null would stand first in the index."""
    paused = transitions.edit(a_task(), transitions.pause(a_task()), now=NOON)

    assert "due_at" not in dump_task(paused)
    assert None not in dump_task(paused).values()
    assert dropped(dump_task(a_task()), dump_task(paused)) == ["due_at"]


def test_a_lock_does_not_send_the_payload_again() -> None:
    """Only what changed is written."""
    locked = transitions.lock(a_task(), node="a", lease_id="l", now=NOON, lease=timedelta(seconds=9))
    assert locked is not None

    names = set(changed(dump_task(a_task()), dump_task(locked.task)))
    assert names == {"state", "node", "lease_id", "locked_at", "due_at", "attempt", "first_run_at", "version"}


def test_a_field_of_a_newer_version_is_left_alone() -> None:
    """It is neither read nor dropped."""
    fields = {**dump_task(a_task()), "colour": "red"}

    assert load_task(Row(fields, NOON), "n") == a_task()
    assert dropped(fields, dump_task(a_task())) == []


def test_a_document_that_is_no_task_is_named() -> None:
    """Somebody may write into the collection by hand."""
    with pytest.raises(UnreadableTask, match=r"task 'odd' cannot be read by this version of duly: kind, needs, state, .*missing"):
        load_task(Row({"slug": "odd"}, NOON), "n")


def test_a_document_under_another_slug_is_named_by_its_id() -> None:
    """A write by its slug would go to another document."""
    row = Row(dump_task(a_task()), NOON, "other")

    assert row.name == "other"
    with pytest.raises(UnreadableTask, match=r"task 'other' .*slug 's': expected that of the document 'other'"):
        load_task(row, "n")


def test_a_task_with_its_row_survives_pickling() -> None:
    """It may travel to another process and back."""
    task = load_task(Row(dump_task(a_task()), NOON), "n")

    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 - of our own making
