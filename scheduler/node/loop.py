"""A loop: turn and pause, again and again, whatever a turn raises, until it is stopped."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from duly.scheduler.events.loops import LoopEnded, LoopFailed, LoopRecovered
from duly.scheduler.services import Services
from duly.scheduler.waiting import Wake
from duly.scheduler.wording import headline

_FIRST_BACKOFF = timedelta(milliseconds=50)
_LONGEST_BACKOFF = timedelta(seconds=5)


class Loop:
    """Calls `turn` again and again; `turn` returns how long to pause, and a ring of `wake` ends the pause.

    If a turn fails, the loop publishes the error and tries again after a backoff, which no ring ends. So an outage of the
    store ends no loop, and the loop works again within seconds of its end.
    """

    def __init__(self, name: str, turn: Callable[[], Awaitable[timedelta]], services: Services, wake: Wake | None = None) -> None:
        """Make a loop for the running event loop; `wake` ends its pauses (None: a new one)."""
        self.name: str = name
        self._turn, self._services = turn, services
        self.wake: Wake = Wake(services.clock) if wake is None else wake
        self._end = Wake(services.clock)
        self._home = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = self._home.create_future()
        self._is_stopped = False
        self._failures = self._ends = 0
        self.failure: str | None = None
        """The error of the last turn, as text; None if it succeeded."""
        self.ended: str | None = None
        """Why the loop ended though nobody stopped it; None once a turn succeeded after that."""

    # -- in a task

    def start(self) -> "asyncio.Future[None]":
        """Run in an asyncio task; the returned future is done once the loop was stopped.

        If the task ends though nobody stopped the loop, it is published, and the loop runs again after a backoff.
        """
        self._running = asyncio.create_task(self.run(), name=f"duly {self.name}")
        self._running.add_done_callback(self._note_end)
        return self._over

    def _note_end(self, running: "asyncio.Task[None]") -> None:
        self._running = None
        error = None if running.cancelled() else running.exception()
        if self._is_stopped:
            self._settle()
            return
        self._ends, self.ended = self._ends + 1, "it was cancelled" if error is None else headline(error)
        self._services.publish(LoopEnded(node=self._services.node, loop=self.name, error=error))
        self._services.clock.call_later(backoff(self._ends), self._restart)

    def _restart(self) -> None:
        if not self._is_stopped:
            self.start()

    def _settle(self) -> None:
        if self._running is None and not self._over.done():
            self._over.set_result(None)

    # -- turns

    async def run(self) -> None:
        """Turn until `stop`; the current turn is always finished."""
        while not self._is_stopped:
            self.wake.clear()
            try:
                pause = await self._turn()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                await self._after_failure(error)  # something that the turn awaited was cancelled, and not this loop
            except Exception as error:  # noqa: BLE001 - published as an event: a loop must outlive every error
                await self._after_failure(error)
            else:
                self.recovered()
                await self.wake.wait(pause)

    async def _after_failure(self, error: BaseException) -> None:
        self._failures, self.failure = self._failures + 1, headline(error)
        self._services.publish(LoopFailed(node=self._services.node, loop=self.name, error=error))
        if not self._is_stopped:
            self._end.clear()
        await self._end.wait(backoff(self._failures))

    def recovered(self) -> None:
        """Note that the loop works; a turn that is long may say so before its end."""
        if self._failures or self.ended is not None:
            self._services.publish(LoopRecovered(node=self._services.node, loop=self.name))
        self._failures, self._ends, self.failure, self.ended = 0, 0, None, None

    def retry(self) -> None:
        """End the current backoff: there is no time to wait for it."""
        self._end.ring()

    # -- the end

    def stop(self) -> None:
        """Make the current turn the last one."""
        self._is_stopped = True
        self.wake.ring()
        self._end.ring()
        self._settle()

    def cut(self) -> None:
        """Stop, and cancel the current turn."""
        self.stop()
        if self._running is not None:
            self._running.cancel()

    def stop_from_thread(self) -> None:
        """Stop from a thread other than the loop's; no effect once its event loop is closed."""
        self._is_stopped = True
        with suppress(RuntimeError):
            self._home.call_soon_threadsafe(self.stop)


def backoff(failures: int) -> timedelta:
    """Return the pause after `failures` failures in a row, from 1.

    It doubles up to 5 s, and is shortened by a random part of up to half.
    """
    return jittered(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 16)), by=0.5)


def jittered(span: timedelta, *, by: float) -> timedelta:
    """Return `span` shortened by a random part, at most the fraction `by`: nodes must not act in step."""
    return span * (1 - by * random.random())  # noqa: S311 - spreading load, not guarding a secret
