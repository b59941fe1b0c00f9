"""Subscribers for tests, on a node whose loops are turned by hand."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

from duly.jobs import JobRegistry
from duly.scheduler import FetchedTask, Fetching
from support.driven import Driven, driven

KIND = "backup"


@asynccontextmanager
async def a_node(jobs: JobRegistry | None = None, beside: Driven | None = None) -> AsyncIterator[Driven]:
    """Start a scheduler that is turned by hand."""
    async with driven(JobRegistry() if jobs is None else jobs, beside=beside) as node:
        yield node


async def schedule(node: Driven, *slugs: str, kind: str = KIND) -> None:
    """Schedule one-offs that are due at once."""
    for slug in slugs:
        await node.scheduler.schedule_job(slug, kind, remote=True)


async def read(node: Driven, tasks: Fetching) -> FetchedTask:
    """Let the node lock what is due, and read the next task."""
    await node.turn()
    task = await asyncio.wait_for(tasks.read(), 5)
    assert task is not None
    return task


async def written(node: Driven, *acks: Coroutine[object, object, None]) -> list[BaseException | None]:
    """Acknowledge, let the node write it, and return what each acknowledgement raised, or None."""
    waiting = [asyncio.ensure_future(ack) for ack in acks]
    await node.scheduler.running_node.runs.rest()  # what was acknowledged has ended
    await node.turn()
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)


async def read_in_vain(tasks: Fetching) -> None:
    """Read for a moment, though nothing is there."""
    with suppress(TimeoutError):
        task = await asyncio.wait_for(tasks.read(), 0.01)
        raise AssertionError(f"read {task}")
