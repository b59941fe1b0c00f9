"""The live runs of this node, shared by the dispatcher and the heartbeat."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from duly.jobs import current_run
from duly.scheduler.clock import Clock
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.waiting import Wake

_STIRRING = 20
"""More turns of the event loop than a timer or a cancellation needs to reach a job that sleeps."""


class LiveRuns:
    """All live runs of a node; safe to iterate and change from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin with no runs."""
        self._runs: dict[str, LiveRun] = {}
        self._home = asyncio.get_running_loop()
        self.changed: Wake = Wake(clock)
        """Set when a run ended, was written, or fell asleep."""

    def add(self, run: LiveRun) -> None:
        """Add a run."""
        self._runs[run.lease_id] = run

    def remove(self, run: LiveRun, *, is_written: bool) -> None:
        """Remove a run: its outcome is written, or is not this node's to write any more."""
        self._runs.pop(run.lease_id, None)
        run.settle(is_written=is_written)
        self.changed.ring()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def here(self) -> LiveRun | None:
        """Return the run whose job is the calling code; None outside of these runs' jobs.

        In the node's event loop only the asyncio task of the job itself counts: tasks that it started may outlive it.
        """
        facts = current_run()
        run = None if facts is None else self._runs.get(facts.run_id)
        if run is None or run.has_ended:
            return None
        with suppress(RuntimeError):  # a thread without an event loop
            if asyncio.get_running_loop() is self._home and asyncio.current_task() is not run.job_task:
                return None
        return run

    async def rest(self) -> None:
        """Wait until no run is working: each has ended, or sleeps on the clock."""
        for _ in range(_STIRRING if self._runs else 0):
            await asyncio.sleep(0)
        while any(not run.has_ended and not run.sleepers for run in self):
            self.changed.clear()
            await self.changed.wait(None)
