"""What a store sends to Firestore names its own namespace, in every request."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Task
from duly.stores import JobStore, Node, RunQuery, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, held_of, request
from duly.stores.firestore import FirestoreStore, Target

pytestmark = pytest.mark.firestore

_CALLS = ("commit", "run_query", "batch_get_documents", "run_aggregation_query")


def _spied(store: FirestoreStore, patch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with every path that is sent."""
    paths: list[str] = []
    api: Any = store._open.tenant.connection.api

    def spy(call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def spied(*, request: dict[str, Any], **options: object) -> object:
            paths.extend(_paths(request))
            return await call(request=request, **options)

        return spied

    for name in _CALLS:
        patch.setattr(api, name, spy(getattr(api, name)))
    return paths


def _paths(request: dict[str, Any]) -> list[str]:
    """Return the documents and the parents of collections that a request names."""
    written = [write.get("delete") or write["update"].name for write in map(_as_dict, request.get("writes", ()))]
    return [*written, *request.get("documents", ()), *([request["parent"]] if "parent" in request else [])]


def _as_dict(write: Any) -> dict[str, Any]:  # noqa: ANN401 - Google's message, or a mapping of its fields
    return write if isinstance(write, dict) else {"delete": write.delete, "update": write.update}


async def _everything(store: JobStore) -> None:
    """Call every method that asks the server for more than its time."""
    await store.create(NOON, [a_task("t"), a_schedule("s"), a_task("u", run_at=NOON + LEASE)])
    await store.create(NOON, [a_task("t")], if_exists="keep")
    await store.create(NOON, [a_task("u", payload=b"2")], if_exists="replace")
    one_off, schedule = sorted(await store.lock(NOON, request()), key=_is_schedule)
    await store.extend(NOON + SECOND, [held_of(evolve(schedule, etag=None))], LEASE)
    outcome = finished(one_off, spawn=(a_task("child"),))
    await store.reschedule(NOON, [outcome, evolve(outcome, task=evolve(one_off, etag=None))])
    await store.exchange(NOON, [advanced(schedule, run_at=NOON + LEASE)], request())
    await store.update(NOON, await store.get("u"))
    for query in (TaskQuery(), TaskQuery(metadata={"a": "b"})):
        await store.search(query)
        await store.count(query)
    await store.get_slugs(prefix="s")
    await store.next_run(["work"])
    await store.slots(NOON, "n", "work", 1, 2, LEASE)
    await store.announce(Node(name="n", started_at=NOON, seen_at=NOON, until=NOON + LEASE))
    await store.nodes()
    await store.runs(RunQuery())
    await store.prune(NOON + SECOND, 0, 10)
    await store.delete("u")
    await store.clear()


def _is_schedule(task: Task) -> bool:
    return task.recurring


async def test_every_request_names_the_namespace(firestore_project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the path of each document, and in the parent of each query."""
    async with FirestoreStore(Target(project=firestore_project), namespace="tenant a/1") as store:
        paths = _spied(store, monkeypatch)
        await _everything(store)

    root = f"projects/{firestore_project}/databases/(default)/documents/duly/tenant a%2F1"
    assert len(paths) > 40
    assert [path for path in paths if path != root and not path.startswith(f"{root}/")] == []
