"""Registering jobs, by a scheduler's own methods: they forward to its registry."""

from collections.abc import Callable
from typing import TypeVar, Unpack

from duly.jobs import JobRegistry
from duly.jobs.kinds import Payload
from duly.jobs.registered import FunctionSettings, JobSettings
from duly.jobs.typed import AnyJob
from duly.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])


class Registering:
    """What a scheduler offers on jobs; safe from any thread."""

    def __init__(self, jobs: JobRegistry) -> None:
        """Register in `jobs`."""
        self._jobs = jobs

    @property
    def jobs(self) -> JobRegistry:
        """The jobs it knows."""
        return self._jobs

    def register_job(self, job: AnyJob, *, trigger: Trigger | str | None = None, **settings: Unpack[JobSettings]) -> None:
        """Make a job known under its kind; schedules nothing. See `JobRegistry.register_job`."""
        self.jobs.register_job(job, trigger=trigger, **settings)

    def job(self, kind: str, *, trigger: Trigger | str | None = None, **settings: Unpack[FunctionSettings]) -> Callable[[F], F]:
        """Register the decorated function as a job. See `JobRegistry.job`."""
        return self.jobs.job(kind, trigger=trigger, **settings)

    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: Payload = b"", **settings: Unpack[FunctionSettings]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`. See `JobRegistry.scheduled`."""
        return self.jobs.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **settings)

    def handle(self, target: str, fn: Callable[..., object], **settings: Unpack[FunctionSettings]) -> Callable[[], None]:
        """Let `fn` handle the tasks of a target, its kind, from now on; return what removes it again, which may be called twice.

        There is one handler for each target. While there is none here, its tasks are left to the nodes that have one. A run
        that is under way when its handler is removed ends as any other.

        Raises:
            JobAlreadyRegistered: the target has a handler.
            DulyError: what `JobRegistry.register_job` refuses.

        """
        self.jobs.job(target, **settings)(fn)
        handler = self.jobs.get(target)
        return lambda: self.jobs.deregister_job(target, only=handler)
