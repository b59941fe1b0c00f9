"""How PostgreSQL goes about the store's statements.

By the index or by place, whatever its statistics say.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from duly.jobs import TaskState
from duly.jobs.task import RECORD_VERSION
from duly.stores import RunQuery, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, held_of, request
from duly.stores.postgres import PostgresStore, leases
from duly.stores.postgres import runs as kept_runs
from duly.stores.postgres import tasks as kept_tasks
from duly.stores.postgres.address import parse_address
from duly.stores.postgres.rows import batch, definition
from duly.stores.postgres.session import Session
from duly.stores.postgres.statements import Step

pytestmark = pytest.mark.postgres

BATCH = 10
MANY = 3000

# How the table came to be: rows before ANALYZE, rows after it. The plan is made at the very beginning or at the end.
HISTORIES = {
    "one row": (1, 0),
    "grown after it was analysed": (1, 60),
    "full and analysed": (MANY, 0),
    "full, analysed when it was empty": (0, MANY),
    "full, never analysed": (None, MANY),
}


class PlannedStore:
    """A connection like the store's, on a schema of its own.

    It plans statements and explains how they run.
    """

    def __init__(self, connection: psycopg.Connection, session: Session) -> None:
        self.session, self._connection = session, connection
        self._prepared: dict[bytes, tuple[str, list[str]]] = {}

    def execute(self, query: str, *values: object) -> None:
        """Run a statement in the store's schema."""
        self._connection.execute(query.encode(), values)

    def fill(self, count: int, kind: str = "work", *, namespace: str = "default", stem: str = "") -> None:
        """Add tasks whose leases have ended, without telling the statistics."""
        query = """INSERT INTO tasks (namespace, slug, kind, payload, payload_version, trigger_from, options, metadata, state, paused,
                          anchor, run_at, due_at, attempt, crashes, fires, owed, lease_id, node, locked_at, request, version)
                   SELECT %s, name || g, %s, '', 1, 'task', '{}', '{}', 'running', false,
                          noon, noon, noon, 1, 0, 0, '{}', name || g, 'n', noon, 'none', 2
                     FROM generate_series(1, %s) AS g, (VALUES (%s, %s)) AS given (name, noon)"""
        self.execute(query, namespace, kind, count, stem + uuid4().hex, NOON)

    def prepare(self, step: Step) -> None:
        """Make the plan that is kept from now on, as psycopg does."""
        names: list[str] = []

        def numbered(found: re.Match[str]) -> str:
            if found[1] not in names:
                names.append(found[1])
            return f"${names.index(found[1]) + 1}"

        text = re.sub(r"%\((\w+)\)s", numbered, step.query.decode())
        name = f"p{len(self._prepared)}"
        self._connection.execute(f"PREPARE {name} AS {text}".encode())
        self._prepared[step.query] = (name, names)
        self.explain(step, "")

    def explain(self, step: Step, options: str = "ANALYZE, ", before: Sequence[Step] = ()) -> list[Mapping[str, Any]]:
        """Return every node of the plan by which the statement runs, as it ran.

        In one transaction with what is `before` it.
        """
        if step.query not in self._prepared:
            self.prepare(step)
        name, names = self._prepared[step.query]
        arguments = ", ".join(f"%({each})s" for each in names)
        cursor = psycopg.ClientCursor(self._connection)
        with self._connection.transaction():
            for setting in before:
                cursor.execute(setting.query, setting.values)
            cursor.execute(f"EXPLAIN ({options}FORMAT JSON) EXECUTE {name} ({arguments})".encode(), step.values)
            row = cursor.fetchone()
        assert row is not None
        return list(_nodes(row[0][0]["Plan"]))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _touched(node: Mapping[str, Any]) -> float:
    """How many rows, or pairs of rows, a node looked at over all its repetitions."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    rows: float = sum(node.get(name, 0) for name in names)
    return rows * int(node["Actual Loops"])


@pytest.fixture
def planned_store(each_postgres_url: str) -> Iterator[PlannedStore]:
    """A fresh schema."""
    schema = f"plans_{uuid4().hex[:8]}"

    async def session() -> Session:
        async with PostgresStore(each_postgres_url, schema=schema) as store:
            return store._session

    parameters = parse_address(each_postgres_url, schema).connect_parameters(timedelta(seconds=10))
    parameters["options"] += f" -c search_path={schema}"
    with psycopg.connect(autocommit=True, **parameters) as connection:
        yield PlannedStore(connection, asyncio.run(session()))
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


def _steps(planned_store: PlannedStore) -> dict[str, Step]:
    """The statements that a node lives on, for a batch of ten that fits no row."""
    session = planned_store.session
    asked = request({"work": BATCH})
    tasks = [a_schedule(f"s{number}", lease_id=f"none.{number}", node="n", locked_at=NOON) for number in range(BATCH)]
    spawn = [(a_task(f"c{number}"),) for number in range(BATCH)]
    outcomes = [
        finished(task, spawn=spawn[number]) if number % 2 else advanced(task, run_at=NOON + LEASE) for number, task in enumerate(tasks)
    ]
    new = {"tasks": batch([definition(a_schedule(f"new{number}")) for number in range(BATCH)]), "now": NOON}
    (reschedule,) = leases._reschedule(session, NOON, outcomes, handing_back=False)
    held = [held_of(task) for task in tasks]
    ends = {"slugs": [each.slug for each in held], "leases": [each.lease_id for each in held], "until": NOON + LEASE}
    return {
        "lock": leases._lock(session, NOON, asked),
        "next_run": leases._next_run(session, asked),
        "reschedule": reschedule,
        "extend": session.step(session.sql.extend, ends),
        "create_missing": session.step(session.sql.create_missing, new),
        "get": session.step(session.sql.get, {"slugs": ends["slugs"]}),
    }


@pytest.mark.parametrize("planned", ["at the start", "at the end"])
@pytest.mark.parametrize("history", HISTORIES)
def test_no_statement_reads_more_than_its_batch(planned_store: PlannedStore, history: str, planned: str) -> None:
    """No table is read through and none is sorted.

    By the index or by place, a few rows for each of the batch.
    """
    before, after = HISTORIES[history]
    steps = _steps(planned_store)
    if planned == "at the start":
        for step in steps.values():
            planned_store.prepare(step)
    planned_store.fill(before or 0)
    if before is not None:
        planned_store.execute("ANALYZE tasks")
    planned_store.fill(after)
    planned_store.fill(MANY, "unknown to this node")

    for name, step in steps.items():
        for node in planned_store.explain(step):
            assert "Seq Scan" not in node["Node Type"], (name, node)
            assert _touched(node) <= 3 * BATCH, (name, node)


def test_a_lock_takes_no_more_than_its_room_whatever_the_statistics_say(planned_store: PlannedStore) -> None:
    """Sixty-one rows in a table that had one when it was analysed.

    Other shapes of this statement take all of them.
    """
    planned_store.fill(1)
    planned_store.execute("ANALYZE tasks")
    planned_store.fill(60)

    top = planned_store.explain(leases._lock(planned_store.session, NOON, request({"work": BATCH})))[0]

    assert top["Actual Rows"] == BATCH


@pytest.mark.parametrize("planned", ["at the start", "at the end"])
def test_what_needs_a_newer_node_is_passed_over_in_the_index(planned_store: PlannedStore, planned: str) -> None:
    """A long backlog of it, due before all else, costs no row read: it is told apart by the index alone."""
    steps = {name: step for name, step in _steps(planned_store).items() if name in {"lock", "next_run"}}
    if planned == "at the start":
        for step in steps.values():
            planned_store.prepare(step)
    planned_store.fill(MANY)
    planned_store.execute("UPDATE tasks SET needs = %s, due_at = due_at - interval '1 hour'", RECORD_VERSION + 1)
    planned_store.fill(BATCH)
    planned_store.execute("VACUUM ANALYZE tasks")

    for name, step in steps.items():
        for node in planned_store.explain(step, "ANALYZE, BUFFERS, "):
            assert "Seq Scan" not in node["Node Type"], (name, node)
            assert _touched(node) <= 3 * BATCH, (name, node)
            if node.get("Relation Name") == "tasks":
                assert node["Shared Hit Blocks"] + node["Shared Read Blocks"] < MANY / 10, (name, node)


# -- what people ask: planned afresh each time, by the statistics that there are


SEARCHES: dict[str, dict[str, Any]] = {
    "all": {},
    "a page further on": {"after": "f"},
    "by the beginning of the slug": {"prefix": "report:"},
    "by the beginning of the slug and more": {"prefix": "report:", "kinds": ("work",), "states": (TaskState.RUNNING,), "paused": False},
    "by all that most tasks have": {"kinds": ("work",), "states": (TaskState.RUNNING,), "paused": False, "due_until": NOON + SECOND},
}


@pytest.mark.parametrize("history", HISTORIES)
def test_a_page_of_tasks_is_a_stretch_of_the_primary_key(planned_store: PlannedStore, history: str) -> None:
    """Read from its beginning to its end, and neither the table nor the rest of the namespace."""
    before, after = HISTORIES[history]
    planned_store.fill(before or 0)
    planned_store.fill(5, stem="report:")
    if before is not None:
        planned_store.execute("ANALYZE tasks")
    planned_store.fill(after)
    planned_store.fill(MANY, namespace="other")

    for name, conditions in SEARCHES.items():
        for node in _search(planned_store, **conditions):
            assert "Seq Scan" not in node["Node Type"], (name, node)
            assert _touched(node) <= 3 * BATCH, (name, node)


def test_what_is_due_of_a_kind_is_found_by_the_index_of_the_due(planned_store: PlannedStore) -> None:
    """A kind of which there are few, among many of others.

    What is not due of it, and what is of them, is not read.
    """
    planned_store.fill(MANY)
    planned_store.fill(BATCH, "rare")
    planned_store.execute("ANALYZE tasks")

    for node in (*_search(planned_store, kinds=("rare",), due_until=NOON + SECOND), *_count(planned_store, kinds=("rare",), due_from=NOON)):
        assert "Seq Scan" not in node["Node Type"], node
        assert _touched(node) <= 3 * BATCH, node


@pytest.mark.parametrize(
    "conditions", [{}, {"kinds": ("work",)}, {"states": (TaskState.RUNNING,)}, {"contains": "a"}, {"metadata": {"a": "b"}}]
)
def test_a_count_reads_its_own_namespace_and_no_other(planned_store: PlannedStore, conditions: dict[str, Any]) -> None:
    """Each of its tasks at most once."""
    planned_store.fill(MANY, namespace="other")
    planned_store.fill(BATCH)
    planned_store.execute("ANALYZE tasks")

    for node in _count(planned_store, **conditions):
        assert "Seq Scan" not in node["Node Type"], node
        assert _touched(node) <= BATCH, node


def test_the_runs_of_a_few_slugs_are_found_by_the_index_of_slugs(planned_store: PlannedStore) -> None:
    """Those that one schedule started beside each other, in a long history of others."""
    query = """INSERT INTO runs SELECT 'default', name || g, name || g, 'work', %s, 1, 'n', %s, %s + g * interval '1 s', 'done', 1
                 FROM generate_series(1, %s) AS g, (VALUES (%s)) AS given (name)"""
    planned_store.execute(query, NOON, NOON, NOON, MANY, "other")
    planned_store.execute(query, NOON, NOON, NOON, BATCH, "report@")
    planned_store.execute("ANALYZE runs")

    for node in _runs(planned_store, prefix="report@", node="n"):
        assert "Seq Scan" not in node["Node Type"], node
        assert _touched(node) <= 3 * BATCH, node


def _search(planned_store: PlannedStore, **conditions: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any field of TaskQuery
    return _explain(planned_store, planned_store.session.sql.search, kept_tasks.search_values(TaskQuery(limit=BATCH, **conditions)))


def _count(planned_store: PlannedStore, **conditions: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any field of TaskQuery
    return _explain(planned_store, planned_store.session.sql.count, kept_tasks.count_values(TaskQuery(**conditions)))


def _runs(planned_store: PlannedStore, **conditions: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - any field of RunQuery
    sql = planned_store.session.sql.runs_of_task if "slug" in conditions else planned_store.session.sql.runs
    return _explain(planned_store, sql, kept_runs.runs_values(RunQuery(limit=BATCH, **conditions)))


def _explain(planned_store: PlannedStore, query: bytes, values: Mapping[str, object]) -> list[Mapping[str, Any]]:
    *before, step = planned_store.session.by_values(query, values)
    return planned_store.explain(step, before=before)


def test_the_history_is_asked_by_its_index_when_it_has_grown(planned_store: PlannedStore) -> None:
    """A page of the history, a page of one task's, and the question whether a run is in it."""
    query = """INSERT INTO runs SELECT 'default', 'r' || g, 's' || g %% 7, 'work', %s, 1, 'n', %s, %s + g * interval '1 s', 'done', 1
                 FROM generate_series(1, %s) AS g"""
    planned_store.execute(query, NOON, NOON, NOON, MANY)
    sql = planned_store.session.sql
    steps = [
        planned_store.session.step(sql.judge, {"slugs": ["s3"], "leases": ["r17"]}),
        planned_store.session.step(sql.prune, {"before": NOON + 5 * SECOND, "keep": None, "limit": 5}),
    ]
    for node in (
        *_runs(planned_store),
        *_runs(planned_store, slug="s3"),
        *(node for step in steps for node in planned_store.explain(step)),
    ):
        assert "Seq Scan" not in node["Node Type"], node
        assert _touched(node) <= 3 * BATCH, node
