"""What a function returns, as the text of its result."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from duly.jobs.results import result_text
from duly.jobs.storable import TEXT_LIMIT


class Colour(StrEnum):
    """A text with a class of its own."""

    RED = "red"


class Shouting(str):
    """A text that says itself in another way."""

    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("nobody asks it")


class Broken(dict[str, int]):
    """A mapping that cannot be read."""

    def items(self) -> Any:  # noqa: ANN401 - it never returns
        """Fail."""
        raise OSError("no items")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("done", "done"),
        ("", ""),
        (Colour.RED, "red"),
        (Shouting("quiet"), "quiet"),
        (42, "42"),
        (False, "false"),
        (0.5, "0.5"),
        ({"rows": 3, "names": ["é", None]}, '{"rows": 3, "names": ["é", null]}'),
        ((1, 2), "[1, 2]"),
        (float("nan"), "float"),
        (10**5000, "int"),
        (Decimal("1.5"), "decimal.Decimal"),
        (datetime(2030, 1, 1, tzinfo=UTC), "datetime.datetime"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, "dict"),
        (Broken(a=1), f"{__name__}.Broken"),
        (b"bytes", "bytes"),
    ],
    ids=lambda each: repr(type(each).__name__),
)
def test_a_value_is_told_as_text_as_json_or_by_its_class(value: object, expected: str | None) -> None:
    """In this order, and never by an error."""
    assert result_text(value) == expected


def test_a_value_that_contains_itself_is_told_by_its_class() -> None:
    """As is one that lies too deep in itself to be written."""
    inside: list[object] = []
    inside.append(inside)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert result_text(inside) == "list"
    assert result_text(deep) == "list"


def test_a_great_value_is_cut_and_not_written_whole() -> None:
    """A result has at most 64 KiB, and only as much of the value is looked at."""
    looked_at = 0

    class Endless(list[int]):
        def __iter__(self) -> Iterator[int]:
            nonlocal looked_at
            while True:
                looked_at += 1
                yield looked_at

    for value in ("x" * 10 * TEXT_LIMIT, Endless([1]), {"é" * TEXT_LIMIT: 1}):
        text = result_text(value)
        assert text is not None
        assert len(text.encode()) <= TEXT_LIMIT
        assert text.endswith("[cut]")
    assert looked_at < TEXT_LIMIT


def test_what_no_store_keeps_is_escaped() -> None:
    """NUL and lone surrogates, in a text as in JSON."""
    assert result_text("a\x00b\ud800") == "a\\x00b\\ud800"
    assert json.loads(result_text(["a\x00b"]) or "") == ["a\x00b"]
    assert result_text(["\ud800"]) == '["\\ud800"]'
