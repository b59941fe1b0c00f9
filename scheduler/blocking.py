"""The scheduler for programs without asyncio: the same methods, blocking, over an event loop in a thread of its own."""

import asyncio
import atexit
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, Self, TypeVar, Unpack

from detent.jobs import Job, JobRegistry, Task
from detent.jobs.registry import OptionValues
from detent.scheduler.clock import Clock
from detent.scheduler.config import SchedulerConfig, Settings
from detent.scheduler.errors import ForkedScheduler, NotMainThread, SchedulerClosed, WrongThread
from detent.scheduler.events import Subscriber
from detent.scheduler.scheduling import KindOrJob, NewTask, When
from detent.scheduler.signals import STOPPING
from detent.scheduler.std import StdScheduler
from detent.stores import IfExists, JobStore, Node, Page, Run, RunQuery, TaskQuery
from detent.triggers import Trigger

_PATIENCE = timedelta(seconds=5)
"""How long an event loop has, beyond its grace, to come to its end when the interpreter does."""

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class _LoopThread:
    """An event loop that runs in a daemon thread, and serves calls from every other thread of this process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._cancel_calls())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _cancel_calls(self) -> None:
        """Cancel what other threads still wait for: they must not wait for ever."""
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=_PATIENCE.total_seconds())

    @property
    def is_here(self) -> bool:
        """Whether the thread runs in this process, which it does not in a fork of it."""
        return os.getpid() == self._process

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        """Run what `work` returns in the loop; the name of the `call` is for the error that says why it cannot be."""
        self.check(call)
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def check(self, call: str | None = None) -> None:
        """Raise `ForkedScheduler` in another process; and `WrongThread`, if a `call` is to wait here for the loop, in its own thread."""
        if not self.is_here:
            raise ForkedScheduler(self._process, os.getpid())
        if call is not None and threading.current_thread() is self._thread:
            raise WrongThread(call)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop; without waiting, so that a signal handler may use it."""
        self.check()
        self._loop.call_soon_threadsafe(callback)

    def end(self) -> None:
        """Stop the loop, and wait for the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class BlockingScheduler:
    """`StdScheduler` for synchronous programs; see there for what each method does and raises.

    ::

        with BlockingScheduler("postgresql://...", jobs=registry) as scheduler:
            scheduler.schedule_job("report:emea", "report", payload=b"emea")
            scheduler.run()

    Safe to call from any thread but its own: an `async def` job runs in the scheduler's event loop, which a blocking call
    would stop for ever, and raises `WrongThread` instead. It does not survive a fork: every call in the child raises
    `ForkedScheduler`. A program that ends without closing it drains it, within its grace, when the interpreter exits.
    """

    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        jobs: JobRegistry | None = None,
        clock: Clock | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Make a scheduler that is not started; the arguments are those of `StdScheduler`."""
        self._std = StdScheduler(store, jobs=jobs, clock=clock, **settings)
        self._thread: _LoopThread | None = None
        self._changing = threading.RLock()
        """Held while the thread is started or ended; a signal handler may close what it interrupts."""

    @property
    def jobs(self) -> JobRegistry:
        """The jobs it knows."""
        return self._std.jobs

    @property
    def config(self) -> SchedulerConfig:
        """Its settings."""
        return self._std.config

    @property
    def node(self) -> str:
        """The name of this node."""
        return self._std.node

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> T:
        if self._thread is None:
            raise SchedulerClosed
        return self._thread.submit(work, call).result()

    # -- jobs

    def register_job(self, job: Job, *, trigger: Trigger | str | None = None, **options: Unpack[OptionValues]) -> None:
        """Make a job known under its kind; schedules nothing."""
        self._std.register_job(job, trigger=trigger, **options)

    def job(self, kind: str, *, trigger: Trigger | str | None = None, **options: Unpack[OptionValues]) -> Callable[[F], F]:
        """Register the decorated function as a job."""
        return self._std.job(kind, trigger=trigger, **options)

    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: bytes = b"", **options: Unpack[OptionValues]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`."""
        return self._std.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **options)

    # -- tasks

    def schedule_job(self, slug: str, job: KindOrJob, *, if_exists: IfExists = "error", **when: Unpack[When]) -> bool:
        """Schedule one task; return whether it was written."""
        return self._call(lambda: self._std.schedule_job(slug, job, if_exists=if_exists, **when), "schedule_job")

    def schedule_jobs(self, tasks: Iterable[NewTask], *, if_exists: IfExists = "error") -> list[str]:
        """Schedule one or thousands in one write; return the slugs that were written."""
        return self._call(lambda: self._std.schedule_jobs(tasks, if_exists=if_exists), "schedule_jobs")

    def get_job_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return slugs of tasks, in order."""
        return self._call(lambda: self._std.get_job_slugs(prefix=prefix, limit=limit, after=after), "get_job_slugs")

    def get_scheduled_job(self, slug: str) -> Task:
        """Return the task as the store has it now."""
        return self._call(lambda: self._std.get_scheduled_job(slug), "get_scheduled_job")

    def search_jobs(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match, a page at a time."""
        return self._call(lambda: self._std.search_jobs(query), "search_jobs")

    def delete_job(self, slug: str) -> None:
        """Delete the task."""
        self._call(lambda: self._std.delete_job(slug), "delete_job")

    def clear(self) -> int:
        """Delete every task of the namespace; return how many there were."""
        return self._call(self._std.clear, "clear")

    def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first, a page at a time."""
        return self._call(lambda: self._std.runs(query), "runs")

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        return self._call(self._std.nodes, "nodes")

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` every event of this node, in the thread in which it happens."""
        return self._std.subscribe(subscriber)

    # -- life

    def start(self) -> None:
        """Start the event loop's thread and the scheduler in it; returns when it runs."""
        if self._thread is not None:
            self._thread.check("start")
        is_new = self._start_thread()
        try:
            self._call(self._std.start, "start")
        except BaseException:
            if is_new:
                self.close()
            raise

    def _start_thread(self) -> bool:
        with self._changing:
            if self._thread is not None:
                return False
            self._thread = _LoopThread(f"detent-{self.node}")
            atexit.register(self._at_exit)
            return True

    def drain(self, grace: timedelta | None = None) -> None:
        """Take no more work, and let what runs come to its end; returns when it has."""
        if self._thread is not None:
            self._call(lambda: self._std.drain(grace), "drain")

    def hurry(self) -> None:
        """End the grace of a drain that is under way; does not wait, so that a signal handler may call it."""
        if self._thread is not None:
            self._thread.call_soon(self._std.hurry)

    def close(self) -> None:
        """Stop at once, close the store, and end the thread. Safe to call twice."""
        if self._thread is not None:
            self._thread.check("close")
        with self._changing:
            if self._thread is None:
                return
            closing = self._thread.submit(self._std.close, "close")
            try:
                closing.result()
            finally:
                thread, self._thread = self._thread, None
                thread.end()
                atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """Drain and close at the end of a program that did not; the child of a fork has nothing to close.

        A job that blocks the event loop for ever is left where it is: the thread is a daemon, and its leases will end.
        """
        if self._thread is None or not self._thread.is_here:
            return
        draining = self._thread.submit(self._std.drain, "drain")
        with suppress(TimeoutError):
            draining.exception((self.config.grace + _PATIENCE).total_seconds())
            self.close()
            draining.result()

    def run(self) -> None:
        """Start, block until SIGINT or SIGTERM, drain and close; a second signal cuts the grace short.

        Raises:
            NotMainThread: only the main thread of a process can take signals.

        """
        if threading.current_thread() is not threading.main_thread():
            raise NotMainThread
        received: SimpleQueue[int] = SimpleQueue()

        def receive(number: int, _: object) -> None:
            received.put(number)
            self.hurry()

        before = {number: signal.signal(number, receive) for number in STOPPING}
        try:
            self.start()
            received.get()
            self.drain()
        finally:
            try:
                self.close()
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Drain and close."""
        try:
            self.drain()
        finally:
            self.close()
