"""A store that encrypts payloads passes the suite that every store passes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import pytest
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, PayloadKeys, PayloadTooLarge
from duly.jobs.cipher import ENVELOPE_MAX, MARK
from duly.stores import EncryptedStore, Exchange, JobStore, LockRequest, MemoryStore, Outcome
from duly.stores.conformance import MakeStore, StoreConformance
from duly.stores.rules import transitions
from support.tasks import LEASE, NOON, a_one_off

KEYS = PayloadKeys({"2026": bytes(32)}, newest="2026")


class Watched(MemoryStore):
    """A store that remembers what it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Remember, and do it."""
        self.outcomes.extend(outcomes)
        return await super().exchange(now, outcomes, request)


class TestSealedStore(StoreConformance):
    """All of the conformance suite, around a store in memory."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Tenants of one fresh store."""
        memory = MemoryStore()
        return lambda namespace: EncryptedStore(memory.tenant(namespace), KEYS)

    async def test_the_greatest_record_fits(self, store: JobStore) -> None:
        """One that leaves room for the envelope, that is; a greater one is refused when it is written."""
        slug = "x" * 255
        with pytest.raises(PayloadTooLarge):
            await store.create(NOON, [a_one_off(slug=slug, payload=bytes(PAYLOAD_MAX))])
        await store.create(NOON, [a_one_off(slug=slug, payload=bytes(PAYLOAD_MAX - ENVELOPE_MAX))])

        assert (await store.get(slug)).payload == bytes(PAYLOAD_MAX - ENVELOPE_MAX)


@pytest.mark.parametrize("change", [None, b"hammer"])
async def test_a_store_is_never_handed_plain_bytes(change: bytes | None) -> None:
    """Not even in the task as it was, with which a store may compare; what did not change is the same there and here."""
    memory = Watched()
    async with EncryptedStore(memory, KEYS) as store:
        await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")])
        stored = (await memory.get("t")).payload
        (held,) = await store.lock(NOON, LockRequest(node="a", rooms={"k": 1}, lease=LEASE, token=uuid4().hex))
        back = evolve(transitions.hand_back(held, now=NOON), payload=held.payload if change is None else change)
        spawned = evolve(a_one_off(slug="u"), payload=held.payload)

        assert await store.reschedule(NOON, [Outcome(task=held, next=back, spawn=(spawned,))]) == []

        (outcome,) = memory.outcomes
        assert outcome.next is not None
        assert (type(outcome.task.payload), outcome.task.payload) == (bytes, stored)
        assert (outcome.next.payload == stored) is (change is None)
        assert all(each.payload.startswith(MARK) for each in (outcome.next, *outcome.spawn))
        assert ((await store.get("t")).payload, (await store.get("u")).payload) == (change or b"anvil", b"anvil")


async def test_tasks_that_exist_are_declared_again_without_a_write() -> None:
    """Although every envelope is new: an equal payload keeps the one that it has."""
    memory = MemoryStore()
    async with EncryptedStore(memory, KEYS) as store:
        await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")])

        assert await store.create(NOON, [a_one_off(slug="t", payload=b"anvil")], if_exists="replace") == []
        assert await store.create(NOON, [a_one_off(slug="t", payload=b"hammer")], if_exists="replace") == ["t"]

        assert (await store.get("t")).payload == b"hammer"
