"""What may be asked of a store: refused by name, before any store sees it, if it cannot be."""

from datetime import datetime
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import given

from duly.jobs import InvalidValue, TaskState
from duly.stores import Page, Run, RunQuery, RunStatus, TaskQuery
from duly.stores.queries import LIMIT_MAX, StateText, StatusText, parse_run_cursor, run_cursor
from support.tasks import NOON, SECOND, instants, names

RUN = Run(id="lease-1", slug="s", kind="k", fire_time=NOON, started_at=NOON, finished_at=NOON + SECOND, status=RunStatus.DONE)
LONG, ODD = "x" * 256, ("nul \0", "lone \ud800")

REFUSED: list[tuple[Any, str, object]] = [
    *((query, "kinds", bad) for query in (TaskQuery(), RunQuery()) for bad in ("work", ["work"], {"work"}, (1,), ("",), (None,), (LONG,))),
    *((query, "kinds", (bad,)) for query in (TaskQuery(), RunQuery()) for bad in ODD),
    *(
        (TaskQuery(), "states", bad)
        for bad in ("failed", ("Failed",), (1,), ("done",), [TaskState.FAILED], (RunStatus.FAILED,), TaskState.FAILED)
    ),
    *(
        (RunQuery(), "statuses", bad)
        for bad in ("failed", ("Failed",), (1,), ("running",), [RunStatus.FAILED], (TaskState.FAILED,), RunStatus.FAILED)
    ),
    *((TaskQuery(), "paused", bad) for bad in (1, 0, "yes")),
    *((TaskQuery(), name, bad) for name in ("prefix", "contains") for bad in (None, b"a", 1, LONG, *ODD)),
    *((RunQuery(), "prefix", bad) for bad in (None, b"a", 1, LONG, *ODD)),
    *((RunQuery(), name, bad) for name in ("slug", "node") for bad in ("", b"a", 1, LONG, *ODD)),
    *((TaskQuery(), "metadata", bad) for bad in (None, "a", [("a", "b")], {"a": 1}, {"a": None}, {1: "a"}, {"": "a"}, {"a": ODD[0]})),
    *((TaskQuery(), "after", bad) for bad in ("", 1, LONG, *ODD)),
    *((RunQuery(), "after", bad) for bad in ("", 1, "lease-1", b"a")),
    *((query, "limit", bad) for query in (TaskQuery(), RunQuery()) for bad in (0, -1, LIMIT_MAX + 1, 2**31, 1.0, True, None, "10")),
    (TaskQuery(due_from=NOON), "due_until", NOON - SECOND),
    (RunQuery(since=NOON), "until", NOON - SECOND),
]


@pytest.mark.parametrize(
    ("query", "field", "bad"), REFUSED, ids=[f"{type(query).__name__}.{name} {bad!r:.20}" for query, name, bad in REFUSED]
)
def test_a_bad_condition_is_refused_by_name(query: Any, field: str, bad: object) -> None:  # noqa: ANN401 - each of the two
    """Also one that a store would take for another: a text is a sequence of texts, and 1 is true."""
    with pytest.raises(InvalidValue, match=field):
        evolve(query, **{field: bad})


@pytest.mark.parametrize("query", [TaskQuery(), RunQuery()], ids=["TaskQuery", "RunQuery"])
def test_the_ends_of_what_is_allowed(query: Any) -> None:  # noqa: ANN401 - each of the two
    """One and the most on a page, the longest prefix, and no kind at all, which nothing fulfils."""
    for limit in (1, LIMIT_MAX):
        assert evolve(query, limit=limit).limit == limit
    assert evolve(query, prefix="é" * 255, kinds=()).kinds == ()


def test_members_may_be_given_by_their_texts() -> None:
    """Also beside members; the texts that a type checker knows are all that there are."""
    assert TaskQuery(states=("failed", TaskState.RUNNING)).states == (TaskState.FAILED, TaskState.RUNNING)
    assert RunQuery(statuses=("lost", RunStatus.DONE)).statuses == (RunStatus.LOST, RunStatus.DONE)
    assert TaskQuery(states=get_args(StateText)) == TaskQuery(states=tuple(TaskState))
    assert RunQuery(statuses=get_args(StatusText)) == RunQuery(statuses=tuple(RunStatus))


def test_a_page_is_what_it_has() -> None:
    """It iterates over its own items; the next page is another query."""
    assert list(Page(items=[1, 2], next="b")) == [1, 2]


def test_an_empty_range_is_a_range() -> None:
    """It ends where it begins, and nothing is in it; and a range may be open."""
    assert TaskQuery(due_from=NOON, due_until=NOON).due_until == NOON
    assert RunQuery(since=NOON, until=NOON).until == NOON
    assert (TaskQuery(due_until=NOON).due_from, RunQuery(since=NOON).until) == (None, None)


def test_a_query_keeps_its_own_metadata() -> None:
    """The caller's mapping may change afterwards."""
    metadata = {"a": "b"}
    query = TaskQuery(metadata=metadata)
    metadata["a"] = "c"

    assert query.metadata == {"a": "b"}


# -- cursors


@given(instants, names)
def test_a_cursor_is_read_back_as_it_was_written(finished_at: datetime, run_id: str) -> None:
    """Whatever is in the run's id, to the microsecond."""
    run = evolve(RUN, finished_at=finished_at, id=run_id)

    assert parse_run_cursor(run_cursor(run)) == (finished_at, run_id)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "2024-06-01T12:00:00+00:00",
        "2024-06-01T12:00:00+00:00 ",
        "2024-06-01T12:00:00+00:00 a\0",
        "0001-01-01T00:00:00+05:00 a",
        "yesterday lease-1",
        "2024-06-01 lease-1",
        "2024-06-01T12:00:00 lease-1",
        "lease-1 2024-06-01",
    ],
)
def test_any_other_text_is_no_cursor(cursor: str) -> None:
    """One without a zone neither: it names no instant."""
    with pytest.raises(InvalidValue) as caught:
        parse_run_cursor(cursor)

    assert (caught.value.field, caught.value.value) == ("after", cursor)


@given(instants, names)
def test_a_query_takes_the_cursor_of_any_run(finished_at: datetime, run_id: str) -> None:
    """As `Page.next` gives it."""
    cursor = run_cursor(evolve(RUN, finished_at=finished_at, id=run_id))

    assert RunQuery(after=cursor).after == cursor
