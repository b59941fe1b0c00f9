"""A job called apart from the scheduler's event loop: in a thread, in a child process, or wherever an executor takes it.

The one rule for all of them: an `async def` job has an event loop of its own there, in which it waits on real time, and in
which it is cancelled when its run should end.
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
from duly.scheduler.runs.live_run import StopSignal
from duly.scheduler.runs.spawns import Spawns, when_of

T = TypeVar("T")


class OwnWaiting:
    """Waits on real time, in whatever event loop the job has."""

    async def sleep(self, delay: timedelta) -> None:
        """Return after `delay`."""
        await asyncio.sleep(delay.total_seconds())

    async def within(self, limit: timedelta | None, work: Awaitable[T]) -> T:
        """Return what `work` returns; cancel it and raise `TimeLimitExceeded` when that takes longer than `limit`."""
        return await waiting.within(SystemClock(), limit, work)


def call(job: Job, ctx: JobContext, task: Task, stop: StopSignal) -> Task | Then | None:
    """Call the job in this thread, which must have no running event loop, and return what it returned, checked."""
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
            with suppress(RuntimeError):  # the loop is closed: the job has just ended
                loop.call_soon_threadsafe(working.cancel)

    stop.listen(cancel)
    try:
        returned = start()
        return await returned if isawaitable(returned) else returned
    finally:
        stop.listen(None)


@frozen(eq=False)
class OwnLoop(Job):
    """An `async def` job as one that runs in a thread."""

    kind: str
    job: Job
    stop: StopSignal

    def execute(self, ctx: JobContext, task: Task, /) -> Task | Then | None:
        """Run it to its end in an event loop of its own."""
        try:
            return call(self.job, evolve(ctx, waiting=OwnWaiting()), task, self.stop)
        except asyncio.CancelledError as cancelled:
            raise CancelledRemotely(describe(cancelled)) from cancelled


# -- what travels between processes


Form = Mapping[str, Any]
"""The fields of a context that can travel, by name."""


def form_of(ctx: JobContext) -> Form:
    """Return what of a context can travel: all but its lines back to the node."""
    return {each.name: getattr(ctx, each.name) for each in fields(JobContext) if not each.name.startswith("_")}


def sent(task: Task) -> Task:
    """Return what of a task travels: without the store's own token, which may be anything."""
    return task if task.etag is None else evolve(task, etag=None)


@frozen
class Answer:
    """How a job ended elsewhere: every field but one is at rest. Always picklable, whatever the job raised."""

    task: Task | Then | None = None
    text: str | None = None
    """What it raised, with its traceback."""
    names: tuple[str, ...] = ()
    ending: JobEnding | None = None
    is_cancelled: bool = False
    spawn: tuple[NewTask, ...] = ()
    """What it asked to be created with its end, unchecked."""

    def result(self, ctx: JobContext) -> Task | Then | None:
        """Return what the job returned, after asking for what it spawned, by the run's own context.

        Raises:
            DulyError: it spawned what cannot be scheduled.
            JobEnding: the job raised one; what `RemoteError` tells of it is the `__cause__`.
            CancelledRemotely: the job was cancelled, or cancelled itself.
            RemoteError: it raised anything else.

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
    """Do the work, and return how it ended, with what it spawned; raises nothing."""
    try:
        returned = work()
        return Answer(sent(returned) if isinstance(returned, Task) else returned, spawn=() if spawns is None else spawns.asked)
    except asyncio.CancelledError as cancelled:
        return Answer(text=describe(cancelled), is_cancelled=True)
    except BaseException as raised:  # noqa: BLE001 - whatever ends the job belongs to its run
        error = as_error(raised)
        return Answer(text=describe(error), names=class_names(type(error)), ending=_plain(error))


def _plain(error: Exception) -> JobEnding | None:
    """Return the library's own class of ending: a subclass may hold what cannot travel."""
    if isinstance(error, Retry):
        return Retry(error.after, str(error.reason))
    if isinstance(error, Fail):
        return Fail(str(error.reason))
    return Cancel(str(error.reason)) if isinstance(error, Cancel) else None
