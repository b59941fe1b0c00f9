"""What a scheduler offers on jobs and tasks, blocking; see `duly.scheduler.client.client` for what each method does and raises."""

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar, Unpack

from duly.jobs import JobRegistry, Task
from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.registered import FunctionSettings, JobSettings
from duly.jobs.spawning import When
from duly.jobs.typed import AnyJob
from duly.scheduler.client.client import Client
from duly.scheduler.client.paging import walk_blocking
from duly.scheduler.rules.edits import Changes
from duly.scheduler.rules.new_task import NewTask, OneOff
from duly.stores import IfExists, Node, Page, Run, RunQuery, TaskQuery
from duly.triggers import Trigger

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class BlockingClient:
    """The half of a blocking scheduler that schedules."""

    def __init__(self, std: Client) -> None:
        """Block on what `std` does."""
        self._std = std

    @abstractmethod
    def _call(self, work: Callable[[], Coroutine[Any, Any, T]], call: str) -> T:
        """Run what `work` returns in the scheduler's loop, and return what that returns."""

    @property
    def jobs(self) -> JobRegistry:
        """The jobs it knows."""
        return self._std.jobs

    # -- jobs

    def register_job(self, job: AnyJob, *, trigger: Trigger | str | None = None, **settings: Unpack[JobSettings]) -> None:
        """Make a job known under its kind; schedules nothing."""
        self._std.register_job(job, trigger=trigger, **settings)

    def job(self, kind: str, *, trigger: Trigger | str | None = None, **settings: Unpack[FunctionSettings]) -> Callable[[F], F]:
        """Register the decorated function as a job."""
        return self._std.job(kind, trigger=trigger, **settings)

    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: Payload = b"", **settings: Unpack[FunctionSettings]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task for the next `start`."""
        return self._std.scheduled(kind, trigger=trigger, slug=slug, payload=payload, **settings)

    def handle(self, target: str, fn: Callable[..., object], **settings: Unpack[FunctionSettings]) -> Callable[[], None]:
        """Let `fn` handle the tasks of a target, its kind, from now on; return what removes it again."""
        return self._std.handle(target, fn, **settings)

    # -- tasks

    def at(self, time: datetime, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a task that runs once, at `time`; return its slug, by default a new one."""
        return self._call(lambda: self._std.at(time, target, data, **options), "at")

    def in_(self, delay: timedelta, target: KindOrJob, data: Payload = b"", **options: Unpack[OneOff]) -> str:
        """Schedule a task that runs once, so long from now; return its slug, by default a new one."""
        return self._call(lambda: self._std.in_(delay, target, data, **options), "in_")

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

    def iterate_jobs(self, query: TaskQuery) -> Iterator[Task]:
        """Yield all tasks that match; each page is asked for when it is needed."""
        return walk_blocking(lambda page: self._call(lambda: self._std.search_jobs(page), "iterate_jobs"), query)

    def count_jobs(self, query: TaskQuery) -> int:
        """Return how many tasks match, on all pages together."""
        return self._call(lambda: self._std.count_jobs(query), "count_jobs")

    def delete_job(self, slug: str) -> None:
        """Delete the task."""
        self._call(lambda: self._std.delete_job(slug), "delete_job")

    def clear(self) -> int:
        """Delete every task of the namespace; return how many there were."""
        return self._call(self._std.clear, "clear")

    # -- edits

    def pause_job(self, slug: str) -> Task:
        """Let the task not be run any more until it is resumed."""
        return self._call(lambda: self._std.pause_job(slug), "pause_job")

    def resume_job(self, slug: str) -> Task:
        """Let a paused task be run again."""
        return self._call(lambda: self._std.resume_job(slug), "resume_job")

    def trigger_job(self, slug: str) -> Task:
        """Run the task now, once; its own fires do not move."""
        return self._call(lambda: self._std.trigger_job(slug), "trigger_job")

    def stop_job(self, slug: str) -> bool:
        """Ask the node that runs the task to stop this run; return False if nobody runs it."""
        return self._call(lambda: self._std.stop_job(slug), "stop_job")

    def restart_job(self, slug: str) -> Task:
        """Give a task that failed, or waits for its retry, a new budget of attempts."""
        return self._call(lambda: self._std.restart_job(slug), "restart_job")

    def update_job(self, slug: str, **changes: Unpack[Changes]) -> Task:
        """Change payload, trigger, options or metadata; what is not given stays."""
        return self._call(lambda: self._std.update_job(slug, **changes), "update_job")

    def reencrypt_payloads(self) -> int:
        """Encrypt with the newest key every payload that is not yet."""
        return self._call(self._std.reencrypt_payloads, "reencrypt_payloads")

    def reschedule_job(self, slug: str, *, at: datetime | None = None, delay: timedelta | None = None) -> Task:
        """Move the next run; after it the trigger goes on."""
        return self._call(lambda: self._std.reschedule_job(slug, at=at, delay=delay), "reschedule_job")

    # -- history and nodes

    def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first, a page at a time."""
        return self._call(lambda: self._std.runs(query), "runs")

    def iterate_runs(self, query: RunQuery) -> Iterator[Run]:
        """Yield all runs that match, newest first; each page is asked for when it is needed."""
        return walk_blocking(lambda page: self._call(lambda: self._std.runs(page), "iterate_runs"), query)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        return self._call(self._std.nodes, "nodes")
