"""Collect SIGINT and SIGTERM for a while."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from duly.scheduler.errors import NotMainThread

STOPPING = (signal.SIGINT, signal.SIGTERM)


async def at_next(received: "asyncio.Queue[signal.Signals]", call: Callable[[], None]) -> None:
    """Call `call` at the next signal."""
    await received.get()
    call()


@contextmanager
def stop_signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Collect SIGINT and SIGTERM in a queue; restore the former handlers afterwards.

    Raises:
        NotMainThread: Python delivers signals to the main thread only.

    """
    if threading.current_thread() is not threading.main_thread():
        raise NotMainThread
    loop, received = asyncio.get_running_loop(), asyncio.Queue[signal.Signals]()
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        loop.add_signal_handler(number, received.put_nowait, number)
    try:
        yield received
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
