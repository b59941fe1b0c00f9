"""A fetched task in a subscriber's hands, and how it is acknowledged."""

import asyncio
from datetime import datetime

from attrs import evolve, field, frozen

from duly.jobs import Fail, JobContext, Retry, Task
from duly.scheduler.errors import AlreadyAcknowledged
from duly.scheduler.rules import edits
from duly.scheduler.rules.edits import Changes
from duly.scheduler.runs.live_run import LiveRun
from duly.stores import LockLost


@frozen(kw_only=True)
class Ack:
    """How a run ended, as its subscriber says, and what of its task is written with that."""

    error: Retry | Fail | None = None
    """None: the fire is done."""
    changes: Changes = field(factory=Changes)
    result: str | None = None
    """None: the task's result stays."""
    payload_limit: int

    def amend(self, row: Task, now: datetime) -> Task:
        """Return the row with the changes, as an edit of it that was made just before its run ended.

        Raises:
            DulyError: what `edits.update` refuses.

        """
        changed = edits.update(row, self.changes, now=now, payload_limit=self.payload_limit) if self.changes else None
        row = row if changed is None else changed
        return row if self.result is None else evolve(row, result=self.result)


class Delivery:
    """A locked task on its way through a subscriber's hands."""

    def __init__(self, live: LiveRun, ctx: JobContext) -> None:
        """Begin unread."""
        loop = asyncio.get_running_loop()
        self.live, self.ctx = live, ctx
        self.is_read: asyncio.Future[None] = loop.create_future()
        self.ack: asyncio.Future[Ack] = loop.create_future()
        """Cancelled if the run ended otherwise."""
        self.written: asyncio.Future[None] = loop.create_future()
        """Done when the acknowledgement is written, failed when it never will be."""
        self._is_asleep = True
        live.sleepers += 1

    @property
    def is_over(self) -> bool:
        """Whether nothing can be said any more of how the run ends: that was said, or it was cut short."""
        return self.ack.done() or self.is_read.cancelled() or self.live.cut_short is not None

    def wake(self) -> None:
        """Count as at work again, from the moment at which it is known how the run ends."""
        self.live.sleepers -= self._is_asleep
        self._is_asleep = False

    def refusal(self) -> LockLost | AlreadyAcknowledged | None:
        """Return why the run can no longer be acknowledged; None while it can."""
        live = self.live
        if live.is_decided:
            return AlreadyAcknowledged(live.lease_id, "it was acknowledged before")
        if self.is_over and not live.is_lost:
            return AlreadyAcknowledged(live.lease_id, self.ctx.stop_reason or "it has ended")
        return None if self.ctx.lease_valid() else LockLost(live.task.slug, live.lease_id)

    def settle(self) -> None:
        """Tell whoever waits for the acknowledgement what became of it; the run is written, or will not be by this node."""
        if self.written.done():
            return
        if self.live.is_written:
            self.written.set_result(None)
            return
        self.written.set_exception(LockLost(self.live.task.slug, self.live.lease_id))
        self.written.exception()  # looked at, even if nobody waits
