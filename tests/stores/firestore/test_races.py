"""Several holders, processes and foreign transactions at one task."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, TaskState
from duly.stores import Conflict, Held, JobAlreadyScheduled, Outcome, RunQuery, RunStatus, StoreError
from duly.stores.conformance.values import (
    LEASE,
    NOON,
    SECOND,
    a_schedule,
    a_task,
    advanced,
    finished,
    held_of,
    lock_one,
    request,
)
from duly.stores.firestore import FirestoreStore, Target, creating
from duly.stores.rules import transitions

pytestmark = pytest.mark.firestore

NODE = """
import asyncio, json, random, sys
from duly.stores.conformance.values import NOON, finished, request
from duly.stores.firestore import FirestoreStore, Target

async def main(project, node):
    locked, done = [], []
    async with FirestoreStore(Target(project=project)) as store:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        while True:
            exchange = await store.exchange(NOON, done, request({"work": 10}, node=node))
            assert not exchange.refused, exchange.refused
            done = [finished(task) for task in exchange.tasks]
            locked += [task.slug for task in exchange.tasks]
            if exchange.next_run is None or (not done and exchange.next_run > NOON):
                break
            if not done:
                await asyncio.sleep(random.uniform(0, 0.05))  # lost every race: the pause is the caller's
    print(json.dumps(locked), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


async def test_racing_processes_lock_each_task_once(store: FirestoreStore, firestore_project: str) -> None:
    """Three processes, started at one moment, share eighty due tasks: each has one holder and one run."""
    slugs = [f"t{number:02}" for number in range(80)]
    await store.create(NOON, [a_task(slug) for slug in slugs])
    nodes = [_start_node(firestore_project, f"n{number}") for number in range(3)]
    try:
        for node in nodes:
            assert node.stdout is not None
            assert node.stdout.readline() == "ready\n"
        answers = await asyncio.gather(*(asyncio.to_thread(node.communicate, "go\n", 60) for node in nodes))
    finally:
        for node in nodes:
            node.kill()

    locked = Counter(slug for out, _ in answers for slug in json.loads(out))
    assert locked == Counter(slugs)
    assert await store.get_slugs() == []
    runs = (await store.runs(RunQuery(limit=200))).items
    assert Counter(run.slug for run in runs) == Counter(slugs)
    assert {run.status for run in runs} == {RunStatus.DONE}


def _start_node(project: str, name: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-P", "-c", NODE, project, name]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_heartbeats_do_not_stop_an_outcome(store: FirestoreStore) -> None:
    """They change the document under it, from another connection, all the time.

    It is written all the same.
    """
    await store.create(NOON, [a_schedule("s")])
    held = await lock_one(store)
    async with store.sibling() as heart:
        stop = asyncio.Event()

        async def beat() -> int:
            beats = 0
            while not stop.is_set():
                beats += 1
                extended = await heart.extend(NOON + beats * SECOND / 1000, [held_of(held)], LEASE)
                assert not extended.busy
            return beats

        beating = asyncio.create_task(beat())
        for _ in range(10):
            await _written_soon(store, advanced(held, run_at=NOON))
            held = await lock_one(store)
        stop.set()
        assert await beating > 0

    assert (await store.get("s")).fires == 10


async def _written_soon(store: FirestoreStore, outcome: Outcome) -> None:
    """Hand an outcome in as a node does: again, when others were faster in every attempt of a call."""
    for _ in range(5):
        refused = await store.reschedule(NOON, [outcome])
        if not refused:
            return
        assert [each.reason for each in refused] == ["busy"]
    raise AssertionError("it was busy in five calls in a row")


async def test_a_heartbeat_and_an_outcome_with_outdated_rows_find_the_new_one(store: FirestoreStore) -> None:
    """The outcome names the row as it was locked, three heartbeats ago."""
    await store.create(NOON, [a_task()])
    held = await lock_one(store)
    for beat in (1, 2, 3):
        assert len((await store.extend(NOON + beat * SECOND, [held_of(held)], LEASE)).kept) == 1

    assert await store.reschedule(NOON + 4 * SECOND, [finished(held)]) == []


async def test_an_outcome_of_another_version_is_refused_although_its_row_is_the_newest(store: FirestoreStore) -> None:
    """The version decides, not the document that the task was read from."""
    await store.create(NOON, [a_schedule("s")])
    held = await lock_one(store)

    (refused,) = await store.reschedule(NOON, [advanced(evolve(held, version=7), run_at=NOON + LEASE)])
    assert refused.reason == "edited"


async def test_a_heartbeat_with_the_row_of_an_earlier_lease_is_kept(store: FirestoreStore) -> None:
    """The lease decides, not the document that came with it."""
    await store.create(NOON, [a_task()])
    first = await lock_one(store)
    second = await lock_one(store, node="b", now=NOON + LEASE)

    extended = await store.extend(NOON + LEASE + SECOND, [Held("task", second.lease_id or "", first.etag)], LEASE)
    assert [kept.lease_id for kept in extended.kept] == [second.lease_id]


async def test_eight_outcomes_of_one_lease_are_one(store: FirestoreStore) -> None:
    """All at once, as a node in trouble might repeat them."""
    await store.create(NOON, [a_schedule("s")])
    outcome = advanced(await lock_one(store), run_at=NOON + LEASE)

    assert await asyncio.gather(*(store.reschedule(NOON, [outcome]) for _ in range(8))) == [[]] * 8
    assert (await store.get("s")).fires == 1
    assert len((await store.runs(RunQuery())).items) == 1


async def test_a_child_spawned_by_two_parents_is_created_once(store: FirestoreStore) -> None:
    """In one call, side by side: the second finds it there, and is written without it."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    parents = await store.lock(NOON, request())
    child = a_task("child", kind="other")

    assert await store.reschedule(NOON, [finished(task, spawn=(child, child)) for task in parents]) == []
    assert await store.get_slugs() == ["child"]
    assert (await store.get("child")).version == 1


async def test_an_outcome_writes_what_its_holder_changed(store: FirestoreStore) -> None:
    """Compared with the document as it was read, not with the task that the outcome names."""
    await store.create(NOON, [a_schedule("s", payload=b"1")])
    held = await lock_one(store)

    assert await store.reschedule(NOON, [advanced(evolve(held, payload=b"2"), run_at=NOON + SECOND)]) == []
    kept = await store.get("s")
    assert (kept.payload, kept.run_at, kept.version) == (b"2", NOON + SECOND, 3)


async def test_edits_from_eight_sides_are_one_after_the_other(store: FirestoreStore) -> None:
    """Of those made on one version a single one counts."""
    await store.create(NOON, [a_task()])
    task = await store.get("task")

    async def edit(number: int) -> bool:
        try:
            await store.update(NOON + number * SECOND, transitions.pause(task))
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(edit(number) for number in range(1, 9)))) == 1
    assert (await store.get("task")).version == 2


async def test_a_task_in_somebodys_transaction_is_passed_over(store: FirestoreStore) -> None:
    """And the others are locked; the emulator takes two seconds to say that it is held."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    tenant = store._open.tenant
    transaction = tenant.connection.client.transaction()
    await transaction._begin()
    await tenant.task_at("a").get(transaction=transaction)

    locked = await store.lock(NOON, request())

    await transaction._rollback()
    assert [task.slug for task in locked] == ["b"]
    assert (await lock_one(store)).slug == "a"


async def test_a_held_row_is_busy_and_keeps_nobody_waiting(store: FirestoreStore) -> None:
    """Neither lost nor kept; its neighbours are extended and written."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    a, b = await store.lock(NOON, request())
    tenant = store._open.tenant
    transaction = tenant.connection.client.transaction()
    await transaction._begin()
    await tenant.task_at("a").get(transaction=transaction)

    before = monotonic()
    extended, refused = await asyncio.gather(
        store.extend(NOON + SECOND, [held_of(a), held_of(b)], LEASE), store.reschedule(NOON + SECOND, [finished(a)])
    )

    assert monotonic() - before < 8  # twice two seconds: the emulator's way to say that it is held
    await transaction._rollback()
    assert ([held.slug for held in extended.busy], [kept.slug for kept in extended.kept], extended.lost) == (["a"], ["b"], [])
    assert [(each.outcome.task.slug, each.reason) for each in refused] == [("a", "busy")]
    assert await store.reschedule(NOON + SECOND, [finished(a), finished(b)]) == []


async def test_an_odd_document_does_not_stop_the_others(store: FirestoreStore) -> None:
    """Written by hand, or by a newer version: it is put off, and said."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    await store._open.tenant.task_at("a").update({"state": "asleep"})

    exchange = await store.exchange(NOON, [], request({"work": 1}))

    assert [(task.slug, task.state) for task in exchange.tasks] == [("b", TaskState.RUNNING)]
    assert [(each.slug, each.reason) for each in exchange.unreadable] == [("a", "'asleep' is not a valid TaskState")]


async def test_an_outcome_too_large_for_one_write_is_refused_and_its_neighbour_written(store: FirestoreStore) -> None:
    """Whole or absent: what it spawned does not fit, so nothing of it is written.

    Trying again would not help.
    """
    await store.create(NOON, [a_task("a"), a_task("b")])
    a, b = await store.lock(NOON, request())
    children = tuple(a_task(f"child{number}", payload=bytes(PAYLOAD_MAX)) for number in range(25))

    with pytest.raises(StoreError, match="too large for one write") as refused:
        await store.reschedule(NOON, [finished(a, spawn=children), finished(b)])

    assert not refused.value.retryable
    assert await store.get_slugs() == ["a"]


# -- a creation that is too large for one commit


async def test_a_large_creation_meets_what_exists_before_it_writes(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slug that was taken is named, and none of the parts is written."""
    monkeypatch.setattr(creating, "ATOMIC_BYTES", 10_000)
    await store.create(NOON, [a_task("t03"), a_task("t17")])

    with pytest.raises(JobAlreadyScheduled) as refused:
        await store.create(NOON + SECOND, [a_task(f"t{number:02}") for number in range(20)])

    assert refused.value.slugs == ("t03", "t17")
    assert await store.get_slugs() == ["t03", "t17"]


async def test_a_large_creation_takes_back_its_parts_when_a_slug_comes_in_between(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked up is no longer true: nothing of the call stays but what a node has locked already."""
    monkeypatch.setattr(creating, "ATOMIC_BYTES", 10_000)
    api: Any = store._open.tenant.connection.api
    commit, services = api.commit, 0

    async def disturbed(**options: object) -> object:
        nonlocal services
        services += 1
        if services == 3:
            monkeypatch.undo()
            await store.create(NOON, [a_task("t17", payload=b"theirs")])
            await store.lock(NOON, request({"work": 1}))
        return await commit(**options)

    monkeypatch.setattr(api, "commit", disturbed)
    with pytest.raises(JobAlreadyScheduled, match="'t17'"):
        await store.create(NOON + SECOND, [a_task(f"t{number:02}") for number in range(20)])

    assert await store.get_slugs() == ["t00", "t17"]
    assert (await store.get("t00")).state is TaskState.RUNNING
    assert (await store.get("t17")).payload == b"theirs"


async def test_a_large_creation_is_complete(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several commits, and in the order given."""
    monkeypatch.setattr(creating, "ATOMIC_BYTES", 10_000)
    slugs = [f"t{number:02}" for number in range(20)]

    assert await store.create(NOON, [a_task(slug) for slug in slugs]) == slugs
    assert await store.get_slugs() == slugs
