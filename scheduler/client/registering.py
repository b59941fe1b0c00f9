"""The registering methods of a scheduler; they forward to its registry."""

from collections.abc import Callable
from typing import TypeVar, Unpack

from duly.jobs import JobRegistry, TaskOptions
from duly.jobs.keywords import explicit
from duly.jobs.kinds import Payload
from duly.jobs.registered import FunctionSettings, JobSettings, RegisteredJob
from duly.jobs.typed import AnyJob
from duly.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])


class Registering:
    """The registering methods of a scheduler; safe from any thread."""

    def __init__(self, jobs: JobRegistry) -> None:
        """Register jobs in `jobs`."""
        self._jobs = jobs

    @property
    def jobs(self) -> JobRegistry:
        """The registry of this scheduler."""
        return self._jobs

    @explicit(JobSettings, RegisteredJob, TaskOptions)
    def register_job(self, job: AnyJob, *, trigger: Trigger | str | None = None, **settings: Unpack[JobSettings]) -> None:
        """Register a job under its kind; it schedules nothing. See `JobRegistry.register_job`."""
        self.jobs.register_job(job, trigger=trigger, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def job(self, kind: str, *, trigger: Trigger | str | None = None, **settings: Unpack[FunctionSettings]) -> Callable[[F], F]:
        """Register the decorated function as a job. See `JobRegistry.job`."""
        return self.jobs.job(kind, trigger=trigger, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: Payload = b"", **settings: Unpack[FunctionSettings]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`.

        See `JobRegistry.scheduled`.
        """
        return self.jobs.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def handle(self, target: str, fn: Callable[..., object], **settings: Unpack[FunctionSettings]) -> Callable[[], None]:
        """Let `fn` run the tasks of the kind `target` from now on; return a callable that removes it.

        The callable may be called twice. A target has one handler at most. This node locks no tasks of a target without a
        handler here; other nodes may run them. Removing a handler does not affect a current run.

        Raises:
            JobAlreadyRegistered: the target has a handler.
            DulyError: `JobRegistry.register_job` refuses a value.

        """
        self.jobs.job(target, **settings)(fn)
        handler = self.jobs.get(target)
        return lambda: self.jobs.deregister_job(target, only=handler)
