"""How a node divides its room among kinds, so that no kind starves another. Pure."""

from collections.abc import Collection, Mapping, Sequence

_NO_CAPS: Mapping[str, int] = {}


def share_out(free: int, kinds: Sequence[str], busy: Collection[str], turn: int, caps: Mapping[str, int] = _NO_CAPS) -> dict[str, int]:
    """Return how many tasks of each kind to lock, at most `free` in all, in the order of visits.

    Kinds that filled their share last time (`busy`) divide the room; every other kind gets one, enough to notice that
    something of it is due. So one busy kind among a hundred fills nearly the whole batch, and a kind that was quiet is
    served at the next lock. `turn` rotates the order: if there are more kinds than room, each has its turn.

    `caps` bounds kinds that have a limit: none gets more than its cap, a cap of 0 leaves the kind out, and the other kinds
    get what it cannot use.
    """
    if not kinds or free <= 0:
        return {}
    start = turn % len(kinds)
    order = [kind for kind in (*kinds[start:], *kinds[:start]) if caps.get(kind, 1) > 0][:free]
    rooms = dict.fromkeys(order, 1)
    eager = [kind for kind in order if kind in busy]
    left = _pour(free - len(order), rooms, eager, caps)
    _pour(left, rooms, order, caps)
    return rooms


def _pour(left: int, rooms: dict[str, int], kinds: Sequence[str], caps: Mapping[str, int]) -> int:
    """Add `left` to the rooms of `kinds` in equal shares, up to their caps; return what is left over."""
    while left and (open_kinds := [kind for kind in kinds if rooms[kind] < caps.get(kind, rooms[kind] + 1)]):
        share, rest = divmod(left, len(open_kinds))
        for place, kind in enumerate(open_kinds):
            wanted = share + (place < rest)
            more = min(wanted, caps.get(kind, rooms[kind] + wanted) - rooms[kind])
            rooms[kind] += more
            left -= more
    return left


def next_turn(turn: int, kinds: Sequence[str], rooms: Mapping[str, int], *, is_short: bool) -> int:
    """Return the turn after the one that gave out `rooms`.

    It is the next one; if some kinds had to wait (`is_short`), the one after the last kind visited.
    """
    return turn + (kinds.index([*rooms][-1]) - turn) % len(kinds) + 1 if rooms and is_short else turn + 1


def filled(rooms: Mapping[str, int], locked: Sequence[str]) -> set[str]:
    """Return the kinds of which as many were locked as had room: more of them may be due."""
    return {kind for kind, room in rooms.items() if locked.count(kind) >= room}
