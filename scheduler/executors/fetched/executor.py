"""Fetched kinds as an executor: a run begins when its task is read, and ends as it is acknowledged."""

from typing import cast

from duly.jobs import Job, JobContext, Task
from duly.scheduler.executors.base import Executor
from duly.scheduler.executors.fetched.delivery_queue import UNREAD_LEASES, DeliveryQueue
from duly.scheduler.runs.live_run import LiveRun, Manner


class FetchedExecutor(Executor):
    """Hands the task of each run to the delivery queue that stands for its job."""

    manner = Manner(leases_to_begin=UNREAD_LEASES)

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | None:
        """Wait until a subscriber has read the task and said how its run ended, and end so."""
        return await cast("DeliveryQueue", job).deliver(run, ctx)
