"""The scheduler of the current context, for code that takes no scheduler argument.

A scheduler sets itself for every job that it runs in its event loop or in a thread. A program sets one with
`scheduler_context`. Coroutines and `asyncio.to_thread` calls started inside have it, too. A job in another process has
none: there is no scheduler in that process.
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
"""How often a waiting thread checks that the event loop still runs: a job's thread may outlive it."""

T = TypeVar("T")


@frozen
class _Here:
    """A scheduler, the process it is in, and the event loop in which it may be awaited (None: unknown)."""

    scheduler: Client | BlockingClient
    process: int
    loop: asyncio.AbstractEventLoop | None


_here: ContextVar[_Here | None] = ContextVar("duly_scheduler", default=None)


@contextmanager
def scheduler_context(scheduler: Client | BlockingClient) -> Iterator[None]:
    """Make `scheduler` the current one in the body, and in coroutines and threads that copy its context."""
    token = _here.set(_Here(scheduler, os.getpid(), running_loop()))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is discarded unfinished ends in another context, where nothing was set
            _here.reset(token)


def scheduler_from_context(default: Client | None = None) -> Client:
    """Return the current scheduler, to be awaited; without one, return `default`.

    Raises:
        NoScheduler: there is none and no `default`; or it cannot be awaited in this thread or event loop.

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
    """Return the current scheduler with blocking methods, for a job in a thread; without one, `default`.

    Its methods raise `WrongThread` in the thread of the scheduler's event loop, which they would block for ever.

    Raises:
        NoScheduler: there is none and no `default`, or it has no event loop that could serve a call.

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
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _FromThread(BlockingClient):
    """Blocking methods of a scheduler whose event loop runs in another thread of this process."""

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
        except RuntimeError as error:  # the event loop is closed
            raise SchedulerClosed from error
        return self._awaited(self._awaited(begun))

    def _awaited(self, answer: "Future[T]") -> T:
        """Wait for the answer as long as the event loop runs.

        Raises:
            SchedulerClosed: the event loop stopped before it answered.

        """
        while not wait([answer], _GLANCE.total_seconds()).done:
            if not self._loop.is_running():
                answer.cancel()
                raise SchedulerClosed
        return answer.result()
