"""Functions as jobs."""

import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import FunctionJob, InvalidJob, JobContext, JobRegistry, Task, Then
from duly.jobs.base import Job, check_returned, is_async
from support.contexts import context, task_with

TASK = task_with(b"payload")
CONTEXT = context(TASK)


async def outcome(function: Callable[..., object]) -> Task | Then | None:
    """What the function returns as a job."""
    returned = FunctionJob.of("kind", function).execute(CONTEXT, TASK)
    return await returned if isinstance(returned, Awaitable) else returned


class Recorder:
    """Functions of every shape that note what they are called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def none(self) -> None:
        """Take nothing."""
        self.calls.append(())

    def one(self, ctx: JobContext) -> None:
        """Take the context."""
        self.calls.append((ctx,))

    def two(self, ctx: JobContext, task: Task) -> None:
        """Take both."""
        self.calls.append((ctx, task))

    async def two_async(self, ctx: JobContext, task: Task) -> None:
        """Take both, in the loop."""
        self.calls.append((ctx, task))

    def with_default(self, ctx: JobContext, retries: int = 3) -> None:
        """Take the context; the default is the function's own business."""
        self.calls.append((ctx, retries))

    def with_rest(self, ctx: JobContext, *rest: object, **options: object) -> None:
        """Take the context; the rest may be empty."""
        self.calls.append((ctx, *rest, *options))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", ()),
        ("one", (CONTEXT,)),
        ("two", (CONTEXT, TASK)),
        ("two_async", (CONTEXT, TASK)),
        ("with_default", (CONTEXT, 3)),
        ("with_rest", (CONTEXT,)),
    ],
)
async def test_a_function_gets_as_much_as_it_takes(name: str, expected: tuple[object, ...]) -> None:
    """Nothing, the context, or the context and the task; the task carries on."""
    recorder = Recorder()

    returned = await outcome(getattr(recorder, name))

    assert recorder.calls == [expected]
    assert returned is TASK


@pytest.mark.parametrize(
    "function",
    [lambda a, b, c: None, lambda *, key: None, lambda ctx, *, key: None, "text", None],  # noqa: ARG005
    ids=["three", "keyword", "context and keyword", "text", "None"],
)
def test_a_function_that_takes_something_else_is_refused(function: Callable[..., object]) -> None:
    """When it is registered, and not at its first fire."""
    with pytest.raises(InvalidJob, match="expected a function of") as caught:
        FunctionJob.of("kind", function)

    assert caught.value.job is function


async def test_a_task_that_is_returned_counts() -> None:
    """As for any job."""
    changed = evolve(TASK, payload=b"next")

    async def in_the_loop() -> Task:
        return changed

    assert await outcome(lambda: changed) is changed
    assert await outcome(in_the_loop) is changed


@pytest.mark.parametrize(
    ("returned", "result"), [(1, "1"), ("done", "done"), (False, "false"), ([TASK], "list")], ids=["number", "text", "false", "list"]
)
async def test_anything_else_that_a_function_returns_is_its_result(returned: object, result: str) -> None:
    """In the loop as in a thread; the task goes on as it came."""

    async def in_the_loop() -> object:
        return returned

    for function in (lambda: returned, in_the_loop):
        assert await outcome(function) == evolve(TASK, result=result)


async def test_a_function_that_returns_nothing_leaves_no_result() -> None:
    """That of the run before is not its own."""
    ran_before = evolve(TASK, result="yesterday's")

    def nothing() -> None: ...

    assert FunctionJob.of("kind", nothing).execute(CONTEXT, ran_before) == TASK


def test_what_a_job_returns_is_a_task_or_none() -> None:
    """The rule of every job."""
    assert check_returned("kind", TASK) is TASK
    assert check_returned("kind", None) is None


class AsyncCallable:
    """An object whose call is a coroutine."""

    async def __call__(self) -> None:
        """Do nothing."""


class Plain(Job):
    """A job that runs in a thread."""

    kind = "plain"

    def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Carry on."""
        return task


class InLoop(Job):
    """A job that runs in the loop."""

    kind = "loop"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Carry on."""
        return task


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (Plain(), False),
        (InLoop(), True),
        (FunctionJob.of("kind", Recorder().none), False),
        (FunctionJob.of("kind", Recorder().two_async), True),
        (FunctionJob.of("kind", partial(Recorder().two_async, CONTEXT)), True),
        (FunctionJob.of("kind", AsyncCallable()), True),
    ],
    ids=["def", "async def", "function", "coroutine function", "partial", "callable object"],
)
def test_what_is_async_runs_in_the_loop(job: Job, *, expected: bool) -> None:
    """And anything else in a thread."""
    assert is_async(job) is expected


def test_a_plain_function_is_not_called_in_the_loop() -> None:
    """Its job's `execute` is no coroutine."""
    assert not inspect.isawaitable(FunctionJob.of("kind", Recorder().none).execute(CONTEXT, TASK))


def _yields() -> Iterator[None]:
    yield


async def _yields_async() -> AsyncIterator[None]:
    yield


class _Yields:
    def __call__(self) -> Iterator[None]:
        yield

    def method(self) -> Iterator[None]:
        yield

    @staticmethod
    def plain() -> Iterator[None]:
        yield


class _YieldingJob(Job):
    kind = "yielding"

    def execute(self, ctx: JobContext, task: Task, /) -> Iterator[None]:  # type: ignore[override]  # the mistake
        yield


@pytest.mark.parametrize("function", [_yields, _yields_async, _Yields(), _Yields().method, _Yields.plain, partial(_yields)])
@pytest.mark.parametrize("settings", [{}, {"payload_type": Task}])
def test_a_function_that_yields_is_refused_at_registration(function: Callable[..., object], settings: dict[str, Any]) -> None:
    """Each of its runs would fail; it may be wrapped, a method, or an object's call."""
    with pytest.raises(InvalidJob, match="this one has a 'yield', so a call of it would run none of its code"):
        JobRegistry().job("k", **settings)(function)


def test_a_job_whose_execute_yields_is_refused_at_registration() -> None:
    """As a function is."""
    with pytest.raises(InvalidJob, match="has a 'yield'"):
        JobRegistry().register_job(_YieldingJob())


def test_a_generator_that_is_a_coroutine_is_taken() -> None:
    """`types.coroutine` makes one of it."""

    @types.coroutine
    def old_style() -> Iterator[None]:
        yield

    assert FunctionJob.of("k", old_style).arity == 0
