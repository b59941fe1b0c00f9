"""The store in Firestore passes the suite that every store passes, on Google's emulator."""

import pytest

from duly.stores.conformance import MakeStore, StoreConformance
from duly.stores.firestore import FirestoreStore, Target


@pytest.mark.firestore
class TestFirestoreStore(StoreConformance):
    """All of the conformance suite, each test in a project of its own."""

    supports_substring_search = False

    @pytest.fixture
    def make_store(self, firestore_project: str) -> MakeStore:
        """Namespaces of one fresh database."""
        target = Target(project=firestore_project)
        return lambda namespace: FirestoreStore(target, namespace=namespace)
