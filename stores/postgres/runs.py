"""Runs."""

from datetime import datetime
from typing import cast

from duly.stores.postgres.rows import Row, read_run, run_cell
from duly.stores.postgres.session import Session
from duly.stores.postgres.slug_range import slug_range
from duly.stores.queries import Page, RunQuery, parse_run_cursor, run_cursor_at
from duly.stores.reading import sorted_out
from duly.stores.records import Run


async def runs(session: Session, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first."""
    sql = session.sql.runs if query.slug is None else session.sql.runs_of_task
    rows = await session.ask_by_values(sql, runs_values(query))
    items, unreadable = sorted_out(rows[: query.limit], lambda row: read_run(row, session.namespace))
    following = _cursor(rows[query.limit - 1]) if len(rows) > query.limit else None
    return Page(items, following, tuple(each for _, each in unreadable))


def _cursor(row: Row) -> str | None:
    """Return where a row stands in the history; None: before all time, as everything after it."""
    finished_at = run_cell(row, "finished_at")
    return run_cursor_at(finished_at, run_cell(row, "id")) if isinstance(finished_at, datetime) else None


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
