"""Queries as predicates: what a store's own query language must agree with."""

from collections.abc import Sequence
from datetime import datetime

from duly.jobs import InvalidValue, Task
from duly.stores.queries import RunQuery, TaskQuery
from duly.stores.records import Run


def matches_task(query: TaskQuery, task: Task) -> bool:
    """Tell whether `task` fulfils every condition of `query`, but `limit` and `after`."""
    return (
        (query.kinds is None or task.kind in query.kinds)
        and (query.states is None or task.state in query.states)
        and (query.paused is None or task.paused is query.paused)
        and task.slug.startswith(query.prefix)
        and query.contains in task.slug
        and all(task.metadata.get(key) == value for key, value in query.metadata.items())
        and _within(task.due_at, query.due_from, query.due_until)
    )


def matches_run(query: RunQuery, run: Run) -> bool:
    """Tell whether `run` fulfils every condition of `query`, but `limit` and `after`."""
    return (
        (query.slug is None or run.slug == query.slug)
        and run.slug.startswith(query.prefix)
        and (query.kinds is None or run.kind in query.kinds)
        and (query.statuses is None or run.status in query.statuses)
        and (query.node is None or run.node == query.node)
        and _within(run.finished_at, query.since, query.until)
    )


def _within(value: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    if since is None and until is None:
        return True
    return value is not None and (since is None or value >= since) and (until is None or value < until)


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
