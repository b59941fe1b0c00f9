"""Runs."""

from datetime import datetime
from typing import cast

from duly.stores.postgres.rows import read_run
from duly.stores.postgres.session import Session
from duly.stores.postgres.slug_range import slug_range
from duly.stores.queries import Page, RunQuery, parse_run_cursor, run_cursor
from duly.stores.records import Run


async def runs(session: Session, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first."""
    sql = session.sql.runs if query.slug is None else session.sql.runs_of_task
    rows = await session.ask_by_values(sql, runs_values(query))
    items = [read_run(row, session.namespace) for row in rows[: query.limit]]
    return Page(items, run_cursor(items[-1]) if len(rows) > query.limit else None)


def runs_values(query: RunQuery) -> dict[str, object]:
    """Return the values of `runs.sql` and `runs_of_task.sql`, for a page and the first run beyond it."""
    below, below_id = (None, "") if query.after is None else parse_run_cursor(query.after)
    first, end = slug_range(query.prefix, None) if query.prefix else (None, None)
    return {
        "slug": query.slug,
        "first": first,
        "end": end,
        "below": below,
        "below_id": below_id,
        "since": query.since,
        "until": query.until,
        "kinds": None if query.kinds is None else list(query.kinds),
        "statuses": None if query.statuses is None else [status.value for status in query.statuses],
        "node": query.node,
        "limit": query.limit + 1,
    }


async def prune(session: Session, before: datetime | None, keep: int | None, limit: int) -> int:
    """Delete old runs."""
    ((count,),) = await session.ask_afresh(session.sql.prune, before=before, keep=keep, limit=limit)
    return cast("int", count)
