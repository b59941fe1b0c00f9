"""Random lives of a workflow, whatever people and accidents do.

A key belongs to one step, and a step is done once.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from duly.jobs import Fail, JobContext, JobRegistry, RetryPolicy, Task, Then
from duly.scheduler import JobNotFound, StdScheduler
from duly.scheduler.testing import ManualClock, kill, run_due
from duly.stores import MemoryStore, RunQuery, RunStatus
from support.tasks import LEASE, MINUTE, NOON, SECOND

STEPS = 12
ZERO = timedelta(0)


class Life:
    """A workflow in memory, on a clock moved by hand, and a node that is killed and started anew."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret, a life that comes again
        self._store, self._clock, self._jobs = MemoryStore(), ManualClock(NOON), JobRegistry()
        self._jobs.job("steps", retry=RetryPolicy(limit=2, jitter=0.0))(self._step)
        self.steps: dict[str, set[int]] = {}
        """Which steps were run under each key."""

    def _one_of(self, *spans: timedelta) -> timedelta:
        return self._random.choice(spans)

    async def _step(self, ctx: JobContext, task: Task) -> Task | Then:
        step = int(task.payload)
        self.steps.setdefault(ctx.run_key, set()).add(step)
        await ctx.sleep(self._one_of(ZERO, ZERO, SECOND, 20 * SECOND, 100 * SECOND))
        match self._random.randrange(12):
            case 0:
                raise ValueError
            case 1:
                raise Fail("for good")
            case _ if step == STEPS:
                return task
            case 2:
                return evolve(task, payload=b"%d" % (step + 1), run_at=ctx.fire_time + 40 * SECOND)
        return task.then(payload=b"%d" % (step + 1), after=self._one_of(ZERO, ZERO, SECOND, 20 * SECOND, MINUTE))

    async def _started(self) -> StdScheduler:
        scheduler = StdScheduler(self._store.sibling(), jobs=self._jobs, clock=self._clock, lease=LEASE, grace=ZERO, keep_runs=None)
        await scheduler.start()
        return scheduler

    async def live(self) -> Counter[datetime]:
        """Live for a while; return how often a step was done for each fire time."""
        async with self._store:
            scheduler = await self._started()
            await scheduler.schedule_job("w", "steps", payload=b"0")
            for _ in range(40):
                scheduler = await self._next(scheduler)
            await scheduler.close()
            runs = (await self._store.runs(RunQuery(limit=1000, statuses=(RunStatus.DONE,)))).items
        return Counter(run.fire_time for run in runs)

    async def _next(self, scheduler: StdScheduler) -> StdScheduler:
        """Let something happen; return the scheduler that is there then."""
        happens: Mapping[str, Callable[[], Awaitable[Any]]] = {
            "run": lambda: run_due(scheduler, until=self._clock.now() + self._one_of(ZERO, ZERO, SECOND, 20 * SECOND, 2 * MINUTE)),
            "trigger": lambda: scheduler.trigger_job("w"),
            "pause": lambda: scheduler.pause_job("w"),
            "resume": lambda: scheduler.resume_job("w"),
            "stop": lambda: scheduler.stop_job("w"),
            "restart": lambda: scheduler.restart_job("w"),
            "move": lambda: scheduler.reschedule_job("w", delay=self._one_of(ZERO, SECOND, MINUTE)),
            "kill": lambda: kill(scheduler),
            "close": scheduler.close,
        }
        what = self._random.choice([*happens, *["run"] * 4, *["resume"] * 2, "stand still"])
        if what == "stand still":
            self._clock.advance(self._one_of(SECOND, MINUTE, 10 * MINUTE))
        else:
            with suppress(JobNotFound):  # it is over
                await happens[what]()
        return await self._started() if what in {"kill", "close"} else scheduler


@pytest.mark.parametrize("seed", range(40))
async def test_no_two_steps_share_a_key_and_none_is_done_twice(seed: int) -> None:
    """Though it is run now, moved, paused, stopped, restarted, and its node killed.

    The clock mostly stands still.
    """
    life = Life(seed)
    done = await life.live()
    assert {key: steps for key, steps in life.steps.items() if len(steps) > 1} == {}
    assert {fire_time: count for fire_time, count in done.items() if count > 1} == {}
