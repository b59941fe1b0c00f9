"""A fetched task on its way: waits to be read, is in a subscriber's hands, is acknowledged."""

import asyncio
from datetime import datetime

from attrs import evolve, field, frozen

from duly.jobs import Fail, JobContext, Retry, Task
from duly.scheduler.errors import AlreadyAcknowledged
from duly.scheduler.rules import edits
from duly.scheduler.rules.edits import Changes
from duly.scheduler.runs.live_run import LiveRun, RunState
from duly.stores import LockLost


@frozen(kw_only=True)
class Ack:
    """How a run ended, as its subscriber says, and which changes of the task are written with it."""

    error: Retry | Fail | None = None
    """None: the fire succeeded."""
    changes: Changes = field(factory=Changes)
    result: str | None = None
    """None: the task's result stays."""
    payload_limit: int

    def amend(self, row: Task, now: datetime) -> Task:
        """Return the row with the changes, as an edit made just before the end of the run.

        Raises:
            DulyError: `edits.update` refuses a change.

        """
        changed = edits.update(row, self.changes, now=now, payload_limit=self.payload_limit) if self.changes else None
        row = row if changed is None else changed
        return row if self.result is None else evolve(row, result=self.result)


class Delivery:
    """One task of a fetched kind; used in the scheduler's event loop only."""

    def __init__(self, run: LiveRun, ctx: JobContext) -> None:
        """Begin unread."""
        loop = asyncio.get_running_loop()
        self.run: LiveRun = run
        self.ctx: JobContext = ctx
        self.is_read: asyncio.Future[None] = loop.create_future()
        self.ack: asyncio.Future[Ack] = loop.create_future()
        """The acknowledgement; cancelled if the run ended in another way."""
        self._is_asleep = True
        run.sleepers += 1
        run.wait()

    @property
    def is_over(self) -> bool:
        """Whether the run can no longer be acknowledged, because it was, or was cut short."""
        return self.ack.done() or self.is_read.cancelled() or self.run.cut_short is not None

    def wake(self) -> None:
        """Count the run as working again, from the moment at which its end is known."""
        self.run.sleepers -= self._is_asleep
        self._is_asleep = False

    def refusal(self) -> LockLost | AlreadyAcknowledged | None:
        """Return why the run can no longer be acknowledged; None while it can."""
        run = self.run
        if self.ack.done() and not self.ack.cancelled():
            return AlreadyAcknowledged(run.lease_id, "it was acknowledged before")
        if self.is_over and not run.lease.is_lost:
            return AlreadyAcknowledged(run.lease_id, self.ctx.stop_reason or "it has ended")
        return None if self.ctx.lease_valid() else LockLost(run.task.slug, run.lease_id)

    async def written(self) -> None:
        """Return when the acknowledgement is written.

        Raises:
            LockLost: it will not be written, because the lease was lost or this node stopped.

        """
        if await self.run.settled() is not RunState.WRITTEN:
            raise LockLost(self.run.task.slug, self.run.lease_id)
