"""From a URL to a store, and the store that starts its own server."""

import asyncio
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

from attrs import evolve

from duly.stores.errors import InvalidStoreURL
from duly.stores.postgres.address import parse_address
from duly.stores.postgres.embedded.server import EmbeddedServer, EmbeddedServerError, directory_of, open_embedded
from duly.stores.postgres.session import Session
from duly.stores.postgres.store import POOL_SIZE, SKEW_LIMIT, TIMEOUT, PostgresStore
from duly.stores.url_options import COUNT, SPAN, SPAN_OR_NONE, Option, read_options, split_options

_OPTIONS: Mapping[str, Option] = {"pool_size": COUNT, "timeout": SPAN, "skew_limit": SPAN_OR_NONE}


def open_postgres(url: str, *, namespace: str) -> PostgresStore:
    """Return the store that a `postgresql:` URL names, not yet open.

    The scheme may be `postgresql+psycopg`, as SQLAlchemy writes it. Beside what `PostgresStore` understands, the URL may say
    `pool_size=8`, `timeout=5` (seconds, or with a unit) and `skew_limit=none`.
    """
    rest, given = split_options(url, _OPTIONS)
    scheme, separator, address = rest.partition("://")
    options = read_options(url, given, _OPTIONS)
    return PostgresStore(scheme.lower().removesuffix("+psycopg") + separator + address, namespace=namespace, **options)


def open_embedded_postgres(url: str, *, namespace: str) -> PostgresStore:
    """Return the store in the directory that a `postgresql+embedded:` URL names.

    Its server starts when it is opened.
    """
    rest, given = split_options(url, _OPTIONS)
    try:
        directory = directory_of(rest)
        options = parse_qs(urlsplit(rest).query)
    except (EmbeddedServerError, ValueError):
        raise InvalidStoreURL(url, "postgresql+embedded:///absolute/directory or postgresql+embedded:///./relative/directory") from None
    if set(options) - {"schema"}:
        raise InvalidStoreURL(url, "no parameters but schema=, pool_size=, timeout= and skew_limit=")
    schema = options.get("schema", [None])[-1]
    return EmbeddedPostgresStore(directory, namespace=namespace, schema=schema, **read_options(url, given, _OPTIONS))


class EmbeddedPostgresStore(PostgresStore):
    """A store on the server that lives in a directory.

    Whoever opens it first starts the server, the last to close it stops it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        namespace: str = "default",
        schema: str | None = None,
        pool_size: int = POOL_SIZE,
        timeout: timedelta = TIMEOUT,
        skew_limit: timedelta | None = SKEW_LIMIT,
    ) -> None:
        """Start nothing yet."""
        url = "postgresql://"  # the server's address is known when it runs
        super().__init__(url, namespace=namespace, schema=schema, pool_size=pool_size, timeout=timeout, skew_limit=skew_limit)
        self._directory = directory
        self._server: EmbeddedServer | None = None

    def sibling(self) -> Self:
        """Return a store on the same tasks, not yet open, which holds the server for itself."""
        other = super().sibling()
        other._directory, other._server = self._directory, None  # noqa: SLF001 - of the same class
        return other

    async def _connect(self) -> Session:
        self._server = await _start(self._directory)
        address = parse_address(self._server.url, self._settings.address.schema)
        self._settings = evolve(self._settings, address=address)
        try:
            return await super()._connect()
        except BaseException:
            await self._release()
            raise

    async def close(self) -> None:
        """Disconnect, and stop the server if nobody else uses it."""
        await super().close()
        await self._release()

    async def _release(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.release)


async def _start(directory: Path) -> EmbeddedServer:
    """Start or join the server in a thread, because it takes seconds.

    If the caller is cancelled, it is released when it is there.
    """
    abandoned = threading.Event()
    starting = asyncio.ensure_future(asyncio.to_thread(_open_unless, abandoned, directory))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        abandoned.set()
        starting.add_done_callback(_release_started)  # it may just have become ready
        raise


def _open_unless(abandoned: threading.Event, directory: Path) -> EmbeddedServer:
    server = open_embedded(directory)
    if abandoned.is_set():  # the event loop may be gone by now
        server.release()
    return server


def _release_started(starting: "asyncio.Future[EmbeddedServer]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().release()
