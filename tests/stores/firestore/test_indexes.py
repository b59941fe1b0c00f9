"""An index for every query: the emulator answers without them, the real thing does not."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve
from google.cloud.firestore_v1.types import StructuredQuery

from duly.jobs import TaskState
from duly.stores import RunQuery, RunStatus, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, advanced, request
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.firestore.documents import EDITED_AT, TASK_FIELDS
from support.metering import Meter

pytestmark = pytest.mark.firestore


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


@pytest.fixture
def meter(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> Meter:
    """A meter on the store's connection."""
    meter = Meter()
    meter.attach(store, monkeypatch)
    return meter


@pytest.fixture
def indexes() -> dict[str, Any]:
    """The index file that ships with the store."""
    text = files("duly.stores.firestore").joinpath("firestore.indexes.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def index_of(query: StructuredQuery) -> tuple[str, set[str], list[tuple[str, str]]]:
    """The collection of a query, the fields that it compares for equality, and the order that it wants."""
    filters = list(query.where.composite_filter.filters) or ([query.where] if "where" in query else [])
    operators = {each.field_filter.field.field_path: each.field_filter.op.name for each in filters}
    equal = {name for name, operator in operators.items() if operator in {"EQUAL", "IN"}}
    orders = [(order.field.field_path, order.direction.name) for order in query.order_by if order.field.field_path != "__name__"]
    assert all(name in equal or (orders and orders[0][0] == name) for name in operators), (
        f"a range that no index has in its order: {operators}"
    )
    return query.from_[0].collection_id, equal, orders


def is_indexed(indexes: dict[str, Any], query: StructuredQuery) -> bool:
    """Whether the file has an index for the query.

    One for all its equalities, or one for each of them, in the same order.
    """
    collection, equal, orders = index_of(query)
    if not orders:
        return not equal
    composite = {
        tuple((part["fieldPath"], part["order"]) for part in index["fields"])
        for index in indexes["indexes"]
        if index["collectionGroup"] == collection
    }
    if len(orders) == 1 and not equal:
        return any(
            {"order": orders[0][1], "queryScope": "COLLECTION"} in override["indexes"]
            for override in indexes["fieldOverrides"]
            if (override["collectionGroup"], override["fieldPath"]) == (collection, orders[0][0])
        )
    whole = {(frozenset(index[: len(equal)]), index[len(equal) :]) for index in composite}
    if (frozenset((name, "ASCENDING") for name in equal), tuple(orders)) in whole:
        return True
    return bool(equal) and all(((name, "ASCENDING"), *orders) in composite for name in equal)


async def test_every_query_has_its_index(store: FirestoreStore, meter: Meter, indexes: dict[str, Any]) -> None:
    """All queries and counts there are, with each of their conditions and with all of them.

    Each is there for the first page and for the next.
    """
    await store.create(NOON, [a_schedule(f"s{number}") for number in range(3)])
    tasks = await store.lock(NOON, request({"work": 2, "other": 2}))
    await store.reschedule(NOON, [advanced(task, run_at=NOON + SECOND) for task in tasks])
    conditions: dict[str, Any] = {"kinds": ("work", "x"), "states": (TaskState.SCHEDULED,), "paused": False, "prefix": "s"}
    for names in ((), ("kinds",), ("states",), ("paused",), tuple(conditions)):
        query = TaskQuery(**{name: conditions[name] for name in names}, limit=1)
        page = await store.search(query)
        await store.search(evolve(query, after=page.next, metadata={"a": "b"}))
        await store.count(query)
        await store.count(evolve(query, due_from=NOON))
    filters: dict[str, Any] = {
        "slug": "s0",
        "prefix": "s",
        "kinds": ("work",),
        "statuses": tuple(RunStatus),
        "node": "a",
        "since": NOON,
        "until": NOON + LEASE,
    }
    for names in ((), *((name,) for name in filters), tuple(filters)):
        runs = await store.runs(RunQuery(**{name: filters[name] for name in names}, limit=1))
        await store.runs(RunQuery(**{name: filters[name] for name in names}, limit=1, after=runs.next))
    await store.next_run(["work", "other"])
    await store.get_slugs(prefix="s", after="s0")
    await store.prune(NOON - timedelta(1), 1, 10)
    await store.clear()

    assert len(meter.queries) > 40
    assert [index_of(query) for query in meter.queries if not is_indexed(indexes, query)] == []


def test_no_other_field_is_indexed(indexes: dict[str, Any]) -> None:
    """Each index that nobody asks makes every write slower.

    A payload in an index is bytes for nothing.
    """
    named = {
        override["fieldPath"]: override["indexes"] for override in indexes["fieldOverrides"] if override["collectionGroup"] == "duly_tasks"
    }

    assert set(named) == {*TASK_FIELDS, EDITED_AT}
    assert {name for name, kept in named.items() if kept} == {"slug", EDITED_AT}


def test_listeners_have_their_index(indexes: dict[str, Any]) -> None:
    """The newest edit is found from the end."""
    (override,) = [each for each in indexes["fieldOverrides"] if each["fieldPath"] == EDITED_AT]
    assert override["indexes"] == [{"order": "DESCENDING", "queryScope": "COLLECTION"}]
