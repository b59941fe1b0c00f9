"""What a job returns beside a task: the result of a function, an error of a class."""

from collections.abc import Callable

import pytest
from attrs import frozen

from duly.jobs import JobContext, JobRegistry, Task, TypedJob
from duly.jobs.executor_choice import ExecutorChoice
from duly.scheduler import StdScheduler
from duly.scheduler.testing import ManualClock, run_due
from duly.stores import MemoryStore, Run, RunQuery
from support import remote_jobs
from support.schedulers import SECOND


@frozen
class Order:
    """A payload."""

    item: str


async def runs_of(registry: JobRegistry, **when: bytes) -> tuple[Run, ...]:
    """Run a task of the kind `work` to its end; return its runs, the oldest first."""
    async with StdScheduler(MemoryStore(), jobs=registry, clock=ManualClock()) as scheduler:
        await scheduler.schedule_job("task", "work", payload=when.get("payload", b""))
        await run_due(scheduler)
        return tuple(reversed((await scheduler.runs(RunQuery())).items))


def plain() -> object:
    """Return an answer from a thread."""
    return {"answer": 42}


async def in_the_loop() -> object:
    """Return an answer from the event loop."""
    return {"answer": 42}


@pytest.mark.parametrize("function", [plain, in_the_loop])
async def test_what_a_function_returns_is_the_result_of_its_run(function: Callable[..., object]) -> None:
    """It runs once, and not six times until its retries are spent."""
    registry = JobRegistry()
    registry.job("work")(function)

    assert [(run.status, run.result) for run in await runs_of(registry)] == [("done", '{"answer": 42}')]


async def test_what_a_function_with_a_payload_returns_is_the_result_of_its_run() -> None:
    """As for one without."""
    registry = JobRegistry()

    @registry.job("work", payload_type=Order)
    async def ship(_: JobContext, order: Order) -> str:
        return f"shipped {order.item}"

    (run,) = await runs_of(registry, payload=b'{"item": "anvil"}')
    assert (run.status, run.result) == ("done", "shipped anvil")


@pytest.mark.parametrize("executor", ["process", "thread"])
async def test_the_result_is_made_where_the_job_ran(executor: ExecutorChoice) -> None:
    """A value that no pickle takes leaves a result all the same."""
    registry = JobRegistry()
    registry.job("work", executor=executor)(remote_jobs.unsendable_value)

    assert [(run.status, run.result) for run in await runs_of(registry)] == [("done", "_thread.lock")]


@pytest.mark.parametrize("executor", ["process", "auto"])
async def test_a_class_that_returns_a_value_fails_once_wherever_it_runs(executor: ExecutorChoice) -> None:
    """A retry would return the same; the error says what was expected."""
    registry = JobRegistry()
    registry.register_job(remote_jobs.Wrong("work"), executor=executor)

    (run,) = await runs_of(registry)
    assert run.status == "failed"
    assert "InvalidResult: job 'work' returned str: expected its Task to go on" in (run.error or "")


async def test_a_schedule_whose_function_returns_a_value_goes_on() -> None:
    """Each run with a result of its own; one without a result has none."""
    registry = JobRegistry()
    left = iter(["first", None])

    @registry.scheduled("work", trigger="@every 1s")
    def work() -> str | None:
        return next(left)

    clock = ManualClock()
    async with StdScheduler(MemoryStore(), jobs=registry, clock=clock) as scheduler:
        await run_due(scheduler, until=clock.now() + 2 * SECOND)
        runs = (await scheduler.runs(RunQuery())).items
    assert [run.result for run in reversed(runs)] == ["first", None]


class WrongTyped(TypedJob[Order]):
    """A job with a payload and the wrong sort of return."""

    kind = "work"

    def execute(self, ctx: JobContext, task: Task, order: Order, /) -> Task:
        """Return what no job class may."""
        return 42  # type: ignore[return-value]  # the point


async def test_a_class_with_a_payload_that_returns_a_value_fails_once() -> None:
    """As one without."""
    registry = JobRegistry()
    registry.register_job(WrongTyped())

    (run,) = await runs_of(registry, payload=b'{"item": "anvil"}')
    assert run.status == "failed"
    assert "InvalidResult: job 'work' returned int: expected its Task to go on" in (run.error or "")
