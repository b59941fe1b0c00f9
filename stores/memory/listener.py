"""Wake-ups in memory.

Every write that may make something due sooner wakes each listener, in its own event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from duly.stores.memory.tenant import Tenant


@contextmanager
def listening(tenant: Tenant, lock: Lock) -> Iterator[AsyncIterator[None]]:
    """Yield the rings; `lock` is the store's, under which the bells are hung up and taken down."""
    heard, loop = asyncio.Event(), asyncio.get_running_loop()

    def ring() -> None:
        with suppress(RuntimeError):  # the loop was closed inside the context: nobody listens there any more
            loop.call_soon_threadsafe(heard.set)

    with lock:
        tenant.bells.add(ring)
    try:
        yield _rings(heard)
    finally:
        with lock:
            tenant.bells.discard(ring)


async def _rings(heard: asyncio.Event) -> AsyncIterator[None]:
    while True:
        await heard.wait()
        heard.clear()
        yield
