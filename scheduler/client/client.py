"""The client half of a scheduler: it schedules, edits and queries tasks, and needs no running node."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Unpack

from duly.jobs import Task
from duly.jobs.keywords import explicit
from duly.scheduler.client.checks import checked_query
from duly.scheduler.client.paging import walk
from duly.scheduler.client.scheduling import Scheduling
from duly.scheduler.rules import edits
from duly.scheduler.rules.edits import Changes
from duly.scheduler.rules.firing import trigger_of
from duly.scheduler.rules.new_task import moment
from duly.stores import Conflict, Node, Page, Reencryption, Run, RunQuery, TaskQuery
from duly.stores.rules import transitions
from duly.triggers import Trigger

_TRIES = 20
"""How often an edit is tried before it gives up, because another writer was faster each time."""


class Client(Scheduling):
    """The client half of a scheduler: schedules, edits and queries tasks.

    Every method may be called while the tasks run, on this node or another. Every method that uses the store may also
    raise its `StoreError`.
    """

    async def get_job_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return up to `limit` slugs in order: with `prefix`, and after `after` (None: from the first on)."""
        return await self._store.get_slugs(prefix=prefix, limit=limit, after=after)

    async def get_scheduled_job(self, slug: str) -> Task:
        """Return the task as the store has it now.

        Raises:
            JobNotFound: no task has this slug.
            UnreadableTask: this version of duly cannot read it; so say all methods that edit a task.

        """
        return await self._store.get(slug)

    async def search_jobs(self, query: TaskQuery) -> Page[Task]:
        """Return one page of the tasks that match; `next` of the page is the `after` of the following query."""
        return await self._store.search(checked_query(query, TaskQuery))

    def iterate_jobs(self, query: TaskQuery) -> AsyncIterator[Task]:
        """Yield all tasks that match and can be read, page after page; `query.limit` is the size of a page."""
        return walk(self._store.search, checked_query(query, TaskQuery))

    async def count_jobs(self, query: TaskQuery) -> int:
        """Return how many tasks match in all, whatever the size of a page."""
        return await self._store.count(checked_query(query, TaskQuery))

    async def delete_job(self, slug: str) -> None:
        """Delete the task; its node cancels a current run at its next heartbeat.

        Raises:
            JobNotFound: no task has this slug.

        """
        await self._store.delete(slug)

    async def clear(self) -> int:
        """Delete all tasks of the namespace; return how many there were.

        Their nodes cancel current runs at their next heartbeats.
        """
        return await self._store.clear()

    # -- edits

    async def pause_job(self, slug: str) -> Task:
        """Pause the task: no new run starts until `resume_job`; a current run continues.

        Return the task as it is now. `trigger_job` runs also a paused task.

        Raises:
            JobNotFound: no task has this slug.

        """
        return await self._edit(slug, transitions.pause)

    async def resume_job(self, slug: str) -> Task:
        """Resume a paused task; its misfire policy decides which of the missed fires run at once.

        Return the task as it is now.

        Raises:
            JobNotFound: no task has this slug.

        """
        return await self._edit(slug, transitions.resume)

    async def trigger_job(self, slug: str) -> Task:
        """Run the task once, now, even if it is paused; return the task as it is now.

        A schedule gets an additional fire, and its other fires do not move. A one-off runs now instead of at its time.
        `duly.scheduler.rules.edits.run_now` says what happens to a task that runs, has failed or waits for a retry.

        Raises:
            JobNotFound: no task has this slug.
            InvalidSchedule: the greatest number of fires waits already.

        """
        return await self._edit(slug, lambda task: edits.run_now(task, self._trigger_of(task), self._services.clock.now()))

    async def stop_job(self, slug: str) -> bool:
        """Ask the node that runs the task to stop this run; return False if no node runs it.

        The node acts at its next heartbeat at the latest: it cancels a coroutine, tells a thread by its context, and ends a
        child process. The run is recorded as cancelled. Then a schedule waits for its next fire, and a one-off is set aside as
        failed.

        Raises:
            JobNotFound: no task has this slug.

        """
        task = await self._edit(slug, edits.stop)
        if task.lease_id is not None:
            self._asked_to_stop(slug)
        return task.lease_id is not None

    async def restart_job(self, slug: str) -> Task:
        """Give a failed task, or one that waits for a retry, new attempts at the same fire; it is due at once.

        Raises:
            JobNotFound: no task has this slug.

        """
        return await self._edit(slug, transitions.restart)

    @explicit(Changes)
    async def update_job(self, slug: str, **changes: Unpack[Changes]) -> Task:
        """Change payload, trigger, options or metadata; what is not given stays. Return the task.

        A current run goes on with its old values. See `duly.scheduler.rules.edits.update`.

        Raises:
            JobNotFound: no task has this slug.
            DulyError: `update` refuses a value; nothing is written.

        """
        limit = self._services.config.payload_limit

        def update(task: Task) -> Task | None:
            registered = self._services.registry.find(task.kind)
            return edits.update(task, changes, now=self._services.clock.now(), payload_limit=limit, registered=registered)

        return await self._edit(slug, update)

    async def reencrypt_payloads(self) -> int:
        """Encrypt with the newest key every payload that is not yet; return how many were.

        Afterwards the older keys are not needed any more. A payload that cannot be read stays as it is. Without the setting
        `keys` there is nothing to do, and 0 is returned.
        """
        encrypted = self._store.facet(Reencryption)
        return 0 if encrypted is None else await encrypted.reencrypt(self._services.clock.now())

    async def reschedule_job(self, slug: str, *, at: datetime | None = None, delay: timedelta | None = None) -> Task:
        """Move the next run to `at`, or to `delay` from now; return the task as it is now.

        The fires after it follow the trigger. See `duly.scheduler.rules.edits.move`.

        Raises:
            JobNotFound: no task has this slug.
            InvalidSchedule, InvalidDelay, NaiveDatetime: `at` and `delay` do not name one instant.

        """
        to = moment(slug, at, delay, self._services.clock.now())
        return await self._edit(slug, lambda task: edits.move(task, to))

    def _trigger_of(self, task: Task) -> Trigger | None:
        return trigger_of(task, self._services.registry.find(task.kind))

    async def _edit(self, slug: str, change: Callable[[Task], Task | None]) -> Task:
        """Write what `change` makes of the task; repeat on its newest version after a conflict.

        Nothing is written if `change` returns None or an equal task.

        Raises:
            JobNotFound: no task has this slug.
            Conflict: another writer was faster in every one of the tries.

        """
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
        """Return one page of the runs that match, newest first; `next` of the page as in `search_jobs`."""
        return await self._store.runs(checked_query(query, RunQuery))

    def iterate_runs(self, query: RunQuery) -> AsyncIterator[Run]:
        """Yield all runs that match, newest first, page after page; `query.limit` is the size of a page."""
        return walk(self._store.runs, checked_query(query, RunQuery))

    async def nodes(self) -> list[Node]:
        """Return the live nodes, as each last announced itself."""
        now = self._services.clock.now()
        return [node for node in await self._store.nodes() if node.until > now]
