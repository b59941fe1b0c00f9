"""Fetch the tasks of a kind as a stream, for a program that does the work itself.

::

    async for task in scheduler.fetch("backup", max_in_flight=10):
        try:
            await back_up(task.payload)
        except OSError as error:
            await task.retry(reason=str(error))
        else:
            await task.commit()

No task is lost. A task that nobody reads for three leases is handed back with its attempt refunded, as if it had never
been locked. A task that was read counts as interrupted if it is dropped without an acknowledgement, or is still in hand
when the stream is closed: its run is recorded as cancelled, its attempt is refunded, and it is run again, unless it
runs at most once.
"""

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from duly.jobs import Fail, Retry, Task
from duly.jobs.keywords import explicit
from duly.scheduler.errors import SchedulerClosed, WrongLoop
from duly.scheduler.executors.fetched.delivery import Ack, Delivery
from duly.scheduler.executors.fetched.delivery_queue import Subscription
from duly.scheduler.rules.edits import Changes
from duly.triggers import Trigger

T = TypeVar("T")


class Acknowledged(TypedDict, total=False):
    """Changes of the task that are written with an acknowledgement; what is not given stays."""

    payload: bytes
    payload_version: int
    trigger: Trigger | str
    result: str


class Submit(Protocol):
    """Runs the coroutine that `work` makes in the scheduler's event loop; `call` names it in errors."""

    def __call__(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        """Return a future of its result."""
        ...


class _Fetched:
    """A task in hand; safe to read from any thread."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery, self._ctx = delivery, delivery.ctx
        self.task: Task = delivery.run.task
        """The task as it was locked."""

    @property
    def slug(self) -> str:
        """The task's slug."""
        return self.task.slug

    @property
    def kind(self) -> str:
        """The kind that was fetched."""
        return self.task.kind

    @property
    def payload(self) -> bytes:
        """The task's payload."""
        return self.task.payload

    @property
    def metadata(self) -> Mapping[str, str]:
        """The task's metadata."""
        return self.task.metadata

    @property
    def fire_time(self) -> datetime:
        """Nominal instant of the fire, in UTC; the same in every attempt."""
        return self._ctx.fire_time

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; runs after a failure or a crash count on."""
        return self._ctx.attempt

    @property
    def run_id(self) -> str:
        """The run's id in the history, which is also its lease id; new at every attempt."""
        return self._ctx.run_id

    @property
    def run_key(self) -> str:
        """A key for this fire, the same in every attempt; send it to a service that drops repeated requests."""
        return self._ctx.run_key

    @property
    def stop_reason(self) -> str | None:
        """Why the run should end or has ended early; None: it should not. Check it before a long step.

        Reasons are a stop request, a lost lease, the time limit and a shutdown.
        """
        return self._ctx.stop_reason

    def lease_valid(self) -> bool:
        """Tell whether this node still holds the task, as far as it knows without asking the store.

        Check it before a side effect.
        """
        return self._ctx.lease_valid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.slug!r}, kind={self.kind!r}, fire_time={self.fire_time.isoformat()}, attempt={self.attempt})"


class FetchedTask(_Fetched):
    """A task in a subscriber's hands, to be ended by `commit`, `retry` or `fail`.

    Call them in the scheduler's event loop. Each returns once the store has written it. If the call is cancelled during
    the wait, it still stands. Each may change the task's `payload`, `payload_version`, `result` and `trigger` in the same
    write. A new trigger counts as an `update_job` made just before the end of the run.

    Each raises:
        LockLost: the lease was lost, and another node has or may have the task; nothing was written.
        AlreadyAcknowledged: the run is over: acknowledged, stopped, or cut short by its time limit or a shutdown; nothing was written.
        DulyError: a value cannot be stored, as in `update_job`; nothing was written, and the task is still in hand.
        TypeError: there is no such change; nothing was written, and the task is still in hand.
        WrongLoop: this is not the scheduler's event loop; nothing was written, and the task is still in hand.
    """

    def __init__(self, delivery: Delivery, subscription: Subscription, payload_limit: int) -> None:
        """Hold `delivery`, which `subscription` has just read."""
        super().__init__(delivery)
        self._subscription, self._payload_limit = subscription, payload_limit
        self._loop, lease_id = asyncio.get_running_loop(), self.run_id
        _when_collected(self, self._loop, lambda: subscription.drop(lease_id))

    @explicit(Acknowledged)
    async def commit(self, **changes: Unpack[Acknowledged]) -> None:
        """End the run as done: a schedule waits for its next fire, a one-off is removed."""
        await self._acknowledge(None, changes)

    @explicit(Acknowledged)
    async def retry(self, after: timedelta | None = None, reason: str = "", **changes: Unpack[Acknowledged]) -> None:
        """End the run as failed and try again after `after`; None: when the task's retry policy says.

        It counts as a failed attempt against the policy's limits.
        """
        await self._acknowledge(Retry(after, reason), changes)

    @explicit(Acknowledged)
    async def fail(self, reason: str, **changes: Unpack[Acknowledged]) -> None:
        """End the run as failed, without a retry: a schedule waits for its next fire, a one-off is set aside."""
        await self._acknowledge(Fail(reason), changes)

    async def _acknowledge(self, error: Retry | Fail | None, changes: Acknowledged) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop
        edited: Changes = {name: value for name, value in changes.items() if name != "result"}  # type: ignore[assignment]  # the same names
        ack = Ack(error=error, changes=edited, result=changes.get("result"), payload_limit=self._payload_limit)
        await self._subscription.acknowledge(self._delivery, ack)


class Fetching:
    """A stream of the due tasks of one kind; several readers may share it.

    It belongs to the scheduler's event loop. When the node drains, the stream ends, and tasks in hand may still be
    acknowledged within the grace. Close it by leaving `async with`, or by `aclose`. It is also closed when it is garbage
    collected, for example after a `break` out of `async for task in scheduler.fetch(...)`.
    """

    def __init__(self, subscription: Subscription, payload_limit: int) -> None:
        """Read from `subscription`, and end it when this object is garbage collected."""
        self._subscription, self._payload_limit = subscription, payload_limit
        _when_collected(self, asyncio.get_running_loop(), subscription.end)

    async def read(self) -> FetchedTask | None:
        """Wait for the next task and return it; None when no more will come.

        It also waits while `max_in_flight` tasks of this stream are in hand.
        """
        delivery = await self._subscription.next()
        return None if delivery is None else FetchedTask(delivery, self._subscription, self._payload_limit)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FetchedTask:
        if (task := await self.read()) is None:
            raise StopAsyncIteration
        return task

    async def aclose(self) -> None:
        """Read no more, and give back the tasks that are unread or in hand. Safe to call twice.

        The node's next exchange writes this.
        """
        self._subscription.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


class BlockingFetchedTask(_Fetched):
    """A `FetchedTask` for a program without an event loop: its calls block, and any thread may make them.

    Each raises what `FetchedTask` says, and `SchedulerClosed` after the scheduler was closed.
    """

    def __init__(self, fetched: FetchedTask, submit: Submit) -> None:
        """Call `fetched` in the event loop that `submit` leads to."""
        super().__init__(fetched._delivery)  # noqa: SLF001 - the same task, for other callers
        self._fetched, self._submit = fetched, submit

    @explicit(Acknowledged)
    def commit(self, **changes: Unpack[Acknowledged]) -> None:
        """End the run as done: a schedule waits for its next fire, a one-off is removed."""
        self._submit(lambda: self._fetched.commit(**changes), "commit").result()

    @explicit(Acknowledged)
    def retry(self, after: timedelta | None = None, reason: str = "", **changes: Unpack[Acknowledged]) -> None:
        """End the run as failed and try again after `after`; None: when the task's retry policy says."""
        self._submit(lambda: self._fetched.retry(after, reason, **changes), "retry").result()

    @explicit(Acknowledged)
    def fail(self, reason: str, **changes: Unpack[Acknowledged]) -> None:
        """End the run as failed, without a retry: a schedule waits for its next fire, a one-off is set aside."""
        self._submit(lambda: self._fetched.fail(reason, **changes), "fail").result()


class BlockingFetching:
    """A `Fetching` for threads; several threads may share it.

    ::

        with scheduler.fetch("backup") as tasks:
            for task in tasks:
                ...
    """

    def __init__(self, fetching: Fetching, submit: Submit) -> None:
        """Read from `fetching` in the event loop that `submit` leads to."""
        self._fetching, self._submit = fetching, submit

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> BlockingFetchedTask:
        try:
            reading = self._submit(self._fetching.read, "fetch")
        except SchedulerClosed:
            raise StopIteration from None
        try:
            fetched = reading.result()
        except BaseException:
            reading.cancel()  # a KeyboardInterrupt ends only the wait, so end the read as well
            raise
        if fetched is None:
            raise StopIteration
        return BlockingFetchedTask(fetched, self._submit)

    def close(self) -> None:
        """Read no more, and give back the tasks that are unread or in hand.

        Safe to call twice, and after the scheduler was closed.
        """
        with suppress(SchedulerClosed):
            self._submit(self._fetching.aclose, "close").result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _when_collected(holder: object, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call `callback` in the event loop when `holder` is garbage collected, in whatever thread.

    It is not called at the end of the program.
    """

    def soon() -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(callback)

    weakref.finalize(holder, soon).atexit = False
