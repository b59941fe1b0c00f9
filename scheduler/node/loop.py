"""A loop: turn and pause, again and again, whatever a turn raises, until it is stopped."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from duly.scheduler.events.events import LoopFailed
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
        self._is_stopped = False
        self.failure: str | None = None
        """The error of the last turn, as text; None if it succeeded."""

    async def run(self) -> None:
        """Turn until `stop`; the current turn is always finished."""
        failures = 0
        while not self._is_stopped:
            self.wake.clear()
            try:
                pause = await self._turn()
            except Exception as error:  # noqa: BLE001 - published as an event: a loop must outlive every error
                failures, self.failure = failures + 1, headline(error)
                self._services.publish(LoopFailed(node=self._services.node, loop=self.name, error=error))
                await self._after_failure(backoff(failures))
            else:
                failures, self.failure = 0, None
                await self.wake.wait(pause)

    async def _after_failure(self, pause: timedelta) -> None:
        if not self._is_stopped:
            self._end.clear()
        await self._end.wait(pause)

    def retry(self) -> None:
        """End the current backoff: there is no time to wait for it."""
        self._end.ring()

    def stop(self) -> None:
        """Make the current turn the last one."""
        self._is_stopped = True
        self.wake.ring()
        self._end.ring()

    def stop_from_thread(self) -> None:
        """Do the same from a thread other than the loop's."""
        self._is_stopped = True
        self.wake.ring_from_thread()
        self._end.ring_from_thread()


def backoff(failures: int) -> timedelta:
    """Return the pause after `failures` failures in a row, from 1.

    It doubles up to 5 s, and is shortened by a random part of up to half.
    """
    return jittered(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 16)), by=0.5)


def jittered(span: timedelta, *, by: float) -> timedelta:
    """Return `span` shortened by a random part, at most the fraction `by`: nodes must not act in step."""
    return span * (1 - by * random.random())  # noqa: S311 - spreading load, not guarding a secret
