"""Scheduling tasks: each call checks what is asked, makes tasks of it, and has the store create them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Unpack

from duly.jobs import JobRegistry, TaskOptions
from duly.jobs.keywords import explicit
from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.spawning import When
from duly.scheduler.client.checks import check_if_exists
from duly.scheduler.client.registering import Registering
from duly.scheduler.events.runs import ScheduleGoesOn
from duly.scheduler.rules.new_task import NewTask, check_new, check_when, goes_on_by, kind_of, to_task
from duly.scheduler.rules.one_off import OneOff, one_off
from duly.scheduler.services import Services
from duly.stores import IfExists, JobStore


class Scheduling(Registering):
    """What a scheduler offers to schedule tasks; each method may also raise a `StoreError` of the store."""

    def __init__(self, services: Services, jobs: JobRegistry) -> None:
        """Use the store and clock of `services`; register jobs in `jobs`."""
        super().__init__(jobs)
        self._services = services

    @property
    def _store(self) -> JobStore:
        """The store, after a check that this event loop may use it."""
        self._check_loop()
        return self._services.store

    def _check_loop(self) -> None:
        """Raise `WrongLoop` if the scheduler belongs to another event loop than the running one."""

    def _made_due(self) -> None:
        """Called when a write may have made something due sooner; a running node then asks the store at once."""

    def _asked_to_stop(self, slug: str) -> None:
        """Called after a stop request; a run on this node then stops without waiting for the heartbeat."""

    @explicit(OneOff, TaskOptions)
    async def at(self, time: datetime, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a one-off task for `time`; return its slug.

        It runs at `time`, or later as soon as a node has room. `options` may hold `slug` (by default a new unique one),
        `metadata`, `remote`, and fields of `TaskOptions`; each one given replaces that option of the job.

        Raises:
            JobAlreadyScheduled: the given slug exists, and its task has not failed.
            DulyError: `schedule_job` refuses a value; nothing is written.

        """
        new = one_off(NewTask("", target, at=time, payload=data), options, self.jobs, self._services.clock.now())
        await self.schedule_jobs([new])
        return new.slug

    @explicit(OneOff, TaskOptions)
    async def in_(self, delay: timedelta, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a one-off after `delay`; otherwise like `at`."""
        new = one_off(NewTask("", target, delay=delay, payload=data), options, self.jobs, self._services.clock.now())
        await self.schedule_jobs([new])
        return new.slug

    @explicit(When, NewTask)
    async def schedule_job(self, slug: str, job: KindOrJob, *, if_exists: IfExists = "error", **when: Unpack[When]) -> bool:
        """Schedule one task; return whether the store wrote it.

        False: an existing task was kept, or it had exactly this definition already.

        - `trigger`: when it fires, as a trigger or its text, such as `@every 5m`; None: by the trigger of its kind.
        - `at`, `delay`: its first fire, as an aware datetime or as so long from now. After it the trigger goes on, also that of
          the kind. Neither: the trigger says; without a trigger it fires at once.
        - `once`: leave the trigger of the kind out, so that the task fires only once.
        - `start_at`, `end_at`, `jitter`: the trigger's fires before and after are left out; each is up to so much late.
        - `payload`, `payload_version`: bytes for the job and their version, or an object of the kind's class.
        - `options`: how it runs; None: as its kind says. `metadata`: labels, text to text.
        - `remote`: allow a kind that only other nodes have registered.
        - `if_exists`: if the slug exists, `"error"` raises, `"keep"` leaves that task as it is, and `"replace"` changes its
          definition only, if it can be read. A failed task counts as absent for `"error"` and `"keep"`: the new task replaces
          it. With `"replace"` it stays failed.

        Raises:
            JobAlreadyScheduled: the slug exists, its task has not failed, and `if_exists` is `"error"`.
            DulyError: `to_task` refuses a value; nothing is written.

        """
        check_when("schedule_job()", when)
        new = NewTask(slug, job, **when)
        is_written = bool(await self.schedule_jobs([new], if_exists=if_exists))
        if is_written:
            self._tell_of(new)
        return is_written

    def _tell_of(self, new: NewTask) -> None:
        """Publish that the trigger of its kind goes on after the first fire, which is easily overlooked."""
        if (trigger := goes_on_by(new, self._services.registry)) is not None:
            self._services.publish(ScheduleGoesOn(node=self._services.node, slug=new.slug, kind=kind_of(new.job), trigger=trigger))

    async def schedule_jobs(self, tasks: Iterable[NewTask], *, if_exists: IfExists = "error") -> list[str]:
        """Schedule one task or thousands in one write; return the slugs that were written.

        All tasks are checked before any is written. `if_exists` means the same as in `schedule_job`.

        Raises:
            JobAlreadyScheduled: some slugs exist, their tasks have not failed, and `if_exists` is `"error"`; none is written.
            DulyError: `to_task` refuses a value; nothing is written.

        """
        check_if_exists(if_exists)
        now, limit = self._services.clock.now(), self._services.config.payload_limit
        new = [to_task(check_new(each), self._services.registry, now=now, payload_limit=limit) for each in tasks]
        written = await self._store.create(now, new, if_exists=if_exists)
        if written:
            self._made_due()
        return written
