"""The line to Firestore: one client for one event loop, every call bounded, every answer's time heard.

Three things here go behind the public face of Google's client. The channel is ours, because the library's own takes up
to two minutes to come back after an outage, and shares its TCP connection with every other client of the process.
Queries are sent raw, because the library drops the server's time from an empty answer, which is the most frequent of
all. And gRPC is closed, which the library's `close` does not do.
"""

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import google.auth
import grpc.aio  # type: ignore[import-untyped]  # it ships no types
from attrs import field, frozen
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth
from google.cloud.firestore import AsyncClient, AsyncDocumentReference, AsyncQuery, AsyncWriteBatch
from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.async_aggregation import AsyncAggregationQuery
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

from duly.stores.errors import StoreError
from duly.stores.firestore.clock import ServerClock
from duly.stores.firestore.documents import Fields, Row, utc
from duly.stores.firestore.failures import AMBIGUOUS, RACED, Blocked, Raced, Unsure, is_too_large, translated, unavailable

T = TypeVar("T")

EMULATOR_VARIABLE = "FIRESTORE_EMULATOR_HOST"
"""Google's own convention: where it is set, every client talks to the emulator there, without credentials."""

CALL_SECONDS = 5.0
"""How long any one call may take; a read that failed sooner is repeated once."""

COMMIT_SECONDS = 15.0
"""How long a commit of many documents may take."""

_REPEAT_SECONDS = 0.2

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)

_logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Target:
    """Which database, and which collection of it holds the namespaces."""

    project: str
    """Id of the Google Cloud project."""
    database: str = "(default)"
    """Id of the database in that project."""
    collection: str = "duly"
    """Top-level collection, with one document for each namespace."""

    def __str__(self) -> str:
        """Say it in one line, with the emulator where there is one."""
        emulator = os.environ.get(EMULATOR_VARIABLE)
        return f"Firestore database {self.project}/{self.database}" + (f" (emulator at {emulator})" if emulator else "")


@frozen
class Found:
    """One document that a query found."""

    id: str
    row: Row = field(repr=False)


class Connection:
    """An open line to one database. Safe to share among the coroutines of one event loop, and bound to it.

    Methods raise `StoreUnavailable` when the server does not answer within their bounds, and `StoreError` when it refuses.
    """

    def __init__(self, target: Target, client: AsyncClient, api: FirestoreAsyncClient) -> None:
        """Made by `connect`."""
        self.target: Target = target
        self.client: AsyncClient = client
        self.api: FirestoreAsyncClient = api
        self.clock: ServerClock = ServerClock(asyncio.get_running_loop().time)

    @property
    def database(self) -> str:
        """The database's full name."""
        return f"projects/{self.target.project}/databases/{self.target.database}"

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """What every raw call must carry: the routing prefix, and the emulator's pass."""
        metadata: Sequence[tuple[str, str]] = self.client._rpc_metadata  # noqa: SLF001 - the library has no public name for it
        return metadata

    async def close(self) -> None:
        """Close the channel; calls that are under way fail."""
        await self.api.transport.close()  # type: ignore[no-untyped-call]

    # -- writes

    async def commit(self, fill: Callable[[AsyncWriteBatch], None], *, seconds: float = CALL_SECONDS) -> datetime:
        """Write a batch, whole or not at all, and return the update time of the first document in it.

        One attempt: the library's own retry would take an answer that was lost for a lost race.

        Raises:
            Raced: nothing was written; `Blocked` if a transaction holds one of the documents.
            Unsure: it may have been written.

        """
        batch = self.client.batch()
        fill(batch)
        with translated(str(self.target)):
            try:
                results = await batch.commit(retry=None, timeout=seconds)
            except RACED as error:
                raise Raced from error
            except google_errors.Aborted as error:
                raise Blocked from error
            except AMBIGUOUS as error:
                if is_too_large(error):
                    raise
                raise Unsure from error
        commit_time: datetime = batch.commit_time  # type: ignore[assignment]  # the library types what it was before the commit
        self.clock.hear(utc(commit_time))
        return results[0].update_time or commit_time  # a deletion has no update time

    async def write(self, fill: Callable[[AsyncWriteBatch], None]) -> None:
        """Write a batch that nobody else's write can refuse, and that does no harm when it is written twice.

        Raises:
            StoreUnavailable: it may or may not have been written.

        """
        try:
            await self.commit(fill)
        except (Raced, Unsure) as error:
            raise unavailable(str(self.target), error.__cause__ or error) from error.__cause__

    # -- reads

    async def rows(self, references: list[AsyncDocumentReference]) -> list[Row | None]:
        """Return the documents in the order of `references`; None for one that is not there.

        Each is a billed read.
        """

        async def ask() -> dict[str, Row | None]:
            found: dict[str, Row | None] = {}
            async for snapshot in self.client.get_all(references, retry=None, timeout=CALL_SECONDS):
                self.clock.hear(utc(snapshot.read_time))
                row = Row(snapshot.to_dict() or {}, snapshot.update_time, snapshot.id) if snapshot.exists else None
                found[snapshot.reference.path] = row
            return found

        found = await self._read(ask) if references else {}
        return [found.get(reference.path) for reference in references]

    async def row(self, reference: AsyncDocumentReference) -> Row | None:
        """Return the document, or None; one billed read either way."""
        return (await self.rows([reference]))[0]

    async def query(self, query: AsyncQuery) -> list[Found]:
        """Return what the query finds; a billed read for each document, and one if there is none."""
        parent, prefix = query._parent._parent_info()  # noqa: SLF001 - of the raw query, see above
        request = {"parent": parent, "structured_query": query._to_protobuf()}  # noqa: SLF001

        async def ask() -> list[Found]:
            found: list[Found] = []
            async for answer in await self.api.run_query(request=request, metadata=self.metadata, retry=None, timeout=CALL_SECONDS):
                if answer.read_time is not None:
                    self.clock.hear(utc(answer.read_time))
                if "document" in answer:
                    document = answer.document
                    fields = cast("Fields", _helpers.decode_dict(document.fields, self.client))
                    name = _helpers.get_doc_id(document, prefix)
                    found.append(Found(name, Row(fields, document.update_time, name)))
            return found

        return await self._read(ask)

    async def count(self, query: AsyncQuery) -> int:
        """Return how many documents the query finds, counted by the server.

        Billed is a read for every thousand begun, at least one.
        """
        parent, _ = query._parent._parent_info()  # noqa: SLF001 - as in `query`
        counting: Any = AsyncAggregationQuery(query)
        request = {"parent": parent, "structured_aggregation_query": counting.count(alias="found")._to_protobuf()}  # noqa: SLF001

        async def ask() -> int:
            found = 0
            stream = await self.api.run_aggregation_query(request=request, metadata=self.metadata, retry=None, timeout=CALL_SECONDS)
            async for answer in stream:
                if answer.read_time is not None:
                    self.clock.hear(utc(answer.read_time))
                found += answer.result.aggregate_fields["found"].integer_value
            return found

        return await self._read(ask)

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        with translated(str(self.target)):
            try:
                return await ask()
            except google_errors.DeadlineExceeded:
                raise  # the time is used up
            except (*AMBIGUOUS, google_errors.Aborted):
                await asyncio.sleep(_REPEAT_SECONDS)
            return await ask()


async def connect(target: Target) -> Connection:
    """Return an open line. Credentials are Google's Application Default Credentials.

    The emulator needs none.

    Raises:
        StoreError: there are no credentials.

    """
    emulator = os.environ.get(EMULATOR_VARIABLE)
    if emulator:
        _warn_of_emulator(emulator)
        credentials: Any = None
        host, channel = emulator, grpc.aio.insecure_channel(emulator, options=_CHANNEL_OPTIONS)
    else:
        credentials = await asyncio.to_thread(_credentials)  # may ask a metadata server, and blocks meanwhile
        host = FirestoreAsyncClient.DEFAULT_ENDPOINT
        channel = FirestoreGrpcAsyncIOTransport.create_channel(host, credentials=credentials, options=_CHANNEL_OPTIONS)
    client = AsyncClient(project=target.project, database=target.database, credentials=credentials)
    api = FirestoreAsyncClient(transport=FirestoreGrpcAsyncIOTransport(host=host, channel=channel))
    client._firestore_api_internal = api  # noqa: SLF001 - the one attribute by which the library takes a channel of ours
    return Connection(target, client, api)


def _credentials() -> Any:  # noqa: ANN401 - the library does not type it
    try:
        return google.auth.default(scopes=AsyncClient.SCOPE)[0]
    except auth.DefaultCredentialsError as error:
        raise StoreError(
            "no credentials for Firestore: set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
        ) from error


@functools.cache
def _warn_of_emulator(host: str) -> None:
    """Warn once in a process.

    A variable forgotten in production would keep tasks in an emulator's memory.
    """
    _logger.warning("%s is set: tasks are kept in the emulator at %s", EMULATOR_VARIABLE, host)
