"""Nodes, and the slots that they share."""

import json
from datetime import datetime, timedelta
from typing import cast

from duly.stores.postgres.rows import read_node
from duly.stores.postgres.session import Session
from duly.stores.records import Node


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
        instance=node.instance,
    )


async def nodes(session: Session) -> list[Node]:
    """Return the announced nodes."""
    return [node for row in await session.ask(session.sql.nodes) if (node := read_node(row)) is not None]


async def slots(session: Session, now: datetime, node: str, kind: str, numbers: tuple[int, int], lease: timedelta) -> int:
    """Hold as many slots as wanted and free, of `numbers` = (wanted, in all)."""
    want, total = numbers
    values = {"now": now, "node": node, "kind": kind, "want": want, "total": total, "until": now + lease}
    entering = session.enter(now, key=("slots", kind))
    _, ((granted,),) = await session.connections.run(entering, session.step(session.sql.slots, values))
    return cast("int", granted)
