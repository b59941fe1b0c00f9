"""A workflow whose every step is what its test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from duly.jobs import (
    JobContext,
    JobRegistry,
    Task,
    Then,
)
from duly.stores import Run, RunQuery
from support.driven import Driven, driven

Body = Callable[[JobContext, Task], Task | Then | None]


class Steps(JobRegistry):
    """A registry with the kind `steps`, whose job does what its test says for each payload.

    It notes every run.
    """

    def __init__(self, *bodies: Body, **options: Any) -> None:  # noqa: ANN401 - options of the kind
        super().__init__()
        self.seen: list[tuple[int, datetime, int, str]] = []
        self.bodies = bodies
        self.job("steps", **options)(self._step)
        self.job("child")(lambda: None)

    async def _step(self, ctx: JobContext, task: Task) -> Task | Then | None:
        step = int(task.payload or b"0")
        self.seen.append((step, ctx.fire_time, ctx.attempt, ctx.run_key))
        return self.bodies[step](ctx, task)


def on(payload: int, **how: Any) -> Body:  # noqa: ANN401 - the keywords of `then`
    """A step that goes on with the one of that number."""
    return lambda _, task: task.then(payload=b"%d" % payload, **how)


def over(_: JobContext, task: Task) -> Task:
    """The last step."""
    return task


def raising(error: Exception) -> Body:
    """A step that fails."""

    def fail(_: JobContext, __: Task) -> Task:
        raise error

    return fail


def spawning(slug: str, body: Body, **how: Any) -> Body:  # noqa: ANN401 - the keywords of `spawn`
    """A step that asks for a task of the kind `child` before it does the rest."""

    def spawn(ctx: JobContext, task: Task) -> Task | Then | None:
        ctx.spawn(slug, "child", **how)
        return body(ctx, task)

    return spawn


@asynccontextmanager
async def begun(jobs: JobRegistry, **how: Any) -> AsyncIterator[Driven]:  # noqa: ANN401 - the keywords of `schedule_job`
    """A scheduler at noon with the workflow `w`."""
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("w", "steps", **how)
        yield node


async def runs_of(node: Driven, slug: str = "w") -> list[Run]:
    """The history of a task, oldest first."""
    return list(reversed((await node.scheduler.runs(RunQuery(slug=slug))).items))
