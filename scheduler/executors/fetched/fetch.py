"""Fetching: the tasks of a kind as a stream, for a program that does the work itself and says how it went.

::

    async for task in scheduler.fetch("backup", max_in_flight=10):
        try:
            await back_up(task.payload)
        except OSError as error:
            await task.retry(reason=str(error))
        else:
            await task.commit()

Nothing is lost. What nobody reads for three leases is handed back, its attempt refunded, as if it had never been locked; what
was read and is dropped without an acknowledgement, or still in hand when the stream is closed or left, counts as
interrupted: it is recorded as cancelled, its attempt refunded, and run again (unless it runs at most once).
"""

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from duly.jobs import Fail, Retry, Task
from duly.scheduler.errors import SchedulerClosed, WrongLoop
from duly.scheduler.executors.fetched.delivery import Ack, Delivery
from duly.scheduler.executors.fetched.delivery_queue import Subscription
from duly.scheduler.rules.edits import Changes
from duly.triggers import Trigger

T = TypeVar("T")


class Acknowledged(TypedDict, total=False):
    """What is written of the task together with an acknowledgement; what is not given stays as it is."""

    payload: bytes
    payload_version: int
    trigger: Trigger | str
    result: str


class Submit(Protocol):
    """Runs what `work` returns in the scheduler's event loop; `call` names the call, for errors."""

    def __call__(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        """Return what it will return."""
        ...


class _Fetched:
    """What is known of a task in hand; safe to read from any thread."""

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
        """Nominal instant of the fire, in UTC; the same in every attempt at it."""
        return self._ctx.fire_time

    @property
    def attempt(self) -> int:
        """From 1; a run after a crash or a failure counts on."""
        return self._ctx.attempt

    @property
    def run_id(self) -> str:
        """The run's id in the history, and its lease id: new at every attempt."""
        return self._ctx.run_id

    @property
    def run_key(self) -> str:
        """A key for this fire that stays the same in every attempt: hand it to whoever can drop a repeated request."""
        return self._ctx.run_key

    @property
    def stop_reason(self) -> str | None:
        """Why the run should end early, or has (stopped, lease lost, time limit, shutdown), or None: look before a long step."""
        return self._ctx.stop_reason

    def lease_valid(self) -> bool:
        """Tell whether this node still holds the task, as far as it can know without asking: check before a side effect."""
        return self._ctx.lease_valid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.slug!r}, kind={self.kind!r}, fire_time={self.fire_time.isoformat()}, attempt={self.attempt})"


class FetchedTask(_Fetched):
    """A task in the hands of a subscriber, who ends its run by one of `commit`, `retry` and `fail`, in the scheduler's event loop.

    Each returns once it is written, and stands also if its call is cancelled while it waits for that. Each may replace the
    task's `payload`, `payload_version`, `result` and `trigger` in the same write; a new trigger counts as an update
    (`update_job`) made just before the end of the run.

    Each raises:
        LockLost: the lease was lost, and somebody else has the task, or may have it; nothing was written.
        AlreadyAcknowledged: the run is over already: acknowledged, stopped, cut short by its time limit or a shutdown; nothing was written.
        DulyError: a value cannot be kept, as `update_job` says; nothing was written, and the task is still in hand.
        TypeError: there is nothing of that name to be changed; the same.
        WrongLoop: this is another event loop than the scheduler's; the same.
    """

    def __init__(self, delivery: Delivery, subscription: Subscription, payload_limit: int) -> None:
        """Take `delivery`, which `subscription` has just read."""
        super().__init__(delivery)
        self._subscription, self._payload_limit = subscription, payload_limit
        self._loop, lease_id = asyncio.get_running_loop(), self.run_id
        _when_collected(self, self._loop, lambda: subscription.drop(lease_id))

    async def commit(self, **changes: Unpack[Acknowledged]) -> None:
        """Say that the fire is done: a schedule waits for its next one, a one-off is removed."""
        await self._acknowledge(None, changes)

    async def retry(self, after: timedelta | None = None, reason: str = "", **changes: Unpack[Acknowledged]) -> None:
        """Try again, after `after` or when the task's policy says; counts as a failed attempt against its limits."""
        await self._acknowledge(Retry(after, reason), changes)

    async def fail(self, reason: str, **changes: Unpack[Acknowledged]) -> None:
        """Fail for good, whatever the policy says: a schedule waits for its next fire, a one-off is set aside."""
        await self._acknowledge(Fail(reason), changes)

    async def _acknowledge(self, error: Retry | Fail | None, changes: Acknowledged) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop
        edited: Changes = {name: value for name, value in changes.items() if name != "result"}  # type: ignore[assignment]  # the same names
        ack = Ack(error=error, changes=edited, result=changes.get("result"), payload_limit=self._payload_limit)
        await self._subscription.acknowledge(self._delivery, ack)


class Fetching:
    """The due tasks of one kind, one after the other; belongs to the scheduler's event loop. Several readers may share it.

    It ends when the node drains: then what is in hand may still be acknowledged, within the grace. It is closed by leaving
    `async with`, by `aclose`, or by being collected, as after a `break` out of an `async for` that it was made in.
    """

    def __init__(self, subscription: Subscription, payload_limit: int) -> None:
        """Read by means of `subscription`, and end it when this is collected."""
        self._subscription, self._payload_limit = subscription, payload_limit
        _when_collected(self, asyncio.get_running_loop(), subscription.end)

    async def read(self) -> FetchedTask | None:
        """Return the next task as soon as one is due and this node has it; None when there will be no more.

        Waits, too, while `max_in_flight` tasks of this stream are in hand.
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
        """Read no more, and give back what is unread or in hand: to be written with the node's next exchange. Safe to call twice."""
        self._subscription.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


class BlockingFetchedTask(_Fetched):
    """A task in the hands of a subscriber without an event loop: a `FetchedTask` whose calls block; usable from any thread.

    Each raises what `FetchedTask` says, and `SchedulerClosed` after the scheduler was closed.
    """

    def __init__(self, fetched: FetchedTask, submit: Submit) -> None:
        """Let `fetched` act in the event loop that `submit` leads to."""
        super().__init__(fetched._delivery)  # noqa: SLF001 - the same task, for other callers
        self._fetched, self._submit = fetched, submit

    def commit(self, **changes: Unpack[Acknowledged]) -> None:
        """Say that the fire is done."""
        self._submit(lambda: self._fetched.commit(**changes), "commit").result()

    def retry(self, after: timedelta | None = None, reason: str = "", **changes: Unpack[Acknowledged]) -> None:
        """Try again, after `after` or when the task's policy says."""
        self._submit(lambda: self._fetched.retry(after, reason, **changes), "retry").result()

    def fail(self, reason: str, **changes: Unpack[Acknowledged]) -> None:
        """Fail for good, whatever the policy says."""
        self._submit(lambda: self._fetched.fail(reason, **changes), "fail").result()


class BlockingFetching:
    """A `Fetching` for threads: `with scheduler.fetch("backup") as tasks: for task in tasks: ...`; several threads may share it."""

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
            reading.cancel()  # a KeyboardInterrupt ends the wait, not what is waited for
            raise
        if fetched is None:
            raise StopIteration
        return BlockingFetchedTask(fetched, self._submit)

    def close(self) -> None:
        """Read no more, and give back what is unread or in hand. Safe to call twice, and after the scheduler was closed."""
        with suppress(SchedulerClosed):
            self._submit(self._fetching.aclose, "close").result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _when_collected(holder: object, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call back in the event loop once nobody has `holder` any more, in whatever thread that happens; not at the end of the program."""

    def soon() -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(callback)

    weakref.finalize(holder, soon).atexit = False
