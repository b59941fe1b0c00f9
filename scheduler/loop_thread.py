"""An event loop in a thread of its own, for callers who have none."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

from duly.scheduler.errors import ForkedScheduler, WrongThread

CLOSE_TIMEOUT = timedelta(seconds=5)
"""How long an event loop has, beyond its grace, to come to its end when the interpreter does."""

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a daemon thread, and serves calls from every other thread of this process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._cancel_calls())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _cancel_calls(self) -> None:
        """Cancel what other threads still wait for: they must not wait for ever."""
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=CLOSE_TIMEOUT.total_seconds())

    @property
    def is_here(self) -> bool:
        """Whether the thread runs in this process, which it does not in a fork of it."""
        return os.getpid() == self._process

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        """Run what `work` returns in the loop; the name of the `call` is for the error that says why it cannot be."""
        self.check(call)
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def check(self, call: str | None = None) -> None:
        """Raise `ForkedScheduler` in another process; and `WrongThread`, if a `call` is to wait here for the loop, in its own thread."""
        if not self.is_here:
            raise ForkedScheduler(self._process, os.getpid())
        if call is not None and threading.current_thread() is self._thread:
            raise WrongThread(call)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop; without waiting, so that a signal handler may use it."""
        self.check()
        self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Stop the loop, and wait for the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
