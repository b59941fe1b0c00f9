"""Drive a scheduler through time in a test."""

import asyncio
from datetime import datetime

from duly.scheduler.events.events import Event
from duly.scheduler.events.runs import RunEnded
from duly.scheduler.std import StdScheduler
from duly.scheduler.testing.clock import ManualClock
from duly.stores import RunStatus
from duly.triggers import require_aware


async def run_due(scheduler: StdScheduler, *, until: datetime | None = None) -> int:
    """Run everything that is due; return how many runs ended.

    With `until`, it moves the clock to each instant at which a task is due or a job's sleep ends, and at last to `until`;
    so each fire runs at its own time. Without `until`, the clock stays. It waits for jobs that work; a job that sleeps on
    the clock (`ctx.sleep`) stays asleep, and its lease is kept. Skipped fires are not counted.

    Raises:
        TypeError: the scheduler has no `ManualClock`. NaiveDatetime: `until` has no time zone.
        SchedulerClosed: the scheduler is not started. StoreError: the store fails.

    """
    clock = scheduler.clock
    if not isinstance(clock, ManualClock):
        raise TypeError(f"run_due drives a scheduler that was made with clock=ManualClock(), this one has {clock!r}")
    if until is not None:
        until = require_aware(until, "until")
    ended = 0

    def count(event: Event) -> None:
        nonlocal ended
        ended += isinstance(event, RunEnded) and event.run.status is not RunStatus.SKIPPED

    leave = scheduler.running_node.listen(count)
    try:
        await scheduler.running_node.turn_by_hand()
        while until is not None and clock.now() < until:
            clock.move_to(await _next_instant(scheduler, clock, until))
            await asyncio.sleep(0)
            await scheduler.running_node.beat_by_hand()
            await scheduler.running_node.turn_by_hand()
    finally:
        leave()
    return ended


async def _next_instant(scheduler: StdScheduler, clock: ManualClock, until: datetime) -> datetime:
    """Return the next instant, at most `until`, at which a fire, a timer or a heartbeat is due."""
    now, running_node = clock.now(), scheduler.running_node
    beat = now + scheduler.config.heartbeat if running_node.runs else None
    instants = (await running_node.next_run(), clock.next_timer, beat, until)
    return min(instant for instant in instants if instant is not None and instant > now)
