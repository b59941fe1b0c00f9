"""A store from its URL."""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from duly.jobs import InvalidValue, MissingExtra
from duly.stores import InvalidStoreURL, JobStore, MemoryStore, open_store, url

SCHEMES = ("memory://", "postgresql://", "postgres://", "postgresql+embedded://", "postgresql+psycopg://", "firestore://")


def open_elsewhere(address: str, *, namespace: str) -> JobStore:
    """What a package of somebody else's might bring."""
    return MemoryStore(namespace=f"{address}|{namespace}")


@pytest.fixture
def further_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings the scheme `redis` is installed."""
    entry = EntryPoint(name="redis", value=f"{__name__}:open_elsewhere", group=url.ENTRY_POINTS)

    def entry_points(*, group: str, name: str = "redis") -> list[EntryPoint]:
        return [entry] if (group, name) == (url.ENTRY_POINTS, "redis") else []

    monkeypatch.setattr(url, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda _: open_elsewhere)


@pytest.mark.parametrize("address", ["memory://", "MEMORY://"])
def test_memory_needs_nothing(address: str) -> None:
    """A scheme is the same in capitals."""
    store = open_store(address, namespace="tenant")

    assert isinstance(store, MemoryStore)


WRONG = [
    ("", "a scheme first"),
    ("memory", "a scheme first"),
    ("memory:", "a scheme first"),
    ("sqlite:///tasks.db", "one of the schemes"),
    ("://", "one of the schemes"),
    ("memory://tasks", "memory:// with nothing behind it"),
    ("memory:///", "memory:// with nothing behind it"),
    ("memory://?a=b", "memory:// with nothing behind it"),
]


@pytest.mark.parametrize(("address", "expected"), WRONG)
def test_a_wrong_url_gets_one_clear_line(address: str, expected: str) -> None:
    """With the URL and what was expected."""
    with pytest.raises(InvalidStoreURL) as caught:
        open_store(address)

    assert caught.value.url == address
    assert caught.value.expected.startswith(expected)
    assert repr(address) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_scheme_is_answered_with_the_known_ones() -> None:
    """All of them."""
    with pytest.raises(InvalidStoreURL) as caught:
        open_store("mongodb://host")

    assert all(scheme in caught.value.expected for scheme in SCHEMES)


@pytest.mark.parametrize("address", ["mysql://user:secret@host/db", "memory://user:secret@host", "mysql://:secret@host:99/db?a=b"])
def test_no_message_shows_a_password(address: str) -> None:
    """It would end up in a log."""
    with pytest.raises(InvalidStoreURL) as caught:
        open_store(address)

    assert "secret" not in str(caught.value)
    assert "secret" not in caught.value.url
    assert "***@host" in caught.value.url


def test_a_namespace_must_be_a_name() -> None:
    """It is a key."""
    with pytest.raises(InvalidValue, match="namespace"):
        open_store("memory://", namespace="")


@pytest.mark.usefixtures("further_schemes")
def test_a_package_may_bring_a_scheme() -> None:
    """It gets the URL as it was given, and the namespace."""
    store = open_store("redis://host/0", namespace="tenant")

    assert isinstance(store, MemoryStore)
    assert store._namespace == "redis://host/0|tenant"


@pytest.mark.usefixtures("further_schemes")
def test_a_scheme_from_a_package_is_among_the_known_ones() -> None:
    """A typing error shows what there is."""
    with pytest.raises(InvalidStoreURL, match="redis://"):
        open_store("reddis://host")


def missing(name: str) -> ImportError:
    """What Python says of a module that is not there."""
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


NOT_INSTALLED: list[tuple[str, Callable[[], ImportError], str]] = [
    ("postgresql://host/db", lambda: missing("psycopg"), "postgres"),
    ("postgres://host/db", lambda: missing("psycopg.pq"), "postgres"),
    ("postgresql+embedded:///tmp/db", lambda: missing("psycopg"), "embedded"),
    ("firestore://project", lambda: missing("google.cloud.firestore"), "firestore"),
    ("postgresql://host/db", lambda: ImportError("no pq wrapper available."), "postgres"),
]


@pytest.mark.parametrize(("address", "failure", "extra"), NOT_INSTALLED)
def test_a_missing_extra_gets_one_clear_line(
    address: str, failure: Callable[[], ImportError], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says how to install it; the import's own error is the cause."""
    error = failure()

    def import_module(_: str) -> None:
        raise error

    monkeypatch.setattr(url, "import_module", import_module)
    with pytest.raises(MissingExtra) as caught:
        open_store(address)

    assert str(caught.value).endswith(f'pip install ".[{extra}]"')
    assert caught.value.__cause__ is error


def test_a_fault_of_our_own_is_not_taken_for_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of this library that cannot be imported is a bug, and shown as one."""
    monkeypatch.setitem(sys.modules, "duly.stores.postgres", None)

    with pytest.raises(ModuleNotFoundError) as caught:
        open_store("postgresql://host/db")

    assert not isinstance(caught.value, MissingExtra)
