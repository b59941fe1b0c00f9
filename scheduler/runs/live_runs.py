"""The runs under way on this node: shared by the loop that starts them and the heartbeat that keeps their leases."""

import asyncio
from collections.abc import Iterator

from duly.scheduler.clock import Clock
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.waiting import Wake

_STIRRING = 20
"""Turns of the event loop, and more than enough, that a timer's end or a cancelling takes to reach a job that sleeps."""


class LiveRuns:
    """All of a node's live runs; iterating and changing them is safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._runs: dict[str, LiveRun] = {}
        self.changed = Wake(clock)
        """Rung when a run ended, was written, or fell asleep."""

    def add(self, run: LiveRun) -> None:
        """Take a run in."""
        self._runs[run.lease_id] = run

    def remove(self, run: LiveRun, *, is_written: bool) -> None:
        """Let a run go: its outcome is written, or no longer its own to write."""
        self._runs.pop(run.lease_id, None)
        run.settle(is_written=is_written)
        self.changed.ring()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    async def rest(self) -> None:
        """Return when no run is at work: each has ended, or sleeps on the clock."""
        for _ in range(_STIRRING if self._runs else 0):
            await asyncio.sleep(0)
        while any(not run.has_ended and not run.sleepers for run in self):
            self.changed.clear()
            await self.changed.wait(None)
