"""Queries as predicates and cursors: what a store's own query language must agree with."""

from collections.abc import Sequence
from datetime import datetime

from detent.jobs import InvalidValue, Task
from detent.stores.records import Run, RunQuery, TaskQuery
from detent.triggers import require_aware


def matches_task(query: TaskQuery, task: Task) -> bool:
    """Tell whether `task` fulfils every condition of `query`, its place in the paging aside."""
    return (
        (query.kinds is None or task.kind in query.kinds)
        and (query.states is None or task.state in query.states)
        and (query.paused is None or task.paused is query.paused)
        and task.slug.startswith(query.prefix)
        and all(task.metadata.get(key) == value for key, value in query.metadata.items())
        and _within(task.due_at, query.due_from, query.due_until)
    )


def matches_run(query: RunQuery, run: Run) -> bool:
    """Tell whether `run` fulfils every condition of `query`, its place in the paging aside."""
    return (
        (query.slug is None or run.slug == query.slug)
        and (query.kinds is None or run.kind in query.kinds)
        and (query.statuses is None or run.status in query.statuses)
        and _within(run.finished_at, query.since, query.until)
    )


def _within(value: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    if since is None and until is None:
        return True
    return value is not None and (since is None or value >= since) and (until is None or value < until)


def run_cursor(run: Run) -> str:
    """Return the place of `run` in the order of the history, as `RunQuery.after` takes it."""
    return f"{run.finished_at.isoformat()} {run.id}"


def parse_run_cursor(cursor: str) -> tuple[datetime, str]:
    """Read what `run_cursor` wrote: the end of a run and its id.

    Raises:
        InvalidValue: it is no such text.

    """
    instant, _, run_id = cursor.partition(" ")
    try:
        return require_aware(datetime.fromisoformat(instant), "after"), run_id
    except ValueError:  # `NaiveDatetime` is one too
        raise InvalidValue("after", cursor, "the 'next' of an earlier page") from None


def check_batch(tasks: Sequence[Task]) -> None:
    """Refuse a batch to be created in which a slug stands twice.

    Raises:
        InvalidValue: names the slug.

    """
    seen: set[str] = set()
    for task in tasks:
        if task.slug in seen:
            raise InvalidValue("slug", task.slug, "once in a batch")
        seen.add(task.slug)
