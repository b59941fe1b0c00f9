"""`memory://`: the URL of a store in this process."""

from duly.stores.errors import InvalidStoreURL
from duly.stores.memory.store import MemoryStore
from duly.stores.passwords import hide_password


def open_memory(url: str, *, namespace: str) -> MemoryStore:
    """Return an empty store, not yet open."""
    if url.lower() != "memory://":
        raise InvalidStoreURL(hide_password(url), "memory:// with nothing behind it")
    return MemoryStore(namespace=namespace)
