"""The loop that keeps the history from growing without end."""

from datetime import timedelta

from duly.scheduler.node.loop import Loop, jittered
from duly.scheduler.services import Parts

BATCH = 1000
"""Runs deleted at once, so that no statement is long."""

PERIOD = timedelta(minutes=10)


class Pruner:
    """Deletes runs that are older, or more, than the settings keep."""

    def __init__(self, parts: Parts) -> None:
        """Prune the store of `parts`."""
        self._parts = parts
        self.loop = Loop("prune", self._turn, parts)

    async def _turn(self) -> timedelta:
        is_more = await self.run_once() == BATCH
        return timedelta(0) if is_more else jittered(PERIOD, by=0.5)

    async def run_once(self) -> int:
        """Delete one batch, and return how many runs that was."""
        config = self._parts.config
        if config.keep_runs_for is None and config.keep_runs is None:
            return 0
        before = None if config.keep_runs_for is None else self._parts.clock.now() - config.keep_runs_for
        return await self._parts.store.prune(before, config.keep_runs, BATCH)
