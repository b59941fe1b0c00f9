"""Payloads with a class.

Written when a task is scheduled, read before its job is called, and refused where they do not fit.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import attrs
import pytest

from duly.jobs import InvalidJob, InvalidPayload, InvalidValue, JobContext, JobRegistry, Task, TypedJob, UnreadablePayload
from duly.jobs.base import is_async
from duly.jobs.registered import RegisteredJob
from duly.jobs.typed import PayloadCodec, codec_of, encode_payload
from support.contexts import context

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


WITHOUT_CATTRS = """
import sys
sys.modules["cattrs"] = None
from attrs import frozen
from duly.jobs import JobRegistry, MissingExtra
try:
    JobRegistry().job("k", payload_type=frozen(type("Order", (), {})))(lambda ctx, order: None)
except MissingExtra as error:
    print(error.extra)
"""


class Colour(StrEnum):
    """Texts."""

    RED = "red"


class Size(IntEnum):
    """Numbers."""

    SMALL = 1


@attrs.frozen
class Order:
    """A payload."""

    item: str
    quantity: int = 1


@attrs.frozen
class Special(Order):
    """A subclass of it."""


@dataclass(frozen=True)
class Parcel:
    """A payload of all that JSON has no form of."""

    order: Order
    colour: Colour
    size: Size
    price: Decimal
    id: UUID
    sent: datetime
    within: timedelta
    weight: float | None
    picture: bytes
    tags: tuple[str, ...]


class Ship(TypedJob[Order]):
    """A job with a class of payloads."""

    kind = "ship"

    async def execute(self, ctx: JobContext, task: Task, order: Order, /) -> Task | None:
        """Keep twice as much for the next run."""
        return self.with_payload(task, attrs.evolve(order, quantity=2 * order.quantity))


class Upgrading(Ship):
    """Its third version, which knows the others."""

    payload_version = 3

    def upgrade(self, version: int, data: Any, /) -> Any:  # noqa: ANN401 - JSON
        """Go step by step."""
        if version == 1:
            data, version = {"name": data["what"]}, 2
        return {"item": data["name"], "quantity": 7}


def do_nothing(ctx: JobContext, order: object) -> None:
    """A function with a class of payloads."""


def do_too_much(ctx: JobContext, task: Task, order: object, more: object) -> None:
    """A function that cannot be called."""


def a_task(payload: bytes, version: int = 1) -> Task:
    """A task of the kind `ship`."""
    return Task(slug="t", kind="ship", payload=payload, payload_version=version, run_at=NOON, anchor=NOON)


def a_codec(payload_type: type = Order, **settings: Any) -> PayloadCodec:  # noqa: ANN401 - any field
    """A codec for a class."""
    jobs = JobRegistry()
    jobs.job("k", payload_type=payload_type, **settings)(do_nothing)
    codec = jobs.get("k").codec
    assert codec is not None
    return codec


def registered(job: TypedJob[Any]) -> RegisteredJob:
    """What a registry makes of a job."""
    jobs = JobRegistry()
    jobs.register_job(job)
    return jobs.get(job.kind)


# -- written and read


def test_an_attrs_object_is_written_as_json() -> None:
    """UTF-8, without blanks: any language can write it."""
    assert a_codec().encode(Order("Ämter")) == '{"item":"Ämter","quantity":1}'.encode()


def test_what_was_written_is_read_again() -> None:
    """Nested classes, enumerations, instants, spans, decimals, ids, bytes and unions."""
    parcel = Parcel(Order("a"), Colour.RED, Size.SMALL, Decimal("1.10"), UUID(int=3), NOON, timedelta(hours=1.5), None, b"\x00\xff", ("x",))
    codec = a_codec(Parcel)

    read = codec.decode(codec.encode(parcel), 1)

    assert read == parcel
    assert isinstance(read, Parcel)
    assert (type(read.size), type(read.colour), type(read.order)) == (Size, Colour, Order)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "it is no JSON"),
        (b"\xff\x00\x01", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b'["a"]', "it is no JSON object"),
        (b"null", "it is no JSON object"),
        (b'{"item":"secret","quantity":NaN}', "it is no JSON"),
        (b"{}", "a field is missing @ the payload.item"),
        (b'{"item":"secret","quantity":"secret"}', "expected int @ the payload.quantity"),
        (b'{"item":"secret","quantity":true}', "expected int @ the payload.quantity"),
        (b'{"item":5}', "expected str @ the payload.item"),
        (b'{"item":"secret","colour":"red"}', "fields that the class does not have (colour)"),
    ],
)
def test_what_does_not_fit_is_refused_without_telling_its_values(payload: bytes, problem: str) -> None:
    """Nothing is made to fit, and a note in the store never holds what may be encrypted there."""
    with pytest.raises(UnreadablePayload) as caught:
        a_codec().decode(payload, 1)

    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_class_that_refuses_its_values_is_not_quoted() -> None:
    """The error of a validator may hold the value."""

    @attrs.define
    class Careful:
        item: str = attrs.field()

        @item.validator
        def _check(self, _: object, value: str) -> None:
            if value != "anvil":
                raise ValueError(value)

    with pytest.raises(UnreadablePayload) as caught:
        a_codec(Careful).decode(b'{"item":"secret"}', 1)

    assert "secret" not in str(caught.value)


# -- versions


def test_a_newer_version_is_not_read() -> None:
    """Although it might fit: what its fields mean is not known here."""
    with pytest.raises(UnreadablePayload, match=r"it is of version 2, and this node reads up to version 1"):
        a_codec().decode(b'{"item":"a"}', 2)


@pytest.mark.parametrize(("version", "data"), [(1, {"what": "anvil"}), (2, {"name": "anvil"})])
def test_an_older_version_is_upgraded(version: int, data: dict[str, str]) -> None:
    """From wherever it stands."""
    assert codec_of(Upgrading()).decode(json.dumps(data).encode(), version) == Order("anvil", 7)


def test_an_older_version_without_an_upgrade_is_not_read() -> None:
    """Nobody said what it is in today's form."""
    with pytest.raises(UnreadablePayload, match=r"of version 1, and its job does not upgrade to version 2"):
        a_codec(payload_version=2).decode(b'{"item":"a"}', 1)


def test_an_upgrade_that_raises_makes_the_payload_unreadable() -> None:
    """It is told what went wrong."""
    with pytest.raises(UnreadablePayload, match=r"its upgrade from version 1 failed: KeyError: 'what'"):
        codec_of(Upgrading()).decode(b"{}", 1)


def test_an_upgrade_to_what_does_not_fit_makes_the_payload_unreadable() -> None:
    """What the hook returns is checked like any other."""

    def emptied(version: int, data: object) -> dict[str, str]:
        return {}

    with pytest.raises(UnreadablePayload, match=r"a field is missing"):
        a_codec(payload_version=2, upgrade=emptied).decode(b"{}", 1)


def test_a_function_has_versions_as_well() -> None:
    """Named where it is registered."""

    def named(version: int, data: str) -> dict[str, str]:
        return {"item": f"{data} of {version}"}

    codec = a_codec(payload_version=2, upgrade=named)

    assert codec.decode(b'"anvil"', 1) == Order("anvil of 1")


# -- scheduling


def test_an_object_is_encoded_with_the_version_of_its_class() -> None:
    """Whatever else was said."""
    assert encode_payload(Order("a"), 1, "ship", codec_of(Upgrading())) == (b'{"item":"a","quantity":1}', 3)


def test_bytes_stay_as_they_are() -> None:
    """Also such as cannot be read: another node may have another class."""
    assert encode_payload(b"anything", 2, "ship", codec_of(Ship())) == (b"anything", 2)


def test_an_object_of_another_class_is_refused_by_both_names() -> None:
    """The payload itself is not told."""
    with pytest.raises(InvalidPayload, match=r"payload of job 'ship' '.*Parcel.*': expected .*Order") as caught:
        codec_of(Ship()).encode(object.__new__(Parcel))

    assert caught.value.kind == "ship"


def test_an_object_of_a_subclass_is_refused() -> None:
    """It would come back as another."""
    with pytest.raises(InvalidPayload, match="Special"):
        codec_of(Ship()).encode(Special("a"))


def test_an_object_for_a_kind_without_a_class_is_refused() -> None:
    """Nothing says how to write it."""
    with pytest.raises(InvalidPayload, match="expected bytes"):
        encode_payload(Order("a"), 1, "plain", None)


def test_no_payload_at_all_is_refused_where_there_must_be_one() -> None:
    """No bytes are no JSON, so that the task could never run."""
    with pytest.raises(InvalidPayload, match=r"'none': expected .*Order"):
        encode_payload(b"", 1, "ship", codec_of(Ship()))


def test_what_could_not_be_read_again_is_refused() -> None:
    """An object whose fields are not what they say."""
    with pytest.raises(InvalidPayload, match=r"one that can be read again: .* expected int @ the payload.quantity"):
        codec_of(Ship()).encode(Order("a", quantity="many"))  # type: ignore[arg-type]  # as a program without a checker might


def test_what_json_cannot_say_is_refused() -> None:
    """A number that is none, and a text that UTF-8 cannot hold."""

    @attrs.frozen
    class Weight:
        kilograms: float
        label: str = ""

    for value in (Weight(float("nan")), Weight(1.0, "\ud800")):
        with pytest.raises(InvalidPayload, match="one that can be written as JSON"):
            a_codec(Weight).encode(value)


def test_a_job_keeps_another_payload_for_its_next_run() -> None:
    """Encoded, with its version."""
    task = Upgrading().with_payload(a_task(b"{}"), Order("b", 2))

    assert (task.payload, task.payload_version) == (b'{"item":"b","quantity":2}', 3)


# -- registering


def test_a_missing_package_is_named() -> None:
    """By the extra that brings it."""
    ran = subprocess.run([sys.executable, "-P", "-c", WITHOUT_CATTRS], check=True, capture_output=True, text=True)

    assert ran.stdout.strip() == "typed"


def test_the_class_is_taken_from_the_base() -> None:
    """Also by a subclass of the job."""
    assert (codec_of(Ship()).payload_type, codec_of(Upgrading()).payload_type) == (Order, Order)


def test_the_class_may_be_said() -> None:
    """For a job that is generic itself."""

    class Anything(TypedJob[Any]):
        kind = "anything"
        payload_type = Order

        def execute(self, ctx: JobContext, task: Task, payload: Any, /) -> Task | None:  # noqa: ANN401 - anything
            """Do nothing."""

    assert codec_of(Anything()).payload_type is Order


@pytest.mark.parametrize("payload_type", [dict, str, "Order", list[Order]])
def test_a_payload_is_an_attrs_class_or_a_dataclass(payload_type: Any) -> None:  # noqa: ANN401 - anything
    """What else it might be has no versions to speak of."""
    with pytest.raises(InvalidValue, match="expected an attrs class or a dataclass"):
        JobRegistry().job("k", payload_type=payload_type)(do_nothing)


@pytest.mark.parametrize("function", [dict, str.upper, do_too_much, "no function"])
def test_a_function_takes_its_payload(function: Any) -> None:  # noqa: ANN401 - any function
    """As the second argument, or as the third."""
    with pytest.raises(InvalidJob, match=r"expected a function of \(ctx, payload\) or \(ctx, task, payload\)"):
        JobRegistry().job("k", payload_type=Order)(function)


@pytest.mark.parametrize("takes_task", [True, False])
def test_the_payload_is_handed_to_the_function(takes_task: bool) -> None:  # noqa: FBT001 - a case
    """With the task, or without; returning nothing carries on."""
    got: list[object] = []

    def without(ctx: JobContext, order: Order) -> None:
        got.append(order)

    def with_task(ctx: JobContext, task: Task, order: Order) -> None:
        got.append(order)

    jobs, task = JobRegistry(), a_task(b'{"item":"a"}')
    jobs.job("k", payload_type=Order)(with_task if takes_task else without)

    returned = jobs.get("k").reading(task).job.execute(context(task), task)

    assert got == [Order("a")]
    assert returned is task


def test_a_method_that_returns_nothing_has_its_task_removed() -> None:
    """As with any other class of jobs."""

    class Once(TypedJob[Order]):
        kind = "once"

        def execute(self, ctx: JobContext, task: Task, order: Order, /) -> Task | None:
            """Do nothing."""

    task = a_task(b'{"item":"a"}')

    assert registered(Once()).reading(task).job.execute(context(task), task) is None


def test_a_coroutine_is_still_seen_to_be_one() -> None:
    """It runs in the event loop."""
    assert is_async(registered(Ship()).job)


def test_a_declared_task_has_an_object_too() -> None:
    """Encoded when the function is registered."""
    jobs = JobRegistry()
    jobs.scheduled("k", trigger="@daily", payload=Order("a"), payload_type=Order, payload_version=2)(do_nothing)

    (declared,) = jobs.declared

    assert (declared.payload, declared.payload_version) == (b'{"item":"a","quantity":1}', 2)


def test_a_declared_task_without_its_payload_is_refused() -> None:
    """At once, and not when a scheduler starts."""
    with pytest.raises(InvalidPayload):
        JobRegistry().scheduled("k", trigger="@daily", payload_type=Order)(do_nothing)
