"""Call a job outside the scheduler's event loop: in a thread, a child process, or a user's executor.

One rule holds for all of them: an `async def` job gets an event loop of its own there. It waits on real time, and it
is cancelled when its run should end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from inspect import isawaitable
from typing import Any, TypeVar

from attrs import evolve, fields, frozen

from duly.jobs import Cancel, Fail, Job, JobContext, JobEnding, Retry, Task, Then
from duly.jobs.base import check_returned, is_async
from duly.jobs.logs import running
from duly.jobs.retry import class_names
from duly.scheduler import waiting
from duly.scheduler.clock import SystemClock
from duly.scheduler.executors.base import as_error
from duly.scheduler.rules.endings import CancelledRemotely, RemoteError, describe
from duly.scheduler.rules.new_task import NewTask
from duly.scheduler.runs.spawns import Spawns, when_of
from duly.scheduler.runs.stop_signal import StopSignal

T = TypeVar("T")


class OwnWaiting:
    """Waits on real time, in the event loop of the job."""

    async def sleep(self, delay: timedelta) -> None:
        """Return after `delay`."""
        await asyncio.sleep(delay.total_seconds())

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Return the result of `work`; cancel it and raise `TimeLimitExceeded` after `limit`."""
        return await waiting.within(SystemClock(), limit, work)


def call(job: Job, ctx: JobContext, task: Task, stop: StopSignal) -> Task | Then | None:
    """Call the job in this thread, and return what it returned, checked.

    The thread must have no running event loop.
    """
    with running(ctx.facts):
        if is_async(job):
            return check_returned(job.kind, asyncio.run(_in_loop(lambda: job.execute(ctx, task), stop)))
        returned = job.execute(ctx, task)
        if isawaitable(returned):
            awaited = returned
            return check_returned(job.kind, asyncio.run(_in_loop(lambda: awaited, stop)))
        return check_returned(job.kind, returned)


async def _in_loop(start: Callable[[], object], stop: StopSignal) -> object:
    loop, working = asyncio.get_running_loop(), asyncio.current_task()

    def cancel() -> None:
        if working is not None:
            with suppress(RuntimeError):  # the loop is closed: the job has ended
                loop.call_soon_threadsafe(working.cancel)

    stop.listen(cancel)
    try:
        returned = start()
        return await returned if isawaitable(returned) else returned
    finally:
        stop.listen(None)


@frozen(eq=False)
class OwnLoop(Job):
    """An `async def` job as a job for a thread, with an event loop of its own."""

    kind: str
    job: Job
    stop: StopSignal

    def execute(self, ctx: JobContext, task: Task, /) -> Task | Then | None:
        """Run the job to its end in an event loop of its own.

        Raises:
            CancelledRemotely: the job ended by a cancellation. Otherwise what the job raised.

        """
        try:
            return call(self.job, evolve(ctx, waiting=OwnWaiting()), task, self.stop)
        except asyncio.CancelledError as cancelled:
            raise CancelledRemotely(describe(cancelled)) from cancelled


# -- what is sent between processes


Form = Mapping[str, Any]
"""The fields of a context that can be sent to another process, by name."""


def form_of(ctx: JobContext) -> Form:
    """Return the fields of a context that can be sent: all but its connections to the node."""
    return {each.name: getattr(ctx, each.name) for each in fields(JobContext) if not each.name.startswith("_")}


def sent(task: Task) -> Task:
    """Return the task as it is sent: without the store's own token, which may be any object."""
    return task if task.etag is None else evolve(task, etag=None)


@frozen
class Answer:
    """How a job ended elsewhere; always picklable, whatever the job raised."""

    task: Task | Then | None = None
    text: str | None = None
    """The error with its traceback; None if the job returned."""
    names: tuple[str, ...] = ()
    ending: JobEnding | None = None
    is_cancelled: bool = False
    spawn: tuple[NewTask, ...] = ()
    """The tasks that it spawned, not checked yet."""

    def result(self, ctx: JobContext) -> Task | Then | None:
        """Return what the job returned, and spawn its tasks through the run's own context `ctx`.

        Raises:
            DulyError: a spawned task cannot be scheduled.
            JobEnding: the job raised one; its `__cause__` is a `RemoteError` with the text.
            CancelledRemotely: the job was cancelled, or cancelled itself.
            RemoteError: the job raised anything else.

        """
        if self.text is None:
            for new in self.spawn:
                ctx.spawn(new.slug, new.job, **when_of(new))
            return self.task
        if self.is_cancelled:
            raise CancelledRemotely(self.text)
        error = RemoteError(self.text, self.names)
        if self.ending is not None:
            raise self.ending from error
        raise error


def answer_of(work: Callable[[], Task | Then | None], spawns: Spawns | None = None) -> Answer:
    """Call `work`, and return how it ended and what it spawned; it raises nothing."""
    try:
        returned = work()
        return Answer(sent(returned) if isinstance(returned, Task) else returned, spawn=() if spawns is None else spawns.asked)
    except asyncio.CancelledError as cancelled:
        return Answer(text=describe(cancelled), is_cancelled=True)
    except BaseException as raised:  # noqa: BLE001 - whatever the job raises belongs to its run
        error = as_error(raised)
        return Answer(text=describe(error), names=class_names(type(error)), ending=_plain(error))


def _plain(error: Exception) -> JobEnding | None:
    """Return the ending as the library's own class: a subclass may hold values that cannot be sent.

    None: the error is no ending.
    """
    if isinstance(error, Retry):
        return Retry(error.after, str(error.reason))
    if isinstance(error, Fail):
        return Fail(str(error.reason))
    return Cancel(str(error.reason)) if isinstance(error, Cancel) else None
