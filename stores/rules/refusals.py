"""Says whether an outcome is written, was written before, or is refused, and why. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from duly.jobs import Task
from duly.jobs.with_changes import with_changes
from duly.stores.records import Outcome, Refusal, Refused


def judge(row: Task | None, outcome: Outcome, *, recorded: bool) -> Refusal | Literal["done"] | None:
    """Say what becomes of an outcome, given the row as it is now.

    None = write it, `done` = it was written before.

    `recorded` tells whether the history has a run under the outcome's lease that is not `lost`: one that its holder wrote.
    """
    lease_id = outcome.task.lease_id
    if row is None or row.lease_id != lease_id:
        written = recorded or (row is not None and row.last_lease == lease_id)
        return "done" if written else "lost"
    return None if row.version == outcome.task.version else "edited"


def judge_unreadable(last_lease: object, outcome: Outcome, *, recorded: bool) -> Literal["done", "lost"]:
    """Say what became of an outcome whose row this version can no longer read.

    Also where the lease stands, nobody here can decide on that row: it is left to a node that can, when the lease has ended.
    """
    return "done" if recorded or last_lease == outcome.task.lease_id else "lost"


def taken_over(refused: Sequence[Refused], locked: Iterable[Task]) -> list[Refused]:
    """Say of each refusal what it is once `locked` were locked in the same call.

    An edited task whose lease had ended may be among them.
    """
    slugs = {task.slug for task in locked} if refused else set()
    return [with_changes(each, reason="lost", task=None) if each.outcome.task.slug in slugs else each for each in refused]
