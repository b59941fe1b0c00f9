"""The scheduler: the public face of a node."""

import asyncio
import signal
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Self, TypeVar, Unpack

from detent.jobs import Job, JobRegistry, Task
from detent.jobs.registry import OptionValues
from detent.scheduler.clock import Clock, StoreClock, SystemClock
from detent.scheduler.config import SchedulerConfig, Settings, store_url
from detent.scheduler.errors import SchedulerClosed
from detent.scheduler.events import Events, Subscriber
from detent.scheduler.parts import Parts
from detent.scheduler.scheduling import KindOrJob, NewTask, When, to_task
from detent.scheduler.signals import stop_signals
from detent.scheduler.works import Works
from detent.stores import IfExists, JobStore, Node, Page, Run, RunQuery, TaskQuery, open_store
from detent.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])


class StdScheduler:
    """Schedules tasks, and runs them when they are due, together with every other node on the same store.

    ::

        async with StdScheduler("postgresql://...", jobs=registry) as scheduler:
            await scheduler.schedule_job("report:emea", "report", payload=b"emea")
            await scheduler.run()

    Entering the context starts it, leaving it drains and closes it. It belongs to the event loop in which it was
    started; `detent.scheduler.BlockingScheduler` is the same for programs without one. A store that it is given is
    opened and closed with it.
    """

    def __init__(
        self,
        store: JobStore | str | None = None,
        *,
        jobs: JobRegistry | None = None,
        clock: Clock | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Make a scheduler that is not started.

        `store` may be a URL (see `detent.stores.open_store`); without one, `DETENT_STORE` names it, else tasks are kept in
        memory. `settings` are the fields of `SchedulerConfig`. `clock` is for tests.

        Raises:
            InvalidStoreURL, MissingExtra: the URL names no store that can be opened here.
            InvalidValue: a setting is out of its range.

        """
        self.config = SchedulerConfig(**settings)
        self.jobs = JobRegistry() if jobs is None else jobs
        self._store = store if store is not None and not isinstance(store, str) else open_store(store or store_url())
        self.clock = clock or SystemClock()
        self._clock = StoreClock(self.clock)
        self._events = Events()
        self._parts = Parts(store=self._store, registry=self.jobs, clock=self._clock, events=self._events, config=self.config)
        self._works: Works | None = None
        self._changing = asyncio.Lock()
        """Held while it is started or drained, so that each of the two is whole."""

    # -- jobs

    def register_job(self, job: Job, *, trigger: Trigger | str | None = None, **options: Unpack[OptionValues]) -> None:
        """Make a job known under its kind; schedules nothing. See `JobRegistry.register_job`."""
        self.jobs.register_job(job, trigger=trigger, **options)

    def job(self, kind: str, *, trigger: Trigger | str | None = None, **options: Unpack[OptionValues]) -> Callable[[F], F]:
        """Register the decorated function as a job. See `JobRegistry.job`."""
        return self.jobs.job(kind, trigger=trigger, **options)

    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: bytes = b"", **options: Unpack[OptionValues]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`. See `JobRegistry.scheduled`."""
        return self.jobs.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **options)

    # -- tasks

    async def schedule_job(self, slug: str, job: KindOrJob, *, if_exists: IfExists = "error", **when: Unpack[When]) -> bool:
        """Schedule one task; return whether it was written: not if it was kept, or had this very definition already.

        `when` are the fields of `NewTask`: `trigger`, `at` or `delay`; `payload`, `options`, `metadata`, `remote`.

        Raises:
            JobAlreadyScheduled: the slug exists, and `if_exists` is `"error"`.
            DetentError: what `to_task` refuses; nothing is written then.

        """
        return bool(await self.schedule_jobs([NewTask(slug, job, **when)], if_exists=if_exists))

    async def schedule_jobs(self, tasks: Iterable[NewTask], *, if_exists: IfExists = "error") -> list[str]:
        """Schedule one or thousands in one write, all checked before; return the slugs that were written.

        Raises:
            JobAlreadyScheduled: some slugs exist, and `if_exists` is `"error"`; then none is written.
            DetentError: what `to_task` refuses; nothing is written then.

        """
        now, limit = self._clock.now(), self.config.payload_limit
        new = [to_task(each, self.jobs, now=now, payload_limit=limit) for each in tasks]
        written = await self._store.create(now, new, if_exists=if_exists)
        if written and self._works is not None:
            self._works.dispatcher.loop.wake.ring()
        return written

    async def get_job_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return up to `limit` slugs of tasks, in order, that start with `prefix` and come after `after`."""
        return await self._store.get_slugs(prefix=prefix, limit=limit, after=after)

    async def get_scheduled_job(self, slug: str) -> Task:
        """Return the task as the store has it now.

        Raises:
            JobNotFound: there is none.

        """
        return await self._store.get(slug)

    async def search_jobs(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match, a page at a time."""
        return await self._store.search(query)

    async def delete_job(self, slug: str) -> None:
        """Delete the task; a run of it that is under way is cancelled at its node's next heartbeat.

        Raises:
            JobNotFound: there is none.

        """
        await self._store.delete(slug)

    async def clear(self) -> int:
        """Delete every task of the namespace; return how many there were."""
        return await self._store.clear()

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first, a page at a time."""
        return await self._store.runs(query)

    async def nodes(self) -> list[Node]:
        """Return the nodes that are alive, by what they last said of themselves."""
        now = self._clock.now()
        return [node for node in await self._store.nodes() if node.until > now]

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` every event of this node, until the callable that is returned is called."""
        return self._events.subscribe(subscriber)

    # -- life

    @property
    def node(self) -> str:
        """The name of this node."""
        return self.config.node

    @property
    def works(self) -> Works:
        """The loops of this node, for tests to turn by hand.

        Raises:
            SchedulerClosed: it is not started.

        """
        if self._works is None:
            raise SchedulerClosed
        return self._works

    async def start(self) -> None:
        """Open the store, create the tasks that the registry declares, and begin to run what is due; starting twice is once.

        A fire that was missed while no node ran is run now; what is scheduled for the first time waits for its fire time.
        """
        async with self._changing:
            if self._works is not None:
                return
            try:
                await self._store.open()
                sent = self._clock.monotonic()
                self._clock.observe(await self._store.now(), sent=sent, received=self._clock.monotonic())
                declared = [NewTask(each.slug, each.kind, payload=each.payload) for each in self.jobs.declared]
                await self.schedule_jobs(declared, if_exists="replace")
            except BaseException:
                await self._store.close()
                raise
            self._works = Works(self._parts)
            self._works.start()

    async def drain(self, grace: timedelta | None = None) -> None:
        """Take no more work, let what runs come to its end for as long as `grace` (by default the setting), and stop.

        A run that is cut short is recorded as cancelled, its attempt refunded, and run again by another node, or by this
        one when it is started again. Tasks can still be scheduled; they are not run here until then. When the wait is
        cancelled, what runs goes on, and can be drained or closed again.
        """
        async with self._changing:
            if self._works is None:
                return
            try:
                await self._works.drain(self.config.grace if grace is None else grace)
            except Exception:
                await self._stop(self._works)
                raise
            await self._stop(self._works)

    async def _stop(self, works: Works) -> None:
        await works.stop()
        self._works = None

    def hurry(self) -> None:
        """End the grace of a drain that is under way; without effect otherwise."""
        if self._works is not None:
            self._works.hurry()

    async def close(self) -> None:
        """Stop at once, and close the store; what still runs is cut short as at the end of a drain. Safe to call twice.

        A drain that is under way is hurried, and waited for.
        """
        try:
            self.hurry()
            await self.drain(timedelta(0))
        finally:
            await self._store.close()
            self._changing = asyncio.Lock()  # it is bound to an event loop, and the next start may be in another

    async def run(self) -> None:
        """Start, run until SIGINT or SIGTERM, drain and close; a second signal cuts the grace short.

        Raises:
            NotMainThread: only the main thread of a process can take signals.

        """
        with stop_signals() as received:
            try:
                await self.start()
                await received.get()
                hurrying = asyncio.create_task(self._hurry_at(received))
                try:
                    await self.drain()
                finally:
                    hurrying.cancel()
            finally:
                await self.close()

    async def _hurry_at(self, received: "asyncio.Queue[signal.Signals]") -> None:
        await received.get()
        self.hurry()

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
