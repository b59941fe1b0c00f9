"""The line to Firestore: its URL, its absence, its loops, its end, and what it hears."""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from google.cloud.firestore_v1.types import ListenResponse

from duly.stores import ClockSkew, InvalidStoreURL, StoreClosed, StoreError, StoreUnavailable, open_store
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_task, held_of, lock_one, request, retried
from duly.stores.firestore import FirestoreStore, Target, open_firestore
from duly.stores.firestore import connection as line
from duly.stores.firestore import listener as listening
from duly.stores.firestore.clock import ServerClock
from duly.stores.rules import transitions


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


# -- its URL


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("firestore://proj", Target(project="proj")),
        ("firestore://proj/", Target(project="proj")),
        ("firestore://proj/(default)", Target(project="proj")),
        ("firestore://proj/db-2?collection=jobs", Target(project="proj", database="db-2", collection="jobs")),
        ("firestore://proj?collection=a%20b&listen=no", Target(project="proj", collection="a b")),
        ("firestore://example.com:proj/db", Target(project="example.com:proj", database="db")),
    ],
)
def test_a_url_names_database_and_collection(url: str, target: Target) -> None:
    """What is left out is `(default)` and `duly`."""
    assert open_firestore(url, namespace="n")._target == target


def test_a_url_says_how_far_a_clock_may_be_ahead() -> None:
    """`none` is for clocks that a test moves."""
    with pytest.raises(InvalidStoreURL, match="expected skew_limit= a length of time"):
        open_firestore("firestore://proj?skew_limit=soon", namespace="n")
    for query, limit in (("", timedelta(seconds=5)), ("?skew_limit=1m", timedelta(minutes=1)), ("?listen=no&skew_limit=none", None)):
        assert open_firestore(f"firestore://proj{query}", namespace="n")._skew_limit == limit


@pytest.mark.parametrize(
    "url",
    [
        "firestore://",
        "firestore:///db",
        "firestore://pro_ject",
        "firestore://user:secret@proj",
        "firestore://proj/db/more",
        "firestore://proj/db?collection=a/b",
        "firestore://proj/db?collection=",
        "firestore://proj/db?collection=__x__",
        "firestore://proj/db?collection=..",
        "firestore://proj/db?collection=a&collection=b",
        "firestore://proj/db?listen=maybe",
        "firestore://proj/db?colection=a",
        "firestore://proj/db?x",
        "firestore://proj/db#here",
        "firestore://[proj",
    ],
)
def test_a_wrong_url_is_refused_with_what_was_expected(url: str) -> None:
    """In one line, without a password."""
    with pytest.raises(InvalidStoreURL, match="expected firestore://project/database") as refused:
        open_firestore(url, namespace="n")
    assert "secret" not in str(refused.value)


def test_a_store_is_opened_by_its_url() -> None:
    """As any other: nothing is connected yet."""
    store = open_store("firestore://proj/db", namespace="n")

    assert isinstance(store, FirestoreStore)
    assert store.namespace == "n"


# -- its absence


async def test_an_unreachable_server_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on the port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{unused.getsockname()[1]}")
        store, before = FirestoreStore(Target(project="proj")), monotonic()
        with pytest.raises(StoreUnavailable, match=r"^Firestore database proj/\(default\) \(emulator at .*\) does not answer: ") as refused:
            await store.open()

    assert monotonic() - before < 6
    assert "\n" not in str(refused.value)
    assert refused.value.retryable
    assert refused.value.__cause__ is not None
    await store.close()


async def test_a_silent_server_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and never says a word."""
    monkeypatch.setattr(line, "CALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{mute.getsockname()[1]}")
        store, before = FirestoreStore(Target(project="proj")), monotonic()
        with pytest.raises(StoreUnavailable):
            await store.open()
        assert monotonic() - before < 3


async def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """With what to do about it."""
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f"{tmp_path}/none.json")
    with pytest.raises(StoreError, match="no credentials for Firestore: set GOOGLE_APPLICATION_CREDENTIALS") as refused:
        await FirestoreStore(Target(project="proj")).open()
    assert not refused.value.retryable


@pytest.mark.firestore
async def test_an_emulator_is_warned_of(firestore_project: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once in a process: a forgotten variable would keep a production's tasks in somebody's memory."""
    line._warn_of_emulator.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            async with FirestoreStore(Target(project=firestore_project)):
                pass
    assert [record.levelname for record in caplog.records if "FIRESTORE_EMULATOR_HOST is set" in record.message] == ["WARNING"]


# -- its loops and its end

TWO_LOOPS = """
import asyncio, sys
from duly.stores.conformance.values import NOON, a_task, lock_one, finished
from duly.stores.firestore import FirestoreStore, Target

store = FirestoreStore(Target(project=sys.argv[1]))

async def once(slug):
    async with store, store.listen():
        await store.create(NOON, [a_task(slug)])
        await store.reschedule(NOON, [finished(await lock_one(store))])

asyncio.run(once("a"))
asyncio.run(once("b"))
"""


@pytest.mark.firestore
def test_two_event_loops_in_a_row_are_silent(firestore_project: str) -> None:
    """One store object, opened and closed in each.

    No warning, no traceback, no thread that keeps the process.
    """
    of_google = "ignore:You are using a Python version:FutureWarning"  # some releases announce the end of a Python at import
    ended = subprocess.run(
        [sys.executable, "-P", "-X", "dev", "-W", "error", "-W", of_google, "-c", TWO_LOOPS, firestore_project],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [text for text in ended.stderr.splitlines() if "FIRESTORE_EMULATOR_HOST is set" not in text]
    assert (ended.returncode, said) == (0, [])


@pytest.mark.firestore
async def test_closing_under_a_call_is_told_to_the_call(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """GRPC cancels it; but nobody cancelled the caller, which must not take itself for cancelled."""
    await store.create(NOON, [a_task()])
    tenant = store._open.tenant
    transaction = tenant.connection.client.transaction()
    await transaction._begin()
    await tenant.task_at("task").get(transaction=transaction)  # so that the lock waits
    commit, is_sent = tenant.connection.api.commit, asyncio.Event()

    async def noted(**options: Any) -> object:  # noqa: ANN401 - passed on
        sending = asyncio.ensure_future(commit(**options))
        asyncio.get_running_loop().call_soon(is_sent.set)  # after the first step of that, which sends
        return await sending

    monkeypatch.setattr(tenant.connection.api, "commit", noted)
    call = asyncio.create_task(store.lock(NOON, request()))
    await is_sent.wait()
    await store.close()

    with pytest.raises(StoreClosed):
        await call


@pytest.mark.firestore
async def test_closing_under_a_listener_lets_it_go(store: FirestoreStore) -> None:
    """Without an error, and without trying to come back."""
    async with store.listen():
        await store.close()


# -- what it hears


@pytest.mark.firestore
async def test_only_new_tasks_and_edits_are_told_to_listeners(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks, heartbeats and outcomes, which are most of all writes, wake nobody."""
    told: list[str] = []
    take = listening._Watch._take

    def noted(watch: listening._Watch, answer: ListenResponse) -> None:
        was_set = watch.heard.is_set()
        take(watch, answer)
        if watch.heard.is_set() and not was_set:
            told.append(answer.document_change.document.name.rpartition("/")[2])

    monkeypatch.setattr(listening._Watch, "_take", noted)
    await store.create(NOON, [a_task("old")])
    await store.create(NOON, [a_task("new", kind="other")])
    async with store.sibling() as elsewhere, store.listen() as rings:
        held = await lock_one(elsewhere)
        await elsewhere.extend(NOON + SECOND, [held_of(held)], LEASE)
        await elsewhere.reschedule(NOON + SECOND, [retried(held, now=NOON + SECOND, at=NOON + LEASE)])
        await elsewhere.update(NOON + SECOND, transitions.pause(await elsewhere.get("old")))
        await asyncio.wait_for(anext(rings), 10)

    assert told == ["old"]


@pytest.mark.firestore
async def test_a_store_that_does_not_listen_is_never_rung(firestore_project: str) -> None:
    """And sends nothing to be told."""
    async with FirestoreStore(Target(project=firestore_project), listening=False) as store, store.listen() as rings:
        ring = asyncio.ensure_future(anext(rings))
        await store.create(NOON, [a_task()])
        await asyncio.sleep(0)
        assert not ring.done()
        ring.cancel()


# -- the server's clock


async def test_the_clock_goes_on_between_answers() -> None:
    """By the timer; an answer that comes late does not set it back."""
    time = 100.0
    clock = ServerClock(lambda: time)
    assert clock.estimate() is None
    clock.hear(NOON + SECOND)
    time = 107.0
    clock.hear(NOON)

    assert clock.estimate() == NOON + 8 * SECOND


async def test_only_answers_of_a_call_tell_its_time() -> None:
    """A call that asked nothing has none."""
    clock = ServerClock(lambda: 0.0)
    clock.hear(NOON)
    mark = clock.mark
    assert clock.since(mark) is None
    clock.hear(NOON + SECOND)
    assert clock.since(mark) == NOON + SECOND


@pytest.mark.firestore
async def test_a_clock_that_stood_still_is_set_before_anything_is_refused(store: FirestoreStore) -> None:
    """As after the machine slept: what was heard last is old, the caller is right."""
    clock = store._open.tenant.connection.clock
    now = await store.now()
    assert now is not None
    clock._newest = now - timedelta(hours=1)

    assert await store.lock(now, request()) == []
    with pytest.raises(ClockSkew):
        await store.lock(now + timedelta(hours=1), request())


@pytest.mark.firestore
@pytest.mark.parametrize("skew_limit", [None, timedelta(hours=2)])
async def test_the_allowed_skew_can_be_set(firestore_project: str, skew_limit: timedelta | None) -> None:
    """None allows any, as a manual clock needs."""
    async with FirestoreStore(Target(project=firestore_project), skew_limit=skew_limit) as store:
        now = await store.now()
        assert now is not None
        assert await store.lock(now + timedelta(hours=1), request()) == []
