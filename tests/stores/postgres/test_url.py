"""Stores from URLs: also the one whose server lives in a directory."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from duly.stores import InvalidStoreURL, open_store
from duly.stores.conformance.values import NOON, a_task
from duly.stores.postgres import EmbeddedPostgresStore, PostgresStore
from support.processes import processes_in
from support.waiting import wait_until_async

SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.postgres


async def test_an_embedded_server_runs_while_its_store_is_open(server_directory: Path) -> None:
    """The tasks outlive it, and a sibling holds the server for itself."""
    url = f"postgresql+embedded://{server_directory}?schema=mine"
    store = open_store(url, namespace="n")
    assert isinstance(store, EmbeddedPostgresStore)
    async with store:
        await store.create(NOON, [a_task()])
        assert store._session.schema == "mine"
        sibling = store.sibling()
        await sibling.open()
    assert await sibling.get_slugs() == ["task"]
    await sibling.close()
    await wait_until_async(lambda: not processes_in(server_directory))

    async with open_store(url, namespace="n") as again:
        assert await again.get_slugs() == ["task"]


async def test_a_cancelled_start_leaves_no_server_behind(server_directory: Path) -> None:
    """Although the start itself cannot be broken off."""
    store = open_store(f"postgresql+embedded://{server_directory}")
    opening = asyncio.ensure_future(store.open())
    await wait_until_async(lambda: processes_in(server_directory))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await store.close()
    await asyncio.get_running_loop().shutdown_default_executor()  # the start goes on in its thread
    await wait_until_async(lambda: not processes_in(server_directory))


@pytest.mark.parametrize("url", ["postgresql+embedded://", "postgresql+embedded://host/d", "postgresql+embedded:///d?port=1"])
def test_a_url_that_names_no_directory_is_refused(url: str) -> None:
    """With what was expected."""
    with pytest.raises(InvalidStoreURL, match="expected"):
        open_store(url)


def test_both_names_of_the_scheme_are_one_store() -> None:
    """As libpq has it, in whatever case."""
    for url in ("postgres://host/d", "postgresql://host/d", "PostgreSQL://host/d"):
        store = open_store(url, namespace="n")
        assert isinstance(store, PostgresStore)
        assert (str(store._settings.address), store.namespace) == ("host=host dbname=d", "n")


def test_a_url_of_sqlalchemy_is_understood() -> None:
    """With the driver behind a plus, and everything else as it is."""
    store = open_store("postgresql+psycopg://user@host/d?schema=mine")
    assert isinstance(store, PostgresStore)
    assert (str(store._settings.address), store._settings.address.schema) == ("user=user host=host dbname=d", "mine")


@pytest.mark.parametrize("address", ["postgresql://host/d", "postgresql+psycopg://host/d", "postgresql+embedded:///d"])
def test_a_url_says_how_its_store_connects(address: str) -> None:
    """Beside the schema; what it does not say has the defaults of the class."""
    plain, told = open_store(address), open_store(f"{address}?pool_size=9&schema=mine&timeout=1m30s&skew_limit=none")
    assert isinstance(plain, PostgresStore)
    assert isinstance(told, PostgresStore)
    default, settings = plain._settings, told._settings
    assert (default.pool_size, default.timeout, default.skew_limit) == (4, 10 * SECOND, 5 * SECOND)
    assert (settings.pool_size, settings.timeout, settings.skew_limit) == (9, 90 * SECOND, None)
    assert settings.address.schema == "mine"


@pytest.mark.parametrize("option", ["pool_size=0", "pool_size=many", "timeout=0", "timeout=none", "timeout=1 month", "skew_limit=soon"])
@pytest.mark.parametrize("scheme", ["postgresql://user:secret@host/d", "postgresql+embedded:///d"])
def test_an_option_that_cannot_be_read_is_refused_by_name(scheme: str, option: str) -> None:
    """Without the password."""
    with pytest.raises(InvalidStoreURL, match=f"expected {option.partition('=')[0]}= ") as caught:
        open_store(f"{scheme}?{option}")
    assert "secret" not in str(caught.value)


async def test_a_manual_clock_may_be_years_ahead_by_url(postgres_url: str) -> None:
    """As a test of an application has it."""
    async with open_store(f"{postgres_url}{'&' if '?' in postgres_url else '?'}skew_limit=none", namespace=uuid4().hex) as store:
        await store.create(datetime(2100, 1, 1, tzinfo=UTC), [a_task()])
        assert await store.get_slugs() == ["task"]
