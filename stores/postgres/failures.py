"""The driver's errors in the store's words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors

from duly.stores.errors import ClockSkew, StoreError, StoreUnavailable

_CLOCK_SKEW = "DT001"
"""What the function `enter` of the schema raises."""

_SHUTDOWN = "57P"
"""The beginning of the codes with which a server takes its leave, perhaps after the commit."""

_PASSING = (
    psycopg.OperationalError,  # connections, timeouts, shutdown, resources, deadlocks
    psycopg.InternalError,  # read-only servers, broken transactions
)
_CONTENT = (psycopg.DataError, psycopg.IntegrityError)


def translated(error: psycopg.Error, values: Mapping[str, Any]) -> StoreError:
    """Return what a failed call raises, to be raised from `error`.

    `values` are those of its first statement.
    """
    if error.sqlstate == _CLOCK_SKEW:
        return ClockSkew(values["now"], datetime.fromisoformat(error.diag.message_detail or ""), values["skew_limit"])
    if isinstance(error, _PASSING):
        return StoreUnavailable(f"PostgreSQL did not do what was asked, or did not say so: {one_line(error)}")
    return StoreError(f"PostgreSQL refused a statement: {one_line(error)}")


def waited_in_vain(error: BaseException | None) -> bool:
    """Whether somebody else's transaction was in the way: asked again later, the statement may pass."""
    return isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected)


def about_a_row(error: BaseException | None) -> bool:
    """Whether a batch failed by one of its rows, so that the others may do without it."""
    return waited_in_vain(error) or isinstance(error, _CONTENT)


def leaves_doubt(error: BaseException | None) -> bool:
    """Whether the call may have been done in spite of its error: the server did not say that it was not."""
    return isinstance(error, psycopg.Error) and (error.sqlstate is None or error.sqlstate.startswith(_SHUTDOWN))


def is_of_no_more_use(error: psycopg.Error) -> bool:
    """Whether the connection would fail the next call as well, and another may not.

    It leads to a former primary, or its state went wrong.
    """
    return isinstance(error, psycopg.InternalError)


def one_line(error: Exception) -> str:
    """Return the message on one line: what libpq says of several hosts stands on several."""
    return " ".join(str(error).split()) or type(error).__name__
