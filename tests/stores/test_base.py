"""What a third party writes to have a store, what it is given, and what a wrapper lets through."""

from importlib.resources import files
from typing import Any, Protocol

import pytest

from duly.jobs import PayloadKeys
from duly.stores import BaseStore, EncryptedStore, JobStore, MemoryStore, NopStore, Reencryption, WrappedStore

KEYS = PayloadKeys({"2026": bytes(32)}, newest="2026")
FLOOR_PLAN = {"store", "leases", "tasks", "runs", "nodes", "listener", "url"}


class Peeking(Protocol):
    """A facet that shows payloads as they are kept."""

    async def payloads(self) -> list[bytes]:
        """Return all of them."""


class Open(MemoryStore, Peeking):
    """A store that has the facet."""

    async def payloads(self) -> list[bytes]:
        """Return all of them."""
        return [task.payload for task in self._tenant.tasks.values()]


class Passing(WrappedStore):
    """A wrapper that passes the facet on."""

    facets = frozenset({Peeking})


class Own(WrappedStore, Peeking):
    """A wrapper that has the facet itself."""

    async def payloads(self) -> list[bytes]:
        """Return none."""
        return []


def test_a_third_party_writes_at_most_twenty_methods() -> None:
    """Beside opening and closing; what else a store may do is a facet."""
    to_write = BaseStore.__abstractmethods__ - {"open", "close"}

    assert len(to_write) <= 20
    assert not to_write & {"lock", "reschedule", "facet", "namespace", "__aenter__", "__aexit__"}


def test_a_store_without_one_of_them_cannot_be_made() -> None:
    """It would answer None, and nobody would miss the method."""

    class Short(NopStore):
        extend = JobStore.extend

    broken: Any = Short
    with pytest.raises(TypeError, match="extend"):
        broken()


@pytest.mark.parametrize("store_class", [MemoryStore, NopStore, EncryptedStore, WrappedStore])
def test_lock_and_reschedule_are_the_halves_of_exchange_on_every_store(store_class: type[BaseStore]) -> None:
    """Written once; whoever overrides `exchange` has changed them, too."""
    assert (store_class.lock, store_class.reschedule) == (BaseStore.lock, BaseStore.reschedule)


@pytest.mark.parametrize("store", ["memory", "postgres", "firestore"])
def test_every_store_has_the_same_floor_plan(store: str) -> None:
    """So that who knows one finds the way in the others."""
    assert {f"{room}.py" for room in FLOOR_PLAN} <= {path.name for path in files(f"duly.stores.{store}").iterdir()}


async def test_a_facet_is_the_store_itself() -> None:
    """None where a store does not have it."""
    async with Open() as store:
        facet = store.facet(Peeking)

        assert facet is store
        assert MemoryStore().facet(Peeking) is None


def test_a_wrapper_passes_on_the_facets_that_it_names() -> None:
    """And no others: it would be gone past by one that it does not know."""
    store = Open()

    assert Passing(store).facet(Peeking) is store
    assert Passing(WrappedStore(store)).facet(Peeking) is None
    assert WrappedStore(store).facet(Peeking) is None


def test_a_facet_of_the_wrapper_itself_comes_first() -> None:
    """It is around the one within."""
    wrapper = Own(Open())

    assert wrapper.facet(Peeking) is wrapper


def test_no_facet_leaks_payloads_through_encryption() -> None:
    """Whatever the store within can do; its own facet is had."""
    encrypted = EncryptedStore(Open(), KEYS)

    assert EncryptedStore.facets == frozenset()
    assert encrypted.facet(Peeking) is None
    assert encrypted.facet(MemoryStore) is None
    assert encrypted.facet(Reencryption) is encrypted


async def test_a_sibling_of_a_wrapper_wraps_a_sibling() -> None:
    """In another event loop it does the same."""
    async with Open() as store, EncryptedStore(store, KEYS).sibling() as sibling:
        assert isinstance(sibling, EncryptedStore)
        assert sibling.namespace == store.namespace
        assert await sibling.get_slugs() == []
