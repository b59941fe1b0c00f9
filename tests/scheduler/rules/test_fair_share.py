"""How a node shares its room out among kinds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.scheduler.rules.fair_share import filled, next_turn, share_out

KINDS = ("a", "b", "c", "d")

TABLE: list[tuple[str, int, tuple[str, ...], set[str], int, dict[str, int]]] = [
    ("no kinds", 5, (), set(), 0, {}),
    ("no room", 0, KINDS, set(), 0, {}),
    ("less than no room", -2, KINDS, {"a"}, 0, {}),
    ("one kind", 5, ("a",), set(), 3, {"a": 5}),
    ("all quiet", 8, KINDS, set(), 0, {"a": 2, "b": 2, "c": 2, "d": 2}),
    ("all busy", 8, KINDS, set(KINDS), 0, {"a": 2, "b": 2, "c": 2, "d": 2}),
    ("one busy", 100, KINDS, {"c"}, 0, {"a": 1, "b": 1, "c": 97, "d": 1}),
    ("two busy", 13, KINDS, {"b", "d"}, 0, {"a": 1, "b": 6, "c": 1, "d": 5}),
    ("what is left goes to the first in turn", 6, KINDS, set(), 3, {"d": 2, "a": 2, "b": 1, "c": 1}),
    ("less room than kinds", 3, KINDS, set(), 0, {"a": 1, "b": 1, "c": 1}),
    ("less room than kinds, later", 3, KINDS, {"b"}, 2, {"c": 1, "d": 1, "a": 1}),
    ("a busy kind whose turn it is not", 1, KINDS, {"a"}, 1, {"b": 1}),
    ("a busy kind that is not known any more", 8, KINDS, {"gone"}, 0, {"a": 2, "b": 2, "c": 2, "d": 2}),
]


@pytest.mark.parametrize(("free", "kinds", "busy", "turn", "expected"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_room_is_shared_out(free: int, kinds: tuple[str, ...], busy: set[str], turn: int, expected: dict[str, int]) -> None:
    """In the order in which the kinds are to be visited."""
    rooms = share_out(free, kinds, busy, turn)

    assert list(rooms.items()) == list(expected.items())


kinds = st.integers(0, 30).map(lambda count: tuple(f"kind {number}" for number in range(count)))
frees = st.integers(-3, 200)
turns = st.integers(0, 10_000)


@given(frees, kinds, st.data(), turns)
def test_the_room_is_all_given_away_and_no_more(free: int, kinds: tuple[str, ...], data: st.DataObject, turn: int) -> None:
    """To known kinds, at least one each, and never a place to two kinds."""
    busy = data.draw(st.sets(st.sampled_from(kinds))) if kinds else set()

    rooms = share_out(free, kinds, busy, turn)

    assert sum(rooms.values()) == (max(0, free) if kinds else 0)
    assert set(rooms) <= set(kinds)
    assert all(room >= 1 for room in rooms.values())
    assert len(rooms) == min(len(kinds), max(0, free))
    assert list(rooms.items()) == list(share_out(free, kinds, busy, turn).items()), "the same question has the same answer"


@given(st.integers(1, 60), kinds.filter(bool), st.data(), turns)
def test_busy_kinds_get_nearly_the_same_share(free: int, kinds: tuple[str, ...], data: st.DataObject, turn: int) -> None:
    """None more than one place above another, and each at least what a quiet one gets."""
    busy = data.draw(st.sets(st.sampled_from(kinds), min_size=1))

    rooms = share_out(free, kinds, busy, turn)
    shares = [room for kind, room in rooms.items() if kind in busy]

    if shares:
        assert max(shares) - min(shares) <= 1
        assert all(rooms[kind] == 1 for kind in rooms if kind not in busy)


@given(st.lists(st.integers(1, 40), min_size=30, max_size=30), kinds.filter(bool), turns)
def test_with_one_turn_a_lock_every_kind_is_visited_in_as_many_turns_as_there_are_kinds(
    frees: list[int], kinds: tuple[str, ...], turn: int
) -> None:
    """However the room changes from lock to lock."""
    visited = {kind for number in range(len(kinds)) for kind in share_out(frees[number], kinds, set(), turn + number)}

    assert visited == set(kinds)


@given(st.integers(1, 40), kinds.filter(bool), turns)
def test_with_a_turn_for_each_kind_visited_none_waits_longer_than_it_must(free: int, kinds: tuple[str, ...], turn: int) -> None:
    """The whole round takes `kinds / free` locks, rounded up."""
    visited: set[str] = set()
    for _ in range(-(-len(kinds) // free)):
        rooms = share_out(free, kinds, set(), turn)
        visited.update(rooms)
        turn += len(rooms)

    assert visited == set(kinds)


def test_the_order_rotates() -> None:
    """So that no kind is always the first."""
    assert [next(iter(share_out(8, KINDS, set(), turn))) for turn in range(6)] == ["a", "b", "c", "d", "a", "b"]


FILLED: list[tuple[dict[str, int], list[str], set[str]]] = [
    ({}, [], set()),
    ({"a": 1, "b": 1}, [], set()),
    ({"a": 1, "b": 2}, ["a", "b"], {"a"}),
    ({"a": 1, "b": 2}, ["b", "b"], {"b"}),
    ({"a": 1, "b": 2}, ["b", "a", "b"], {"a", "b"}),
]


@pytest.mark.parametrize(("rooms", "locked", "expected"), FILLED)
def test_a_kind_that_filled_its_share_may_have_more(rooms: dict[str, int], locked: list[str], expected: set[str]) -> None:
    """It is busy until it does not."""
    assert filled(rooms, locked) == expected


CAPPED: list[tuple[str, int, set[str], int, dict[str, int], dict[str, int]]] = [
    ("a cap above the share changes nothing", 8, set(), 0, {"a": 5}, {"a": 2, "b": 2, "c": 2, "d": 2}),
    ("what a kind cannot take goes to the others", 8, set(), 0, {"a": 1}, {"a": 1, "b": 3, "c": 2, "d": 2}),
    ("a kind without room is left out", 8, set(), 0, {"a": 0}, {"b": 3, "c": 3, "d": 2}),
    ("less than no room is none", 8, set(), 0, {"a": -3}, {"b": 3, "c": 3, "d": 2}),
    ("a busy kind at its limit does not idle the node", 100, {"c"}, 0, {"c": 2}, {"a": 33, "b": 33, "c": 2, "d": 32}),
    ("two caps after one another", 20, set(), 0, {"a": 3, "b": 5}, {"a": 3, "b": 5, "c": 6, "d": 6}),
    ("all at their caps", 20, set(), 0, dict.fromkeys(KINDS, 2), {"a": 2, "b": 2, "c": 2, "d": 2}),
    ("nobody has room", 20, {"a"}, 0, dict.fromkeys(KINDS, 0), {}),
    ("a kind without room takes nobody's turn", 2, set(), 0, {"a": 0, "b": 0}, {"c": 1, "d": 1}),
]


@pytest.mark.parametrize(("free", "busy", "turn", "caps", "expected"), [case[1:] for case in CAPPED], ids=[case[0] for case in CAPPED])
def test_a_kind_gets_no_more_than_its_own_limit_leaves(
    free: int, busy: set[str], turn: int, caps: dict[str, int], expected: dict[str, int]
) -> None:
    """In the order in which the kinds are to be visited."""
    assert list(share_out(free, KINDS, busy, turn, caps).items()) == list(expected.items())


@given(frees, kinds, st.data(), turns)
def test_no_room_is_wasted_that_some_kind_could_take(free: int, kinds: tuple[str, ...], data: st.DataObject, turn: int) -> None:
    """And no kind gets more than its cap."""
    busy = data.draw(st.sets(st.sampled_from(kinds))) if kinds else set()
    caps = data.draw(st.dictionaries(st.sampled_from(kinds), st.integers(-2, 60))) if kinds else {}

    rooms = share_out(free, kinds, busy, turn, caps)

    assert all(1 <= room <= caps.get(kind, room) for kind, room in rooms.items())
    could_take = sum(max(0, caps.get(kind, max(0, free))) for kind in kinds)
    assert sum(rooms.values()) == min(max(0, free), could_take)


@given(st.integers(1, 40), kinds.filter(bool), st.data(), turns)
def test_every_kind_with_room_is_visited_in_one_round_beside_kinds_at_their_limit(
    free: int, kinds: tuple[str, ...], data: st.DataObject, turn: int
) -> None:
    """A round takes as many locks as the room needs for those kinds: the kinds at their limit cost none."""
    full = data.draw(st.sets(st.sampled_from(kinds)))
    eligible = set(kinds) - full
    visited: set[str] = set()
    for _ in range(-(-len(eligible) // free)):
        rooms = share_out(free, kinds, set(), turn, dict.fromkeys(full, 0))
        visited.update(rooms)
        turn = next_turn(turn, kinds, rooms, is_short=len(eligible) > len(rooms))

    assert visited == eligible


@pytest.mark.parametrize(
    ("turn", "rooms", "is_short", "expected"),
    [
        (5, {}, False, 6),
        (5, {}, True, 6),
        (5, {"b": 1, "c": 1}, False, 6),
        (5, {"b": 1, "d": 1}, True, 8),
        (5, {"a": 1}, True, 9),
        (4, {"a": 1}, True, 5),
    ],
)
def test_the_next_turn_begins_after_the_last_kind_visited(turn: int, rooms: dict[str, int], *, is_short: bool, expected: int) -> None:
    """If some had to wait; else with the next kind."""
    assert next_turn(turn, KINDS, rooms, is_short=is_short) == expected
