"""Payloads with a class where it is close.

JSON of others, deep JSON, classes that nobody can tell from their bases.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar

import attrs
import pytest
from cattrs import Converter

from duly.jobs import InvalidValue, JobContext, JobRegistry, Task, TypedJob, UnreadablePayload
from duly.jobs.typed import PayloadCodec, codec_of

P = TypeVar("P")
Q = TypeVar("Q")


@attrs.frozen
class Order:
    """A payload."""

    item: str
    quantity: int = 1


@attrs.frozen
class Parcel:
    """Another."""

    parts: "list[Parcel]" = attrs.field(factory=list)


def nothing(ctx: JobContext, payload: object) -> None:
    """Do nothing."""


def upgraded(version: int, data: object) -> object:
    """Find the same in every version."""
    return data


def a_codec(payload_type: Any = Order) -> PayloadCodec:  # noqa: ANN401 - a class
    """How its payloads are written and read."""
    jobs = JobRegistry()
    jobs.job("k", payload_type=payload_type)(nothing)
    codec = jobs.get("k").codec
    assert codec is not None
    return codec


@pytest.mark.parametrize("payload", [b'{"within":true}', b'{"within":"1"}', b'{"weight":Infinity}', b'{"weight":true}'])
def test_numbers_are_numbers(payload: bytes) -> None:
    """Truth is none, nor is what only Python takes for JSON."""

    @attrs.frozen
    class Measure:
        within: timedelta = timedelta(0)
        weight: float = 0.0

    with pytest.raises(UnreadablePayload):
        a_codec(Measure).decode(payload, 1)


@pytest.mark.parametrize(
    "payload", [b'\xef\xbb\xbf{"item": "a"}', '{"item": "a"}'.encode("utf-16"), b'\r\n{ "quantity" : 1 , "item" : "\\u0061" }']
)
def test_json_of_other_programs_is_read(payload: bytes) -> None:
    """With blanks, escapes, and marks of its encoding."""
    assert a_codec().decode(payload, 1) == Order("a")


@pytest.mark.parametrize("depth", [10, 100, 300, 1000, 10_000])
@pytest.mark.parametrize("inmost", ["{}", '{"parts":5}'])
def test_json_within_json_is_read_or_unreadable_however_deep(depth: int, inmost: str) -> None:
    """Nothing else comes of it, whatever Python's limit of recursion is."""
    codec, payload = a_codec(Parcel), '{"parts":[' * depth + inmost + "]}" * depth
    try:
        read = codec.decode(payload.encode(), 1)
    except UnreadablePayload:
        assert inmost != "{}" or depth >= 300
    else:
        assert inmost == "{}"
        assert isinstance(read, Parcel)


def test_of_several_parameters_none_is_taken_for_the_class() -> None:
    """The first might be anything; the class is to be said."""

    class Fetching(TypedJob[P], Generic[Q, P]):
        kind = "fetching"

        def execute(self, ctx: JobContext, task: Task, payload: P, /) -> Task | None:
            """Do nothing."""

    class Unsaid(Fetching[Parcel, Order]):
        pass

    class Said(Fetching[Parcel, Order]):
        payload_type = Order

    with pytest.raises(InvalidValue, match="payload_type None: expected an attrs class"):
        JobRegistry().register_job(Unsaid())
    assert codec_of(Said()).payload_type is Order


def test_an_upgrade_without_a_class_is_refused() -> None:
    """It would never be called."""
    with pytest.raises(InvalidValue, match="expected a payload_type beside it"):
        JobRegistry().job("k", upgrade=upgraded)(nothing)


def test_a_parameter_of_another_base_is_not_taken_for_the_class() -> None:
    """Only that of a `TypedJob`, wherever it stands among the bases."""

    class Queue(Generic[Q]):
        pass

    class Ship(TypedJob[Order], Queue[Parcel]):
        kind = "ship"

        def execute(self, ctx: JobContext, task: Task, payload: Order, /) -> Task | None:
            """Do nothing."""

    class Reversed(Queue[Parcel], TypedJob[Order]):
        kind = "reversed"

        def execute(self, ctx: JobContext, task: Task, payload: Order, /) -> Task | None:
            """Do nothing."""

    assert (codec_of(Ship()).payload_type, codec_of(Reversed()).payload_type) == (Order, Order)


@attrs.frozen
class Measures:
    """A payload of numbers, and of what is kept as text."""

    weight: float = 0.0
    is_heavy: bool = False
    price: Decimal = Decimal(0)


def test_a_whole_number_is_read_as_what_the_class_says() -> None:
    """JSON has one kind of numbers."""
    read = a_codec(Measures).decode(b'{"weight":3}', 1)

    assert isinstance(read, Measures)
    assert type(read.weight) is float


@pytest.mark.parametrize("payload", [b'{"is_heavy":1}', b'{"is_heavy":"no"}', b'{"price":1.1}'])
def test_nothing_is_made_to_fit(payload: bytes) -> None:
    """A number is no truth, and a price that went through a float is another."""
    with pytest.raises(UnreadablePayload, match=r"expected (bool|Decimal)"):
        a_codec(Measures).decode(payload, 1)


def test_a_job_may_have_a_converter_of_its_own() -> None:
    """Here a lenient one."""

    class Lenient(TypedJob[Order]):
        kind = "lenient"
        payload_converter = Converter()

        def execute(self, ctx: JobContext, task: Task, payload: Order, /) -> Task | None:
            """Do nothing."""

    assert codec_of(Lenient()).decode(b'{"item":5,"quantity":"2","colour":"red"}', 1) == Order("5", 2)
