"""Live runs for tests, made without a dispatcher."""

from datetime import datetime

from duly.jobs import RegisteredJob, Task
from duly.scheduler.clock import Clock
from duly.scheduler.rules.firing import Fire
from duly.scheduler.runs.lease import RunLease
from duly.scheduler.runs.live_run import LiveRun, Manner


def a_run(
    task: Task,
    clock: Clock,
    *,
    trusted_for: float = 3600.0,
    fire_time: datetime | None = None,
    registered: RegisteredJob | None = None,
    manner: Manner | None = None,
) -> LiveRun:
    """Return a run of `task`, locked now, whose lease is trusted for so many seconds."""
    now, at = clock.monotonic(), task.run_at if fire_time is None else fire_time
    lease = RunLease(task, locked=now, trusted_until=now + trusted_for)
    return LiveRun(task, lease, clock, registered=registered, fire=Fire(fire_time=at, at=at), manner=manner)
