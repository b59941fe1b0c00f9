"""What the tests of the suite share.

An instant to start from, and short ways to make tasks, requests and outcomes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from duly.jobs import Task
from duly.stores import Held, JobStore, LockRequest, Outcome, Run, RunStatus
from duly.stores.rules import transitions

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""When every test starts; in the past, so that no store finds it ahead of its own clock."""

LEASE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def a_task(slug: str = "task", *, kind: str = "work", run_at: datetime = NOON, **fields: Any) -> Task:  # noqa: ANN401 - any field of Task
    """Return a one-off task that is due at noon."""
    return Task(slug=slug, kind=kind, run_at=run_at, **{"anchor": run_at, **fields})


def a_schedule(slug: str = "schedule", *, trigger: str = "@every 60s", **fields: Any) -> Task:  # noqa: ANN401 - any field of Task
    """Return a recurring task whose next fire is at noon."""
    return a_task(slug, trigger=trigger, **fields)


def request(rooms: Mapping[str, int] | None = None, *, node: str = "a", lease: timedelta = LEASE) -> LockRequest:
    """Return a request with a token of its own, for ten tasks of the kind `work` unless told otherwise."""
    return LockRequest(node=node, rooms={"work": 10} if rooms is None else rooms, lease=lease, token=uuid4().hex)


def held_of(task: Task) -> Held:
    """Return the lease that the holder of `task` has."""
    return Held(task.slug, task.lease_id or "", task.etag)


async def lock_one(store: JobStore, *, node: str = "a", now: datetime = NOON, kind: str = "work") -> Task:
    """Lock the one task that is due, and make sure that it was just one."""
    (task,) = await store.lock(now, request({kind: 10}, node=node))
    return task


def a_run(task: Task, *, now: datetime, status: RunStatus = RunStatus.DONE, **fields: Any) -> Run:  # noqa: ANN401 - any field of Run
    """Return the history record of the run that `task` is in."""
    values: Mapping[str, Any] = {
        "id": task.lease_id,
        "slug": task.slug,
        "kind": task.kind,
        "namespace": task.namespace,
        "fire_time": task.run_at,
        "attempt": task.attempt,
        "node": task.node,
        "started_at": task.locked_at,
        "finished_at": now,
        "status": status,
    }
    return Run(**{**values, **fields})


def finished(task: Task, *, now: datetime = NOON, spawn: tuple[Task, ...] = ()) -> Outcome:
    """Return the outcome of a one-off that is done: removed, with its run kept."""
    return Outcome(task=task, next=None, runs=(a_run(task, now=now),), spawn=spawn)


def advanced(task: Task, *, now: datetime = NOON, run_at: datetime) -> Outcome:
    """Return the outcome of a schedule whose fire is done and whose next one is at `run_at`."""
    following = transitions.advance(task, now=now, anchor=task.run_at, run_at=run_at)
    return Outcome(task=task, next=following, runs=(a_run(task, now=now),))


def retried(task: Task, *, now: datetime = NOON, at: datetime) -> Outcome:
    """Return the outcome of a run that failed and is tried again at `at`."""
    return Outcome(task=task, next=transitions.retry(task, now=now, at=at), runs=(a_run(task, now=now, status=RunStatus.RETRIED),))
