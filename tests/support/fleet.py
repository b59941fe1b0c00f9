"""Nodes in processes of their own, on one store.

The jobs that they run, and what a test does with them.
"""

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from os import getpid, kill
from pathlib import Path
from uuid import uuid4

from attrs import define, field, frozen

from duly.jobs import Consistency, JobContext, JobRegistry, RetryPolicy, Task, TaskOptions
from duly.scheduler import NewTask
from duly.scheduler.rules.new_task import to_task
from duly.stores import JobStore, Page, Run, RunQuery, RunStatus, open_store
from support.programs import Program, program, say
from support.waiting import wait_until_async

SECOND = timedelta(seconds=1)
DEADLINE = 30 * SECOND
ONCE = TaskOptions(consistency=Consistency.AT_MOST_ONCE)
_GATE_POLL = 0.02 * SECOND


# -- in the nodes


def make_jobs() -> JobRegistry:
    """Return the jobs of the fleet; each run prints when it begins and when it has ended well."""
    jobs = JobRegistry()
    jobs.job("short", retry=RetryPolicy(limit=3, min_backoff=0.1 * SECOND, max_backoff=0.5 * SECOND))(_short)
    jobs.job("gated")(_gated)
    jobs.job("gated_thread")(_gated_thread)
    jobs.job("crash", retry=RetryPolicy(limit=10))(_crash)
    return jobs


def _tell(what: str, ctx: JobContext) -> None:
    say(f"{what} {ctx.slug} {ctx.fire_time.isoformat()} {ctx.attempt}")


async def _short(ctx: JobContext, task: Task) -> None:
    """Take as many seconds as the payload says, and fail in as many attempts: `0.2 1`."""
    _tell("began", ctx)
    seconds, failures = task.payload.decode().split()
    await ctx.sleep(float(seconds) * SECOND)
    if ctx.attempt <= int(failures):
        raise RuntimeError("not yet")
    _tell("ended", ctx)


def _is_open(task: Task) -> bool:
    return Path(task.payload.decode()).exists()


async def _gated(ctx: JobContext, task: Task) -> None:
    """Go on until there is a file of the payload's name."""
    _tell("began", ctx)
    while not _is_open(task):
        await ctx.sleep(_GATE_POLL)
    _tell("ended", ctx)


def _gated_thread(ctx: JobContext, task: Task) -> None:
    """Do so in a thread, whoever asks it to end."""
    _tell("began", ctx)
    while not _is_open(task):
        time.sleep(_GATE_POLL.total_seconds())
    _tell("ended", ctx)


def _crash(ctx: JobContext) -> None:
    """Take the process's life, as the kernel does when memory runs out."""
    _tell("began", ctx)
    kill(getpid(), signal.SIGKILL)


# -- in the test


@frozen
class Told:
    """A line that a node printed about a run."""

    what: str
    slug: str
    fire_time: datetime
    attempt: int

    @classmethod
    def parse(cls, line: str) -> "Told":
        """Read what `_tell` printed."""
        what, slug, fire_time, attempt = line.split()
        return cls(what, slug, datetime.fromisoformat(fire_time), int(attempt))


@define
class FleetNode:
    """A node's process."""

    name: str
    program: Program

    def told(self, what: str, slug: str | None = None) -> list[Told]:
        """Return what it printed about runs, by now."""
        told = [Told.parse(line) for line in list(self.program.lines) if line.startswith(f"{what} ")]
        return [each for each in told if slug in (None, each.slug)]

    @property
    def is_busy(self) -> bool:
        """Whether a run began that has not ended."""
        return len(self.told("began")) > len(self.told("ended"))

    async def has_begun(self, *slugs: str) -> None:
        """Wait until it has begun to run these tasks."""
        await wait_until_async(lambda: {each.slug for each in self.told("began")} >= set(slugs), DEADLINE)

    async def end(self) -> int:
        """Wait until the process has ended, and return its exit status."""
        await wait_until_async(lambda: self.program.status is not None, DEADLINE)
        return self.program.end()[0]

    async def stop(self) -> int:
        """Ask it to stop, wait until it has, and return its exit status."""
        self.program.send(signal.SIGTERM)
        return await self.end()


@define
class Fleet:
    """The nodes that a test starts, and the store that they share, open."""

    url: str
    store: JobStore
    folder: Path
    lease: timedelta
    grace: timedelta
    concurrency: int
    nodes: list[FleetNode] = field(factory=list)
    """All that were ever started."""
    _programs: ExitStack = field(factory=ExitStack)
    _jobs: JobRegistry = field(factory=make_jobs)
    _numbers: Iterator[int] = field(factory=count)

    @property
    def gate(self) -> Path:
        """What the gated jobs wait for."""
        return self.folder / "gate"

    async def schedule(self, *tasks: NewTask) -> datetime:
        """Schedule tasks from outside of every node; return the store's time."""
        now = await self.now()
        await self.store.create(now, [to_task(each, self._jobs, now=now, payload_limit=1000) for each in tasks])
        return now

    def gated(self, slug: str, kind: str = "gated", *, trigger: str | None = None, options: TaskOptions | None = None) -> NewTask:
        """Return a task that is due at once and runs until the gate is open."""
        return NewTask(slug, kind, payload=str(self.gate).encode(), trigger=trigger, options=options, delay=timedelta(0))

    async def start(self, script: str = "node.py") -> FleetNode:
        """Start a node, which is this program, and return when the store knows of it."""
        name = f"node-{next(self._numbers)}"
        arguments = (
            self.url,
            self.store.namespace,
            str(self.lease.total_seconds()),
            str(self.grace.total_seconds()),
            str(self.concurrency),
        )
        node = FleetNode(name, self._programs.enter_context(program(script, name, *arguments)))
        self.nodes.append(node)

        async def is_there() -> bool:
            assert node.program.status is None, node.program.log
            return name in {each.name for each in await self.store.nodes()}

        await wait_until_async(is_there, DEADLINE)
        return node

    async def now(self) -> datetime:
        """Return the store's time."""
        now = await self.store.now()
        assert now is not None
        return now

    async def runs(self, slug: str | None = None) -> list[Run]:
        """Return the whole history, or a task's, oldest first.

        A lost run stands before the one that took over at the end of its lease.
        """
        found: list[Run] = []
        page: Page[Run] = await self.store.runs(RunQuery(slug=slug, limit=1000))
        found += page.items
        while page.next is not None:
            page = await self.store.runs(RunQuery(slug=slug, limit=1000, after=page.next))
            found += page.items
        return sorted(found, key=lambda run: (run.finished_at, run.attempt))

    async def have_ended(self, slug: str, *statuses: RunStatus) -> list[Run]:
        """Wait until the history of a task is this, and return it."""
        found: list[Run] = []

        async def are_there() -> bool:
            found[:] = await self.runs(slug)
            return len(found) >= len(statuses)

        await wait_until_async(are_there, DEADLINE)
        assert tuple(run.status for run in found[: len(statuses)]) == statuses, [(run.status, run.error) for run in found]
        return found

    def told(self, what: str, slug: str | None = None) -> list[Told]:
        """Return what all nodes printed about runs."""
        return [each for node in self.nodes for each in node.told(what, slug)]

    def begun_more_than_once(self) -> list[tuple[str, datetime, int]]:
        """Return the attempts that were begun twice: by the nodes' own account, apart from the store's."""
        attempts = Counter((each.slug, each.fire_time, each.attempt) for each in self.told("began"))
        return [attempt for attempt, times in attempts.items() if times > 1]


@asynccontextmanager
async def a_fleet(
    url: str, folder: Path, *, lease: timedelta, grace: timedelta = 15 * SECOND, concurrency: int = 100
) -> AsyncIterator[Fleet]:
    """Yield a fleet without a node, in a namespace of its own; no process outlives it."""
    async with open_store(url, namespace=uuid4().hex) as store:
        fleet = Fleet(url, store, folder, lease, grace, concurrency)
        with fleet._programs:
            yield fleet
