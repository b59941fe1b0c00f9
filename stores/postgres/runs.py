"""Runs, nodes, and the places that nodes share."""

import json
from datetime import datetime, timedelta
from typing import cast

from duly.stores.cursors import parse_run_cursor, run_cursor
from duly.stores.postgres.rows import read_node, read_run
from duly.stores.postgres.session import Session
from duly.stores.postgres.slug_range import stretch
from duly.stores.queries import Page, RunQuery
from duly.stores.records import Node, Run


async def runs(session: Session, query: RunQuery) -> Page[Run]:
    """Return the runs that match, newest first."""
    sql = session.sql.runs if query.slug is None else session.sql.runs_of_task
    rows = await session.ask_by_values(sql, runs_values(query))
    items = [read_run(row, session.namespace) for row in rows[: query.limit]]
    return Page(items, run_cursor(items[-1]) if len(rows) > query.limit else None)


def runs_values(query: RunQuery) -> dict[str, object]:
    """Return the values of `runs.sql` and `runs_of_task.sql`, for a page and the first run beyond it."""
    below, below_id = (None, "") if query.after is None else parse_run_cursor(query.after)
    first, end = stretch(query.prefix, None) if query.prefix else (None, None)
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


async def announce(session: Session, node: Node) -> None:
    """Write what a node says of itself, or that it leaves."""
    if node.until <= node.seen_at:
        await session.ask(session.sql.leave, name=node.name)
        return
    await session.ask(
        session.sql.announce,
        name=node.name,
        kinds=list(node.kinds),
        started_at=node.started_at,
        seen_at=node.seen_at,
        until=node.until,
        info=json.dumps(dict(node.info)),
    )


async def nodes(session: Session) -> list[Node]:
    """Return the announced nodes."""
    return [read_node(row) for row in await session.ask(session.sql.nodes)]


async def places(session: Session, now: datetime, node: str, kind: str, numbers: tuple[int, int], lease: timedelta) -> int:
    """Hold as many places as wanted and free, of `numbers` = (wanted, in all)."""
    want, total = numbers
    values = {"now": now, "node": node, "kind": kind, "want": want, "total": total, "until": now + lease}
    entering = session.enter(now, key=("places", kind))
    _, ((granted,),) = await session.connections.run(entering, session.step(session.sql.places, values))
    return cast("int", granted)
