"""`async def` jobs, in the event loop."""

from inspect import isawaitable

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.base import check_returned
from duly.scheduler.executors.base import Executor, contained


class CoroutineExecutor(Executor):
    """Awaits the job where the scheduler lives; cancelling the run cancels the job."""

    async def execute(self, job: Job, ctx: JobContext, task: Task) -> Task | Then | None:
        """Await the job."""
        with contained():
            returned = job.execute(ctx, task)
            return check_returned(job.kind, await returned if isawaitable(returned) else returned)

    def close(self) -> None:
        """Nothing is kept."""
