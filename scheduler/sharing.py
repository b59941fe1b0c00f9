"""How a node shares its room out among kinds, so that no kind starves another. Pure."""

from collections.abc import Collection, Mapping, Sequence


def share_out(free: int, kinds: Sequence[str], busy: Collection[str], turn: int) -> dict[str, int]:
    """Return how many tasks of each kind to lock, `free` in all at most, in the order in which to visit them.

    Kinds that filled their share last time (`busy`) split the room; each other kind gets a probe of one, enough to
    notice that something of it is due. So one busy kind among a hundred fills nearly the whole batch, and a kind that
    was quiet is served at the very next lock. `turn` rotates the order: with less room than kinds, each has its turn.
    """
    if not kinds or free <= 0:
        return {}
    start = turn % len(kinds)
    order = [*kinds[start:], *kinds[:start]][:free]
    rooms = dict.fromkeys(order, 1)
    eager = [kind for kind in order if kind in busy] or order
    share, left = divmod(free - len(order), len(eager))
    for place, kind in enumerate(eager):
        rooms[kind] += share + (place < left)
    return rooms


def filled(rooms: Mapping[str, int], locked: Sequence[str]) -> set[str]:
    """Return the kinds of which as many were locked as there was room for: more of them may be due."""
    return {kind for kind, room in rooms.items() if locked.count(kind) >= room}
