"""A store from its URL, so that the same program runs on any of them.

==============================================  ==========================================================  ===========
URL                                             store                                                       extra
==============================================  ==========================================================  ===========
`memory://`                                     in this process, empty                                      none
`postgresql://user@host/database?schema=...`    PostgreSQL; what libpq understands, and a schema            `postgres`
`postgresql+psycopg://...`                      the same, as SQLAlchemy writes it                           `postgres`
`postgresql+embedded:///absolute/directory`     PostgreSQL, started by the first process that opens it;     `embedded`
                                                `///./relative/directory` counts from the working directory
`firestore://project/database?collection=...`   Firestore; `(default)` database unless named                `firestore`
==============================================  ==========================================================  ===========

Further schemes come from packages with an entry point in the group `duly.stores`, named as the scheme, that
loads a `StoreOpener`.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, cast

from duly.jobs import MissingExtra
from duly.stores.base import JobStore
from duly.stores.errors import InvalidStoreURL
from duly.stores.memory.url import open_memory
from duly.stores.passwords import hide_password

ENTRY_POINTS = "duly.stores"


class StoreOpener(Protocol):
    """What turns a URL of its scheme into a store that is not open yet; connects to nothing."""

    def __call__(self, url: str, *, namespace: str) -> JobStore:
        """Return the store, or raise `InvalidStoreURL`."""


_BUILT_IN: Mapping[str, tuple[str, str, str]] = {
    "postgresql": ("duly.stores.postgres", "open_postgres", "postgres"),
    "postgres": ("duly.stores.postgres", "open_postgres", "postgres"),
    "postgresql+psycopg": ("duly.stores.postgres", "open_postgres", "postgres"),
    "postgresql+embedded": ("duly.stores.postgres", "open_embedded_postgres", "embedded"),
    "firestore": ("duly.stores.firestore", "open_firestore", "firestore"),
}
"""Scheme -> module, its `StoreOpener`, and the extra that brings what it imports."""


def open_store(url: str, *, namespace: str = "default") -> JobStore:
    """Return the store that `url` names, bound to `namespace`, not yet open.

    A scheduler, or `async with`, opens it.

    Raises:
        InvalidStoreURL: the scheme is unknown, or the rest does not fit it.
        MissingExtra: the packages that the store needs are not installed.

    """
    if not isinstance(url, str):
        raise InvalidStoreURL(repr(url), f"text that begins with a scheme: {_known()}")
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise InvalidStoreURL(hide_password(url), f"a scheme first: {_known()}")
    return _opener(scheme.lower(), url)(url, namespace=namespace)


def _opener(scheme: str, url: str) -> StoreOpener:
    if scheme == "memory":
        return open_memory
    if scheme in _BUILT_IN:
        module, name, extra = _BUILT_IN[scheme]
        try:
            return cast("StoreOpener", getattr(import_module(module), name))
        except ImportError as error:  # not only of a missing module: psycopg is one without libpq
            if (error.name or "").startswith("duly"):
                raise
            raise MissingExtra(f"{scheme}://", extra) from error
    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        return cast("StoreOpener", entry.load())
    raise InvalidStoreURL(hide_password(url), f"one of the schemes {_known()}")


def _known() -> str:
    others = sorted(entry.name for entry in entry_points(group=ENTRY_POINTS))
    return ", ".join(f"{scheme}://" for scheme in ("memory", *_BUILT_IN, *others))
