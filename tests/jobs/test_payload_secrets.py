"""No error of the library quotes a payload or a key.

It may end in a log, and that of a run in the store, in the clear.
"""

import copy
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import attrs
import pytest

from duly.jobs import InvalidValue, JobContext, JobRegistry, PayloadKeys, PayloadTooLarge, Task, UnreadablePayload
from duly.jobs.base import TypedCall
from duly.jobs.cipher import MARK, PayloadAddress, StoredPayload
from duly.jobs.payload import check_payload
from duly.jobs.typed import PayloadCodec, encode_payload

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECRET = "4111 1111"  # noqa: S105 - a payload
KEY = b"kept to yourself"
HERE = PayloadAddress("default", "t", "k")

IMPORT_ALL = """
import sys
import duly.jobs, duly.scheduler, duly.stores, duly.triggers
print([name for name in ("cattrs", "cryptography") if name in sys.modules])
"""


class Colour(StrEnum):
    """Texts."""

    RED = "red"


@attrs.frozen
class Account:
    """A payload."""

    name: str = ""
    limits: dict[str, int] = attrs.field(factory=dict)
    colours: tuple[Colour, ...] = ()


def a_codec(payload_type: type = Account) -> PayloadCodec:
    """How its payloads are written."""
    jobs = JobRegistry()

    def nothing(ctx: JobContext, payload: object) -> None:
        """Do nothing."""

    jobs.job("k", payload_type=payload_type)(nothing)
    codec = jobs.get("k").codec
    assert codec is not None
    return codec


def a_task(payload: Any) -> Task:  # noqa: ANN401 - what a program may give
    """A task."""
    return Task(slug="t", kind="k", run_at=NOON, anchor=NOON, payload=payload)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: check_payload(SECRET.encode(), limit=3),
        lambda: check_payload(cast("bytes", SECRET)),
        lambda: check_payload(MARK + SECRET.encode()),
        lambda: encode_payload(cast("bytes", SECRET), 1, "k", None),
        lambda: encode_payload(cast("bytes", SECRET), 1, "k", a_codec()),
        lambda: a_task(SECRET),
        lambda: a_task(b"").then(payload=cast("bytes", Account(SECRET))),
        lambda: a_codec().encode(Account(name=cast("str", [SECRET]))),
        lambda: a_codec().encode(Account(colours=(cast("Colour", SECRET),))),
        lambda: a_codec().encode(Account(limits={SECRET: cast("int", "none")})),
    ],
)
def test_a_payload_that_is_refused_is_not_quoted(refused: Callable[[], object]) -> None:
    """Nor is it in the rest of the traceback, which is kept as the error of a run.

    A job may have scheduled it, or returned it.
    """
    with pytest.raises(InvalidValue) as caught:
        refused()

    told = "".join(line for line in traceback.format_exception(caught.value) if not line.lstrip().startswith("File "))
    assert SECRET not in told
    assert caught.value.value != SECRET


def test_a_payload_that_is_too_large_tells_its_size() -> None:
    """In bytes, beside the limit."""
    with pytest.raises(PayloadTooLarge, match=r"payload 'bytes': expected at most 3 bytes, this has 9") as caught:
        check_payload(SECRET.encode(), limit=3)

    assert (caught.value.size, caught.value.limit) == (9, 3)


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b'{"limits":{"4111 1111":"none"}}', "expected int @ the payload.limits[...]"),
        (b'{"colours":["red","4111 1111"]}', "expected Colour @ the payload.colours[1]"),
    ],
)
def test_the_keys_of_a_mapping_are_not_told(payload: bytes, where: str) -> None:
    """They are values as much as what they lead to; the place in a list is told."""
    with pytest.raises(UnreadablePayload) as caught:
        a_codec().decode(payload, 1)

    assert where in str(caught.value)
    assert SECRET not in str(caught.value)


def test_of_many_problems_a_few_are_told() -> None:
    """The note stands in the task, and in every event."""
    with pytest.raises(UnreadablePayload) as caught:
        a_codec().decode(b'{"colours":[%s]}' % b",".join([b"0"] * 1000), 1)

    assert str(caught.value).count("expected Colour") == 5


@pytest.mark.parametrize(
    ("keys", "newest"),
    [
        ({"k": KEY}, KEY),
        ({KEY: "k"}, "k"),
        ({"k": KEY + b"+"}, "k"),
        ({"k": KEY}, [KEY]),
    ],
)
def test_a_key_that_is_in_the_wrong_place_is_not_quoted(keys: Any, newest: Any) -> None:  # noqa: ANN401 - what a program may give
    """Taken for an id, or of another length."""
    with pytest.raises(InvalidValue) as caught:
        PayloadKeys(keys, newest=newest)

    assert "kept to yourself" not in str(caught.value)
    assert KEY not in (caught.value.value, [caught.value.value])


def test_whether_encryption_is_required_is_a_yes_or_a_no() -> None:
    """The text "no" would be a yes."""
    with pytest.raises(InvalidValue, match="require 'no': expected True or False"):
        PayloadKeys({"k": KEY}, newest="k", require=cast("bool", "no"))


def test_a_call_does_not_show_its_payload() -> None:
    """It may be printed by whoever looks into an executor."""
    assert SECRET not in repr(TypedCall(kind="k", function=print, value=Account(SECRET)))


# -- what a store returned


def test_a_payload_that_cannot_be_read_is_not_scheduled() -> None:
    """Somebody looked at one task, and gives its payload to another: what they have is ciphertext."""
    opened = PayloadKeys({"other": KEY}, newest="other").open(PayloadKeys({"k": KEY}, newest="k").seal(SECRET.encode(), HERE), HERE)

    with pytest.raises(InvalidValue, match="payload of task 't': expected one that can be read: it is encrypted with key 'k'"):
        check_payload(opened)


def test_a_payload_that_is_scheduled_is_plain_bytes() -> None:
    """What another scheduler's store was like is not passed on."""
    keys = PayloadKeys({"k": KEY}, newest="k")

    checked = check_payload(keys.open(keys.seal(b"anvil", HERE), HERE))

    assert (type(checked), checked) == (bytes, b"anvil")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, bytes, lambda payload: payload + b"", lambda payload: payload[:]])
def test_a_copy_of_a_payload_is_plain_bytes(copied: Callable[[bytes], bytes]) -> None:
    """Only in its very task does it know how it is stored."""
    copy_of = copied(StoredPayload.of(b"anvil", b"stored", HERE, key_id="k"))

    assert (type(copy_of), copy_of) == (bytes, b"anvil")


def test_importing_the_library_imports_no_extra() -> None:
    """Neither of the two, which take their time."""
    ran = subprocess.run([sys.executable, "-P", "-c", IMPORT_ALL], check=True, capture_output=True, text=True)

    assert ran.stdout.strip() == "[]"
