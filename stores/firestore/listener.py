"""Wake-ups: the server watches which task was created or edited last, and tells when it is another.

`edited_at` is written by people and programs, and by outcomes for what they spawn: not by locks, heartbeats or the
outcomes of schedules. So a busy queue of schedules costs a listener next to nothing, and each edit one read. (The first
due task would change with every lock; and one of a kind that nobody knows, due for ever, would hide all the others.)

The library's own watch runs on threads, takes up a lost line without a pause (hundreds of threads a second while the
server is down) and ends with an error in its callback. This is the same stream, on the store's own channel.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.types import Document, ListenRequest, ListenResponse, Target, TargetChange

from duly.stores.errors import StoreClosed, StoreError, StoreUnavailable
from duly.stores.firestore.documents import EARLIEST, EDITED_AT, utc
from duly.stores.firestore.failures import translated
from duly.stores.firestore.tenant import Tenant

_STAND_SECONDS = 5.0
"""How long it may take until the server watches."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
"""Seconds before a lost line is taken up again: doubled each time, from the first to the longest."""

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def listen(tenant: Tenant) -> AsyncIterator[AsyncIterator[None]]:
    """Yield after writes by anybody that may make something due sooner; entered once the server watches.

    A line that was lost is taken up again, and rings then, because something may have been missed.

    Raises:
        StoreError: the server refuses.
        StoreUnavailable: it does not answer in time.

    """
    watch = _Watch(tenant)
    keeper = asyncio.create_task(watch.keep())
    keeper.add_done_callback(watch.note_end)
    try:
        async with asyncio.timeout(_STAND_SECONDS):
            await watch.stands
    except TimeoutError as error:
        raise StoreUnavailable(f"{tenant.connection.target} does not answer: no line to listen on within {_STAND_SECONDS:g} s") from error
    else:
        yield rings(watch.heard, keeper)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def rings(heard: asyncio.Event, keeper: "asyncio.Task[None] | None" = None) -> AsyncIterator[None]:
    """Yield whenever the event was set; several times may come as one.

    If `keeper` has failed, raise its error, so that the caller makes another line.
    """
    while True:
        await heard.wait()
        heard.clear()
        if keeper is not None and keeper.done() and not keeper.cancelled():
            keeper.result()
        yield


class _Watch:
    """A stream that is kept up, and what came over it."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._pause = _FIRST_PAUSE
        self._is_fresh = True
        self._newest: tuple[datetime, str] | None = None
        self.heard = asyncio.Event()
        self.stands: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def keep(self) -> None:
        """Take up the line again and again; an error before it stood for the first time is the caller's."""
        while True:
            try:
                await self._follow()
            except StoreClosed:
                return
            except StoreError as error:
                if not self.stands.done():
                    self.stands.set_exception(error)
                    return
                level = logging.WARNING if self._pause == _FIRST_PAUSE else logging.DEBUG  # an outage is told once
                _logger.log(level, "not told of new tasks, trying again: %s", error)
            await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311 - no secret, a jitter
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def note_end(self, keeper: "asyncio.Task[None]") -> None:
        """Let the caller know that nothing keeps the stream up any more."""
        self.heard.set()
        if not self.stands.done() and not keeper.cancelled() and (error := keeper.exception()) is not None:
            self.stands.set_exception(error)

    async def _follow(self) -> None:
        connection = self._tenant.connection
        hung_up = asyncio.Event()
        # Instants alone: whatever else somebody wrote there by hand would be in front of them for good.
        query = self._tenant.tasks.where(filter=FieldFilter(EDITED_AT, ">=", EARLIEST)).order_by(EDITED_AT, direction="DESCENDING").limit(1)
        watched = Target.QueryTarget(parent=self._tenant.root._document_path, structured_query=query._to_protobuf())  # noqa: SLF001 - a raw call
        request = ListenRequest(database=connection.database, add_target=Target(target_id=1, query=watched))

        async def requests() -> AsyncIterator[ListenRequest]:
            yield request
            await hung_up.wait()  # the server ends the stream when this side does

        self._is_fresh = True
        with translated(str(connection.target)):
            try:
                async for answer in await connection.api.listen(
                    requests=requests(), metadata=connection.metadata, retry=None, timeout=None
                ):
                    self._take(answer)
            finally:
                hung_up.set()

    def _take(self, answer: ListenResponse) -> None:
        if "document_change" in answer:
            self._compare(answer.document_change.document)
        change = answer.target_change.target_change_type if "target_change" in answer else None
        if change is TargetChange.TargetChangeType.REMOVE:
            raise StoreError(f"{self._tenant.connection.target} does not watch any more: {answer.target_change.cause.message}")
        if change is TargetChange.TargetChangeType.CURRENT and self._is_fresh:
            self._is_fresh, self._pause = False, _FIRST_PAUSE
            if self.stands.done():
                self.heard.set()
            else:
                self.stands.set_result(None)

    def _compare(self, document: Document) -> None:
        """Ring if this is a newer edit.

        A lock of the newest task is told too, and the emulator repeats itself.
        """
        edit = (utc(document.fields[EDITED_AT].timestamp_value), document.name)
        is_newer = self._newest is None or (edit != self._newest and edit[0] >= self._newest[0])
        if is_newer:
            self._newest = edit
            if self.stands.done():
                self.heard.set()
