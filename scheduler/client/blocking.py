"""The client half of a blocking scheduler.

`duly.scheduler.client.client` says what each method does and raises.
"""

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar, Unpack

from duly.jobs import JobRegistry, Task, TaskOptions
from duly.jobs.keywords import explicit
from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.registered import FunctionSettings, JobSettings, RegisteredJob
from duly.jobs.spawning import When
from duly.jobs.typed import AnyJob
from duly.scheduler.client.client import Client
from duly.scheduler.client.paging import walk_blocking
from duly.scheduler.rules.edits import Changes
from duly.scheduler.rules.new_task import NewTask
from duly.scheduler.rules.one_off import OneOff
from duly.stores import IfExists, Node, Page, Run, RunQuery, TaskQuery
from duly.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class BlockingClient:
    """The client half of a blocking scheduler; `Client` says what each method does and raises."""

    def __init__(self, std: Client) -> None:
        """Call the methods of `std`, and block until each is done."""
        self._std = std

    @abstractmethod
    def _call(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> T:
        """Run the coroutine that `work` makes in the scheduler's event loop; return its result.

        `call` names the method, for error messages.
        """

    @property
    def jobs(self) -> JobRegistry:
        """The registry of this scheduler."""
        return self._std.jobs

    # -- jobs

    @explicit(JobSettings, RegisteredJob, TaskOptions)
    def register_job(self, job: AnyJob, *, trigger: Trigger | str | None = None, **settings: Unpack[JobSettings]) -> None:
        """Register a job under its kind; it schedules nothing."""
        self._std.register_job(job, trigger=trigger, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def job(self, kind: str, *, trigger: Trigger | str | None = None, **settings: Unpack[FunctionSettings]) -> Callable[[F], F]:
        """Register the decorated function as a job."""
        return self._std.job(kind, trigger=trigger, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: Payload = b"", **settings: Unpack[FunctionSettings]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`."""
        return self._std.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **settings)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def handle(self, target: str, fn: Callable[..., object], **settings: Unpack[FunctionSettings]) -> Callable[[], None]:
        """Let `fn` run the tasks of the kind `target` from now on; return a callable that removes it."""
        return self._std.handle(target, fn, **settings)

    # -- tasks

    @explicit(OneOff, TaskOptions)
    def at(self, time: datetime, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a one-off task for `time`; return its slug, by default a new unique one."""
        return self._call(lambda: self._std.at(time, target, data, **options), "at")

    @explicit(OneOff, TaskOptions)
    def in_(self, delay: timedelta, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a one-off after `delay`; otherwise like `at`."""
        return self._call(lambda: self._std.in_(delay, target, data, **options), "in_")

    @explicit(When, NewTask)
    def schedule_job(self, slug: str, job: KindOrJob, *, if_exists: IfExists = "error", **when: Unpack[When]) -> bool:
        """Schedule one task; return whether the store wrote it."""
        return self._call(lambda: self._std.schedule_job(slug, job, if_exists=if_exists, **when), "schedule_job")

    def schedule_jobs(self, tasks: Iterable[NewTask], *, if_exists: IfExists = "error") -> list[str]:
        """Schedule one task or thousands in one write; return the slugs that were written."""
        return self._call(lambda: self._std.schedule_jobs(tasks, if_exists=if_exists), "schedule_jobs")

    def get_job_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return up to `limit` slugs of tasks, in order, with that prefix and after `after`."""
        return self._call(lambda: self._std.get_job_slugs(prefix=prefix, limit=limit, after=after), "get_job_slugs")

    def get_scheduled_job(self, slug: str) -> Task:
        """Return the task as the store has it now."""
        return self._call(lambda: self._std.get_scheduled_job(slug), "get_scheduled_job")

    def search_jobs(self, query: TaskQuery) -> Page[Task]:
        """Return one page of the tasks that match."""
        return self._call(lambda: self._std.search_jobs(query), "search_jobs")

    def iterate_jobs(self, query: TaskQuery) -> Iterator[Task]:
        """Yield all tasks that match; it asks for each page when it needs it."""
        return walk_blocking(lambda page: self._call(lambda: self._std.search_jobs(page), "iterate_jobs"), query)

    def count_jobs(self, query: TaskQuery) -> int:
        """Return how many tasks match in all, whatever the size of a page."""
        return self._call(lambda: self._std.count_jobs(query), "count_jobs")

    def delete_job(self, slug: str) -> None:
        """Delete the task; its node cancels a current run at its next heartbeat."""
        self._call(lambda: self._std.delete_job(slug), "delete_job")

    def clear(self) -> int:
        """Delete all tasks of the namespace; return how many there were."""
        return self._call(self._std.clear, "clear")

    # -- edits

    def pause_job(self, slug: str) -> Task:
        """Pause the task: no new run starts until `resume_job`; a current run continues."""
        return self._call(lambda: self._std.pause_job(slug), "pause_job")

    def resume_job(self, slug: str) -> Task:
        """Resume a paused task; its misfire policy decides which of the missed fires run at once."""
        return self._call(lambda: self._std.resume_job(slug), "resume_job")

    def trigger_job(self, slug: str) -> Task:
        """Run the task once, now, even if it is paused."""
        return self._call(lambda: self._std.trigger_job(slug), "trigger_job")

    def stop_job(self, slug: str) -> bool:
        """Ask the node that runs the task to stop this run; return False if no node runs it."""
        return self._call(lambda: self._std.stop_job(slug), "stop_job")

    def restart_job(self, slug: str) -> Task:
        """Give a failed task, or one that waits for a retry, new attempts; it is due at once."""
        return self._call(lambda: self._std.restart_job(slug), "restart_job")

    @explicit(Changes)
    def update_job(self, slug: str, **changes: Unpack[Changes]) -> Task:
        """Change payload, trigger, options or metadata; what is not given stays."""
        return self._call(lambda: self._std.update_job(slug, **changes), "update_job")

    def reencrypt_payloads(self) -> int:
        """Encrypt with the newest key every payload that is not yet; return how many were."""
        return self._call(self._std.reencrypt_payloads, "reencrypt_payloads")

    def reschedule_job(self, slug: str, *, at: datetime | None = None, delay: timedelta | None = None) -> Task:
        """Move the next run to `at`, or to `delay` from now; the fires after it follow the trigger."""
        return self._call(lambda: self._std.reschedule_job(slug, at=at, delay=delay), "reschedule_job")

    # -- history and nodes

    def runs(self, query: RunQuery) -> Page[Run]:
        """Return one page of the runs that match, newest first."""
        return self._call(lambda: self._std.runs(query), "runs")

    def iterate_runs(self, query: RunQuery) -> Iterator[Run]:
        """Yield all runs that match, newest first; it asks for each page when it needs it."""
        return walk_blocking(lambda page: self._call(lambda: self._std.runs(page), "iterate_runs"), query)

    def nodes(self) -> list[Node]:
        """Return the live nodes, as each last announced itself."""
        return self._call(self._std.nodes, "nodes")
