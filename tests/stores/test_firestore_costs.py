"""What is billed: reads, writes and deletions of each step, and an index for every query. `docs/firestore.md` states these figures."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import pytest_asyncio
from attrs import define, evolve, field
from google.cloud.firestore_v1.types import StructuredQuery

from detent.jobs import TaskState
from detent.stores import RunQuery, RunStatus, TaskQuery
from detent.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, held_of, request
from detent.stores.firestore import FirestoreStore, Target, finding
from detent.stores.firestore.documents import EDITED_AT, TASK_FIELDS

pytestmark = pytest.mark.firestore


@define
class Meter:
    """Counts, as Google bills, what goes over a store's connection; an empty query is a read."""

    calls: int = 0
    reads: int = 0
    writes: int = 0
    deletes: int = 0
    queries: list[StructuredQuery] = field(factory=list)

    def attach(self, store: FirestoreStore, patch: pytest.MonkeyPatch) -> None:
        """Count from now on."""
        api: Any = store._open.tenant.connection.api
        commit, run_query, batch_get = api.commit, api.run_query, api.batch_get_documents

        async def counted_commit(*, request: dict[str, Any], **options: object) -> object:
            self.calls += 1
            deletes = sum("delete" in write for write in request["writes"])
            self.deletes += deletes
            self.writes += len(request["writes"]) - deletes
            return await commit(request=request, **options)

        async def counted_query(*, request: dict[str, Any], **options: object) -> AsyncIterator[Any]:
            self.calls += 1
            self.queries.append(request["structured_query"])
            answers = [answer async for answer in await run_query(request=request, **options)]
            self.reads += max(1, sum("document" in answer for answer in answers))
            return _stream(answers)

        async def counted_get(*, request: dict[str, Any], **options: object) -> object:
            self.calls += 1
            self.reads += len(request["documents"])
            return await batch_get(request=request, **options)

        patch.setattr(api, "commit", counted_commit)
        patch.setattr(api, "run_query", counted_query)
        patch.setattr(api, "batch_get_documents", counted_get)

    def bill(self) -> tuple[int, int, int, int]:
        """Calls, reads, writes and deletes since the last time."""
        bill = (self.calls, self.reads, self.writes, self.deletes)
        self.calls = self.reads = self.writes = self.deletes = 0
        return bill


async def _stream(answers: list[Any]) -> AsyncIterator[Any]:
    for answer in answers:
        yield answer


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


async def test_the_life_of_a_one_off(store: FirestoreStore, meter: Meter) -> None:
    """Created, locked, finished: 3 writes and 1 deletion, and with the two looks at what is next 4 reads."""
    await store.create(NOON, [a_task()])
    assert meter.bill() == (1, 0, 1, 0)

    exchange = await store.exchange(NOON, [], request())
    assert meter.bill() == (3, 2, 1, 0)  # what is due, the lock, what is due next

    await store.exchange(NOON + SECOND, [finished(exchange.tasks[0])], request())
    assert meter.bill() == (2, 1, 1, 1)  # task and history in one commit; a look at what is next


async def test_a_fire_of_a_schedule(store: FirestoreStore, meter: Meter) -> None:
    """Locked and advanced: 3 writes, one of them the history's."""
    await store.create(NOON, [a_schedule("s")])
    (held,) = await store.lock(NOON, request())
    meter.bill()

    assert await store.reschedule(NOON, [advanced(held, run_at=NOON + LEASE)]) == []
    assert meter.bill() == (1, 0, 2, 0)


async def test_a_full_batch_costs_one_read_and_three_writes_a_run(store: FirestoreStore, meter: Meter) -> None:
    """When there is always more to do, nobody looks at what is next."""
    await store.create(NOON, [a_schedule(f"s{number}") for number in range(20)])
    first = await store.exchange(NOON, [], request({"work": 10}))
    meter.bill()

    outcomes = [advanced(task, run_at=NOON + LEASE) for task in first.tasks]
    await store.exchange(NOON, outcomes, request({"work": 10}))
    assert meter.bill() == (21, 10, 30, 0)


async def test_a_heartbeat_costs_one_write(store: FirestoreStore, meter: Meter) -> None:
    """As long as it hands in what the one before gave back."""
    await store.create(NOON, [a_task()])
    held = [held_of(task) for task in await store.lock(NOON, request())]
    meter.bill()

    for beat in (1, 2, 3):
        held = list((await store.extend(NOON + beat * SECOND, held, LEASE)).kept)
        assert meter.bill() == (1, 0, 1, 0)


async def test_an_idle_poll_costs_one_read(store: FirestoreStore, meter: Meter) -> None:
    """Also when there is no task at all; the first one costs two."""
    await store.exchange(NOON, [], request())
    assert meter.bill() == (2, 2, 0, 0)
    for poll in range(3):
        await store.exchange(NOON + poll * SECOND, [], request())
        assert meter.bill() == (1, 1, 0, 0)

    await store.create(NOON, [a_task()])
    meter.bill()
    assert len((await store.exchange(NOON + 5 * SECOND, [], request())).tasks) == 1


async def test_a_busy_kind_costs_a_query_and_no_more(store: FirestoreStore, meter: Meter) -> None:
    """What has no room is read at most once, and what is not due never."""
    await store.create(NOON, [a_task(f"b{number:02}", kind="busy") for number in range(50)])
    await store.create(NOON, [a_task("rare", kind="rare", run_at=NOON + SECOND)])
    meter.bill()

    assert len(await store.lock(NOON + SECOND, request({"busy": 3, "rare": 1}))) == 4
    assert meter.bill() == (6, 5, 4, 0)


async def test_a_thousand_tasks_are_created_in_a_few_calls(store: FirestoreStore, meter: Meter) -> None:
    """All or nothing in one; otherwise in batches of three hundred."""
    await store.create(NOON, [a_task(f"a{number}") for number in range(1000)])
    assert meter.bill() == (1, 0, 1000, 0)

    await store.create(NOON, [a_task(f"b{number}") for number in range(1000)], if_exists="keep")
    assert meter.bill() == (4, 0, 1000, 0)


async def test_a_search_reads_a_bounded_number_of_tasks(store: FirestoreStore, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition that no index serves may find little among many: the page is short then, and tells where to go on."""
    monkeypatch.setattr(finding, "PAGE", 10)
    monkeypatch.setattr(finding, "SCAN", 20)
    await store.create(NOON, [a_task(f"t{number:02}", metadata={"n": str(number)}) for number in range(50)])
    meter.bill()

    query = TaskQuery(metadata={"n": "33"}, limit=1)
    page = await store.search(query)
    assert (page.items, page.next, meter.bill()) == ([], "t19", (2, 20, 0, 0))
    page = await store.search(evolve(query, after=page.next))
    assert ([task.slug for task in page.items], page.next) == (["t33"], "t39")
    assert (await store.search(evolve(query, after=page.next))).next is None


async def test_more_values_than_a_query_takes_are_compared_here(store: FirestoreStore) -> None:
    """With the same answer."""
    kinds = tuple(f"k{number:02}" for number in range(40))
    await store.create(NOON, [a_task(kind, kind=kind) for kind in (*kinds, "other")])
    await store.reschedule(NOON, [finished(task) for task in await store.lock(NOON, request({"k39": 1, "other": 1}))])

    assert len((await store.search(TaskQuery(kinds=kinds, states=(TaskState.SCHEDULED,)))).items) == 39
    assert [run.kind for run in (await store.runs(RunQuery(kinds=kinds, statuses=tuple(RunStatus)))).items] == ["k39"]


async def test_declaring_schedules_again_costs_a_read_each(store: FirestoreStore, meter: Meter) -> None:
    """As every start of a service does."""
    schedules = [a_schedule(f"s{number}") for number in range(10)]
    await store.create(NOON, schedules)
    meter.bill()

    assert await store.create(NOON + SECOND, schedules, if_exists="replace") == []
    assert meter.bill() == (1, 10, 0, 0)


# -- indexes: the emulator answers without them, the real thing does not


@pytest.fixture
def indexes() -> dict[str, Any]:
    """The index file that ships with the store."""
    text = files("detent.stores.firestore").joinpath("firestore.indexes.json").read_text()
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
    """Whether the file has an index for the query; several equalities may each use one of their own, in the same order."""
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
    return all(((name, "ASCENDING"), *orders) in composite for name in equal) if equal else tuple(orders) in composite


async def test_every_query_has_its_index(store: FirestoreStore, meter: Meter, indexes: dict[str, Any]) -> None:
    """All queries there are, with all their conditions, in both directions of paging."""
    await store.create(NOON, [a_schedule(f"s{number}") for number in range(3)])
    tasks = await store.lock(NOON, request({"work": 2, "other": 2}))
    await store.reschedule(NOON, [advanced(task, run_at=NOON + SECOND) for task in tasks])
    conditions: dict[str, Any] = {"kinds": ("work", "x"), "states": (TaskState.SCHEDULED,), "paused": False, "prefix": "s"}
    for names in ((), ("kinds",), ("states",), ("paused",), tuple(conditions)):
        page = await store.search(TaskQuery(**{name: conditions[name] for name in names}, limit=1))
        await store.search(TaskQuery(**{name: conditions[name] for name in names}, limit=1, after=page.next, metadata={"a": "b"}))
    filters: dict[str, Any] = {"slug": "s0", "kinds": ("work",), "statuses": tuple(RunStatus), "since": NOON, "until": NOON + LEASE}
    for names in ((), ("slug",), ("kinds",), ("statuses",), ("since",), ("until",), tuple(filters)):
        runs = await store.runs(RunQuery(**{name: filters[name] for name in names}, limit=1))
        await store.runs(RunQuery(**{name: filters[name] for name in names}, limit=1, after=runs.next))
    await store.next_run(["work", "other"])
    await store.get_slugs(prefix="s", after="s0")
    await store.prune(NOON - timedelta(1), 1, 10)
    await store.clear()

    assert len(meter.queries) > 25
    assert [index_of(query) for query in meter.queries if not is_indexed(indexes, query)] == []


def test_no_other_field_is_indexed(indexes: dict[str, Any]) -> None:
    """Each index that nobody asks makes every write slower, and a payload in an index is bytes for nothing."""
    named = {
        override["fieldPath"]: override["indexes"]
        for override in indexes["fieldOverrides"]
        if override["collectionGroup"] == "detent_tasks"
    }

    assert set(named) == {*TASK_FIELDS, EDITED_AT}
    assert {name for name, kept in named.items() if kept} == {"slug", EDITED_AT}


def test_listeners_have_their_index(indexes: dict[str, Any]) -> None:
    """The newest edit is found from the end."""
    (override,) = [each for each in indexes["fieldOverrides"] if each["fieldPath"] == EDITED_AT]
    assert override["indexes"] == [{"order": "DESCENDING", "queryScope": "COLLECTION"}]
