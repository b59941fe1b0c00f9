"""What is shared but no task: nodes that announce themselves, and the slots of a kind."""

from datetime import datetime
from typing import Any

from attrs import frozen
from google.cloud.firestore import AsyncWriteBatch

from duly.stores.errors import StoreUnavailable
from duly.stores.firestore.documents import Row, document_id, dump_node, load_node, utc
from duly.stores.firestore.tenant import Contended, Settled, Tenant, Write
from duly.stores.records import Node

_ATTEMPTS = 12
"""All nodes of a kind share one document; with each attempt at least one of them gets through."""


async def announce(tenant: Tenant, node: Node) -> None:
    """Write what a node says of itself, or take it off the list: one write."""
    reference = tenant.nodes.document(document_id(node.name))

    def fill(batch: AsyncWriteBatch) -> None:
        if node.until > node.seen_at:
            batch.set(reference, dump_node(node))
        else:
            batch.delete(reference)

    await tenant.connection.write(fill)


async def nodes(tenant: Tenant) -> list[Node]:
    """Return the announced nodes by name: a billed read for each."""
    found = await tenant.connection.query(tenant.nodes.order_by("name"))
    return [node for each in found if (node := load_node(each.row.fields)) is not None]


@frozen
class Wish:
    """How many of the `total` slots of a kind a node wants to have."""

    node: str
    kind: str
    want: int
    total: int


async def slots(tenant: Tenant, wish: Wish, now: datetime, until: datetime) -> int:
    """Give the node what it wants of the slots that no other node holds: one read and one write."""
    reference = tenant.slots.document(document_id(wish.kind))

    async def decide(row: Row | None, _unsure: bool) -> Settled[int] | Write[int]:  # noqa: FBT001 - a Decide
        holders = [] if row is None else _holders(row)
        others = [each for each in holders if each["node"] != wish.node and utc(each["until"]) > now]
        granted = max(0, min(wish.want, wish.total - sum(each["count"] for each in others)))
        mine = [{"node": wish.node, "count": granted, "until": until}] if granted else []
        fields = {"kind": wish.kind, "holders": others + mine}
        return Write(lambda batch: tenant.put_beside(batch, reference, row, fields), lambda _written: granted)

    try:
        return await tenant.change(reference, decide, attempts=_ATTEMPTS)
    except Contended as error:
        raise StoreUnavailable(f"the slots of kind {wish.kind!r} are being changed by others all the time") from error


def _holders(row: Row) -> list[dict[str, Any]]:
    """Return who holds slots, without what is none of ours."""
    holders = row.fields.get("holders")
    return [each for each in holders if _is_holder(each)] if isinstance(holders, list) else []


def _is_holder(value: Any) -> bool:  # noqa: ANN401 - whatever stands there
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("node"), str) and isinstance(value.get("count"), int) and isinstance(value.get("until"), datetime)
