"""Fetched kinds as an executor: a run begins when its task is read, and ends when it is acknowledged."""

from typing import cast

from duly.jobs import Job, JobContext, Task, Then
from duly.scheduler.executors.base import Executor
from duly.scheduler.executors.fetched.delivery_queue import UNREAD_LEASES, DeliveryQueue
from duly.scheduler.runs.live_run import LiveRun, Manner


class FetchedExecutor(Executor):
    """Passes each run to the delivery queue that is registered as its job."""

    manner: Manner = Manner(leases_to_begin=UNREAD_LEASES)

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Wait until a subscriber has read and acknowledged the task; return or raise what it says."""
        return await cast("DeliveryQueue", job).deliver(run, ctx)
