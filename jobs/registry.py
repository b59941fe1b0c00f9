"""Which jobs a process knows: kind -> job, trigger and options."""

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import TypeVar, Unpack

from duly.jobs.base import FunctionJob, check_job
from duly.jobs.errors import InvalidJob, InvalidSlug, InvalidValue, JobAlreadyRegistered, JobNotRegistered, KindFetched
from duly.jobs.executor_choice import ExecutorChoice, check_executor
from duly.jobs.keywords import check_keywords, explicit
from duly.jobs.kinds import Payload
from duly.jobs.options import OptionValues, TaskOptions
from duly.jobs.registered import DeclaredTask, FunctionSettings, JobSettings, KnownJobs, RegisteredJob
from duly.jobs.returning import FORGOTTEN, is_forgetful, removes_itself
from duly.jobs.typed import AnyJob, TypedFunction, TypedJob, call_of, codec_of, encode_payload
from duly.jobs.validators import check_name
from duly.triggers import Trigger, require_trigger, validate_trigger

F = TypeVar("F", bound=Callable[..., object])

_OF_PAYLOADS = frozenset({"payload_type", "payload_version", "upgrade"})


class JobRegistry(KnownJobs):
    """The jobs of an application: made once at module level, shared by all its schedulers.

    Safe from any thread.
    """

    def __init__(self) -> None:
        """Start with no jobs."""
        self._jobs: dict[str, RegisteredJob] = {}
        self._declared: dict[str, DeclaredTask] = {}
        self._fetched: Counter[str] = Counter()
        """Kinds whose tasks schedulers of this registry hand to subscribers, and how many do."""
        self._lock = Lock()

    @explicit(OptionValues, TaskOptions)
    def register_job(
        self,
        job: AnyJob,
        *,
        trigger: Trigger | str | None = None,
        executor: ExecutorChoice = "auto",
        max_concurrency: int | None = None,
        global_limit: int | None = None,
        **options: Unpack[OptionValues],
    ) -> None:
        """Make `job` known under its kind; schedules nothing.

        `trigger` (or its text form) and `options` are the defaults for the tasks of this kind. `max_concurrency` is the
        most runs of the kind at once on this node, `global_limit` the most on all nodes of the namespace together; every
        node should register the kind with the same `global_limit` (while they differ, each heeds its own). `executor` is where
        it runs: `"auto"` (an `async def` in the event loop, a `def` in a thread), `"thread"`, `"process"` (POSIX), or any
        `concurrent.futures.Executor`, which stays the caller's. Anywhere but in the scheduler's event loop, an `async def` has
        an event loop of its own.

        Raises:
            InvalidJob: no `kind`, no `execute` or one that takes other arguments, or a class instead of an object; or its class
                forgets to return the task, which would remove the schedule that `trigger` makes.
            InvalidValue: the kind is empty or too long, or an option or a limit is out of range.
            JobNotPicklable: it is to run in a process of its own, and can be seen not to get there; what cannot be seen fails its run.
            JobAlreadyRegistered: the kind is taken.
            MissingExtra: it is a `TypedJob`, and the `typed` extra is not installed.
            TriggerError: the trigger is none, or its text cannot be parsed.
            TypeError: there is no such option.

        """
        check_job(job, "ctx", "task", *(("payload",) if isinstance(job, TypedJob) else ()))
        check_keywords("register_job()", options, ("trigger", *JobSettings.__annotations__))
        called, codec = call_of(job) if isinstance(job, TypedJob) else (job, None)
        _check_trigger(trigger)
        check_executor(executor, called)
        registered = RegisteredJob(
            job=called,
            trigger=trigger,
            options=TaskOptions(**options),
            max_concurrency=max_concurrency,
            global_limit=global_limit,
            executor=executor,
            removes_itself=removes_itself(job),
            is_forgetful=not isinstance(job, FunctionJob | TypedFunction) and is_forgetful(job),
            codec=codec,
        )
        if registered.loses(registered.trigger_for(job.kind), registered.options):
            raise InvalidJob(job, f"expected one that returns its task; {FORGOTTEN}")
        self._add(job.kind, registered)

    def _add(self, kind: str, registered: RegisteredJob) -> None:
        with self._lock:
            if kind in self._jobs:
                raise JobAlreadyRegistered(kind)
            if kind in self._fetched:
                raise KindFetched(kind)
            self._jobs[kind] = registered

    def deregister_job(self, kind: str, *, only: RegisteredJob | None = None) -> None:
        """Forget the job of that kind, and the tasks declared for it.

        The tasks in the store stay, for nodes that know the kind.

        Safe while its runs are under way: they go on to their end as they were registered, and what a lock that is on its
        way still brings is handed back unrun. With `only`, the kind is forgotten if it is still registered so, and nothing is
        done otherwise.

        Raises:
            JobNotRegistered: nothing is registered under `kind`, and `only` was not given.

        """
        with self._lock:
            registered = self._jobs.get(kind)
            if only is not None and registered is not only:
                return
            if registered is None:
                raise JobNotRegistered(kind, self.kinds)
            # New dictionaries: another thread may be going through the old ones.
            self._jobs = {name: each for name, each in self._jobs.items() if name != kind}
            self._declared = {slug: each for slug, each in self._declared.items() if each.kind != kind}

    def reserve(self, kind: str) -> None:
        """Let no job be registered under `kind`, whose tasks a scheduler hands to subscribers.

        Once for each scheduler that does.

        Raises:
            InvalidValue: the kind is empty or too long.
            JobAlreadyRegistered: it has a job.

        """
        check_name("kind", kind)
        with self._lock:
            if kind in self._jobs:
                raise JobAlreadyRegistered(kind, "its tasks go to its job, and cannot be fetched as well")
            self._fetched[kind] += 1

    def release(self, kind: str) -> None:
        """Let a job be registered under `kind` again, once every scheduler that reserved it has released it."""
        with self._lock:
            self._fetched[kind] -= 1
            self._fetched = +self._fetched

    def find(self, kind: str) -> RegisteredJob | None:
        """Return what is registered under `kind` at this moment, None if nothing is."""
        return self._jobs.get(kind)

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def job(self, kind: str, *, trigger: Trigger | str | None = None, **settings: Unpack[FunctionSettings]) -> Callable[[F], F]:
        """Register the decorated function as the job `kind`.

        The function itself stays as it is, for plain calls. What it returns is the result of its run, and its task goes on:
        `FunctionJob` says how.

        With a `payload_type`, an attrs class or a dataclass, the function takes `(ctx, payload)` or `(ctx, task, payload)`; with it go
        `payload_version` and `upgrade`, as a `TypedJob` has them.

        Raises:
            InvalidJob: a function in place of the kind. The decorator raises what `register_job` does.

        """
        if callable(kind):
            raise InvalidJob(kind, 'expected its kind first, as in @registry.job("report")')

        def register(function: F) -> F:
            self._register(kind, function, trigger, settings)
            return function

        return register

    @explicit(FunctionSettings, RegisteredJob, TaskOptions)
    def scheduled(
        self, kind: str, *, trigger: Trigger | str, slug: str | None = None, payload: Payload = b"", **settings: Unpack[FunctionSettings]
    ) -> Callable[[F], F]:
        """Register the decorated function, and declare its task.

        The task is created under `slug` (default: `kind`) when a scheduler starts.

        A declared task that exists keeps its state; only a changed definition, of which the payload is a part, is written
        (`if_exists="replace"`).
        """

        def register(function: F) -> F:
            job = _function_job(kind, function, settings)
            version = settings.get("payload_version", 1)
            data, version = encode_payload(payload, version, kind, codec_of(job) if isinstance(job, TypedJob) else None)
            declared = DeclaredTask(slug=kind if slug is None else slug, kind=kind, payload=data, payload_version=version)
            if declared.slug in self._declared:
                raise InvalidSlug("slug", declared.slug, "one that no other declared task has")
            self._register(kind, function, trigger, settings)
            with self._lock:
                self._declared[declared.slug] = declared
            return function

        return register

    def _register(self, kind: str, function: Callable[..., object], trigger: Trigger | str | None, settings: FunctionSettings) -> None:
        rest = {name: value for name, value in settings.items() if name not in _OF_PAYLOADS}
        self.register_job(_function_job(kind, function, settings), trigger=trigger, **rest)  # type: ignore[arg-type]  # what is left

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds known here, in the order of their registration."""
        return tuple(self._jobs)

    @property
    def declared(self) -> tuple[DeclaredTask, ...]:
        """The tasks that a starting scheduler creates."""
        return tuple(self._declared.values())


def _function_job(kind: str, function: Callable[..., object], settings: FunctionSettings) -> AnyJob:
    payload_type = settings.get("payload_type")
    if payload_type is None:
        if settings.get("upgrade") is not None:
            raise InvalidValue("upgrade", settings.get("upgrade"), "a payload_type beside it, into which older payloads are upgraded")
        return FunctionJob.of(kind, function)
    return TypedFunction(kind, function, payload_type, payload_version=settings.get("payload_version", 1), upgrader=settings.get("upgrade"))


def _check_trigger(trigger: Trigger | str | None) -> None:
    if isinstance(trigger, str):
        if (error := validate_trigger(trigger)) is not None:
            raise error
    elif trigger is not None:
        require_trigger(trigger, "trigger", "a Trigger, or the text of one such as '@every 5m'")
