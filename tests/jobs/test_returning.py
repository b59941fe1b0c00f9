"""A job class that forgets to return its task is known before its schedule is lost."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import nullcontext
from datetime import timedelta
from functools import partial, wraps
from typing import Any

import pytest

from duly.jobs import InvalidJob, JobContext, JobRegistry, Task, TypedJob
from duly.jobs.returning import is_forgetful
from duly.triggers import AfterTrigger, CronTrigger, OnceTrigger, Trigger
from support.contexts import NOON


def job_of(function: object, **attributes: object) -> Any:  # noqa: ANN401 - a class made for one test
    """Return a job of a class whose `execute` is this."""
    return type("Made", (), {"kind": "made", "execute": function, **attributes})()


async def _falls_off(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    ctx.work()


def _returns_early(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if ctx:
        return
    for _ in task:
        with nullcontext():
            try:
                ctx.work()
            finally:
                ctx.work()


async def _says_none_in_words(self, ctx, task) -> "None":  # type: ignore[no-untyped-def]  # noqa: ANN001
    return await ctx  # type: ignore[no-any-return]


def _says_none_later(self, ctx, task) -> Awaitable[None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return ctx.work()  # type: ignore[no-any-return]


def _says_none_of_a_coroutine(self, ctx, task) -> Coroutine[Any, Any, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return ctx.work()  # type: ignore[no-any-return]


async def _forgets_what_it_says(self: object, ctx: JobContext, task: Task) -> Task | None:  # type: ignore[return]
    await ctx.sleep(task.slug)  # type: ignore[arg-type]


def _passing_on(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    @wraps(function)
    async def wrapper(*args: object) -> object:
        return await function(*args)

    return wrapper


FORGETFUL = [
    _falls_off,
    _returns_early,
    _says_none_in_words,
    _says_none_later,
    _says_none_of_a_coroutine,
    _forgets_what_it_says,
    _passing_on(_falls_off),
]


@pytest.mark.parametrize("function", FORGETFUL)
def test_what_can_only_return_none_is_forgetful(function: object) -> None:
    """By its annotation, or by its bytecode, also below a decorator that passes on what it returns."""
    assert is_forgetful(job_of(function))


def _returns(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return task


async def _returns_sometimes(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if ctx:
        return None
    with nullcontext():
        return task


async def _returns_one_of_two(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return None if ctx else task


async def _returns_none_or_other(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return task and None


async def _passes_on(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return await self.work(ctx, task)


def _only_raises(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    raise RuntimeError(task)


def _carrying_on(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    @wraps(function)
    async def wrapper(self: object, ctx: object, task: object) -> object:
        await function(self, ctx, task)
        return task

    return wrapper


def _around_itself(self, ctx, task):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    pass


_around_itself.__wrapped__ = _around_itself  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [
        _returns,
        _returns_sometimes,
        _returns_one_of_two,
        _returns_none_or_other,
        _passes_on,
        _only_raises,
        _carrying_on(_falls_off),
        _around_itself,
        staticmethod(partial(_falls_off, None)),
        print,
    ],
)
def test_what_may_return_something_else_is_not(function: object) -> None:
    """Nor is what cannot be seen."""
    assert not is_forgetful(job_of(function))


def test_a_class_may_say_that_it_removes_itself() -> None:
    """Then nothing is forgotten."""
    assert not is_forgetful(job_of(_falls_off, removes_itself=True))


@pytest.mark.parametrize("trigger", ["@every 5m", CronTrigger("0 9 * * *")])
def test_a_forgetful_class_is_refused_for_a_recurring_trigger(trigger: Trigger | str) -> None:
    """In words that say what to do."""
    with pytest.raises(InvalidJob, match=r"`return task`.*`removes_itself = True`"):
        JobRegistry().register_job(job_of(_falls_off), trigger=trigger)


@pytest.mark.parametrize("trigger", [None, "@after 1 week", "@at 2030-01-01T00:00:00Z", OnceTrigger(NOON), AfterTrigger("1 day")])
def test_a_forgetful_class_may_run_once(trigger: Trigger | str | None) -> None:
    """Its task is over by then anyway."""
    JobRegistry().register_job(job_of(_falls_off), trigger=trigger)


def test_a_forgetful_class_may_have_a_schedule_of_one_fire() -> None:
    """Nothing is lost with it."""
    JobRegistry().register_job(job_of(_falls_off), trigger="@every 5m", max_fires=1)


def test_a_class_that_means_it_has_any_trigger() -> None:
    """It was asked."""
    JobRegistry().register_job(job_of(_falls_off, removes_itself=True), trigger="@every 5m")


def test_a_class_with_a_payload_is_seen_through() -> None:
    """Its `execute` has one argument more."""

    class Ship(TypedJob[Any]):
        kind = "ship"
        payload_type = type(NOON)

        async def execute(self, ctx: JobContext, task: Task, payload: object, /) -> None:
            await ctx.sleep(timedelta(0))

    assert is_forgetful(Ship())


def test_a_generator_is_no_execute() -> None:
    """Nobody would run it."""

    def execute(self: object, ctx: object, task: object) -> Iterator[object]:
        yield task

    with pytest.raises(InvalidJob, match="has a 'yield'"):
        JobRegistry().register_job(job_of(execute))
