"""The history is bounded."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.jobs import Task
from duly.scheduler import StdScheduler
from duly.scheduler.node.pruner import BATCH
from duly.scheduler.testing import ManualClock
from duly.stores import LockRequest, MemoryStore, Outcome, Run, RunQuery, RunStatus
from duly.stores.base import JobStore
from support.schedulers import HOUR, SECOND
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class PruningStore(MemoryStore):
    """A store with a long history, that records how it is pruned."""

    def __init__(self, *left: int) -> None:
        super().__init__()
        self.asked: list[tuple[datetime | None, int | None, int]] = []
        self._left = list(left)

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Say as many as the test said."""
        self.asked.append((before, keep, limit))
        return self._left.pop(0) if self._left else 0


async def test_a_turn_asks_for_what_the_settings_keep() -> None:
    """Counted from now, a bounded batch at once."""
    store, clock = PruningStore(7), ManualClock(NOON)
    async with StdScheduler(store, clock=clock, keep_runs_for=3 * DAY, keep_runs=5) as scheduler:
        assert await scheduler.running_node.pruner.run_once() == 7
    assert store.asked == [(NOON - 3 * DAY, 5, BATCH)]


@pytest.mark.parametrize(
    ("keep_for", "keep", "asked"), [(None, 5, [(None, 5, BATCH)]), (DAY, None, [(NOON - DAY, None, BATCH)]), (None, None, [])]
)
async def test_what_is_kept_for_ever_is_not_pruned(
    keep_for: timedelta | None, keep: int | None, asked: list[tuple[datetime | None, int | None, int]]
) -> None:
    """Without any bound the store is not even asked."""
    store = PruningStore()
    async with StdScheduler(store, clock=ManualClock(NOON), keep_runs_for=keep_for, keep_runs=keep) as scheduler:
        await scheduler.running_node.pruner.run_once()
    assert store.asked == asked


async def test_a_long_history_is_pruned_in_batches_at_once() -> None:
    """A full batch is followed by the next without a pause; the loop begins with the scheduler."""
    store = PruningStore(BATCH, BATCH, 3)
    async with StdScheduler(store):
        await wait_until_async(lambda: len(store.asked) == 3)
    assert len(store.asked) == 3


async def test_old_runs_go_and_new_ones_stay() -> None:
    """In the store in memory."""
    store, clock = MemoryStore(), ManualClock(NOON)
    async with StdScheduler(store, clock=clock, keep_runs_for=HOUR) as scheduler:
        await ended_at(store, "old", NOON - HOUR - SECOND)
        await ended_at(store, "new", NOON - HOUR)
        assert await scheduler.running_node.pruner.run_once() == 1
        assert [run.slug for run in (await scheduler.runs(RunQuery())).items] == ["new"]


async def ended_at(store: JobStore, slug: str, instant: datetime) -> None:
    """Let a task run and end at an instant."""
    await store.create(instant, [Task(slug=slug, kind="k", run_at=instant, anchor=instant)])
    (task,) = await store.lock(instant, LockRequest(node="n", rooms={"k": 1}, lease=SECOND, token=slug))
    run = Run(
        id=task.lease_id or "", slug=slug, kind="k", fire_time=instant, started_at=instant, finished_at=instant, status=RunStatus.DONE
    )
    assert await store.reschedule(instant, [Outcome(task=task, next=None, runs=(run,))]) == []
