"""`async def` jobs, run in the scheduler's event loop."""

import asyncio
from inspect import isawaitable

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.base import check_returned
from duly.scheduler.executors.base import Executor, contained
from duly.scheduler.runs.live_run import LiveRun


class CoroutineExecutor(Executor):
    """Awaits the job in the scheduler's event loop; cancelling the run cancels the job."""

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Await the job."""
        return await run.work(_awaited(run, job, ctx))


async def _awaited(run: LiveRun, job: Job, ctx: JobContext) -> Task | Then | None:
    run.job_task = asyncio.current_task()
    with contained():
        returned = job.execute(ctx, run.task)
        return check_returned(job.kind, await returned if isawaitable(returned) else returned)
