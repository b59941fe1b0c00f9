"""One run after another on a runner of its own, on real time, each job where the test says."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from attrs import evolve

from duly.jobs import PAYLOAD_MAX, ExecutorChoice, FunctionJob, Job, JobRegistry, Task, TaskOptions
from duly.jobs.registered import RegisteredJob
from duly.scheduler import Event, SystemClock
from duly.scheduler.node.runner import Runner
from duly.scheduler.rules.endings import Ending, Raised, Returned
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.stores import MemoryStore
from support.contexts import task_with
from support.live_runs import a_run
from support.processes import state_and_parent
from support.schedulers import some_services
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _nothing() -> None:
    pass


class Remote:
    """A runner, and runs on it."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.runs = LiveRuns(self.clock)
        self.events: list[Event] = []
        self.jobs = JobRegistry()
        self.jobs.job("kind")(_nothing)
        services = some_services(self.clock, MemoryStore(), jobs=self.jobs, node="n", payload_limit=PAYLOAD_MAX)
        services.events.listen(self.events.append)
        self.runner = Runner(services, self.runs)
        self._numbers = count()

    def start(
        self, job: Callable[..., object] | Job, place: ExecutorChoice, *, limit: timedelta | None = None, payload: bytes | Path = b""
    ) -> LiveRun:
        """Start a job."""
        raw = payload if isinstance(payload, bytes) else bytes(payload)
        task = evolve(task_with(raw), lease_id=f"lease.{next(self._numbers)}", attempt=3, options=TaskOptions(time_limit=limit), etag=self)
        made = FunctionJob.of("kind", job) if callable(job) else job
        registered = RegisteredJob(job=made, trigger=None, options=TaskOptions(), executor=place)
        live = a_run(task, self.clock, fire_time=NOON, registered=registered, manner=self.runner.executor_of(registered).manner)
        self.runs.add(live)
        live.start(self.runner.run(live, registered), lambda *_: None)
        return live

    async def run(self, job: Callable[..., object] | Job, place: ExecutorChoice, *, payload: bytes | Path = b"") -> Ending:
        """Run a job to its end."""
        return await ended(self.start(job, place, payload=payload))

    async def result(self, job: Callable[..., object], place: ExecutorChoice) -> str:
        """Return the result of a job that comes to a good end."""
        return result_of(await self.run(job, place))


@asynccontextmanager
async def apart() -> AsyncIterator[Remote]:
    """Yield a runner; afterwards no child of it may be left."""
    runner = Remote()
    yield runner
    runner.runner.close()
    await runner.runner.wait_closed()


async def ended(live: LiveRun) -> Ending:
    """Return how a run ends."""
    assert live.working is not None
    return await live.working


def task_of(ending: Ending) -> Task:
    """Return the task of a run that came to a good end."""
    assert isinstance(ending, Returned), ending
    assert isinstance(ending.task, Task)
    return ending.task


def result_of(ending: Ending) -> str:
    """Return the result of such a run."""
    return task_of(ending).result or ""


def error_of(ending: Ending) -> str:
    """Return the text of a failure."""
    assert isinstance(ending, Raised), ending
    return ending.error


async def began(path: Path) -> list[int]:
    """Wait until a job has touched its file; return the process ids that it wrote there."""
    await wait_until_async(path.exists)
    return [int(word) for word in word_in(path).split()]


def word_in(path: Path) -> str:
    """Return what a job wrote."""
    return path.read_text()


def children() -> list[int]:
    """Return the ids of this process' children, zombies included."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if state_and_parent(pid)[1] == os.getpid()]


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    return state_and_parent(pid)[0] in "ZX"
