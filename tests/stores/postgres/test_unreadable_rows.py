"""Rows that this version cannot read.

Whatever stands in one of them, those beside it are locked, listed and written.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from duly.jobs import Task
from duly.scheduler import TaskUnreadable
from duly.stores import JobAlreadyScheduled, Outcome, RunQuery, TaskQuery, UnreadableTask
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, finished, lock_one, request
from duly.stores.postgres import PostgresStore
from duly.stores.postgres.rows import TASK_COLUMNS
from duly.stores.rules import transitions
from duly.stores.rules.unreadable import UNREADABLE_PAUSE, UNREADABLE_PAUSE_MAX
from support.lives import Work
from support.schedulers import a_scheduler
from support.waiting import wait_until_async

pytestmark = pytest.mark.postgres

SCHEMA = "unreadable"
SOON = NOON + SECOND

INSTANTS = ("'infinity'", "'-infinity'", "'4713-01-01 BC'", "'20000-01-01'", "'0001-01-01'", "'9999-12-31'", "NULL")
NUMBERS = ("-1", "0", "-9223372036854775808", "9223372036854775806", "9223372036854775807", "2147483647", "NULL")
TEXTS = ("''", "repeat('x', 300)", "chr(1)", "'someday'", "NULL")
OBJECTS = (
    *("'null'", "'[1]'", "'5'", "'\"text\"'", """'{"a": 1}'""", """'{"a": null}'""", """'{"overlap": "someday"}'""", """'{"retry": []}'"""),
    *("""'{"time_limit": 1e300}'""", """'{"time_limit": "soon"}'""", """'{"queue_limit": -1}'""", """'{"colour": "green"}'""", "NULL"),
)
FIRES = ("'{NULL}'", "'{infinity}'", "'{2024-06-02, 2024-06-01}'", "'{{2024-06-01}, {2024-06-02}}'", "'{}'", "NULL")
VALUES = {
    **dict.fromkeys(("anchor", "run_at", "due_at", "retry_at", "first_run_at", "ended_at", "idle_since", "locked_at"), INSTANTS),
    **dict.fromkeys(("created_at", "updated_at"), INSTANTS),
    **dict.fromkeys(("payload_version", "needs", "attempt", "crashes", "fires", "version"), NUMBERS),
    **dict.fromkeys(("slug", "kind", "trigger", "trigger_from", "declared", "state", "run_at_from", "lease_id", "last_lease"), TEXTS),
    **dict.fromkeys(("node", "instance", "request", "result", "last_error"), TEXTS),
    **dict.fromkeys(("options", "metadata"), OBJECTS),
    "owed": FIRES,
    "paused": ("true", "NULL"),
    "payload": ("''", "NULL"),
}
CLOSED = {"trigger_from", "run_at_from", "state", "request", "paused"}
"""Columns in which the table itself keeps nothing but what this version knows."""


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store in a namespace of the test's own."""
    async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA) as store:
        yield store


@pytest_asyncio.fixture
async def stranger(postgres_url: str, store: PostgresStore) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody else's connection."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True, options=f"-c search_path={SCHEMA}") as connection:
        yield connection


async def write(stranger: psycopg.AsyncConnection, store: PostgresStore, column: str, value: str, slug: str = "m") -> bool:
    """Write into a row by hand; tell whether the table lets it happen."""
    query = f"UPDATE tasks SET {column} = {value} WHERE namespace = %s AND slug = %s"  # noqa: S608 - of this file
    try:
        await stranger.execute(query.encode(), (store.namespace, slug))
    except (psycopg.IntegrityError, psycopg.DataError):
        return False
    return True


def test_every_column_is_tried() -> None:
    """None is forgotten when the record grows."""
    assert VALUES.keys() == {name.removeprefix("t.").removesuffix("::text") for name in TASK_COLUMNS.split(", ")}


@pytest.mark.parametrize("column", VALUES)
async def test_whatever_stands_in_a_row_its_neighbours_go_on(postgres_url: str, stranger: psycopg.AsyncConnection, column: str) -> None:
    """They are locked, listed and written, and the row is a task, or is put off and told with its reason."""
    tried = 0
    for value in VALUES[column]:
        async with PostgresStore(postgres_url, namespace=uuid4().hex, schema=SCHEMA) as tenant:
            await tenant.create(NOON, [a_task("a"), a_schedule("m"), a_task("z")])
            if await write(stranger, tenant, column, value):
                tried += 1
                await check_neighbours(tenant)
    assert tried or column in CLOSED


async def check_neighbours(store: PostgresStore) -> None:
    """Lock, list and end the three tasks, of which one may be anything."""
    exchange = await store.exchange(SOON, [], request())
    assert {"a", "z"} <= {task.slug for task in exchange.tasks}
    assert all(each.reason for each in exchange.unreadable)

    page = await store.search(TaskQuery())
    assert len(page.items) + len(page.unreadable) == 3
    assert await seen_one_by_one(store) == [*sorted([*(task.slug for task in page.items), *(each.slug for each in page.unreadable)])]
    for each in page.unreadable:
        with pytest.raises(UnreadableTask) as caught:
            await store.get(each.slug)
        assert (caught.value.slug, caught.value.reason) == (each.slug, each.reason)

    outcomes = [ended(task) for task in exchange.tasks]
    again = await store.exchange(SOON, outcomes, request())
    assert (again.tasks, again.refused) == ([], [])
    assert again.next_run is None or again.next_run > SOON
    assert len((await store.runs(RunQuery())).items) >= 2


async def seen_one_by_one(store: PostgresStore) -> list[str]:
    """Follow the pages, each of one task."""
    seen, query = list[str](), TaskQuery(limit=1)
    while True:
        page = await store.search(query)
        seen += [*(task.slug for task in page.items), *(each.slug for each in page.unreadable)]
        if page.next is None:
            return seen
        query = TaskQuery(limit=1, after=page.next)


def ended(task: Task) -> Outcome:
    """A one-off is done; a schedule is handed back, to be locked again much later."""
    if task.slug in {"a", "z"}:
        return finished(task, now=SOON)
    return Outcome(task=task, next=transitions.hand_back(task, now=SOON, until=SOON + LEASE))


SOMEDAY = """'{"overlap": "someday"}'"""


async def test_an_unreadable_row_is_put_off_for_longer_each_time(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """As long as it is late, and nothing of it changes but its due instant."""
    await store.create(NOON, [a_schedule("m")])
    before = await row_of(stranger, store)
    await write(stranger, store, "options", SOMEDAY)

    now, pauses = NOON, list[float]()
    for _ in range(7):
        exchange = await store.exchange(now, [], request())
        assert [each.slug for each in exchange.unreadable] == ["m"]
        due = await store.next_run(["work"])
        assert due is not None
        pauses.append((due - now) / UNREADABLE_PAUSE)
        now = due

    assert pauses == [1, 1, 2, 4, 8, 15, 15]
    assert now - NOON > UNREADABLE_PAUSE_MAX
    await write(stranger, store, "options", "'{}'")
    assert await row_of(stranger, store) == before
    assert (await lock_one(store, now=now)).attempt == 1


async def row_of(stranger: psycopg.AsyncConnection, store: PostgresStore) -> tuple[object, ...]:
    """The columns that a putting off leaves alone."""
    columns = "state, attempt, crashes, first_run_at, retry_at, ended_at, run_at, anchor, lease_id, last_error"
    query = f"SELECT {columns} FROM tasks WHERE namespace = %s"  # noqa: S608 - of this file
    cursor = await stranger.execute(query.encode(), (store.namespace,))
    (row,) = await cursor.fetchall()
    return tuple(row)


async def test_what_is_due_since_nobody_knows_when_gets_the_longest_pause(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """There is nothing to tell by how late it is."""
    await store.create(NOON, [a_schedule("m")])
    await write(stranger, store, "run_at", "'infinity'")
    await write(stranger, store, "created_at", "'-infinity'")

    await store.exchange(NOON, [], request())

    assert await store.next_run(["work"]) == NOON + UNREADABLE_PAUSE_MAX


async def test_a_paused_task_whose_lease_ended_waits_until_it_is_resumed(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """Also if the node that took it over cannot read it."""
    await store.create(NOON, [a_schedule("m")])
    held = await lock_one(store)
    await store.update(NOON, transitions.pause(held))
    await write(stranger, store, "options", SOMEDAY)

    exchange = await store.exchange(NOON + LEASE, [], request())

    assert [each.slug for each in exchange.unreadable] == ["m"]
    assert await store.next_run(["work"]) is None


async def test_an_outcome_of_a_row_that_became_unreadable_is_lost_and_no_other(
    store: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """A later version edited it during the run: nobody here can decide on it.

    Its lease ends by itself.
    """
    await store.create(NOON, [a_task("a"), a_schedule("m")])
    locked = await store.lock(NOON, request())
    await write(stranger, store, "options", SOMEDAY)
    await write(stranger, store, "version", "version + 1")

    refused = await store.reschedule(NOON, [ended(task) for task in locked])

    assert [(each.outcome.task.slug, each.reason) for each in refused] == [("m", "lost")]
    assert await store.get_slugs() == ["m"]


async def test_an_unreadable_row_is_in_the_way_of_its_slug_and_stays_as_it_is(
    store: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Whoever schedules it anew with this version."""
    await store.create(NOON, [a_schedule("m")])
    await write(stranger, store, "options", SOMEDAY)
    new = [a_task("a"), a_schedule("m", trigger="@every 5s")]

    with pytest.raises(JobAlreadyScheduled):
        await store.create(NOON, new)
    assert await store.create(NOON, new, if_exists="replace") == ["a"]
    assert await store.create(NOON, new, if_exists="keep") == []

    assert [each.slug for each in (await store.search(TaskQuery())).unreadable] == ["m"]
    assert await store.count(TaskQuery()) == 2
    await store.delete("m")
    assert await store.get_slugs() == ["a"]


async def test_a_run_that_cannot_be_read_leaves_the_history_readable(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """It is told beside the others, on whatever page it belongs."""
    await store.create(NOON, [a_task(slug) for slug in "abc"])
    await store.reschedule(NOON, [finished(task) for task in await store.lock(NOON, request())])
    for column, value in (("fire_time", "'infinity'"), ("started_at", "'1000-01-01 BC'"), ("finished_at", "'-infinity'")):
        query = f"UPDATE runs SET {column} = {value} WHERE namespace = %s AND slug = 'b'"  # noqa: S608 - of this file
        await stranger.execute(query.encode(), (store.namespace,))
        page = await store.runs(RunQuery())

        assert [run.slug for run in page.items] == ["c", "a"]
        assert [(each.slug, column in each.reason or "fire_time" in each.reason) for each in page.unreadable] == [("b", True)]


async def test_a_node_that_cannot_be_read_leaves_the_others_listed(store: PostgresStore, stranger: psycopg.AsyncConnection) -> None:
    """It is left out: it tells nobody anything."""
    for name in "ab":
        await stranger.execute(
            "INSERT INTO nodes (namespace, name, kinds, started_at, seen_at, until, info) VALUES (%s, %s, '{}', now(), now(), %s, '{}')",
            (store.namespace, name, "infinity" if name == "b" else "2030-01-01"),
        )

    assert [node.name for node in await store.nodes()] == ["a"]


async def test_a_node_runs_what_is_beside_an_unreadable_row_and_says_why_it_does_not_run_that(
    store: PostgresStore, stranger: psycopg.AsyncConnection
) -> None:
    """Through a whole scheduler: the event and `why` have the reason, and it is tried once."""
    await store.create(NOON, [a_task(slug) for slug in ("a", "m", "z")])
    await write(stranger, store, "options", SOMEDAY)
    work, events = Work(), list[TaskUnreadable]()
    work.gate.set()
    scheduler = a_scheduler(store.sibling(), jobs=work.registry)
    scheduler.subscribe(lambda event: events.append(event) if isinstance(event, TaskUnreadable) else None)
    async with scheduler:
        await wait_until_async(lambda: events and len(work.began) == 2)
        why = await scheduler.why("m")
        page = await scheduler.search_jobs(TaskQuery())

    assert sorted(slug for slug, _ in work.began) == ["a", "z"]
    assert [event.slug for event in events] == ["m"]
    assert why == f"Task 'm' cannot be read by this version of duly, and is left to a node that can: {page.unreadable[0].reason}."
    assert "'someday'" in why
