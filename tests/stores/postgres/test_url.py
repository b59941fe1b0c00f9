"""Stores from URLs: also the one whose server lives in a directory."""

import asyncio
from pathlib import Path

import pytest

from duly.stores import InvalidStoreURL, open_store
from duly.stores.conformance.values import NOON, a_task
from duly.stores.postgres import EmbeddedPostgresStore, PostgresStore
from support.processes import processes_in
from support.waiting import wait_until_async

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
