"""A job that runs once, after a delay, with a payload.

It is kept on the store that `DULY_STORE` names; without it, in memory.

DULY_STORE=postgresql://postgres@localhost/postgres python -P examples/once.py
"""

import asyncio
from datetime import timedelta

from duly.jobs import Job, JobContext, Task
from duly.scheduler import StdScheduler


class CancelTransaction(Job):
    """Cancels the transaction whose id is the payload."""

    kind = "cancel-transaction"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Do it; the task has no trigger, and is finished with that."""
        print(f"transaction {task.payload.decode()} is cancelled by {ctx.node}, attempt {ctx.attempt}")
        return task


async def main() -> None:
    """Register the job without a trigger, and schedule one task of it."""
    scheduler = StdScheduler()
    scheduler.register_job(CancelTransaction())
    async with scheduler:
        await scheduler.schedule_job(
            "cancel-tx",
            CancelTransaction,
            delay=timedelta(seconds=1),
            payload=b"9bfadfd6-8e62-4c58-9b6e-636d666b6643",
            if_exists="keep",
        )
        await asyncio.sleep(2)


if __name__ == "__main__":
    asyncio.run(main())
