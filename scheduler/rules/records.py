"""Records for the history: of a run that ended, and of fires that were dropped. Pure."""

from duly.jobs import Task
from duly.jobs.with_changes import with_changes
from duly.scheduler.rules.endings import EndedRun
from duly.stores import Run, RunStatus
from duly.stores.rules.misfires import Dropped


def run_of(row: Task, ended: EndedRun, status: RunStatus, error: str | None = None, result: str | None = None) -> Run:
    """Return the record of a run; its id is the lease id."""
    return Run(
        id=row.lease_id or "",
        slug=row.slug,
        kind=row.kind,
        namespace=row.namespace,
        fire_time=ended.fire_time,
        attempt=row.attempt,
        node=row.node,
        started_at=ended.started_at,
        finished_at=ended.ended_at,
        status=status,
        error=error,
        result=result,
    )


def skipped_of(row: Task, ended: EndedRun, dropped: tuple[Dropped, ...], *, is_instead: bool = False) -> tuple[Run, ...]:
    """Return one record for each reason why fires were dropped; no dropped fire is without a record.

    With `is_instead`, no run has a record: then the first record has the lease id, so that the store recognises a repeated
    write.
    """
    if not dropped:
        return ()
    run = run_of(row, ended, RunStatus.SKIPPED)
    return tuple(
        with_changes(
            run,
            id=run.id if is_instead and each is dropped[0] else f"{row.lease_id}.{each.reason}",
            fire_time=each.first,
            started_at=ended.ended_at,
            count=each.count,
            error=str(each),
            attempt=0,
        )
        for each in dropped
    )
