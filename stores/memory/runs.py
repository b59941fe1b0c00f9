"""The history in memory."""

from datetime import datetime
from heapq import nlargest

from duly.stores.matching import matches_run
from duly.stores.memory.tenant import Tenant
from duly.stores.queries import Page, RunQuery, parse_run_cursor, run_cursor
from duly.stores.records import Run


def runs(tenant: Tenant, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first."""
    below = None if query.after is None else parse_run_cursor(query.after)
    found = (run for run in tenant.runs.values() if (below is None or (run.finished_at, run.id) < below) and matches_run(query, run))
    page = nlargest(query.limit + 1, found, key=lambda run: (run.finished_at, run.id))
    items = page[: query.limit]
    return Page(items, run_cursor(items[-1]) if len(page) > query.limit else None)


def prune(tenant: Tenant, before: datetime | None, keep: int | None, limit: int) -> int:
    """Delete old runs, oldest first."""
    doomed: list[Run] = []
    seen: dict[str, int] = {}
    for run in sorted(tenant.runs.values(), key=lambda run: (run.finished_at, run.id), reverse=True):
        seen[run.slug] = seen.get(run.slug, 0) + 1
        if (before is not None and run.finished_at < before) or (keep is not None and seen[run.slug] > keep):
            doomed.append(run)
    for run in doomed[::-1][:limit]:
        del tenant.runs[run.id]
    return min(limit, len(doomed))
