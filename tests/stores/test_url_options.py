"""Our options in the query of a store's URL."""

from datetime import timedelta

import pytest

from duly.stores import InvalidStoreURL
from duly.stores.url_options import COUNT, SPAN, SPAN_OR_NONE, Option, read_options, split_options


@pytest.mark.parametrize(
    ("url", "rest", "taken"),
    [
        ("s://h", "s://h", {}),
        ("s://h?a=1", "s://h", {"a": "1"}),
        ("s://h?b=2&a=1&c", "s://h?b=2&c", {"a": "1"}),
        ("s://h?a=1&a=1%20h", "s://h", {"a": "1 h"}),
        ("s://h?aa=1", "s://h?aa=1", {}),
    ],
)
def test_our_options_are_taken_out_and_the_rest_stays(url: str, rest: str, taken: dict[str, str]) -> None:
    """As it was written, for the driver to read."""
    assert split_options(url, {"a"}) == (rest, taken)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        (COUNT, "1", 1),
        (COUNT, "10000", 10_000),
        (SPAN, "2", timedelta(seconds=2)),
        (SPAN, "0.25", timedelta(seconds=0.25)),
        (SPAN, "1m30s", timedelta(seconds=90)),
        (SPAN, "24h", timedelta(days=1)),
        (SPAN_OR_NONE, "none", None),
        (SPAN_OR_NONE, "5s", timedelta(seconds=5)),
    ],
)
def test_an_option_is_read(option: Option, text: str, value: object) -> None:
    """A number of seconds, or with a unit."""
    assert read_options("s://h", {"a": text}, {"a": option}) == {"a": value}


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *((COUNT, text) for text in ("", "0", "-1", "1.5", "10001", "٣")),
        *((SPAN, text) for text in ("", "0", "-1s", "0s", "1 month", "2 days", "25h", "soon", "none", "1e3")),
        (SPAN_OR_NONE, "None"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused(option: Option, text: str) -> None:
    """By its name, with what is expected."""
    with pytest.raises(InvalidStoreURL, match=r"expected a= (a whole number|a length of time)"):
        read_options("s://h", {"a": text}, {"a": option})
