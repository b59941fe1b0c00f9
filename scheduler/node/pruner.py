"""The loop that deletes old runs, so that the history does not grow without end."""

from datetime import timedelta

from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.services import Services

BATCH = 1000
"""How many runs one statement deletes, so that none takes long."""

PERIOD = timedelta(minutes=10)


class Pruner:
    """Deletes the runs that are older, or more, than the settings keep."""

    def __init__(self, services: Services) -> None:
        """Prune the store of `services`."""
        self._services = services
        self.loop: Loop = Loop("prune", self._turn, services)

    async def _turn(self) -> timedelta:
        is_more = await self.run_once() == BATCH
        return timedelta(0) if is_more else jittered(PERIOD, by=0.5)

    async def run_once(self) -> int:
        """Delete one batch; return how many runs were deleted."""
        config = self._services.config
        if config.keep_runs_for is None and config.keep_runs is None:
            return 0
        before = None if config.keep_runs_for is None else self._services.clock.now() - config.keep_runs_for
        return await self._services.store.prune(before, config.keep_runs, BATCH)
