"""Nodes on one clock that share a kind with a limit over all of them.

Each run works until the test lets it end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import field, frozen

from duly.jobs import JobContext, JobRegistry, TaskState
from duly.scheduler import NewTask
from duly.stores import TaskQuery
from support.driven import Driven, driven
from support.waiting import wait_until_async

KIND = "shared"


@frozen
class Sharers:
    """The nodes, and the runs that are at work in any of them, by slug."""

    nodes: list[Driven]
    working: dict[str, asyncio.Event] = field(factory=dict)
    ran: list[tuple[int, str]] = field(factory=list)
    """Which node ran what, in order."""

    async def schedule(self, count: int, prefix: str = "t") -> None:
        """Schedule so many tasks of the kind, due now."""
        await self.nodes[0].scheduler.schedule_jobs([NewTask(f"{prefix}{number:03}", KIND) for number in range(count)])

    async def exchange(self, number: int) -> None:
        """Let a node exchange, and all that it started begin."""
        node = self.nodes[number]
        await node.dispatcher.run_once()
        runs = node.scheduler.running_node.runs
        await wait_until_async(lambda: all(run.has_ended or run.started is not None for run in runs))
        await asyncio.sleep(0)

    async def end(self, number: int, slug: str | None = None) -> None:
        """Let a node's runs end, or that of one slug, and wait until they have; not until they are written."""
        runs = [run for run in self.nodes[number].scheduler.running_node.runs if slug in (None, run.task.slug)]
        for run in runs:
            self.working[run.task.slug].set()
        await wait_until_async(lambda: all(run.has_ended for run in runs))

    async def beat(self, number: int) -> None:
        """Let a node beat."""
        await self.nodes[number].scheduler.running_node.beat_by_hand()
        await asyncio.sleep(0)

    def live(self, number: int) -> int:
        """Return how many runs a node has."""
        return len(self.nodes[number].scheduler.running_node.runs)

    async def leased(self) -> int:
        """Return how many tasks have a lease that has not ended, by the store's rows."""
        now = self.nodes[0].clock.now()
        tasks = await self.nodes[0].store.search(TaskQuery(states=(TaskState.RUNNING,), limit=10_000))
        return sum(task.due_at is not None and task.due_at > now for task in tasks.items)


def registry(sharers: Sharers, number: int, limit: int) -> JobRegistry:
    """Return the jobs of one node."""
    jobs = JobRegistry()

    @jobs.job(KIND, global_limit=limit)
    async def shared(ctx: JobContext) -> None:
        sharers.ran.append((number, ctx.slug))
        gate = sharers.working[ctx.slug] = asyncio.Event()
        await gate.wait()

    @jobs.job("free")
    async def free(ctx: JobContext) -> None:
        sharers.ran.append((number, ctx.slug))

    return jobs


@asynccontextmanager
async def sharing(count: int, *, limit: int, concurrency: int = 100) -> AsyncIterator[Sharers]:
    """Start so many nodes; at the end every run is let go."""
    sharers = Sharers([])
    async with AsyncExitStack() as stack:
        for number in range(count):
            beside = sharers.nodes[0] if sharers.nodes else None
            jobs = registry(sharers, number, limit)
            sharers.nodes.append(await stack.enter_async_context(driven(jobs, concurrency=concurrency, beside=beside)))
        yield sharers
        for gate in sharers.working.values():
            gate.set()
