"""The store in memory passes the suite that every store passes."""

import pytest

from duly.stores import MemoryStore
from duly.stores.conformance import MakeStore, StoreConformance


class TestMemoryStore(StoreConformance):
    """All of the conformance suite, in memory."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Tenants of one fresh store."""
        return MemoryStore().tenant
