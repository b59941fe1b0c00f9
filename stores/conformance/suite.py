"""The suite put together, and the fixtures that it asks of a store."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from duly.stores import JobStore
from duly.stores.conformance.at_work import TenantsAtWork
from duly.stores.conformance.creating import Creating
from duly.stores.conformance.editing import Editing
from duly.stores.conformance.fencing import Fencing
from duly.stores.conformance.giving_way import GivingWay
from duly.stores.conformance.histories import Histories
from duly.stores.conformance.keeping import Keeping
from duly.stores.conformance.locking import Locking
from duly.stores.conformance.searching import Searching
from duly.stores.conformance.sharing import Sharing
from duly.stores.conformance.spawning import Spawning
from duly.stores.conformance.tenant_records import TenantRecords
from duly.stores.conformance.tenants import Tenants

MakeStore = Callable[[str], JobStore]
"""Returns a store bound to the namespace given, not yet open; within one test always on the same data, empty at its start."""


@pytest.mark.asyncio
class StoreConformance(
    Creating, GivingWay, Locking, Fencing, Spawning, Editing, Keeping, Searching, Histories, Sharing, Tenants, TenantRecords, TenantsAtWork
):
    """What any `JobStore` does; subclass it and supply `make_store`.

    A store that cannot do all of it says so twice: by `Unsupported` to its callers, and to this suite by a class attribute, such
    as `supports_substring_search = False`, with which the suite asks for that error instead.
    """

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Return how to make the store under test; every subclass overrides this."""
        raise NotImplementedError("a subclass of StoreConformance supplies the fixture make_store")

    @pytest_asyncio.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[JobStore]:
        """Return the store under test, open and empty."""
        async with make_store("tenant-a") as store:
            yield store

    @pytest_asyncio.fixture
    async def other_tenant(self, make_store: MakeStore) -> AsyncIterator[JobStore]:
        """Return a store on the same data, bound to another namespace."""
        async with make_store("tenant-b") as store:
            yield store
