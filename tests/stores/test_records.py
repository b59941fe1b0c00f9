"""The values that pass between a node and a store."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given

from duly.jobs import InvalidValue
from duly.jobs.storable import TEXT_LIMIT
from duly.stores import Held, Kept, LockRequest, Node, Run, RunQuery, RunStatus, TaskQuery
from duly.triggers import NaiveDatetime
from support.tasks import NOON, SECOND, texts

NAIVE = NOON.replace(tzinfo=None)
ELSEWHERE = timezone(timedelta(hours=5, minutes=45))
RUN = Run(id="lease-1", slug="s", kind="k", fire_time=NOON, started_at=NOON, finished_at=NOON, status=RunStatus.DONE)
NODE = Node(name="a", started_at=NOON, seen_at=NOON, until=NOON)
REQUEST = LockRequest(node="a", rooms={"x": 3, "y": 1}, lease=30 * SECOND, token="token")  # noqa: S106 - the id of a request

INSTANTS: list[tuple[Any, str]] = [
    *((RUN, name) for name in ("fire_time", "started_at", "finished_at")),
    *((NODE, name) for name in ("started_at", "seen_at", "until")),
    *((TaskQuery(), name) for name in ("due_from", "due_until")),
    *((RunQuery(), name) for name in ("since", "until")),
]


@pytest.mark.parametrize(("value", "field"), INSTANTS, ids=[f"{type(value).__name__}.{field}" for value, field in INSTANTS])
def test_every_instant_is_kept_in_utc_and_none_is_naive(value: Any, field: str) -> None:  # noqa: ANN401 - each of them
    """A store compares them, and asks its server for them."""
    assert getattr(evolve(value, **{field: NOON.astimezone(ELSEWHERE)}), field).tzinfo is UTC
    with pytest.raises(NaiveDatetime):
        evolve(value, **{field: NAIVE})


REFUSED: list[tuple[Any, str, object]] = [
    (RUN, "id", ""),
    (NODE, "name", ""),
    (NODE, "name", "a\0"),
    (REQUEST, "node", ""),
    (REQUEST, "token", ""),
    (REQUEST, "lease", timedelta(0)),
    (REQUEST, "lease", -SECOND),
    (REQUEST, "rooms", {"x": 1, "y": 0}),
]


@pytest.mark.parametrize(
    ("value", "field", "bad"), REFUSED, ids=[f"{type(value).__name__}.{field} {bad!r}" for value, field, bad in REFUSED]
)
def test_a_bad_value_is_refused_by_name(value: Any, field: str, bad: object) -> None:  # noqa: ANN401 - each of them
    """Before any store sees it."""
    with pytest.raises(InvalidValue, match=field):
        evolve(value, **{field: bad})


def test_a_run_cannot_have_an_unknown_status() -> None:
    """The statuses are a closed list."""
    with pytest.raises(ValueError, match="finished"):
        evolve(RUN, status="finished")


@given(texts, texts)
def test_error_and_result_of_a_run_are_made_storable(error: str, result: str) -> None:
    """NUL and lone surrogates would fail the write of a whole batch."""
    run = evolve(RUN, error=error, result=result)

    for text in (run.error, run.result):
        assert text is not None
        assert "\0" not in text
        assert len(text.encode()) <= TEXT_LIMIT


def test_a_long_error_is_cut() -> None:
    """To what every store keeps."""
    error = evolve(RUN, error="é" * TEXT_LIMIT).error

    assert error is not None
    assert len(error.encode()) <= TEXT_LIMIT
    assert error.endswith("...[cut]")


def test_a_request_derives_its_lease_ids_from_its_token() -> None:
    """So that the same request, repeated, names the same leases; and no two of its tasks share one."""
    ids = [REQUEST.lease_id(number) for number in range(REQUEST.batch)]

    assert REQUEST.batch == 4
    assert len(set(ids)) == 4
    assert ids == [evolve(REQUEST).lease_id(number) for number in range(4)]
    assert not set(ids) & {evolve(REQUEST, token="other").lease_id(number) for number in range(4)}  # noqa: S106 - the id of a request


def test_a_lease_is_known_by_slug_and_id_not_by_the_stores_mark() -> None:
    """The etag is the store's own business."""
    assert Held("s", "lease-1", etag=1) == Held("s", "lease-1", etag=2)
    assert Held("s", "lease-1") != Held("s", "lease-2")
    assert Kept("s", "lease-1", version=2, stop=False).lease_id == "lease-1"


def test_a_node_is_what_it_says_in_text() -> None:
    """The caller's mapping may change afterwards."""
    info = {"host": "h"}
    node = evolve(NODE, info=info)
    info["host"] = "other"

    assert node.info == {"host": "h"}


def test_instants_keep_their_microseconds() -> None:
    """A cursor and a fire time depend on them."""
    instant = datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)

    assert evolve(RUN, finished_at=instant).finished_at == instant
