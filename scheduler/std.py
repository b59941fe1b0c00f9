"""The scheduler for asyncio programs: it schedules tasks and, once started, runs one node."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Self, Unpack

from duly.jobs import InvalidValue, JobRegistry
from duly.jobs.keywords import explicit
from duly.jobs.validators import require_span
from duly.scheduler.client.client import Client
from duly.scheduler.client.why import ask_why
from duly.scheduler.clock import Clock, StoreClock, SystemClock
from duly.scheduler.config import SchedulerConfig, Settings, check_settings, check_wiring, store_url
from duly.scheduler.context import running_loop, scheduler_context
from duly.scheduler.errors import SchedulerClosed, WrongLoop
from duly.scheduler.events.events import Event, Subscriber
from duly.scheduler.events.nodes import stepped
from duly.scheduler.events.publishing import Events
from duly.scheduler.events.stream import QUEUE_LIMIT, EventStream, Streams
from duly.scheduler.executors.fetched.fetch import Fetching
from duly.scheduler.executors.fetched.subscriptions import NodeJobs, Subscriptions
from duly.scheduler.executors.process.child import check_main_is_guarded
from duly.scheduler.node.node import RunningNode
from duly.scheduler.rules.edits import STOP_REQUESTED
from duly.scheduler.rules.endings import Stopped
from duly.scheduler.rules.new_task import new_task
from duly.scheduler.services import Services
from duly.scheduler.signals import at_next, stop_signals
from duly.stores import EncryptedStore, JobStore, open_store


class StdScheduler(Client):
    """A scheduler for asyncio programs: it schedules tasks and runs them when they are due.

    ::

        async with StdScheduler("postgresql://...", jobs=registry) as scheduler:
            await scheduler.schedule_job("report:emea", "report", payload=b"emea")
            await scheduler.run()

    All nodes on the same store share the work. Entering the context calls `start`; leaving it calls `drain` and `close`.
    The scheduler opens and closes the store that it is given.

    From `start` to `close` it belongs to one event loop. Methods that read or write tasks raise `WrongLoop` in any other.
    Programs without an event loop use `duly.scheduler.BlockingScheduler`.
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
        """Make a scheduler; it does not run yet.

        `store` is a store or a URL (see `duly.stores.open_store`). None: the URL in the environment variable `DULY_STORE`,
        else a store in memory. `jobs` None: a new, empty registry. `clock` is for tests. `settings` are the fields of
        `SchedulerConfig`.

        Raises:
            InvalidStoreURL, MissingExtra: the URL names no store that can be opened here.
            InvalidValue: a setting is out of its range. TypeError: there is no such setting.

        """
        check_wiring(store, jobs, clock)
        check_settings(settings)
        self.config: SchedulerConfig = SchedulerConfig(**settings)
        """The settings of this node."""
        self.clock: Clock = clock or SystemClock()
        """The node's own clock, from which the store's time is followed."""
        opened = store if store is not None and not isinstance(store, str) else open_store(store or store_url())
        if self.config.keys is not None:
            opened = EncryptedStore(opened, self.config.keys)
        registry = JobRegistry() if jobs is None else jobs
        node = self.config.node
        followed = StoreClock(self.clock, follows=self.clock.runs, on_step=lambda step: self._services.publish(stepped(step, node)))
        known = NodeJobs(registry)
        super().__init__(Services(store=opened, registry=known, clock=followed, events=Events(followed), config=self.config), registry)
        self._subscriptions = Subscriptions(known, self._services)
        self._streams = Streams(self._services.events, self.config.node)
        self._running_node: RunningNode | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the last `start`; None before it and after `close`."""
        self._changing = asyncio.Lock()
        """Held during `start` and `drain`, so that neither begins before the other has ended."""

    def _check_loop(self, *, stopping: str | None = None) -> None:
        if self._loop is not None and self._loop is not running_loop():
            raise WrongLoop
        if stopping is not None and self._running_node is not None:
            self._running_node.refuse_in_job(stopping)

    def _made_due(self) -> None:
        if self._running_node is not None:
            self._running_node.dispatcher.loop.wake.ring()

    def _asked_to_stop(self, slug: str) -> None:
        for run in self._running_node.runs if self._running_node is not None else ():
            if run.task.slug == slug:
                run.end_early(Stopped(STOP_REQUESTED))

    async def why(self, slug: str) -> str:
        """Say in one sentence, as this node sees it, why the task is not running, or where it runs.

        Raises:
            JobNotFound: no task has this slug.

        """
        self._check_loop()
        if self._running_node is None:
            return await ask_why(slug, self._services, None)
        return await ask_why(slug, self._services, self._running_node.here, self._running_node.limits.is_full)

    def events(self, *, types: tuple[type[Event], ...] = (), slug: str | None = None, limit: int = QUEUE_LIMIT) -> EventStream:
        """Return a stream of this node's events; enter it and iterate over it.

        `types` keeps only events of these classes; an empty tuple keeps all. `slug` keeps only events about that task; None
        keeps all. Up to `limit` events wait for their reader. The stream drops further ones and counts them in an
        `EventsDropped`. It may be entered before `start`, and it ends when the scheduler is closed.

        Raises:
            InvalidValue: `limit` is less than 1, or `types` is not a tuple of event classes.

        """
        return self._streams.open(types, slug, limit)

    def fetch(self, kind: str, *, max_in_flight: int = 10) -> Fetching:
        """Return the due tasks of `kind` as a stream; the program acknowledges each, and no job runs them.

        ::

            async with scheduler.fetch("backup") as tasks:
                async for task in tasks:
                    await task.commit(result=await back_up(task.payload))

        From this call on, the node holds up to `max_in_flight` tasks at a time for this stream, until the stream is closed or
        the node drains. Several streams of one kind share its tasks; each task goes to one of them. See
        `duly.scheduler.executors.fetched.fetch`.

        Raises:
            SchedulerClosed: the scheduler is not running, or is draining.
            JobAlreadyRegistered: the kind has a job.
            InvalidValue: the kind is empty or too long, or `max_in_flight` is less than 1.

        """
        self._check_loop()
        running_node = self.running_node
        subscription = self._subscriptions.open(kind, max_in_flight, running_node.runs, running_node.dispatcher.loop.wake.ring)
        return Fetching(subscription, self.config.payload_limit)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with every event of this node; return a callable that ends this.

        It is called in a thread of its own, so a slow one delays no run: up to 1000 events wait for it, an `EventsDropped`
        counts further ones, and what it raises is logged. `drain` and `run_due` wait up to a second until it was told all.

        Raises:
            InvalidValue: `subscriber` is not callable.

        """
        if not callable(subscriber):
            raise InvalidValue("subscriber", subscriber, "a callable that takes an event")
        return self._services.events.subscribe(subscriber)

    # -- life

    @property
    def node(self) -> str:
        """The name of this node."""
        return self.config.node

    @property
    def running_node(self) -> RunningNode:
        """The loops of this node, for tests that turn them by hand.

        Raises:
            SchedulerClosed: the scheduler is not started.

        """
        if self._running_node is None:
            raise SchedulerClosed
        return self._running_node

    async def start(self) -> None:
        """Open the store, write the declared tasks, and begin to run what is due.

        A second call has no effect. By default a fire that was missed while no node ran is run now (`TaskOptions.misfire`).
        A task that is scheduled for the first time waits for its fire time.

        Raises:
            MainNotGuarded: this process is a child that imports the program's main module; it must not become a node.

        """
        check_main_is_guarded()
        async with self._changing:
            if self._running_node is not None:
                return
            try:
                await self._services.store.open()
                sent = self._services.clock.monotonic()
                self._services.clock.observe(await self._services.store.now(), sent=sent, received=self._services.clock.monotonic())
                await self._declare()
            except BaseException:
                await self._services.store.close()
                raise
            self._loop = asyncio.get_running_loop()
            self._running_node = RunningNode(self._services, partial(scheduler_context, self))
            self._running_node.start()

    async def _declare(self) -> None:
        await self.schedule_jobs(map(new_task, self.jobs.declared), if_exists="replace")

    async def drain(self, grace: timedelta | None = None) -> None:
        """Lock no more tasks, wait up to `grace` for the current runs, then stop the node.

        `grace` None: the setting `grace`. A run that is cut short is recorded as cancelled, and its attempt is refunded.
        Another node runs it again, or this one after its next `start`; a task that runs at most once is not run again.
        Tasks can still be scheduled meanwhile; this node runs them after its next `start`.
        If the wait is cancelled, the runs go on, and `drain` or `close` may be called again.

        Raises:
            InvalidValue: `grace` is not a length of time. CalledInJob: a job of this scheduler would wait for itself.

        """
        self._check_loop(stopping="drain")
        if grace is not None:
            require_span("grace", grace)
        async with self._changing:
            if self._running_node is None:
                return
            self._subscriptions.end()
            try:
                await self._running_node.drain(self.config.grace if grace is None else grace)
            except Exception:
                await self._stop(self._running_node)
                raise
            await self._stop(self._running_node)

    async def _stop(self, running_node: RunningNode) -> None:
        await running_node.stop()
        self._subscriptions.clear()
        self._running_node = None
        await self._services.events.heard()

    def stop_now(self) -> None:
        """End the grace of the current drain; without a drain, do nothing."""
        if self._running_node is not None:
            self._running_node.stop_now()

    async def close(self) -> None:
        """Stop at once and close the store. Safe to call twice.

        Current runs are cut short, as at the end of a drain. A drain under way loses its grace. Raises as `drain` does.
        """
        self._check_loop(stopping="close")
        try:
            self.stop_now()
            await self.drain(timedelta(0))
        finally:
            self._streams.end()
            self._services.events.rest()
            await self._services.store.close()
            self._loop = None
            self._changing = asyncio.Lock()  # the lock is bound to this event loop; the next start may be in another

    async def run(self) -> None:
        """Start, run until SIGINT or SIGTERM, drain and close; a second signal ends the grace.

        Raises:
            NotMainThread: Python delivers signals to the main thread only.

        """
        with stop_signals() as received:
            try:
                await self.start()
                await received.get()
                stopping_now = asyncio.create_task(at_next(received, self.stop_now))
                try:
                    await self.drain()
                finally:
                    stopping_now.cancel()
            finally:
                await self.close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Drain and close."""
        try:
            await self.drain()
        finally:
            await self.close()
