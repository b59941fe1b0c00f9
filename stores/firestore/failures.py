"""Google's errors, sorted by what they mean for a write, and translated into the store's own."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio  # type: ignore[import-untyped]  # it ships no types
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from duly.stores.errors import StoreClosed, StoreError, StoreUnavailable

AMBIGUOUS = (google.ServerError, google.Cancelled, google.TooManyRequests, google.RetryError, auth.TransportError, auth.RefreshError)
"""The server did not answer, or not well: a write may have happened. A read may be repeated."""

RACED = (google.FailedPrecondition, google.AlreadyExists, google.NotFound)
"""What a commit raises when a document is not as it was expected: nothing was written."""


_TOO_LARGE = re.compile("exceeds maximum size|larger than max")
"""How gRPC says it, in Java and in C, under the status that also means a quota."""


def is_too_large(error: BaseException) -> bool:
    """Tell whether the request was refused for its size, so that sending it again is of no use."""
    return isinstance(error, google.TooManyRequests) and _TOO_LARGE.search(str(error)) is not None


class Raced(Exception):
    """Nothing was written: a document is not as it was expected to be. Read it again.

    Does not leave this package.
    """


class Blocked(Raced):
    """Nothing was written: somebody's transaction holds a document, and went on holding it.

    Does not leave this package.
    """


class Unsure(Exception):
    """The write may or may not have happened. Read, and compare. Does not leave this package."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise Google's errors as `StoreUnavailable`, where trying again may help, or as `StoreError`.

    `where` names the database.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise StoreClosed("FirestoreStore") from error  # by gRPC, whose channel was closed under this call
    except grpc.aio.UsageError as error:
        raise StoreClosed("FirestoreStore") from error
    except (*AMBIGUOUS, google.Aborted) as error:
        if is_too_large(error):
            raise StoreError(f"{where} refuses what is too large for one write: {_line(error)}") from error
        raise unavailable(where, error) from error
    except google.FailedPrecondition as error:  # commits sort theirs out before: this is a query's
        raise StoreError(f"{where} lacks an index; deploy the firestore.indexes.json of duly.stores.firestore: {_line(error)}") from error
    except (google.PermissionDenied, google.Unauthenticated, auth.GoogleAuthError) as error:
        raise StoreError(f"{where} refuses these credentials (needed: roles/datastore.user): {_line(error)}") from error
    except google.NotFound as error:
        raise StoreError(f"{where} does not exist: {_line(error)}") from error
    except google.GoogleAPIError as error:
        raise StoreError(f"{where} refuses: {_line(error)}") from error


def unavailable(where: str, error: BaseException) -> StoreUnavailable:
    """Return the error for a server that does not answer."""
    return StoreUnavailable(f"{where} does not answer: {_line(error)}")


def _line(error: BaseException) -> str:
    """Return the error's first line, bounded: gRPC's go on for pages."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
