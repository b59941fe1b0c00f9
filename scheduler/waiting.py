"""Waiting by a `Clock`: every pause, time limit and backoff of a scheduler uses this module.

`asyncio.sleep` and `asyncio.timeout` use only the event loop's clock. A test that moves a clock by hand would wait for
ever, and the scheduler would behave differently in tests and in production.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from duly.jobs import TimeLimitExceeded
from duly.scheduler.clock import Clock

T = TypeVar("T")


async def sleep(clock: Clock, delay: timedelta) -> None:
    """Return after `delay`."""
    await Wake(clock).wait(delay)


async def within(
    clock: Clock, limit: timedelta | None, work: Awaitable[T], *, on_limit: Callable[[TimeLimitExceeded], None] | None = None
) -> T:
    """Return the result of `work`; after `limit`, cancel it, wait for its end, and raise.

    `limit` None: no limit. `on_limit` is called just before `work` is cancelled.

    Raises:
        TimeLimitExceeded: the limit cancelled `work`. If `work` ends in another way after the cancellation, that counts.

    """
    if limit is None:
        return await work
    running = asyncio.ensure_future(work)
    cancelled_before = _cancels()
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        if on_limit is not None:
            on_limit(TimeLimitExceeded(limit))
        running.cancel()

    timer = clock.call_later(limit, expire)
    try:
        return await running
    except asyncio.CancelledError:
        if expired and running.cancelled() and _cancels() == cancelled_before:
            raise TimeLimitExceeded(limit) from None
        raise
    finally:
        timer.cancel()


def _cancels() -> int:
    """Return how often the current task was asked to cancel.

    If the number grows during a wait, somebody outside asked.
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


class Wake:
    """An event flag for one waiter; set from the event loop, or from any thread by `ring_from_thread`.

    A ring before the wait counts, so nothing is missed between checking and waiting: call `clear`, then check, then `wait`.
    """

    def __init__(self, clock: Clock) -> None:
        """Make a flag, not set, for the running event loop."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._sleeper: asyncio.Future[None] | None = None

    def clear(self) -> None:
        """Forget all rings so far."""
        self._rung = False

    def ring(self) -> None:
        """Set the flag: end the current wait, or make the next one return at once."""
        self._rung = True
        self._rouse()

    def ring_from_thread(self) -> None:
        """Set the flag from another thread; no effect once the event loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.ring)

    async def wait(self, timeout: timedelta | None) -> bool:
        """Return True after a ring, False after `timeout`; None: wait without a limit."""
        if self._rung:
            return True
        self._sleeper = self._loop.create_future()
        timer = self._clock.call_later(timeout, self._rouse) if timeout is not None else None
        try:
            await self._sleeper
        finally:
            self._sleeper = None
            if timer is not None:
                timer.cancel()
        return self._rung

    def _rouse(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
