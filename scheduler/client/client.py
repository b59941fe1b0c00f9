"""Everything that people and programs do with tasks: schedule, edit, ask. It needs a store, a clock and a registry, but no node."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar, Unpack

from duly.jobs import JobRegistry, Task
from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.spawning import When
from duly.scheduler.client.checks import check_if_exists, checked_query
from duly.scheduler.client.paging import walk
from duly.scheduler.client.registering import Registering
from duly.scheduler.rules import edits
from duly.scheduler.rules.edits import Changes
from duly.scheduler.rules.firing import trigger_of
from duly.scheduler.rules.new_task import NewTask, OneOff, check_new, check_when, moment, one_off, to_task
from duly.scheduler.services import Services
from duly.stores import Conflict, IfExists, JobStore, Node, Page, Reencryption, Run, RunQuery, TaskQuery
from duly.stores.rules import transitions
from duly.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])

_TRIES = 20
"""How often an edit is made anew because somebody else was faster."""


class Client(Registering):
    """The half of a scheduler that schedules; every method may be called while the tasks run, here or on other nodes."""

    def __init__(self, services: Services, jobs: JobRegistry) -> None:
        """Act on the tasks in the store of `services`; what is registered goes into `jobs`."""
        super().__init__(jobs)
        self._services = services

    @property
    def _store(self) -> JobStore:
        """The store, for a call that may be made here and now."""
        self._check_loop()
        return self._services.store

    def _check_loop(self) -> None:
        """Raise `WrongLoop` where its event loop is another than the one that runs here."""

    def _made_due(self) -> None:
        """Something may be due sooner than was known; a node that runs looks at once."""

    def _asked_to_stop(self, slug: str) -> None:
        """A run of the task was asked to stop; if it is here, it need not wait for the next heartbeat."""

    async def at(self, time: datetime, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a task that runs once, at `time` or as soon after it as a node has room; return its slug, by default a new one.

        `options` are the fields of `TaskOptions`, which count beside those of the job, and `slug`, `metadata` and `remote`.

        Raises:
            JobAlreadyScheduled: the slug that was given exists, and its task has not failed.
            DulyError: what `schedule_job` refuses; nothing is written then.

        """
        new = one_off(NewTask("", target, at=time, payload=data), options, self.jobs, self._services.clock.now())
        await self.schedule_jobs([new])
        return new.slug

    async def in_(self, delay: timedelta, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a one-off after `delay`; otherwise like `at`."""
        new = one_off(NewTask("", target, delay=delay, payload=data), options, self.jobs, self._services.clock.now())
        await self.schedule_jobs([new])
        return new.slug

    async def schedule_job(self, slug: str, job: KindOrJob, *, if_exists: IfExists = "error", **when: Unpack[When]) -> bool:
        """Schedule one task; return whether it was written: not if it was kept, or had this very definition already.

        `when` are the fields of `NewTask`: `trigger`, `at` or `delay`; `payload`, `options`, `metadata`, `remote`.

        Raises:
            JobAlreadyScheduled: the slug exists, and `if_exists` is `"error"`. A task that failed is not in the way: it gives
                way to the new one, also with `"keep"`; `"replace"` changes its definition, and leaves it set aside.
            DulyError: what `to_task` refuses; nothing is written then.

        """
        check_when("schedule_job()", when)
        return bool(await self.schedule_jobs([NewTask(slug, job, **when)], if_exists=if_exists))

    async def schedule_jobs(self, tasks: Iterable[NewTask], *, if_exists: IfExists = "error") -> list[str]:
        """Schedule one or thousands in one write, all checked before; return the slugs that were written.

        Raises:
            JobAlreadyScheduled: some slugs exist whose tasks have not failed, and `if_exists` is `"error"`; then none is written.
            DulyError: what `to_task` refuses; nothing is written then.

        """
        check_if_exists(if_exists)
        now, limit = self._services.clock.now(), self._services.config.payload_limit
        new = [to_task(check_new(each), self._services.registry, now=now, payload_limit=limit) for each in tasks]
        written = await self._store.create(now, new, if_exists=if_exists)
        if written:
            self._made_due()
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
        return await self._store.search(checked_query(query, TaskQuery))

    def iterate_jobs(self, query: TaskQuery) -> AsyncIterator[Task]:
        """Yield all tasks that match, page after page; `query.limit` is the size of a page."""
        return walk(self._store.search, checked_query(query, TaskQuery))

    async def count_jobs(self, query: TaskQuery) -> int:
        """Return how many tasks match, on all pages together."""
        return await self._store.count(checked_query(query, TaskQuery))

    async def delete_job(self, slug: str) -> None:
        """Delete the task; a run of it that is under way is cancelled at its node's next heartbeat.

        Raises:
            JobNotFound: there is none.

        """
        await self._store.delete(slug)

    async def clear(self) -> int:
        """Delete every task of the namespace; return how many there were."""
        return await self._store.clear()

    # -- edits

    async def pause_job(self, slug: str) -> Task:
        """Let the task not be run any more until it is resumed; a run that is under way goes on. Return the task as it is now.

        Raises:
            JobNotFound: there is none.

        """
        return await self._edit(slug, transitions.pause)

    async def resume_job(self, slug: str) -> Task:
        """Let a paused task be run again; of the fires that it missed those that its misfire policy says, at once.

        Raises:
            JobNotFound: there is none.

        """
        return await self._edit(slug, transitions.resume)

    async def trigger_job(self, slug: str) -> Task:
        """Run the task now, once, also when it is paused; its own fires do not move. See `duly.scheduler.rules.edits.run_now`.

        Raises:
            JobNotFound: there is none.
            InvalidSchedule: as many fires wait already as there may.

        """
        return await self._edit(slug, lambda task: edits.run_now(task, self._trigger_of(task), self._services.clock.now()))

    async def stop_job(self, slug: str) -> bool:
        """Ask the node that runs the task to stop this run; return False if nobody runs it.

        Its coroutine is cancelled, its thread is told by its context, its process is ended: at the node's next heartbeat at
        the latest. The run is recorded as cancelled; a schedule waits for its next fire, a one-off is set aside.

        Raises:
            JobNotFound: there is none.

        """
        task = await self._edit(slug, edits.stop)
        if task.lease_id is not None:
            self._asked_to_stop(slug)
        return task.lease_id is not None

    async def restart_job(self, slug: str) -> Task:
        """Give a task that failed, or waits for its retry, a new budget of attempts; it is due at once, for the same fire time.

        Raises:
            JobNotFound: there is none.

        """
        return await self._edit(slug, transitions.restart)

    async def update_job(self, slug: str, **changes: Unpack[Changes]) -> Task:
        """Change payload, trigger, options or metadata; what is not given stays. See `duly.scheduler.rules.edits.update`.

        A run that is under way goes on with what it was given; the change counts from the next one on.

        Raises:
            JobNotFound: there is none.
            DulyError: what `update` refuses; nothing is written then.

        """
        limit = self._services.config.payload_limit

        def update(task: Task) -> Task | None:
            registered = self._services.registry.find(task.kind)
            codec = None if registered is None else registered.codec
            return edits.update(task, changes, now=self._services.clock.now(), payload_limit=limit, codec=codec)

        return await self._edit(slug, update)

    async def reencrypt_payloads(self) -> int:
        """Encrypt with the newest key every payload that is not yet, and return how many were; older keys are not needed after that.

        What cannot be read stays as it is. Without `keys` there is nothing to do.
        """
        encrypted = self._store.facet(Reencryption)
        return 0 if encrypted is None else await encrypted.reencrypt(self._services.clock.now())

    async def reschedule_job(self, slug: str, *, at: datetime | None = None, delay: timedelta | None = None) -> Task:
        """Move the next run to `at`, or to so long from now; after it the trigger goes on. See `duly.scheduler.rules.edits.move`.

        Raises:
            JobNotFound: there is none.
            InvalidSchedule, InvalidDelay, NaiveDatetime: `at` and `delay` do not say one instant.

        """
        to = moment(slug, at, delay, self._services.clock.now())
        return await self._edit(slug, lambda task: edits.move(task, to))

    def _trigger_of(self, task: Task) -> Trigger | None:
        return trigger_of(task, self._services.registry.find(task.kind))

    async def _edit(self, slug: str, change: Callable[[Task], Task | None]) -> Task:
        """Write what `change` makes of the task; made anew on the newest version when somebody was faster."""
        for left in reversed(range(_TRIES)):
            task = await self._store.get(slug)
            changed = change(task)
            if changed is None or changed == task:
                return task
            try:
                written = await self._store.update(self._services.clock.now(), changed)
            except Conflict:
                if not left:
                    raise
            else:
                self._made_due()
                return written
        raise AssertionError("the last try returns or raises")

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first, a page at a time."""
        return await self._store.runs(checked_query(query, RunQuery))

    def iterate_runs(self, query: RunQuery) -> AsyncIterator[Run]:
        """Yield all runs that match, newest first, page after page; `query.limit` is the size of a page."""
        return walk(self._store.runs, checked_query(query, RunQuery))

    async def nodes(self) -> list[Node]:
        """Return the nodes that are alive, by what they last said of themselves."""
        now = self._services.clock.now()
        return [node for node in await self._store.nodes() if node.until > now]
