"""Documents that this version cannot read.

Whatever stands in some, those beside them are locked, listed and written.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from google.cloud.firestore import DELETE_FIELD, GeoPoint

from duly.jobs import Task
from duly.stores import JobAlreadyScheduled, JobNotFound, Outcome, RunQuery, TaskQuery, UnreadableTask
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, finished, held_of, request
from duly.stores.firestore import FirestoreStore, Target, locking
from duly.stores.firestore.documents import TASK_FIELDS
from duly.stores.rules import transitions
from duly.stores.rules.unreadable import UNREADABLE_PAUSE

pytestmark = pytest.mark.firestore

SOON = NOON + SECOND
SOMEDAY = '{"overlap": "someday"}'
ENDS = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
VALUES: tuple[object, ...] = (
    *(DELETE_FIELD, None, True, 0, -1, 2**63 - 1, 1.5, float("nan"), "", "x" * 300, "someday", SOMEDAY, "{", "[1]", '{"a": 1}'),
    *(b"bytes", [], [None], [NOON, NOON], {"a": 1}, GeoPoint(1, 2), *ENDS),
)


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


async def write(store: FirestoreStore, slug: str, /, **fields: object) -> None:
    """Write into a document by hand."""
    await store._open.tenant.task_at(slug).update(fields)


@pytest.mark.parametrize("field", TASK_FIELDS)
async def test_whatever_stands_in_a_document_its_neighbours_go_on(store: FirestoreStore, field: str) -> None:
    """They are locked, listed and written.

    Each other document is a task, or is put off and told with its reason.
    """
    slugs = [f"m{number:02}" for number in range(len(VALUES))]
    await store.create(NOON, [a_task("a"), *(a_schedule(slug) for slug in slugs), a_task("z")])
    for slug, value in zip(slugs, VALUES, strict=True):
        await write(store, slug, **{field: value})

    exchange = await store.exchange(SOON, [], request({"work": 50}))
    assert {"a", "z"} <= {task.slug for task in exchange.tasks}
    assert all(each.reason for each in exchange.unreadable)

    page = await store.search(TaskQuery())
    unreadable = {each.slug for each in page.unreadable}
    if field != "slug":
        assert {task.slug for task in page.items} | unreadable == {"a", *slugs, "z"}
        assert await store.count(TaskQuery()) == len(slugs) + 2
    assert len(await seen_in_small_pages(store)) == len(page.items) + len(page.unreadable)
    for each in page.unreadable:
        with pytest.raises((UnreadableTask, JobNotFound)):
            await store.get(each.slug)

    again = await store.exchange(SOON, [ended(task) for task in exchange.tasks], request({"work": 50}))
    assert (again.tasks, again.refused, again.unreadable) == ([], [], ())
    assert again.next_run is None or again.next_run > SOON
    assert len((await store.runs(RunQuery())).items) >= 2


async def seen_in_small_pages(store: FirestoreStore) -> list[str]:
    """Follow the pages, each of two tasks."""
    seen, after = list[str](), None
    while True:
        page = await store.search(TaskQuery(limit=2, after=after))
        seen += [*(task.slug for task in page.items), *(each.slug for each in page.unreadable)]
        after = page.next
        if after is None:
            return seen


def ended(task: Task) -> Outcome:
    """A one-off is done; a schedule is handed back, to be locked again much later."""
    if task.slug in {"a", "z"}:
        return finished(task, now=SOON)
    return Outcome(task=task, next=transitions.hand_back(task, now=SOON, until=SOON + LEASE))


async def test_an_unreadable_document_is_put_off_by_one_write_for_longer_each_time(store: FirestoreStore) -> None:
    """Nothing but its due instant moves."""
    await store.create(NOON, [a_schedule("m")])
    await write(store, "m", options=SOMEDAY)
    reference = store._open.tenant.task_at("m")
    before = (await reference.get()).to_dict()

    now, pauses = NOON, list[float]()
    for _ in range(7):
        exchange = await store.exchange(now, [], request())
        assert [each.slug for each in exchange.unreadable] == ["m"]
        assert exchange.next_run is not None
        pauses.append((exchange.next_run - now) / UNREADABLE_PAUSE)
        now = exchange.next_run

    after = (await reference.get()).to_dict()
    assert pauses == [1, 1, 2, 4, 8, 15, 15]
    assert {**(before or {}), "due_at": None} == {**(after or {}), "due_at": None}


async def test_many_unreadable_documents_do_not_make_a_call_long(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are put off, and the next call goes on behind them."""
    monkeypatch.setattr(locking, "UNREADABLE_AT_ONCE", 2)
    odd = ["m1", "m2", "m3", "m4", "m5"]
    await store.create(NOON, [a_task(slug) for slug in (*odd, "z")])
    for slug in odd:
        await write(store, slug, options=SOMEDAY)

    exchanges = [await store.exchange(SOON, [], request({"work": 2})) for _ in range(3)]

    assert [[each.slug for each in exchange.unreadable] for exchange in exchanges] == [["m1", "m2"], ["m3", "m4"], ["m5"]]
    assert [[task.slug for task in exchange.tasks] for exchange in exchanges] == [[], [], ["z"]]
    assert [exchange.next_run == SOON for exchange in exchanges[:2]] == [True, True]


async def test_a_task_that_became_unreadable_keeps_its_lease_and_its_outcome_is_lost(store: FirestoreStore) -> None:
    """A later version edited it during the run: nobody here decides on it.

    The heartbeat of its neighbours goes on.
    """
    await store.create(NOON, [a_task("a"), a_schedule("m")])
    locked = await store.lock(NOON, request())
    await write(store, "m", options=SOMEDAY, version=3)

    extended = await store.extend(SOON, [held_of(task) for task in locked], LEASE)
    refused = await store.reschedule(SOON, [ended(task) for task in locked])

    assert [kept.slug for kept in extended.kept] == ["a", "m"]
    assert [(each.outcome.task.slug, each.reason) for each in refused] == [("m", "lost")]
    assert await store.get_slugs() == ["m"]


async def test_an_unreadable_document_is_in_the_way_of_its_slug_and_stays_as_it_is(store: FirestoreStore) -> None:
    """Whoever schedules it anew with this version."""
    await store.create(NOON, [a_schedule("m")])
    await write(store, "m", options=SOMEDAY)
    new = [a_task("a"), a_schedule("m", trigger="@every 5s")]

    with pytest.raises(JobAlreadyScheduled):
        await store.create(NOON, new)
    assert await store.create(NOON, new, if_exists="replace") == ["a"]
    assert await store.create(NOON, new, if_exists="keep") == []

    assert [each.slug for each in (await store.search(TaskQuery())).unreadable] == ["m"]
    await store.delete("m")
    assert await store.get_slugs() == ["a"]


async def test_a_condition_that_is_compared_here_is_met_by_nothing_unreadable(store: FirestoreStore) -> None:
    """Nobody knows; what the server compares it does meet."""
    await store.create(NOON, [a_schedule("m")])
    await write(store, "m", options=SOMEDAY)

    assert [each.slug for each in (await store.search(TaskQuery(kinds=("work",)))).unreadable] == ["m"]
    assert (await store.search(TaskQuery(metadata={"a": "b"}))).unreadable == ()


async def test_runs_and_nodes_that_cannot_be_read_leave_the_others_listed(store: FirestoreStore) -> None:
    """The run is told beside the others; the node is left out."""
    await store.create(NOON, [a_task(slug) for slug in "abc"])
    locked = await store.lock(NOON, request())
    await store.reschedule(NOON, [finished(task) for task in locked])
    (lease_id,) = (task.lease_id for task in locked if task.slug == "b")
    await store._open.tenant.run_at(lease_id or "").update({"status": "someday"})
    await store._open.tenant.nodes.document("n").set({"name": "n"})

    page = await store.runs(RunQuery())

    assert sorted(run.slug for run in page.items) == ["a", "c"]
    assert [each.slug for each in page.unreadable] == ["b"]
    assert await store.nodes() == []


async def test_slots_that_nobody_could_have_written_keep_nobody_from_asking(store: FirestoreStore) -> None:
    """What the others hold still counts."""
    assert await store.slots(NOON, "a", "work", 1, 3, LEASE) == 1
    reference = store._open.tenant.slots.document("work")
    (mine,) = ((await reference.get()).to_dict() or {})["holders"]
    for odd in ("text", None, {"node": "b"}, {"node": "b", "count": "x", "until": NOON}, {"node": "b", "count": 1, "until": "x"}):
        await reference.update({"holders": [odd, mine]})
        assert await store.slots(NOON, "c", "work", 9, 3, LEASE) == 2
    await reference.set({})
    assert await store.slots(NOON, "c", "work", 9, 3, LEASE) == 3


async def test_an_edit_that_was_no_instant_deafens_nobody(store: FirestoreStore) -> None:
    """It would be the newest one for good."""
    await store.create(NOON, [a_task("odd"), a_task("b")])
    for value in ("text", 5, [1]):
        await write(store, "odd", edited_at=value)
        async with store.listen() as rings:
            await store.update(SOON, transitions.pause(await store.get("b")))
            await asyncio.wait_for(anext(rings), 10)
