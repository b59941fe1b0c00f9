"""Heartbeats and outcomes: each is fenced by itself, and they are written side by side."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from google.cloud.firestore import AsyncWriteBatch

from duly.jobs import Request, Task
from duly.stores.firestore.connection import CALL_SECONDS, COMMIT_SECONDS
from duly.stores.firestore.documents import Row, dump_run
from duly.stores.firestore.tenant import Contended, Settled, Tenant, Write, side_by_side
from duly.stores.records import Held, Kept, Outcome, Refusal, Refused, RunStatus
from duly.stores.rules import transitions
from duly.stores.rules.refusals import judge, judge_unreadable


def known_row(task: Task) -> Row | None:
    """Return the row as the holder of `task` knows it; None if the task was decided on another one.

    A task carries the document it was read from as its etag. Whatever was changed in the task since, lease and version
    tell which document they go with: every write but a heartbeat has a version of its own.
    """
    row = task.etag
    if not isinstance(row, Row) or (row.fields.get("version"), row.fields.get("lease_id")) != (task.version, task.lease_id):
        return None
    return row


async def extend(tenant: Tenant, held: Sequence[Held], until: datetime) -> tuple[list[Kept], list[Held], list[Held]]:
    """Move the end of each lease to `until`; return what was kept, lost, and too contended.

    One write each.
    """
    answers = await side_by_side(_extend(tenant, each, until) for each in held)
    kept = [answer for answer in answers if isinstance(answer, Kept)]
    lost = [each for each, answer in zip(held, answers, strict=True) if answer == "lost"]
    busy = [each for each, answer in zip(held, answers, strict=True) if answer == "busy"]
    return kept, lost, busy


async def _extend(tenant: Tenant, held: Held, until: datetime) -> Kept | str:
    known = held.etag if isinstance(held.etag, Row) and held.etag.fields.get("lease_id") == held.lease_id else None

    async def decide(row: Row | None, _unsure: bool) -> Settled[Kept | str] | Write[Kept | str]:  # noqa: FBT001 - a Decide
        # Only what a lease is made of is read: of a task that a later version edited during its run, this node still has the lease.
        ends, version = (None, None) if row is None else (row.fields.get("due_at"), row.fields.get("version"))
        if row is None or row.fields.get("lease_id") != held.lease_id or not isinstance(ends, datetime) or not isinstance(version, int):
            return Settled("lost")
        if ends >= until:  # also when an earlier attempt was written, and its answer lost
            return Settled(_kept(held, row))
        fields = {**row.fields, "due_at": until}
        reference = tenant.task_at(held.slug)
        return Write(
            lambda batch: tenant.put_beside(batch, reference, row, {"due_at": until}), lambda written: _kept(held, Row(fields, written))
        )

    if known is not None and known.fields.get("due_at", until) >= until:
        known = None  # nothing would be written, so that nothing would tell whether the lease is still held
    try:
        return await tenant.change(tenant.task_at(held.slug), decide, known=known)
    except Contended:
        return "busy"


def _kept(held: Held, row: Row) -> Kept:
    return Kept(held.slug, held.lease_id, row, version=row.fields["version"], stop=row.fields.get("request") == Request.STOP)


async def reschedule(tenant: Tenant, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
    """Write each outcome in a batch of its own: the task, its runs and what it spawned, or nothing of it."""
    answers = await side_by_side(_Writing(tenant, now, outcome).write() for outcome in outcomes)
    return [answer for answer in answers if answer is not None]


class _Writing:
    """One outcome on its way into the store."""

    def __init__(self, tenant: Tenant, now: datetime, outcome: Outcome) -> None:
        self._tenant, self._now, self._outcome = tenant, now, outcome
        self._known = known_row(outcome.task)

    async def write(self) -> Refused | None:
        """Return None once it is written, by this call or an earlier one."""
        try:
            return await self._tenant.change(self._tenant.task_at(self._outcome.task.slug), self._decide, known=self._known)
        except Contended:
            return Refused(outcome=self._outcome, reason="busy")

    async def _decide(self, row: Row | None, _unsure: bool) -> Settled[Refused | None] | Write[Refused | None]:  # noqa: FBT001 - a Decide
        if row is not None and row is self._known:
            return self._written(row, self._outcome.spawn, {})
        task = None if row is None else self._tenant.load_if_readable(row)
        recorded = await self._is_recorded(task)
        if row is not None and task is None:
            verdict: Refusal | Literal["done"] | None = judge_unreadable(row.fields.get("last_lease"), self._outcome, recorded=recorded)
        else:
            verdict = judge(task, self._outcome, recorded=recorded)
        if verdict is None and row is not None:
            there = await self._there(self._outcome.spawn)
            return self._written(row, [each for each in self._outcome.spawn if _is_free(each.slug, there)], there)
        if verdict is None or verdict == "done":
            return Settled(None)
        return Settled(Refused(outcome=self._outcome, reason=verdict, task=task if verdict == "edited" else None))

    async def _is_recorded(self, task: Task | None) -> bool:
        """Ask the history for the holder's run, if the row leaves it open: one billed read."""
        lease_id = self._outcome.task.lease_id
        if lease_id is None or (task is not None and lease_id in {task.lease_id, task.last_lease}):
            return False
        run = await self._tenant.connection.row(self._tenant.run_at(lease_id))
        return run is not None and run.fields.get("status") != RunStatus.LOST

    async def _there(self, spawn: Sequence[Task]) -> Mapping[str, Task | None]:
        """Look up what exists: its slug made the batch fail, and it is to be kept, or gives way.

        The task itself is `_fill`'s.
        """
        others = [task.slug for task in spawn if task.slug != self._outcome.task.slug]
        return await self._tenant.find(others) if others else {}

    def _written(self, row: Row, spawn: Sequence[Task], there: Mapping[str, Task | None]) -> Write[Refused | None]:
        def fill(batch: AsyncWriteBatch) -> None:
            self._fill(batch, row, spawn, there)

        return Write(fill, lambda _written: None, seconds=COMMIT_SECONDS if spawn else CALL_SECONDS)

    def _fill(self, batch: AsyncWriteBatch, row: Row, spawn: Sequence[Task], there: Mapping[str, Task | None]) -> None:
        tenant, slug, following = self._tenant, self._outcome.task.slug, self._outcome.next
        created = {task.slug: task for task in spawn}
        anew = created.pop(slug, None)
        if following is not None:  # its own slug, if it spawned that, exists and is kept
            tenant.put(batch, row, following)
        elif anew is not None:  # the same document: a commit writes it once
            tenant.put(batch, row, transitions.create(anew, namespace=tenant.namespace, now=self._now), edited=True)
        else:
            tenant.drop(batch, slug, row)
        for run in self._outcome.runs:
            batch.set(tenant.run_at(run.id), dump_run(run))
        for task in created.values():
            tenant.put_first(batch, task, there.get(task.slug), self._now)


def _is_free(slug: str, there: Mapping[str, Task | None]) -> bool:
    task = there.get(slug)
    return slug not in there or (task is not None and transitions.gives_way(task))
