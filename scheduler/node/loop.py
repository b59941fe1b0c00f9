"""A loop: turn, pause, turn again, whatever a turn may raise, until it is told to stop."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from duly.scheduler.events.events import LoopFailed
from duly.scheduler.services import Services
from duly.scheduler.waiting import Wake

_FIRST_BACKOFF = timedelta(milliseconds=50)
_LONGEST_BACKOFF = timedelta(seconds=5)


class Loop:
    """Calls `turn`, which answers how long to pause, again and again; a ring ends the pause.

    A turn that fails is told as an event and tried again after a backoff that no ring ends. So an outage of the store
    ends no loop, and is over for it within seconds.
    """

    def __init__(self, name: str, turn: Callable[[], Awaitable[timedelta]], services: Services, wake: Wake | None = None) -> None:
        """Make a loop for the running event loop; `wake` ends its pauses."""
        self.name, self._turn, self._services = name, turn, services
        self.wake = Wake(services.clock) if wake is None else wake
        self._end = Wake(services.clock)
        self._is_stopped = False
        self.failure: str | None = None
        """The error of the last turn, for people; None if it went well."""

    async def run(self) -> None:
        """Turn until `stop`; a turn that is under way then is finished."""
        failures = 0
        while not self._is_stopped:
            self.wake.clear()
            try:
                pause = await self._turn()
            except Exception as error:  # noqa: BLE001 - told as an event: a loop must outlive every fault
                failures, self.failure = failures + 1, f"{type(error).__name__}: {error}"
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
        """End the backoff that is under way: there is no time for another."""
        self._end.ring()

    def stop(self) -> None:
        """Make the turn that is under way the last."""
        self._is_stopped = True
        self.wake.ring()
        self._end.ring()

    def stop_from_thread(self) -> None:
        """Do the same from another thread than the loop's."""
        self._is_stopped = True
        self.wake.ring_from_thread()
        self._end.ring_from_thread()


def backoff(failures: int) -> timedelta:
    """Return the pause after so many failures in a row (from 1): doubling, bounded, and spread by half."""
    return jittered(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 16)), by=0.5)


def jittered(span: timedelta, *, by: float) -> timedelta:
    """Return `span` shortened by a random part of it, at most the fraction `by`: so that nodes do not march in step."""
    return span * (1 - by * random.random())  # noqa: S311 - spreading load, not guarding a secret
