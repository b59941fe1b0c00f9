"""Tasks and runs of many shapes, and queries about them, drawn at random from a seed.

Search is tried on them.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from attrs import evolve

from duly.jobs import Task, TaskState
from duly.stores import JobStore, Outcome, Page, Run, RunQuery, RunStatus, TaskQuery
from duly.stores.conformance.values import NOON, SECOND, a_run, a_task, request
from duly.stores.rules import transitions

_STEMS = ("a", "a%", "a_", "A", "report:eu", "report:us@", "é", "🙂")
_KINDS = ("x", "y", "z")
_NODES = ("n1", "n2")

Q = TypeVar("Q", TaskQuery, RunQuery)
T = TypeVar("T")


async def walk(ask: Callable[[Q], Awaitable[Page[T]]], query: Q) -> list[T]:
    """Return what is on all pages, and make sure that none is larger than was asked for."""
    found: list[T] = []
    while True:
        page = await ask(query)
        assert len(page.items) <= query.limit
        found += page.items
        if page.next is None:
            return found
        query = evolve(query, after=page.next)


async def leave_tasks(store: JobStore, chance: Random) -> list[Task]:
    """Leave 30 tasks of every state in the store, and return them in order of their slugs."""
    await store.create(NOON, [_task(chance, number) for number in range(30)])
    held = await store.lock(NOON + 3 * SECOND, request({"x": 2, "y": 3}))
    failing = [Outcome(task=task, next=transitions.fail(task, now=NOON + 3 * SECOND)) for task in held[::2]]
    assert await store.reschedule(NOON + 3 * SECOND, failing) == []
    everything = [await store.get(slug) for slug in await store.get_slugs()]
    assert {task.state for task in everything} == set(TaskState)
    return everything


def _task(chance: Random, number: int) -> Task:
    return a_task(
        f"{chance.choice(_STEMS)}{number}",
        kind=chance.choice(_KINDS),
        run_at=NOON + chance.randrange(10) * SECOND,
        paused=chance.random() < 0.3,
        metadata={key: chance.choice("12") for key in ("team", "n'\"") if chance.random() < 0.5},
    )


def task_query(chance: Random, *, substrings: bool) -> TaskQuery:
    """Return a query with a few conditions."""
    due = sorted(chance.choices(range(10), k=2))
    values: dict[str, Any] = {
        "kinds": tuple(chance.choices((*_KINDS, "unknown"), k=2)),
        "states": tuple(chance.sample(list(TaskState), 2)),
        "paused": chance.random() < 0.5,
        "prefix": chance.choice((*_STEMS, "report:")),
        "contains": chance.choice(("1", "%", ":", "é", "A", "@2")),
        "metadata": chance.choice(({"team": "1"}, {"n'\"": "2"}, {"team": "2", "n'\"": "1"}, {"none": ""})),
        "due_from": NOON + due[0] * SECOND,
        "due_until": NOON + due[1] * SECOND,
    }
    if not substrings:
        del values["contains"]
    return TaskQuery(**_some(chance, values), limit=chance.randint(1, 40))


async def leave_runs(store: JobStore, chance: Random) -> list[Run]:
    """Leave 40 runs in the store, many of which ended at one instant, and return them newest first."""
    await store.create(NOON, [a_task("a", kind="seed")])
    (held,) = await store.lock(NOON, request({"seed": 1}))
    runs = [_run(chance, held, number) for number in range(40)]
    assert await store.reschedule(NOON, [Outcome(task=held, next=None, runs=tuple(runs))]) == []
    return sorted(runs, key=lambda run: (run.finished_at, run.id), reverse=True)


def _run(chance: Random, held: Task, number: int) -> Run:
    return a_run(
        held,
        now=NOON + chance.randrange(10) * SECOND,
        id=held.lease_id if number == 0 else f"run-{number:02}",
        slug=chance.choice(_STEMS) + chance.choice("12"),
        kind=chance.choice(_KINDS),
        node=chance.choice((*_NODES, None)),
        status=chance.choice(list(RunStatus)),
        fire_time=NOON - timedelta(hours=1),
    )


def run_query(chance: Random) -> RunQuery:
    """Return a query with a few conditions."""
    ended = sorted(chance.choices(range(10), k=2))
    values: dict[str, Any] = {
        "slug": chance.choice(_STEMS) + chance.choice("12"),
        "prefix": chance.choice((*_STEMS, "report:")),
        "kinds": tuple(chance.choices((*_KINDS, "unknown"), k=2)),
        "statuses": tuple(chance.sample(list(RunStatus), 3)),
        "node": chance.choice((*_NODES, "unknown")),
        "since": NOON + ended[0] * SECOND,
        "until": NOON + ended[1] * SECOND,
    }
    return RunQuery(**_some(chance, values), limit=chance.randint(1, 40))


def _some(chance: Random, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if chance.random() < 0.3}
