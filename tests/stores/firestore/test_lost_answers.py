"""Answers that were lost: what was written counts, once, and a call may be repeated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve
from google.api_core.exceptions import ServiceUnavailable

from duly.jobs import TaskState
from duly.stores import IfExists, JobAlreadyScheduled, JobNotFound, RunQuery, StoreUnavailable
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
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.firestore.tenant import side_by_side
from duly.stores.rules import transitions
from support.waiting import wait_until_async

pytestmark = pytest.mark.firestore


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


@contextmanager
def answers_lost(store: FirestoreStore, *, calls: tuple[str, ...] = ("commit",), times: int = 1) -> Iterator[None]:
    """Let the next calls reach the server and do their work, and lose their answers."""
    api = store._open.tenant.connection.api
    left = times

    def losing(call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def lost(*args: object, **options: object) -> object:
            nonlocal left
            answer = await call(*args, **options)
            if left:
                left -= 1
                raise ServiceUnavailable("the answer was lost")  # type: ignore[no-untyped-call]
            return answer

        return lost

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(api, name, losing(getattr(api, name)))
        yield
    assert not left, "no answer was lost"


ALL = ("commit", "batch_get_documents")


async def test_a_lock_whose_answer_was_lost_is_held(store: FirestoreStore) -> None:
    """The lease in the document tells that it is ours."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    with answers_lost(store):
        locked = await store.lock(NOON, request())

    assert [task.slug for task in locked] == ["a", "b"]
    assert [task.attempt for task in locked] == [1, 1]
    assert await store.reschedule(NOON, [finished(task) for task in locked]) == []


async def test_a_lock_that_failed_is_answered_when_it_is_repeated(store: FirestoreStore) -> None:
    """The same request returns what it locked, and locks nothing twice."""
    await store.create(NOON, [a_task("a")])
    asked = request()
    with answers_lost(store, calls=ALL, times=3), pytest.raises(StoreUnavailable):
        await store.lock(NOON, asked)

    (task,) = await store.lock(NOON, asked)
    assert (task.slug, task.attempt, task.version) == ("a", 1, 2)


async def test_a_heartbeat_whose_answer_was_lost_is_kept(store: FirestoreStore) -> None:
    """And its next one goes on from there."""
    await store.create(NOON, [a_task()])
    held = held_of(await lock_one(store))
    with answers_lost(store):
        extended = await store.extend(NOON + SECOND, [held], LEASE)

    assert ([kept.slug for kept in extended.kept], extended.lost, extended.busy) == (["task"], [], [])
    assert len((await store.extend(NOON + 2 * SECOND, list(extended.kept), LEASE)).kept) == 1


async def test_outcomes_whose_answers_were_lost_are_written_once(store: FirestoreStore) -> None:
    """A removal and an advance; with one run each, and the child spawned once."""
    await store.create(NOON, [a_task("one-off"), a_schedule("s")])
    held = {task.slug: task for task in await store.lock(NOON, request())}
    outcomes = [finished(held["one-off"], spawn=(a_task("child", run_at=NOON + LEASE),)), advanced(held["s"], run_at=NOON + LEASE)]
    with answers_lost(store, times=2):
        assert await store.reschedule(NOON, outcomes) == []

    assert await store.get_slugs() == ["child", "s"]
    assert (await store.get("s")).fires == 1
    assert sorted(run.slug for run in (await store.runs(RunQuery())).items) == ["one-off", "s"]


async def test_an_outcome_that_failed_counts_as_done_when_it_is_repeated(store: FirestoreStore) -> None:
    """As the protocol says of every call."""
    await store.create(NOON, [a_task()])
    outcome = finished(await lock_one(store))
    with answers_lost(store, calls=ALL, times=3), pytest.raises(StoreUnavailable):
        await store.reschedule(NOON, [outcome])

    assert await store.reschedule(NOON, [outcome]) == []
    assert len((await store.runs(RunQuery())).items) == 1


async def test_an_error_waits_for_the_neighbours() -> None:
    """A call fails when all its writes have ended, not before: none is left half done."""
    other_ended = asyncio.Event()

    async def failing() -> None:
        raise StoreUnavailable("no answer")

    async def slow() -> None:
        await asyncio.sleep(0)
        other_ended.set()

    with pytest.raises(StoreUnavailable):
        await side_by_side([failing(), slow()])
    assert other_ended.is_set()


@pytest.mark.parametrize("if_exists", ["error", "keep", "replace"])
async def test_a_creation_whose_answer_was_lost_is_one(store: FirestoreStore, if_exists: IfExists) -> None:
    """It does not meet itself as a slug that exists."""
    await store.create(NOON, [a_task("old", payload=b"1")], if_exists=if_exists)
    fresh = [a_task("new"), a_task("newer")]
    with answers_lost(store):
        assert await store.create(NOON, fresh, if_exists=if_exists) == ["new", "newer"]

    assert await store.get_slugs() == ["new", "newer", "old"]


async def test_a_creation_that_failed_may_be_repeated(store: FirestoreStore) -> None:
    """It answers as if it were the first; another one, at another instant, is refused."""
    with answers_lost(store, calls=ALL, times=3), pytest.raises(StoreUnavailable):
        await store.create(NOON, [a_task()])

    assert await store.create(NOON, [a_task()]) == ["task"]
    with pytest.raises(JobAlreadyScheduled):
        await store.create(NOON + SECOND, [a_task()])


async def test_a_creation_over_a_failed_task_whose_answer_was_lost_is_one(store: FirestoreStore) -> None:
    """It finds its own task, which does not give way to itself."""
    await store.create(NOON, [a_task()])
    held = await lock_one(store)
    assert await store.reschedule(NOON, [evolve(finished(held), next=transitions.fail(held, now=NOON))]) == []
    with answers_lost(store):
        assert await store.create(NOON + SECOND, [a_task(payload=b"new")]) == ["task"]

    assert ((await store.get("task")).payload, (await store.get("task")).version) == (b"new", 4)


async def test_a_repeated_creation_leaves_what_it_created_and_has_failed_since(store: FirestoreStore) -> None:
    """Its task was run between the attempts."""
    with answers_lost(store, calls=ALL, times=3), pytest.raises(StoreUnavailable):
        await store.create(NOON, [a_task()])
    held = await lock_one(store, now=NOON + SECOND)
    failed = transitions.fail(held, now=NOON + SECOND)
    assert await store.reschedule(NOON + SECOND, [evolve(finished(held), next=failed)]) == []

    assert await store.create(NOON, [a_task()]) == ["task"]

    assert (await store.get("task")).state is TaskState.FAILED


async def test_a_replacement_whose_answer_was_lost_is_told(store: FirestoreStore) -> None:
    """Its slug is among those that were written."""
    await store.create(NOON, [a_task()])
    with answers_lost(store):
        assert await store.create(NOON + SECOND, [a_task(payload=b"2")], if_exists="replace") == ["task"]

    assert (await store.get("task")).version == 2


async def test_an_edit_whose_answer_was_lost_is_written_once(store: FirestoreStore) -> None:
    """It is no conflict with itself, now or repeated."""
    await store.create(NOON, [a_task()])
    edit = evolve(await store.get("task"), payload=b"2")
    with answers_lost(store):
        first = await store.update(NOON + SECOND, edit)
    again = await store.update(NOON + SECOND, edit)

    assert first == again
    assert (again.payload, again.version) == (b"2", 2)


async def test_a_deletion_whose_answer_was_lost_is_done(store: FirestoreStore) -> None:
    """Not an unknown slug."""
    await store.create(NOON, [a_task()])
    with answers_lost(store):
        await store.delete("task")

    with pytest.raises(JobNotFound):
        await store.delete("task")


async def test_slots_whose_answer_was_lost_are_given_once(store: FirestoreStore) -> None:
    """The same node asks again, and holds the same."""
    with answers_lost(store):
        assert await store.slots(NOON, "a", "work", 2, 3, LEASE) == 2

    assert await store.slots(NOON, "b", "work", 2, 3, LEASE) == 1


class DeafeningProxy:
    """A TCP line to the emulator that can be made to swallow what the server says."""

    def __init__(self, host: str) -> None:
        self._upstream = host.rsplit(":", 1)
        self._writers: list[asyncio.StreamWriter] = []
        self.is_deaf = False
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve on a port of its own."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.hang_up()

    def hang_up(self) -> None:
        """Close every line; new ones work."""
        self.is_deaf = False
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._upstream
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        self._writers += [writer, upstream_writer]
        await asyncio.gather(self._pump(reader, upstream_writer, is_answer=False), self._pump(upstream_reader, writer, is_answer=True))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while data := await reader.read(65536):
                if not (is_answer and self.is_deaf):
                    writer.write(data)
        except OSError:
            pass  # hung up
        writer.close()


async def test_a_line_cut_between_write_and_answer_costs_nothing(
    firestore_emulator: str, firestore_project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real socket.

    The server commits the lock, the answer never arrives, and the store finds out over a new line.
    """
    proxy = DeafeningProxy(firestore_emulator)
    target = Target(project=firestore_project)
    async with proxy.running(), FirestoreStore(target) as witness:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{proxy.port}")
        async with FirestoreStore(target) as store:
            await witness.create(NOON, [a_task()])
            api: Any = store._open.tenant.connection.api
            commit = api.commit

            async def unheard(**options: object) -> object:
                proxy.is_deaf = True
                return await commit(**options)

            monkeypatch.setattr(api, "commit", unheard)
            locking = asyncio.create_task(store.lock(NOON, request()))

            async def is_locked() -> bool:
                return (await witness.get("task")).state is TaskState.RUNNING

            await wait_until_async(is_locked)
            proxy.hang_up()
            (task,) = await locking

    assert (task.slug, task.attempt) == ("task", 1)


async def test_a_listener_whose_line_was_cut_takes_it_up_again_and_rings(
    firestore_emulator: str, firestore_project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something may have been missed meanwhile; and what comes later is heard."""
    proxy = DeafeningProxy(firestore_emulator)
    target = Target(project=firestore_project)
    async with proxy.running(), FirestoreStore(target) as witness:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{proxy.port}")
        async with FirestoreStore(target) as store, store.listen() as rings:
            proxy.hang_up()
            await asyncio.wait_for(anext(rings), 10)
            await witness.create(NOON, [a_task()])
            await asyncio.wait_for(anext(rings), 10)


async def test_a_listener_that_a_foreign_error_ends_tells_its_caller(
    firestore_emulator: str, firestore_project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go deaf in silence: the caller makes another."""
    proxy = DeafeningProxy(firestore_emulator)
    async with proxy.running():
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{proxy.port}")
        async with FirestoreStore(Target(project=firestore_project)) as store, store.listen() as rings:

            async def fail(*_: object) -> None:
                raise KeyError("a fault of the driver")

            monkeypatch.setattr("duly.stores.firestore.listener._Watch._follow", fail)
            proxy.hang_up()
            with pytest.raises(KeyError, match="a fault of the driver"):
                await asyncio.wait_for(anext(rings), 10)
