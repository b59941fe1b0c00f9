"""The three stores side by side in one event loop.

Each call goes to all of them, and they must answer the same.

Where they may answer otherwise is said in `agree`, and nowhere else.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Self, TypeVar
from uuid import uuid4

from attrs import evolve, frozen
from hypothesis import HealthCheck, Phase, settings

from duly.jobs import Task
from duly.stores import Conflict, Exchange, Extended, JobStore, MemoryStore, Node, Run, RunQuery, TaskQuery
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.postgres import PostgresStore
from duly.triggers import DulyError
from support.selection import fewer

T = TypeVar("T")

NAMES = ("memory", "PostgreSQL", "Firestore")
_ASKED = os.environ.get("DULY_EXAMPLES")

_SCHEMA = "three_stores"
_ALL = 10_000


@frozen
class Servers:
    """Where the stores are that need a server."""

    postgres: str
    firestore_project: str

    def stores(self, namespace: str) -> tuple[JobStore, ...]:
        """Return a store of each kind on the same namespace, not yet open; any `now` suits them."""
        return (
            MemoryStore(namespace=namespace),
            PostgresStore(self.postgres, namespace=namespace, schema=_SCHEMA, skew_limit=None, pool_size=1),
            FirestoreStore(Target(project=self.firestore_project), namespace=namespace, skew_limit=None, listening=False),
        )


def a_few(*, examples: int, steps: int) -> settings:
    """Return the settings for so many lives of so many steps.

    A selection tries a fifth of them. `DULY_EXAMPLES` is how many times as many are tried.

    Only where set are they other ones every time, and is a failure shrunk, which takes minutes on real servers: what passed a test run
    passes the next one, and who looks for new differences asks for many.
    """
    return settings(
        max_examples=fewer(examples) * int(_ASKED or "1"),
        stateful_step_count=steps,
        phases=(Phase.explicit, Phase.generate, *((Phase.reuse, Phase.shrink) if _ASKED else ())),
        deadline=None,
        derandomize=_ASKED is None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


@frozen
class Failure:
    """An error as an answer: its class, its message and its attributes."""

    kind: type[Exception]
    message: str
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: DulyError) -> Self:
        """Return the error as a value."""
        return cls(type(error), str(error), vars(error))


@frozen
class Content:
    """All that a store holds of a namespace."""

    tasks: list[Task]
    runs: list[Run]
    nodes: list[Node]

    @classmethod
    async def of(cls, store: JobStore) -> Self:
        """Read it."""
        tasks = (await store.search(TaskQuery(limit=_ALL))).items
        runs = (await store.runs(RunQuery(limit=_ALL))).items
        return cls(tasks, runs, await store.nodes())

    def task(self, slug: str) -> Task | None:
        """Return the task with that slug."""
        return next((task for task in self.tasks if task.slug == slug), None)

    def without_leases(self) -> Self:
        """Return the same with every lease called the same, for schedulers that name theirs at random."""
        tasks = [without_lease(each) for each in self.tasks]
        runs = [evolve(each, id=each.id.partition(".")[2].partition(".")[2] or "run") for each in self.runs]
        in_order = sorted(runs, key=lambda run: (run.finished_at, run.started_at, run.slug, run.fire_time, run.attempt, run.id))
        return type(self)(tasks, in_order, self.nodes)


def without_lease(task: Task) -> Task:
    """Return the task with its leases called as every other's are."""
    return evolve(task, lease_id=task.lease_id and "held", last_lease=task.last_lease and "known")


def agree(name: str, answer: object, memory: object, now: datetime) -> bool:
    """Tell whether the store `name` answered a call as memory did, as far as they have to.

    - The store's own clock is its own; memory has none.
    - A next due instant that has come is as good as any other that has: what counts is that there is more to lock.
    - Firestore says "now" as the next due instant, too, when its last query came back exactly as full as it might: it cannot
      tell without another read whether more is due.
    - Firestore takes the very edit that was the last one, made once more at the same instant, for a repetition whose answer was
      lost, and answers it as that; the others know which calls they left in doubt, and say that there is a newer version.
    """
    match answer, memory:
        case Exchange(), Exchange():
            is_presumed = name == "Firestore" and bool(answer.tasks) and answer.next_run == now
            is_same = is_presumed or _not_before(answer.next_run, now) == _not_before(memory.next_run, now)
            return is_same and (answer.tasks, answer.refused) == (memory.tasks, memory.refused)
        case Extended(), Extended():
            return evolve(answer, store_now=None) == evolve(memory, store_now=None)
        case Task(), Failure(kind=kind) if kind is Conflict and name == "Firestore":
            return (answer.version, answer.updated_at) == (memory.attributes["version"] + 1, now)
        case _:
            return answer == memory


def _not_before(instant: datetime | None, now: datetime) -> datetime | None:
    return None if instant is None else max(instant, now)


class ThreeStores:
    """The stores, open on one namespace, in an event loop of their own; memory is the first."""

    def __init__(self, servers: Servers) -> None:
        self._runner = asyncio.Runner()
        self._exits = AsyncExitStack()
        self.stores = servers.stores(f"n-{uuid4().hex}")
        self.wait(self._open())

    async def _open(self) -> None:
        for store in self.stores:
            await self._exits.enter_async_context(store)

    def wait(self, call: Awaitable[T]) -> T:
        """Await the call in the event loop to which the stores belong."""

        async def awaiting() -> T:
            return await call

        return self._runner.run(awaiting())

    def ask(self, now: datetime, call: Callable[[JobStore, int], Awaitable[T]]) -> tuple[T | Failure, ...]:
        """Make a call of each store, which is given with its place, and return the answers, which agree.

        An error is an answer.
        """
        answers = self.wait(side_by_side([answered(call(store, place)) for place, store in enumerate(self.stores)]))
        for name, answer in zip(NAMES, answers, strict=True):
            assert agree(name, answer, answers[0], now), f"{name} answered otherwise than memory:\n  {answer!r}\n  {answers[0]!r}"
        return answers

    def content(self, seen: Callable[[Content], Content] = lambda content: content) -> Content:
        """Return what the stores hold: the same, as it is `seen`."""
        contents = tuple(map(seen, self.wait(side_by_side(map(Content.of, self.stores)))))
        for name, content in zip(NAMES, contents, strict=True):
            for kind in ("tasks", "runs", "nodes"):
                there, memory = getattr(content, kind), getattr(contents[0], kind)
                assert there == memory, difference(name, there, memory)
        return contents[0]

    def close(self) -> None:
        """Close the stores, and the event loop."""
        try:
            self.wait(self._exits.aclose())
        finally:
            self._runner.close()


async def answered(call: Awaitable[T]) -> T | Failure:
    """Return the answer of a call, or the error of duly that it raised."""
    try:
        return await call
    except DulyError as error:
        return Failure.of(error)


async def side_by_side(calls: Iterable[Awaitable[T]]) -> tuple[T, ...]:
    """Await all the calls at once."""
    return tuple(await asyncio.gather(*calls))


def difference(name: str, there: Sequence[Any], memory: Sequence[Any]) -> str:
    """Say what a store holds otherwise than memory, field by field."""
    if len(there) != len(memory):
        return f"{name} holds {there!r}\n  memory {memory!r}"
    lines = [
        f"  {field}: {getattr(one, field)!r}, memory {getattr(other, field)!r}"
        for one, other in zip(there, memory, strict=True)
        for field in (each.name for each in type(other).__attrs_attrs__)
        if field != "etag" and getattr(one, field) != getattr(other, field)
    ]
    return "\n".join([f"{name} holds otherwise {there!r}", *lines])
