"""Jobs that other processes import and call.

Where one begins, it touches the file that its payload names.
"""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from attrs import evolve, frozen

from duly.jobs import Cancel, Fail, Job, JobContext, Retry, Task, Then
from duly.scheduler import scheduler_from_context

SECOND = timedelta(seconds=1)


class Unsendable(Exception):
    """An error that no pickle takes."""

    def __init__(self) -> None:
        super().__init__("no pickle takes this")
        self.lock = threading.Lock()


class NotBefore(Retry):
    """An ending of the user's own, which no pickle takes either."""

    def __init__(self) -> None:
        super().__init__(SECOND, "later")
        self.lock = threading.Lock()


@frozen
class Raising(Job):
    """Raises what it makes."""

    make: Callable[[], BaseException]
    kind: str = "kind"

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Raise it."""
        raise self.make()


def no_luck() -> ValueError:
    """An ordinary error."""
    return ValueError("no luck")


def leave() -> SystemExit:
    """What would end a thread's process."""
    return SystemExit(3)


def retry() -> Retry:
    """Try again in a second."""
    return Retry(SECOND, "busy")


def fail() -> Fail:
    """Never again."""
    return Fail("no such customer")


def cancel() -> Cancel:
    """Not this time."""
    return Cancel("a holiday")


@frozen
class Wrong(Job):
    """Returns what no job may."""

    kind: str = "kind"

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Return a text."""
        return "done"  # type: ignore[return-value]  # the point


class Locked(Job):
    """Cannot be pickled."""

    kind = "kind"

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Do nothing."""
        return task


class Unloadable(Job):
    """Can be pickled, but not made again."""

    kind = "kind"

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """Call what is not there."""
        return json.loads, ("{",)

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Do nothing."""
        return task


def nothing() -> None:
    """Do nothing."""


def unsendable_value() -> object:
    """Return what no pickle takes."""
    return threading.Lock()


def report(ctx: JobContext, task: Task) -> Task:
    """Tell what the context says, and where this is."""
    told = [ctx.slug, ctx.kind, ctx.node, ctx.fire_time.isoformat(), ctx.attempt, ctx.run_id, ctx.run_key]
    where = [os.getpid(), threading.current_thread().name]
    return evolve(task, result=json.dumps([*told, ctx.stop_reason, ctx.lease_valid(), *where]))


async def report_async(ctx: JobContext, task: Task) -> Task:
    """Tell the process and the thread, after waits of every kind."""
    await ctx.sleep(timedelta(milliseconds=1))
    await ctx.within(10 * SECOND, asyncio.sleep(0))
    return evolve(task, result=f"{os.getpid()} {threading.current_thread().name}")


def pid(_: JobContext, task: Task) -> Task:
    """Tell the process."""
    return evolve(task, result=str(os.getpid()))


def echo(_: JobContext, task: Task) -> Task:
    """Return the payload twice."""
    return evolve(task, payload=task.payload * 2)


def obedient(ctx: JobContext, task: Task) -> Task:
    """Work until it is asked to end; tell why, and whether the lease is held."""
    began(task)
    ctx.stop.wait(20 * SECOND)
    return evolve(task, result=json.dumps([ctx.stop_reason, ctx.lease_valid()]))


async def obedient_async(ctx: JobContext, task: Task) -> None:
    """Wait until it is cancelled; leave a word in the file."""
    began(task)
    try:
        await ctx.sleep(20 * SECOND)
    finally:
        leave_word(task, f"cleaned up: {ctx.stop_reason}")


async def cancels_itself() -> None:
    """Nobody else asked for it."""
    raise asyncio.CancelledError


def lease_lasts(ctx: JobContext, task: Task) -> Task:
    """Work until the lease is not valid any more, or it is asked to end; tell which."""
    began(task)
    while ctx.lease_valid() and not ctx.stop.wait(timedelta(milliseconds=10)):
        pass
    return evolve(task, result=json.dumps([ctx.stop_reason, ctx.lease_valid()]))


def waits_for_ever(ctx: JobContext) -> None:
    """Wait for a stop without a bound."""
    ctx.stop.wait()


def waits_in_vain(ctx: JobContext, task: Task) -> Task:
    """Tell what a short wait says."""
    return evolve(task, result=str(ctx.stop.wait(timedelta(milliseconds=1))))


def stuck(_: JobContext, task: Task) -> None:
    """Work for ever, whatever it is told."""
    began(task)
    while True:
        threading.Event().wait(600)


def parent(_: JobContext, task: Task) -> None:
    """Start a process, and be stuck; the file names both."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    began(task, started.pid)
    threading.Event().wait(600)


def dies() -> None:
    """End the process."""
    os._exit(3)


def crashes() -> None:
    """Read where nothing is."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def forks_and_dies(_: JobContext, task: Task) -> None:
    """Leave a fork, which holds every file of this process open."""
    child = os.fork()
    if child == 0:
        threading.Event().wait(600)
    began(task, child)
    os._exit(4)


def began(task: Task, *pids: int) -> None:
    """Touch the file: this process' id, and others."""
    path = Path(task.payload.decode())
    beside = path.with_suffix(".new")
    beside.write_text(" ".join(map(str, (os.getpid(), *pids))))
    beside.rename(path)


def leave_word(task: Task, word: str) -> None:
    """Write something into the file."""
    Path(task.payload.decode()).write_text(word)


def briefly(_: JobContext, task: Task) -> None:
    """Take two seconds, whatever it is told, and begin to be seen only then."""
    threading.Event().wait(2)
    began(task)


def find_scheduler() -> None:
    """Ask for the scheduler of the context, which is in another process."""
    scheduler_from_context()


def go_on(ctx: JobContext, task: Task) -> Then:
    """Go on with the next step in an hour, and have a child created."""
    metadata = {"of": ctx.slug}
    ctx.spawn("child", "kind", payload=b"c", delay=timedelta(minutes=1), metadata=metadata)
    metadata.clear()  # which comes too late
    return task.then(payload=b"next", payload_version=2, after=timedelta(hours=1), result="first")


async def go_on_async(ctx: JobContext, task: Task) -> Then:
    """Do the same as a coroutine."""
    return go_on(ctx, task)


def spawn_what_is_unknown(ctx: JobContext) -> None:
    """Ask for a kind that nobody has registered."""
    ctx.spawn("child", "nobody's")


def spawn_and_fail(ctx: JobContext) -> None:
    """Ask for a child, and come to a bad end."""
    ctx.spawn("child", "kind")
    raise ValueError("after all")
