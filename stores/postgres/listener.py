"""LISTEN/NOTIFY as a hint: that something may be due sooner than a node thinks.

It carries no data and may be lost.

The line is a connection of its own. Each time it is made it proves itself: a notification sent over another connection must come
in, because behind a pooler that gives the server's connections to others between transactions, LISTEN succeeds and nothing is
ever heard. A line that is lost or deaf is made anew, ever more rarely; meanwhile nothing is yielded, and the poll is the net.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final
from uuid import uuid4

import psycopg

from duly.stores.errors import StoreError, StoreUnavailable
from duly.stores.postgres.address import Address
from duly.stores.postgres.connections import Connection, connect, hang_up_after
from duly.stores.postgres.session import Session
from duly.stores.postgres.statements import quoted

_log: Final = logging.getLogger(__name__)

_PROBE_TIMEOUT: Final = timedelta(seconds=5)
_FIRST_PAUSE: Final = timedelta(milliseconds=200)
_LONGEST_PAUSE: Final = timedelta(seconds=30)


class Deaf(StoreError):
    """The line takes LISTEN and hears nothing."""


class Listener:
    """One line that listens, made anew when it is lost, and the event that it sets."""

    def __init__(self, session: Session, address: Address, timeout: timedelta) -> None:
        """Connect to nothing yet."""
        self._session, self._address, self._timeout = session, address, timeout
        self._heard = asyncio.Event()
        self._probe = uuid4().hex
        self._pause = _FIRST_PAUSE

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[None]]:
        """Yield the rings; what is written from now on is heard, if the line can be made at all."""
        first: Connection | None = None
        with suppress(StoreUnavailable):  # a listener that cannot hear yet is none the worse: `_stay` goes on trying
            first = await self._listen()
        staying = asyncio.create_task(self._stay(first))
        staying.add_done_callback(lambda _: self._heard.set())
        try:
            yield self._rings(staying)
        finally:
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
            if first is not None:
                await first.close()  # a task that is cancelled before it begins closes nothing

    async def _rings(self, staying: "asyncio.Task[None]") -> AsyncIterator[None]:
        """Yield at each notification; raise what ended the listener, so that its caller makes another."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            if staying.done() and not staying.cancelled():
                staying.result()
            yield

    async def _stay(self, connection: Connection | None) -> None:
        """Listen until cancelled, over one line after the other."""
        while True:
            try:
                if connection is None:
                    connection = await self._listen()
                    self._heard.set()  # for what may have been said while there was no line
                async with connection:
                    await self._hear(connection)
            except (psycopg.Error, StoreError) as error:
                level = logging.WARNING if self._pause == _FIRST_PAUSE else logging.DEBUG  # an outage is told once
                _log.log(level, "notifications of PostgreSQL are not heard, next attempt in %s; polling goes on: %s", self._pause, error)
            connection = None
            await asyncio.sleep(self._pause.total_seconds())
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _listen(self) -> Connection:
        connection = await connect(self._address, self._timeout)
        try:
            await connection.execute(f"LISTEN {quoted(self._session.channel)}".encode())
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.Error):
                raise StoreUnavailable(f"LISTEN failed: {error}") from error
            raise
        return connection

    async def _hear(self, connection: Connection) -> None:
        """Send the probe over another connection, and hear all that comes in.

        Returns when the connection is lost, or was cut because the probe did not come.
        """
        await self._session.ask(self._session.sql.notify, payload=self._probe)
        with ExitStack() as proof:
            deaf = proof.enter_context(hang_up_after(_PROBE_TIMEOUT, connection))
            try:
                # One iterator for the whole life of the line: with it would go what came in the same packet.
                async for notification in connection.notifies():
                    if not notification.payload:
                        self._heard.set()
                    elif notification.payload == self._probe:
                        self._pause = _FIRST_PAUSE
                        proof.close()
            except psycopg.Error as error:
                if deaf:
                    raise Deaf(f"a notification sent over another connection did not come in within {_PROBE_TIMEOUT}") from error
                raise
