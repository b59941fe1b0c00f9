"""The lines to the server: few, reused, and never waited for without end.

No pool of a library: with this one a call fails at once and with the server's own words when the server is away, and the next one
connects again by itself, so that the caller's backoff is the only one. It hands out the connection used last, whose statements
are prepared.
"""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from math import ceil
from typing import Final

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format, TransactionStatus

from duly.stores.errors import StoreClosed, StoreUnavailable
from duly.stores.postgres.address import Address
from duly.stores.postgres.failures import is_of_no_more_use, one_line, translated
from duly.stores.postgres.rows import Broken, BrokenRow, Row
from duly.stores.postgres.statements import Step

Connection = psycopg.AsyncConnection[Row]

_GRACE: Final = timedelta(seconds=2)
"""How much longer than the server is allowed to work on a statement we wait for its answer."""

_STEPS: Final = 4
"""How many statements a call may have before it is given longer: only the creation of thousands of tasks has more."""


async def connect(address: Address, timeout: timedelta) -> Connection:
    """Return a new connection.

    Raises:
        StoreUnavailable: there is no such server, database or user, or no answer; without the password.

    """
    try:
        return await psycopg.AsyncConnection.connect(autocommit=True, **address.connect_parameters(timeout))
    except psycopg.Error as error:
        raise StoreUnavailable(f"cannot connect to PostgreSQL ({address}): {one_line(error)}") from error


class Connections:
    """Up to `size` connections for any number of coroutines of one event loop.

    The others wait their turn, within bounds.
    """

    def __init__(self, address: Address, *, size: int, timeout: timedelta) -> None:
        """Connect to nothing yet."""
        self._address, self._size, self._timeout = address, size, timeout
        self._turn = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False

    async def run(self, *steps: Step) -> list[list[Row]]:
        """Run statements in one round trip and one transaction, and return the rows of each.

        Raises:
            StoreUnavailable: no answer, or none in time; all or nothing of it may have happened.
            ClockSkew: the first statement was `enter`, and refused the time.
            StoreError: the statement itself is refused; nothing happened.

        """
        async with self.borrow() as connection:
            try:
                with hang_up_after(self._timeout * ceil(len(steps) / _STEPS) + _GRACE, connection) as hung_up:
                    return await _run(connection, steps)
            except psycopg.Error as error:
                if is_of_no_more_use(error):
                    await connection.close()
                if hung_up:
                    raise StoreUnavailable(f"PostgreSQL ({self._address}) did not answer in time") from error
                raise translated(error, steps[0].values) from error

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        It is used again if it comes back without an open transaction, and not after a cancellation.
        """
        await self._wait_for_turn()
        try:
            connection = await self._take()
            try:
                yield connection
            except Exception:
                if connection.closed:
                    await self._cut_idle()  # if this one is lost, the others are likely lost, too
                raise
            except BaseException:
                await connection.close()
                raise
            finally:
                await self._give_back(connection)
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Refuse further calls, wait for those under way, and disconnect.

        Each call under way ends within its bounds.
        """
        self._is_closed = True
        for _ in range(self._size):
            await self._turn.acquire()
        await self._cut_idle()
        for _ in range(self._size):
            self._turn.release()

    async def _wait_for_turn(self) -> None:
        if self._turn.locked():
            try:
                async with asyncio.timeout(self._timeout.total_seconds()):
                    await self._turn.acquire()
            except TimeoutError:
                raise StoreUnavailable(f"all {self._size} connections to PostgreSQL were busy for {self._timeout}") from None
        else:
            await self._turn.acquire()
        if self._is_closed:
            self._turn.release()
            raise StoreClosed("PostgresStore")

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not _was_cut(connection):
                return connection
            await connection.close()
        return await connect(self._address, self._timeout)

    async def _give_back(self, connection: Connection) -> None:
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()

    async def _cut_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()


async def _run(connection: Connection, steps: Sequence[Step]) -> list[list[Row]]:
    if len(steps) == 1:
        return [await _fetched(await _execute(connection, steps[0]))]
    # Between the pipeline's begin and its end all statements are one transaction, as the protocol has it: without BEGIN and COMMIT.
    async with connection.pipeline():
        cursors = [await _execute(connection, step) for step in steps]
    return [await _fetched(cursor) for cursor in cursors]


async def _fetched(cursor: psycopg.AsyncCursor[Row]) -> list[Row]:
    """Return the rows; of those with a value that Python cannot hold, the other values.

    The driver reads a batch whole or not at all.
    """
    try:
        return await cursor.fetchall()
    except (psycopg.DataError, ValueError, OverflowError):
        result = cursor.pgresult
        if result is None:
            raise
        loaders = [_Loader(cursor, result.ftype(column), result.fformat(column)) for column in range(result.nfields)]
        return [_row(loader.load(result.get_value(row, column)) for column, loader in enumerate(loaders)) for row in range(result.ntuples)]


class _Loader:
    """Reads the values of one column one by one."""

    def __init__(self, cursor: psycopg.AsyncCursor[Row], oid: int, format: int) -> None:  # noqa: A002 - the driver's word
        self._load = Transformer(cursor).get_loader(oid, Format(format)).load

    def load(self, value: bytes | None) -> object:
        try:
            return None if value is None else self._load(value)
        except (psycopg.DataError, ValueError, OverflowError) as error:
            return Broken(one_line(error))


def _row(values: Iterator[object]) -> Row:
    row = tuple(values)
    return BrokenRow(row) if any(isinstance(value, Broken) for value in row) else row


async def _execute(connection: Connection, step: Step) -> psycopg.AsyncCursor[Row]:
    return await connection.execute(step.query, step.values, prepare=step.prepare, binary=True)


def _was_cut(connection: Connection) -> bool:
    """Whether an idle connection has something to say.

    That is its end, or nothing that a call should begin with.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def hang_up_after(limit: timedelta, connection: Connection) -> Iterator[list[bool]]:
    """Cut the line at the limit, so that whoever waits for an answer sees it lost.

    Then the list given is not empty.

    The server's own limits fire earlier. This is for a server that does not answer at all: a cancellation would wait for it, too.
    """
    hung_up: list[bool] = []

    def hang_up() -> None:
        hung_up.append(True)
        with suppress(OSError, psycopg.Error), socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(limit.total_seconds(), hang_up)
    try:
        yield hung_up
    finally:
        timer.cancel()
