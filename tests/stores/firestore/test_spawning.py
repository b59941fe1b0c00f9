"""Outcomes that spawn may write thousands of documents.

They have the time that this takes, and look for what exists in parts.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from duly.stores.conformance.values import NOON, a_task, finished, request
from duly.stores.firestore import FirestoreStore, Target
from duly.stores.firestore.connection import CALL_SECONDS, COMMIT_SECONDS
from duly.stores.firestore.tenant import BATCH

pytestmark = pytest.mark.firestore


@pytest_asyncio.fixture
async def store(firestore_project: str) -> AsyncIterator[FirestoreStore]:
    """A store in an empty database."""
    async with FirestoreStore(Target(project=firestore_project)) as store:
        yield store


async def test_an_outcome_that_spawns_has_the_time_of_a_great_write(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before, it would be sent again for ever; any other outcome is a few documents."""
    await store.create(NOON, [a_task("a"), a_task("b")])
    a, b = await store.lock(NOON, request())
    api = store._open.tenant.connection.api
    commit, seconds = api.commit, []

    async def timed(*args: object, **options: object) -> object:
        seconds.append(options["timeout"])
        return await commit(*args, **options)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(api, "commit", timed)
    await store.reschedule(NOON, [finished(a, spawn=(a_task("child"),))])
    await store.reschedule(NOON, [finished(b)])

    assert seconds == [COMMIT_SECONDS, CALL_SECONDS]


async def test_what_exists_of_many_is_looked_for_in_parts(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of which is read within the bounds of a call."""
    children = tuple(a_task(f"child{number:04}", kind="other") for number in range(2 * BATCH + 1))
    await store.create(NOON, [a_task("parent"), children[-1]])
    (parent,) = await store.lock(NOON, request())
    connection = store._open.tenant.connection
    rows, read = connection.rows, []

    async def counted(references: list[object]) -> object:
        read.append(len(references))
        return await rows(references)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(connection, "rows", counted)
    assert await store.reschedule(NOON, [finished(parent, spawn=children)]) == []

    assert sorted(read) == [1, 1, BATCH, BATCH]
    monkeypatch.undo()
    assert len(await store.get_slugs()) == len(children)
