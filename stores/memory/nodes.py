"""Nodes in memory, and the slots that they share."""

from datetime import datetime

from duly.stores.memory.tenant import Tenant
from duly.stores.records import Node


def announce(tenant: Tenant, node: Node) -> None:
    """Keep what a node says of itself, or forget the node when it leaves."""
    if node.until > node.seen_at:
        tenant.nodes[node.name] = node
    else:
        tenant.nodes.pop(node.name, None)


def nodes(tenant: Tenant) -> list[Node]:
    """Return the announced nodes, by name."""
    return [tenant.nodes[name] for name in sorted(tenant.nodes)]


def slots(tenant: Tenant, now: datetime, node: str, kind: str, numbers: tuple[int, int], until: datetime) -> int:
    """Give `node` as many slots as wanted and free, of `numbers` = (wanted, in all)."""
    want, total = numbers
    holders = tenant.slots.setdefault(kind, {})
    taken = sum(count for name, (count, end) in holders.items() if name != node and end > now)
    granted = max(0, min(want, total - taken))
    holders[node] = (granted, until)
    return granted
