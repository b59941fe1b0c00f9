"""An event loop in a thread of its own, for callers without one."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

from duly.scheduler.errors import ForkedScheduler, WrongThread

CLOSE_TIMEOUT = timedelta(seconds=5)
"""How long an event loop may take to end, beyond the grace, when the interpreter exits."""

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread; serves calls from every other thread of this process."""

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
        """Cancel the calls for which other threads still wait, so that they do not wait for ever."""
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=CLOSE_TIMEOUT.total_seconds())

    @property
    def is_here(self) -> bool:
        """Whether the thread runs in this process; False in a fork."""
        return os.getpid() == self._process

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        """Run the coroutine that `work` makes in the loop; `call` names the method, for error messages.

        Raises:
            ForkedScheduler: this is another process. WrongThread: this is the loop's own thread.

        """
        self.check(call)
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def check(self, call: str | None = None) -> None:
        """Check that a call may be made here; with `call`, that it may also wait here for the loop.

        Raises:
            ForkedScheduler: this is another process.
            WrongThread: `call` is given, and this is the loop's own thread.

        """
        if not self.is_here:
            raise ForkedScheduler(self._process, os.getpid())
        if call is not None and threading.current_thread() is self._thread:
            raise WrongThread(call)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop; it does not wait, so a signal handler may use it."""
        self.check()
        self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Stop the loop, and join the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
