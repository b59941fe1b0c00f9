"""The scheduler of this context: for code that is called from many places and should not have to be handed one.

A scheduler sets it for every job that it runs, in its event loop and in threads; a program sets it for itself by
`scheduler_context`. What is started inside, as a coroutine or by `asyncio.to_thread`, has it too. A job in a process of
its own has none: there is no scheduler in that process.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from attrs import frozen

from duly.scheduler.client.blocking import BlockingClient
from duly.scheduler.client.client import Client
from duly.scheduler.errors import NoScheduler, SchedulerClosed, WrongThread

_GLANCE = timedelta(seconds=0.5)
"""How often a thread that waits for an event loop looks whether anybody turns it yet: a job's thread may outlive its loop."""

T = TypeVar("T")


@frozen
class _Here:
    """A scheduler, in which process it is, and in which event loop it may be awaited, if that is known."""

    scheduler: Client | BlockingClient
    process: int
    loop: asyncio.AbstractEventLoop | None


_here: ContextVar[_Here | None] = ContextVar("duly_scheduler", default=None)


@contextmanager
def scheduler_context(scheduler: Client | BlockingClient) -> Iterator[None]:
    """Let `scheduler` be that of the body, and of every coroutine and thread that takes a copy of its context."""
    token = _here.set(_Here(scheduler, os.getpid(), running_loop()))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is thrown away unfinished ends in a context in which nothing was set
            _here.reset(token)


def scheduler_from_context(default: Client | None = None) -> Client:
    """Return the scheduler of this context, to be awaited; `default` where there is none.

    Raises:
        NoScheduler: there is none, or it cannot be awaited here: this is a thread, or another event loop than its own.

    """
    here = _find()
    if here is None:
        if default is None:
            raise NoScheduler("expected code inside a job, or inside scheduler_context(...); a job in another process has none")
        return default
    is_elsewhere = here.loop is not None and here.loop is not running_loop()
    if isinstance(here.scheduler, BlockingClient) or is_elsewhere:
        raise NoScheduler("it cannot be awaited here, outside its event loop: use blocking_scheduler_from_context()")
    return here.scheduler


def blocking_scheduler_from_context(default: BlockingClient | None = None) -> BlockingClient:
    """Return the scheduler of this context with blocking methods, for a job in a thread; `default` where there is none.

    Raises:
        NoScheduler: there is none, or it has no event loop that could serve a call.

    """
    here = _find()
    if here is None:
        if default is None:
            raise NoScheduler("expected code inside a job, or inside scheduler_context(...); a job in another process has none")
        return default
    if isinstance(here.scheduler, BlockingClient):
        return here.scheduler
    if here.loop is None:
        raise NoScheduler("it was set where no event loop ran, so that none can serve a blocking call: use scheduler_from_context()")
    return _FromThread(here.scheduler, here.loop)


def _find() -> _Here | None:
    here = _here.get()
    return here if here is not None and here.process == os.getpid() else None  # a fork has the variable, but not the scheduler


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _FromThread(BlockingClient):
    """The blocking face of a scheduler whose event loop runs in another thread of this process."""

    def __init__(self, scheduler: Client, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(scheduler)
        self._loop = loop

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> T:
        if running_loop() is self._loop:
            raise WrongThread(call)
        begun: Future[Future[T]] = Future()

        async def do() -> T:
            return await work()

        def begin() -> None:
            if begun.set_running_or_notify_cancel():
                begun.set_result(asyncio.run_coroutine_threadsafe(do(), self._loop))

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError as error:  # it is closed
            raise SchedulerClosed from error
        return self._awaited(self._awaited(begun))

    def _awaited(self, answer: "Future[T]") -> T:
        """Wait for the event loop, for as long as anybody turns it."""
        while not wait([answer], _GLANCE.total_seconds()).done:
            if not self._loop.is_running():
                answer.cancel()
                raise SchedulerClosed
        return answer.result()
