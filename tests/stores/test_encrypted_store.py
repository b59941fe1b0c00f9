"""A store that encrypts, where what is stored and what is written do not agree.

Too large, under another key, changed meanwhile.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, InvalidValue, PayloadKeys, PayloadTooLarge, Task
from duly.jobs.cipher import MARK
from duly.stores import Conflict, EncryptedStore, JobNotFound, JobStore, LockRequest, MemoryStore, Outcome
from duly.stores.rules import transitions
from support.tasks import LEASE, NOON, a_one_off

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_KEYS = PayloadKeys({"2026-10": OLD}, newest="2026-10")
KEYS = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-11")

GREAT = bytes(PAYLOAD_MAX)

Meanwhile = Callable[[], Awaitable[Any]]


class Hurried(MemoryStore):
    """A store in which something happens just before an update: each time one of these."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Meanwhile] = []

    async def update(self, now: datetime, task: Task) -> Task:
        """Let it happen, and write."""
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return await super().update(now, task)


class Fleeting(Hurried):
    """A store in which a task that was written meanwhile is deleted, too."""

    async def update(self, now: datetime, task: Task) -> Task:
        """Delete what there is a newer version of."""
        try:
            return await super().update(now, task)
        except Conflict:
            await self.delete(task.slug)
            raise


async def locked(store: JobStore) -> Task:
    """The task that is due."""
    (task,) = await store.lock(NOON, LockRequest(node="a", rooms={"k": 1}, lease=LEASE, token=uuid4().hex))
    return task


def under_no_key(stored: bytes) -> bool:
    """Whether it is in the clear."""
    return not stored.startswith(MARK)


# -- too large for an envelope


async def test_a_run_with_a_payload_in_the_clear_that_is_too_large_for_an_envelope_comes_to_its_end() -> None:
    """It was written before encryption was switched on, and stays as it was.

    So is its copy for another task.
    """
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as store:
        await memory.create(NOON, [a_one_off(slug="t", payload=GREAT)])
        held = await locked(store)
        spawned = evolve(a_one_off(slug="t@noon"), payload=held.payload)

        assert await store.reschedule(NOON, [Outcome(task=held, next=transitions.hand_back(held, now=NOON), spawn=(spawned,))]) == []

        assert [(await memory.get(slug)).payload for slug in ("t", "t@noon")] == [GREAT, GREAT]


async def test_a_task_whose_payload_is_too_large_for_an_envelope_can_be_edited() -> None:
    """Paused, for one; but another payload must fit."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as store:
        await memory.create(NOON, [a_one_off(slug="t", payload=GREAT)])

        paused = await store.update(NOON, evolve(await store.get("t"), paused=True))
        with pytest.raises(PayloadTooLarge):
            await store.update(NOON, evolve(paused, payload=GREAT[1:]))

        assert (await memory.get("t")).paused
        assert (await memory.get("t")).payload == GREAT


async def test_encrypting_anew_passes_over_what_is_too_large_for_an_envelope() -> None:
    """It is no reason to leave the others; and it is not written in vain."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as store:
        await memory.create(NOON, [a_one_off(slug="a", payload=GREAT), a_one_off(slug="b", payload=b"anvil")])
        before = await memory.get("a")

        assert (await store.reencrypt(NOON), await store.reencrypt(NOON)) == (1, 0)

        assert await memory.get("a") == before
        assert not under_no_key((await memory.get("b")).payload)


async def test_a_payload_that_would_outgrow_its_envelope_keeps_it() -> None:
    """The id of the newest key is longer, and the greatest payload was encrypted under the shorter."""
    memory, short, long = MemoryStore(), "k", "k" * 64
    keys = PayloadKeys({short: OLD, long: NEW}, newest=long)
    great = GREAT[: -(len(MARK) + 2 + len(short) + 12 + 16)]
    async with EncryptedStore(memory, PayloadKeys({short: OLD}, newest=short)) as old, EncryptedStore(memory, keys) as new:
        await old.create(NOON, [a_one_off(slug="t", payload=great)])
        stored = (await memory.get("t")).payload
        held = await locked(new)

        assert await new.reschedule(NOON, [Outcome(task=held, next=transitions.hand_back(held, now=NOON))]) == []

        assert (await memory.get("t")).payload == stored


# -- encrypting anew, while others write


async def test_a_task_that_is_written_while_it_is_encrypted_anew_is_encrypted_all_the_same() -> None:
    """A lock writes it, and leaves the payload as it is.

    Passed over, it would be under the old key when that is taken away.
    """
    memory = Hurried()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        memory.meanwhile = [lambda: locked(old)]

        assert await store.reencrypt(NOON) == 1

        assert KEYS.newest.encode() in (await memory.get("t")).payload
        assert (await memory.get("t")).lease_id is not None


async def test_a_task_that_somebody_else_encrypts_at_the_same_time_is_written_once() -> None:
    """And counted by who wrote it."""
    memory = Hurried()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        memory.meanwhile = [lambda: store.reencrypt(NOON)]

        assert await store.reencrypt(NOON) == 0

        assert (await memory.get("t")).version == 2


async def test_a_task_that_is_deleted_at_the_same_time_is_left_out() -> None:
    """Just before it is written."""
    memory = Hurried()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug="t", payload=b"anvil"), a_one_off(slug="u", payload=b"anvil")])
        memory.meanwhile = [lambda: memory.delete("t")]

        assert await store.reencrypt(NOON) == 1

        with pytest.raises(JobNotFound):
            await memory.get("t")


async def test_a_task_that_is_deleted_between_two_tries_is_left_out() -> None:
    """It was locked, and done."""
    memory = Fleeting()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        memory.meanwhile = [lambda: locked(old)]

        assert await store.reencrypt(NOON) == 0


async def test_a_task_that_is_written_without_end_is_told() -> None:
    """An answer of 0 would say that the old key is not needed any more."""
    memory = Hurried()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        async def edit() -> None:
            task = await memory.get("t")
            await MemoryStore.update(memory, NOON, evolve(task, paused=not task.paused))

        memory.meanwhile = [edit] * 100
        with pytest.raises(Conflict):
            await store.reencrypt(NOON)

        assert len(memory.meanwhile) == 80


# -- declaring again


@pytest.mark.parametrize("before", [OLD_KEYS, None])
async def test_an_equal_definition_is_no_write_under_another_key(before: PayloadKeys | None) -> None:
    """Nor where it is still in the clear.

    Two nodes with different keys would write it in turn, at every start.
    """
    memory = MemoryStore()
    former = memory if before is None else EncryptedStore(memory, before)
    async with memory, EncryptedStore(memory, KEYS) as store:
        await former.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        stored = await memory.get("t")

        assert await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")], if_exists="replace") == []

        assert await memory.get("t") == stored


async def test_an_equal_payload_of_another_kind_is_encrypted_for_that() -> None:
    """Its envelope is bound to the kind."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as store:
        await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        assert await store.create(NOON, [a_one_off(slug="t", kind="other", payload=b"anvil")], if_exists="replace") == ["t"]

        assert (await store.get("t")).payload == b"anvil"
        assert not under_no_key((await memory.get("t")).payload)


async def test_what_cannot_be_read_is_replaced() -> None:
    """By the definition that this node has, which it can read."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as new, EncryptedStore(memory, OLD_KEYS) as old:
        await new.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        assert await old.create(NOON, [a_one_off(slug="t", payload=b"anvil")], if_exists="replace") == ["t"]

        assert (await old.get("t")).payload == b"anvil"


async def test_what_cannot_be_read_is_not_written_to_another_task() -> None:
    """It would never open there."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as new, EncryptedStore(memory, OLD_KEYS) as old:
        await new.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        with pytest.raises(InvalidValue, match="to be copied to task 'u'"):
            await old.create(NOON, [evolve(a_one_off(slug="u"), payload=(await old.get("t")).payload)])


async def test_what_is_too_large_for_another_tasks_envelope_is_refused() -> None:
    """Its own would not open there, and in the clear it must not be."""
    short, long = PayloadKeys({"k": OLD}, newest="k"), PayloadKeys({"k": OLD, "k" * 64: NEW}, newest="k" * 64)
    memory = MemoryStore()
    async with EncryptedStore(memory, short) as old, EncryptedStore(memory, long) as new:
        await old.create(NOON, [a_one_off(slug="t", payload=GREAT[:-39])])

        with pytest.raises(PayloadTooLarge):
            await new.create(NOON, [evolve(a_one_off(slug="u"), payload=(await new.get("t")).payload)])


async def test_an_equal_payload_in_the_clear_is_encrypted_where_that_is_required() -> None:
    """It counts as unreadable, so that it is not what was declared."""
    memory, strict = MemoryStore(), PayloadKeys({"k": OLD}, newest="k", require=True)
    async with memory, EncryptedStore(memory, strict) as store:
        await memory.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        assert await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")], if_exists="replace") == ["t"]

        assert not under_no_key((await memory.get("t")).payload)
        assert (await store.get("t")).payload == b"anvil"


async def test_an_envelope_opens_in_its_own_namespace_alone() -> None:
    """Whoever copies a row to another tenant's has nothing run there."""
    memory = MemoryStore(namespace="a")
    there = memory.tenant("b")
    async with EncryptedStore(memory, KEYS) as store, EncryptedStore(there, KEYS) as other:
        await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        await there.create(NOON, [await memory.get("t")])

        assert (await store.get("t")).payload == b"anvil"
        assert (await other.get("t")).payload == (await memory.get("t")).payload


async def test_every_page_is_encrypted_anew() -> None:
    """Not the first hundred alone."""
    memory = MemoryStore()
    async with EncryptedStore(memory, OLD_KEYS) as old, EncryptedStore(memory, KEYS) as store:
        await old.create(NOON, [a_one_off(slug=f"{number:03}", payload=b"anvil") for number in range(250)])

        assert (await store.reencrypt(NOON), await store.reencrypt(NOON)) == (250, 0)
