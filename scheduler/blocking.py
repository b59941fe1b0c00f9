"""The scheduler for programs without asyncio: the same methods, blocking.

It runs a `StdScheduler` in an event loop in a thread of its own.
"""

import atexit
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, Self, TypeVar, Unpack

from duly.jobs import JobRegistry
from duly.jobs.keywords import explicit
from duly.scheduler.client.blocking import BlockingClient
from duly.scheduler.clock import Clock
from duly.scheduler.config import SchedulerConfig, Settings
from duly.scheduler.errors import NotMainThread, SchedulerClosed
from duly.scheduler.events.events import Event, Subscriber
from duly.scheduler.events.stream import QUEUE_LIMIT, EventStream
from duly.scheduler.executors.fetched.fetch import BlockingFetching, Fetching
from duly.scheduler.loop_thread import CLOSE_TIMEOUT, LoopThread
from duly.scheduler.signals import STOPPING
from duly.scheduler.std import StdScheduler
from duly.stores import JobStore

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class BlockingScheduler(BlockingClient):
    """A scheduler for programs without asyncio; `StdScheduler` says what each method does and raises.

    ::

        with BlockingScheduler("postgresql://...", jobs=registry) as scheduler:
            scheduler.schedule_job("report:emea", "report", payload=b"emea")
            scheduler.run()

    Every method blocks until it is done, and may be called from any thread except the scheduler's own. An `async def` job
    runs in that thread, where a blocking call would wait for ever: there the methods raise `WrongThread`. Before `start`
    and after `close` the methods that use tasks raise `SchedulerClosed`.

    A scheduler does not survive a fork: in the child these methods raise `ForkedScheduler`. If a program ends without
    `close`, the scheduler drains, within its grace, when the interpreter exits.
    """

    @explicit(Settings, SchedulerConfig)
    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        jobs: JobRegistry | None = None,
        clock: Clock | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Make a scheduler; it does not run yet. The arguments are those of `StdScheduler`."""
        self._std: StdScheduler
        super().__init__(StdScheduler(store, jobs=jobs, clock=clock, **settings))
        self._thread: LoopThread | None = None
        self._changing = threading.RLock()
        """Held while the thread starts or ends. Reentrant: a signal handler may call `close` meanwhile."""

    @property
    def config(self) -> SchedulerConfig:
        """The settings of this scheduler."""
        return self._std.config

    @property
    def node(self) -> str:
        """The name of this node."""
        return self._std.node

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> T:
        return self._submit(work, call).result()

    def _submit(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> "Future[T]":
        if self._thread is None:
            raise SchedulerClosed
        return self._thread.submit(work, call)

    def why(self, slug: str) -> str:
        """Say in one sentence, as this node sees it, why the task is not running, or where it runs."""
        return self._call(lambda: self._std.why(slug), "why")

    def events(self, *, types: tuple[type[Event], ...] = (), slug: str | None = None, limit: int = QUEUE_LIMIT) -> EventStream:
        """Return a stream of this node's events.

        ::

            with scheduler.events() as events:
                for event in events:
                    ...
        """
        return self._std.events(types=types, slug=slug, limit=limit)

    def fetch(self, kind: str, *, max_in_flight: int = 10) -> BlockingFetching:
        """Return the due tasks of `kind` as a stream, for any thread.

        ::

            for task in scheduler.fetch("backup"):
                ...
        """

        async def fetch() -> Fetching:
            return self._std.fetch(kind, max_in_flight=max_in_flight)

        return BlockingFetching(self._call(fetch, "fetch"), self._submit)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with every event of this node; return a callable that ends this.

        `subscriber` is called in a thread of its own.
        """
        return self._std.subscribe(subscriber)

    # -- life

    def start(self) -> None:
        """Start a thread with an event loop, and the scheduler in it; return when it runs."""
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
            self._thread = LoopThread(f"duly-{self.node}")
            atexit.register(self._at_exit)
            return True

    def drain(self, grace: timedelta | None = None) -> None:
        """Lock no more tasks, wait up to `grace` for the current runs, then stop the node."""
        if self._thread is not None:
            self._thread.check("drain")
            self._refuse_in_job("drain")
            self._call(lambda: self._std.drain(grace), "drain")

    def stop_now(self) -> None:
        """End the grace of the current drain; it does not wait, so a signal handler may call it."""
        if self._thread is not None:
            self._thread.call_soon(self._std.stop_now)

    def close(self) -> None:
        """Stop at once, close the store, and end the thread. Safe to call twice."""
        if self._thread is not None:
            self._thread.check("close")
            self._refuse_in_job("close")
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

    def _refuse_in_job(self, call: str) -> None:
        with suppress(SchedulerClosed):
            self._std.running_node.refuse_in_job(call)

    def _at_exit(self) -> None:
        """Drain and close when a program ends without doing so; in a forked child, do nothing.

        A job that blocks the event loop for ever does not keep the program: the thread is a daemon. The leases of its runs
        end, and another node takes the tasks over.
        """
        if self._thread is None or not self._thread.is_here:
            return
        draining = self._thread.submit(self._std.drain, "drain")
        with suppress(TimeoutError):
            draining.exception((self.config.grace + CLOSE_TIMEOUT).total_seconds())
            self.close()
            draining.result()

    def run(self) -> None:
        """Start, block until SIGINT or SIGTERM, drain and close; a second signal ends the grace.

        Raises:
            NotMainThread: Python delivers signals to the main thread only.

        """
        if threading.current_thread() is not threading.main_thread():
            raise NotMainThread
        received: SimpleQueue[int] = SimpleQueue()

        def receive(number: int, _: object) -> None:
            received.put(number)
            self.stop_now()

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
