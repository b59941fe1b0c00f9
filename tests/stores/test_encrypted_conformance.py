"""A store that encrypts passes the suite of every store, as far as it does anything itself.

The rest is the store within.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

import pytest
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, PayloadKeys, PayloadTooLarge
from duly.jobs.cipher import ENVELOPE_MAX, MARK
from duly.stores import EncryptedStore, Exchange, JobStore, LockRequest, MemoryStore, Outcome
from duly.stores.conformance import MakeStore, StoreConformance
from duly.stores.conformance.creating import Creating
from duly.stores.conformance.editing import Editing
from duly.stores.conformance.fencing import Fencing
from duly.stores.conformance.giving_way import GivingWay
from duly.stores.conformance.keeping import Keeping
from duly.stores.conformance.searching import Searching
from duly.stores.conformance.spawning import Spawning
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


def all_of(*rooms: type) -> frozenset[str]:
    """The tests of whole rooms of the suite."""
    return frozenset(name for room in rooms for name in vars(room) if name.startswith("test_"))


SUITE = all_of(*StoreConformance.__mro__)
CHOSEN: Mapping[str, frozenset[str]] = {
    "exchange": all_of(Fencing, Spawning, GivingWay)
    | {
        "test_a_locked_task_says_who_holds_it_and_until_when",
        "test_taking_over_an_ended_lease_records_the_lost_run",
        "test_an_exchange_writes_first_and_then_locks",
        "test_an_exchange_can_lock_again_what_it_just_wrote",
        "test_an_exchange_without_a_request_only_writes",
        "test_every_reply_to_a_holder_carries_the_stores_clock",
        "test_payloads_of_every_byte_come_back",
        "test_the_greatest_record_fits",
        "test_an_exchange_touches_nothing_of_another_tenant",
        "test_an_outcome_that_is_refused_shows_no_task_of_another_tenant",
    },
    "create": all_of(Creating)
    | {
        "test_another_tenants_slug_is_free",
        "test_replacing_leaves_another_tenants_task_as_it_is",
        "test_a_replacement_takes_its_declaration_along",
    },
    "get": all_of(Keeping) | {"test_getting_an_unknown_slug_names_it", "test_another_tenants_task_is_not_found"},
    "search": all_of(Searching) | {"test_a_search_finds_no_task_of_another_tenant"},
    "update": all_of(Editing) | {"test_another_tenants_task_cannot_be_edited", "test_an_edit_goes_to_the_task_of_its_own_tenant"},
}
"""The methods that the encrypting store overrides, and the tests of the suite that try what it does in them."""


def test_the_table_names_every_method_that_is_overridden() -> None:
    """One that is overridden later is not forgotten, and no test that it names is gone."""
    members = {name for name in vars(JobStore) if not name.startswith("_")}

    assert CHOSEN.keys() == members & vars(EncryptedStore).keys()
    assert frozenset().union(*CHOSEN.values()) <= SUITE


class TestEncryptedStore(StoreConformance):
    """The chosen tests, around a store in memory; the others are not collected."""

    locals().update(dict.fromkeys(SUITE - frozenset().union(*CHOSEN.values())))

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
    """Not even in the task as it was, with which a store may compare.

    What did not change is the same there and here.
    """
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
