"""The PostgreSQL store passes the suite that every store passes.

On both versions of the server that are at hand.
"""

from collections.abc import Iterator

import pytest

from duly.stores.conformance import MakeStore, StoreConformance
from duly.stores.postgres import PostgresStore
from support.postgres import emptied, migrated

pytestmark = pytest.mark.postgres

_SCHEMA = "conformance"


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """The shared server, with the schema in it: made once, because that takes longer than a test."""
    return migrated(postgres_url, _SCHEMA)


@pytest.fixture(scope="session")
def second_migrated_url(second_postgres_url: str) -> str:
    """The same on the operating system's version."""
    return migrated(second_postgres_url, _SCHEMA)


def _on(url: str) -> Iterator[MakeStore]:
    yield lambda namespace: PostgresStore(url, namespace=namespace, schema=_SCHEMA)
    emptied(url, _SCHEMA)


class TestPostgresStore(StoreConformance):
    """All of the conformance suite on the embedded server."""

    @pytest.fixture
    def make_store(self, migrated_url: str) -> Iterator[MakeStore]:
        """Stores on one schema, emptied after each test."""
        yield from _on(migrated_url)


class TestPostgresStoreOnTheSystemsVersion(StoreConformance):
    """All of it again on the operating system's own PostgreSQL version, where there is one."""

    @pytest.fixture
    def make_store(self, second_migrated_url: str) -> Iterator[MakeStore]:
        """Stores on one schema, emptied after each test."""
        yield from _on(second_migrated_url)
