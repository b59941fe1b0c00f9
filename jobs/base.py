"""The job protocol, and functions as jobs."""

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from types import FunctionType
from typing import Any, Protocol

from attrs import field, frozen

from duly.jobs.context import JobContext
from duly.jobs.errors import InvalidJob, InvalidResult
from duly.jobs.results import result_text
from duly.jobs.task import Task, Then
from duly.jobs.validators import check_name
from duly.jobs.with_changes import with_changes

NO_KIND = 'expected a class that says kind = "..."'

Returned = Task | Then | None | Awaitable[Task | Then | None]


class Job(Protocol):
    """Code that does work, known by its `kind`; subclass it, or write a class that fits.

    One object serves every task of its kind on a node, from several coroutines and threads at once.
    """

    kind: str = ""
    """Registered name, stored in every task. Required: a default from the class name would orphan tasks on a rename."""

    @abstractmethod
    def execute(self, ctx: JobContext, task: Task, /) -> Returned:
        """Do the work of `task`.

        `async def` runs in the event loop, `def` in a thread, unless it is registered to run elsewhere.

        Return the task to go on: with a trigger it runs at its next fire time, with a moved `run_at` at that instant, as
        `task.then(...)` at that long from now, and without any of these it is finished and removed. Its payload, result and
        trigger are kept as returned, every other field is ignored. Return None to have the task removed, its trigger notwithstanding.
        A class that can return nothing but None gets no recurring trigger, unless it says `removes_itself = True`.
        An exception is recorded and retried by the task's `RetryPolicy`.
        """


def check_job(job: object, *takes: str) -> None:
    """Refuse what cannot be registered as a job whose `execute` takes so many arguments.

    Raises:
        InvalidJob: no `kind`, no `execute` or one that takes other arguments or yields, or a class or a function instead of an object.
        InvalidValue: the kind is empty or too long.

    """
    if isinstance(job, FunctionType):
        raise InvalidJob(job, "expected an object with a method execute(ctx, task); a function is registered by @registry.job(kind)")
    execute = getattr(job, "execute", None)
    if isinstance(job, type) or not callable(execute):
        raise InvalidJob(job, f"expected an object{' of it' if isinstance(job, type) else ''} with a method execute(ctx, task)")
    if not hasattr(job, "kind"):
        raise InvalidJob(job, NO_KIND)
    check_name("kind", job.kind)
    _refuse_generator(job, execute)
    try:
        signature = inspect.signature(execute)
    except ValueError:  # some built-in callables keep theirs to themselves
        return
    try:
        signature.bind(*takes)
    except TypeError:
        raise InvalidJob(job, f"expected execute({', '.join(takes)}), not execute{signature}") from None


def is_async(job: Job) -> bool:
    """Tell whether the job runs in the event loop (`async def`) or in a thread (`def`)."""
    function = job.function if isinstance(job, FunctionJob | TypedCall) else job.execute
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def carried_on(kind: str, returned: object, task: Task) -> Task | Then | None:
    """Return how a task goes on whose function returned this.

    A task that is returned says so itself; anything else is the result of `task`. Returning nothing leaves no result:
    that of the run before does not belong to this one.
    """
    if isinstance(returned, Task | Then):
        return check_returned(kind, returned)
    text = result_text(returned)
    return task if text == task.result else with_changes(task, result=text)


def check_returned(kind: str, returned: object) -> Task | Then | None:
    """Pass on what a job returned, if it may return that.

    Raises:
        InvalidResult: it is no task, no next step of one, and not None.

    """
    if returned is None or isinstance(returned, Task | Then):
        return returned
    raise InvalidResult(kind, returned)


@frozen
class FunctionJob(Job):
    """A function as a job: it may take nothing, the context, or the context and the task.

    What it returns is its result: text as it is, what `json` takes as JSON text, anything else as the name of its class, at
    most 64 KiB. Its task goes on, also when it returns nothing: a function without a `return` must not remove its schedule.
    A task that is returned counts as it does for any job.
    """

    kind: str
    """Registered name of the job."""
    function: Callable[..., object]
    """The function that is called."""
    arity: int
    """How many of `(ctx, task)` it takes: 0, 1 or 2."""

    @classmethod
    def of(cls, kind: str, function: Callable[..., object]) -> "FunctionJob":
        """Wrap `function`.

        Raises:
            InvalidJob: it is not callable, or needs other parameters than `(ctx, task)`.

        """
        return cls(kind, function, _arity(function))

    def execute(self, ctx: JobContext, task: Task, /) -> Returned:
        """Call the function with as many of `ctx` and `task` as it takes."""
        returned = self.function(*(ctx, task)[: self.arity])
        if inspect.isawaitable(returned):
            return self._finish(returned, task)
        return carried_on(self.kind, returned, task)

    async def _finish(self, running: Awaitable[Any], task: Task) -> Task | Then | None:
        return carried_on(self.kind, await running, task)


@frozen(eq=False, kw_only=True)
class TypedCall(Job):
    """A call of a job with typed payloads.

    Calls a method `(ctx, task, payload)`, or a function that may leave out the task.

    The node decodes the payload once, and it travels with the call, wherever that is made.
    """

    kind: str
    function: Callable[..., object]
    takes_task: bool = True
    carries_on: bool = False
    """Whether what it returns is its result, and its task goes on, as it is for functions."""
    value: object = field(default=None, repr=False)
    """The payload; None before it is decoded."""

    @classmethod
    def of_function(cls, kind: str, function: Callable[..., object]) -> "TypedCall":
        """Call `function`.

        Raises:
            InvalidJob: it is not callable, or takes other arguments than `(ctx, payload)` or `(ctx, task, payload)`.

        """
        expected = "expected a function of (ctx, payload) or (ctx, task, payload), because it is registered with a payload_type"
        parameters = _required(function, expected, most=3)
        if parameters < len(("ctx", "payload")):
            raise InvalidJob(function, expected)
        return cls(kind=kind, function=function, takes_task=parameters == len(("ctx", "task", "payload")), carries_on=True)

    def execute(self, ctx: JobContext, task: Task, /) -> Returned:
        """Call it with the payload."""
        returned = self.function(ctx, task, self.value) if self.takes_task else self.function(ctx, self.value)
        if inspect.isawaitable(returned):
            return self._finish(returned, task)
        return self._checked(returned, task)

    async def _finish(self, running: Awaitable[Any], task: Task) -> Task | Then | None:
        return self._checked(await running, task)

    def _checked(self, returned: object, task: Task) -> Task | Then | None:
        return carried_on(self.kind, returned, task) if self.carries_on else check_returned(self.kind, returned)


def _arity(function: Callable[..., object]) -> int:
    return _required(function, "expected a function of (), (ctx) or (ctx, task)", most=2)


def _required(function: Callable[..., object], expected: str, *, most: int) -> int:
    """Count the parameters without a default: what has one is the function's own business."""
    if not callable(function):
        raise InvalidJob(function, expected)
    _refuse_generator(function, function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions keep theirs to themselves
        raise InvalidJob(function, expected) from None
    required = [each for each in parameters if each.default is each.empty]
    named = [each for each in required if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if len(named) > most or any(each.kind is each.KEYWORD_ONLY for each in named):
        raise InvalidJob(function, expected)
    return len(named)


def _refuse_generator(job: object, function: object) -> None:
    """Refuse a function with a `yield`: a call of it only makes a generator, and runs none of its code.

    A generator that `types.coroutine` made awaitable is a coroutine.
    """
    called = unwrapped = _unwrapped(function)
    if not inspect.isroutine(unwrapped) and not isinstance(unwrapped, type):
        called = type(unwrapped).__call__
    code = getattr(called, "__code__", None)
    is_awaitable = code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    if inspect.isasyncgenfunction(called) or (inspect.isgeneratorfunction(called) and not is_awaitable):
        raise InvalidJob(job, "expected one that returns; this one has a 'yield', so a call of it would run none of its code")


def _unwrapped(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__func__", function)
