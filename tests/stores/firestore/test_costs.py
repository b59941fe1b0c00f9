"""What is billed: reads, writes and deletions of each step. `docs/firestore.md` states these figures."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from attrs import evolve

from duly.jobs import TaskState
from duly.stores import RunQuery, RunStatus, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, held_of, request
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.firestore import searching as finding
from duly.stores.queries import LIMIT_MAX
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
    """A condition that no index serves may find little among many.

    The page is short then, and says where to go on.
    """
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


async def test_runs_are_looked_for_by_prefix_among_a_bounded_number(
    store: FirestoreStore, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in order of time is not in order of slugs: the page is short, and tells where to go on."""
    monkeypatch.setattr(finding, "PAGE", 10)
    monkeypatch.setattr(finding, "SCAN", 20)
    await store.create(NOON, [a_task(f"t{number:02}") for number in range(25)])
    held = await store.lock(NOON, request({"work": 25}))
    await store.reschedule(NOON, [finished(task, now=NOON + number * SECOND) for number, task in enumerate(held)])
    meter.bill()

    page = await store.runs(RunQuery(prefix="t01", limit=1))
    assert (page.items, page.next is None, meter.bill()) == ([], False, (2, 20, 0, 0))
    page = await store.runs(RunQuery(prefix="t01", limit=1, after=page.next))
    assert ([run.slug for run in page.items], page.next, meter.bill()) == (["t01"], None, (1, 5, 0, 0))


async def test_runs_are_looked_for_by_node_at_the_server(store: FirestoreStore, meter: Meter) -> None:
    """Only those of the page are read."""
    await store.create(NOON, [a_task(f"t{number}") for number in range(9)])
    for node, room in (("a", 7), ("b", 2)):
        held = await store.lock(NOON, request({"work": room}, node=node))
        await store.reschedule(NOON, [finished(task) for task in held])
    meter.bill()

    assert len((await store.runs(RunQuery(node="b"))).items) == 2
    assert meter.bill() == (1, 2, 0, 0)


async def test_a_count_is_the_servers_where_it_can_be_asked(store: FirestoreStore, meter: Meter) -> None:
    """A read for each thousand begun.

    By metadata or due range, one for each task that the other conditions leave.
    """
    await store.create(NOON, [a_task(f"t{number:04}", kind="many", metadata={"n": str(number % 2)}) for number in range(1100)])
    await store.create(NOON, [a_task(f"u{number}", run_at=NOON + number * SECOND) for number in range(5)])
    meter.bill()

    counts: list[tuple[TaskQuery, int, tuple[int, int, int, int]]] = [
        (TaskQuery(), 1105, (1, 2, 0, 0)),
        (TaskQuery(kinds=("work",), states=(TaskState.SCHEDULED,), paused=False, prefix="u"), 5, (1, 1, 0, 0)),
        (TaskQuery(kinds=("none",)), 0, (1, 1, 0, 0)),
        (TaskQuery(kinds=()), 0, (0, 0, 0, 0)),
        (TaskQuery(kinds=("work",), due_from=NOON + 3 * SECOND), 2, (1, 5, 0, 0)),
        (TaskQuery(metadata={"n": "1"}), 550, (2, 1105, 0, 0)),
    ]
    for query, found, bill in counts:
        assert (await store.count(query), meter.bill()) == (found, bill), query


async def test_a_large_page_is_asked_for_in_parts(store: FirestoreStore, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has five seconds, and a query's limit is a number of 32 bits."""
    monkeypatch.setattr(finding, "READ", 10)
    await store.create(NOON, [a_task(f"t{number:02}") for number in range(25)])
    meter.bill()

    page = await store.search(TaskQuery(limit=LIMIT_MAX))
    assert (len(page.items), page.next, meter.bill()) == (25, None, (3, 25, 0, 0))


async def test_more_values_than_a_query_takes_are_compared_here(store: FirestoreStore) -> None:
    """With the same answer."""
    kinds = tuple(f"k{number:02}" for number in range(40))
    await store.create(NOON, [a_task(kind, kind=kind) for kind in (*kinds, "other")])
    await store.reschedule(NOON, [finished(task) for task in await store.lock(NOON, request({"k39": 1, "other": 1}))])

    assert len((await store.search(TaskQuery(kinds=kinds, states=(TaskState.SCHEDULED,)))).items) == 39
    assert await store.count(TaskQuery(kinds=kinds, states=(TaskState.SCHEDULED,))) == 39
    assert [run.kind for run in (await store.runs(RunQuery(kinds=kinds, statuses=tuple(RunStatus)))).items] == ["k39"]


async def test_declaring_schedules_again_costs_a_read_each(store: FirestoreStore, meter: Meter) -> None:
    """As every start of a service does."""
    schedules = [a_schedule(f"s{number}") for number in range(10)]
    await store.create(NOON, schedules)
    meter.bill()

    assert await store.create(NOON + SECOND, schedules, if_exists="replace") == []
    assert meter.bill() == (1, 10, 0, 0)
