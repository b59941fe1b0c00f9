"""The envelope of an encrypted payload.

Known answers, what it is bound to, and what keys that change mean.
"""

import pickle
import subprocess
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from duly.jobs import InvalidValue, PayloadKeys
from duly.jobs.cipher import ENVELOPE_MAX, KEY_ID_MAX, MARK, PayloadAddress, StoredPayload, aes_gcm, decrypted, sealed_problem
from duly.jobs.payload import check_payload

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
HERE = PayloadAddress("default", "ship:17", "ship")
KEYS = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-11")

ENVELOPE = bytes.fromhex("0064756c790001" + "07" + "323032362d3130" + "cafebabefacedbaddecaf888")
"""Of the key `2026-10`, but for the ciphertext."""

WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from duly.jobs import MissingExtra, PayloadKeys
try:
    PayloadKeys({"k": bytes(32)}, newest="k")
except MissingExtra as error:
    print(error.extra)
"""


# Cases 4 and 16 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, to which NIST SP 800-38D refers.
_PLAIN = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
_BOUND = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
_KEY = "feffe9928665731c6d6a8f9467308308"
VECTORS = [
    pytest.param(
        _KEY,
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
        id="128 bits",
    ),
    pytest.param(
        2 * _KEY,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
        id="256 bits",
    ),
]


@pytest.mark.parametrize(("key", "sealed", "tag"), VECTORS)
def test_the_cipher_gives_the_published_answers(key: str, sealed: str, tag: str) -> None:
    """The tag follows the ciphertext."""
    nonce, bound = bytes.fromhex("cafebabefacedbaddecaf888"), bytes.fromhex(_BOUND)

    assert decrypted(aes_gcm(bytes.fromhex(key)), nonce, bytes.fromhex(sealed + tag), bound) == bytes.fromhex(_PLAIN)


def test_an_envelope_is_what_its_description_says() -> None:
    """Put together by hand, it opens: other programs can write one."""
    header, nonce = ENVELOPE[:-12], ENVELOPE[-12:]
    bound = header + b"\0\0\0\x07default" + b"\0\0\0\x07ship:17" + b"\0\0\0\x04ship"

    opened = KEYS.open(ENVELOPE + AESGCM(OLD).encrypt(nonce, b"anvil", bound), HERE)

    assert (opened, opened.key_id, opened.problem) == (b"anvil", "2026-10", None)


def test_an_envelope_of_this_version_opens_for_ever() -> None:
    """These bytes may stand in somebody's store."""
    stored = ENVELOPE + bytes.fromhex("ebcdd64fc6eb1e2578867edb10a11a9fb0b2cd1586")

    assert KEYS.open(stored, HERE) == b"anvil"


@pytest.mark.parametrize("payload", [b"", b"anvil", MARK, bytes(1000)])
def test_what_was_sealed_opens(payload: bytes) -> None:
    """Also nothing at all, and what looks like an envelope."""
    stored = KEYS.seal(payload, HERE)

    assert KEYS.open(stored, HERE) == payload
    assert len(stored) <= len(payload) + ENVELOPE_MAX


def test_the_longest_id_has_room() -> None:
    """The bound on what an envelope adds is exact."""
    key_id = "k" * KEY_ID_MAX

    assert len(PayloadKeys({key_id: OLD}, newest=key_id).seal(b"", HERE)) == ENVELOPE_MAX


def test_the_plain_bytes_are_not_in_the_envelope() -> None:
    """Nor are two envelopes of the same alike: the nonce is new."""
    first, second = KEYS.seal(b"anvil" * 10, HERE), KEYS.seal(b"anvil" * 10, HERE)

    assert b"anvil" not in first
    assert first[-50:] != second[-50:]


@pytest.mark.parametrize(
    "address",
    [
        PayloadAddress("other", "ship:17", "ship"),
        PayloadAddress("default", "ship:18", "ship"),
        PayloadAddress("default", "ship:17", "refund"),
        PayloadAddress("default", "ship:1", "7ship"),
    ],
)
def test_an_envelope_does_not_open_elsewhere(address: PayloadAddress) -> None:
    """It is bound to namespace, slug and kind, and where one ends and the next begins."""
    opened = KEYS.open(KEYS.seal(b"anvil", HERE), address)

    assert opened.problem is not None
    assert "does not open with key '2026-11'" in opened.problem


def test_a_changed_byte_is_found_wherever_it_is() -> None:
    """In the ciphertext, the tag, the nonce or the id of the key.

    Within the mark or the format it is no such envelope.
    """
    stored = KEYS.seal(b"anvil", HERE)

    for address in range(len(MARK), len(stored)):
        changed = stored[:address] + bytes([stored[address] ^ 1]) + stored[address + 1 :]
        opened = KEYS.open(changed, HERE)
        assert opened.problem is not None, address
        assert opened == changed


def test_an_envelope_that_is_cut_short_is_found() -> None:
    """At every length."""
    stored = KEYS.seal(b"anvil", HERE)

    for length in range(len(MARK), len(stored)):
        assert KEYS.open(stored[:length], HERE).problem is not None, length


@pytest.mark.parametrize("key_id", [b"", b"k" * (KEY_ID_MAX + 1), b"a\n", "ü".encode()])
def test_an_envelope_that_names_what_can_be_no_key_is_of_no_known_format(key_id: bytes) -> None:
    """Its id would stand in a note."""
    opened = KEYS.open(MARK + b"\x01" + bytes([len(key_id)]) + key_id + bytes(28), HERE)

    assert opened.problem == "its envelope is of a format that this version does not know, or cut short"


def test_an_envelope_of_a_later_format_is_not_known() -> None:
    """Rather than changed, or another task's."""
    stored = KEYS.seal(b"anvil", HERE)
    later = MARK + b"\x02" + stored[len(MARK) + 1 :]

    assert "of a format that this version does not know" in (KEYS.open(later, HERE).problem or "")
    assert sealed_problem(later) == "it is encrypted, and this node has no keys"


# -- rotation


def test_an_older_key_decrypts_and_the_newest_encrypts() -> None:
    """Read under the one, and written under the other."""
    opened = KEYS.open(PayloadKeys({"2026-10": OLD}, newest="2026-10").seal(b"anvil", HERE), HERE)

    assert (opened, opened.key_id) == (b"anvil", "2026-10")
    written = KEYS.seal(opened, HERE)
    assert PayloadKeys({"2026-11": NEW}, newest="2026-11").open(written, HERE) == b"anvil"


def test_what_was_not_changed_keeps_its_stored_form() -> None:
    """A great payload is not written anew at every fire."""
    stored = KEYS.seal(b"anvil", HERE)

    assert KEYS.seal(KEYS.open(stored, HERE), HERE) == stored


def test_a_copy_for_another_task_is_encrypted_for_that() -> None:
    """As a fire that lives on as a task of its own."""
    there = PayloadAddress("default", "ship:17@noon", "ship")

    copied = KEYS.seal(KEYS.open(KEYS.seal(b"anvil", HERE), HERE), there)

    assert KEYS.open(copied, there) == b"anvil"


def test_a_missing_key_is_named() -> None:
    """What is stored stays as it is, also when it is written back."""
    stored = KEYS.seal(b"anvil", HERE)
    without = PayloadKeys({"2026-10": OLD}, newest="2026-10")

    opened = without.open(stored, HERE)

    assert opened.problem == "it is encrypted with key '2026-11', which this node does not have"
    assert without.seal(opened, HERE) == stored


def test_what_cannot_be_read_is_not_copied_to_another_task() -> None:
    """It would never open there."""
    opened = PayloadKeys({"2026-10": OLD}, newest="2026-10").open(KEYS.seal(b"anvil", HERE), HERE)

    with pytest.raises(InvalidValue, match="which this node does not have"):
        KEYS.seal(opened, PayloadAddress("default", "other", "ship"))


def test_another_key_under_the_same_id_does_not_open() -> None:
    """Two nodes were set up differently."""
    opened = PayloadKeys({"2026-11": OLD}, newest="2026-11").open(KEYS.seal(b"anvil", HERE), HERE)

    assert opened.problem is not None


# -- in the clear


def test_a_payload_in_the_clear_is_read() -> None:
    """It was written before encryption was switched on; written again, it is encrypted."""
    opened = KEYS.open(b"anvil", HERE)

    assert (opened, opened.problem) == (b"anvil", None)
    assert KEYS.seal(opened, HERE).startswith(MARK)


def test_a_payload_in_the_clear_is_not_read_where_encryption_is_required() -> None:
    """Nor is it encrypted, as if somebody with a key had written it."""
    strict = PayloadKeys({"k": OLD}, newest="k", require=True)

    opened = strict.open(b"anvil", HERE)

    assert opened.problem == "it is not encrypted, and this node requires that it is"
    assert strict.seal(opened, HERE) == b"anvil"


def test_a_node_without_keys_knows_an_encrypted_payload() -> None:
    """It does not run a job with ciphertext."""
    assert sealed_problem(KEYS.seal(b"anvil", HERE)) == "it is encrypted with key '2026-11', and this node has no keys"
    assert sealed_problem(MARK + b"?") == "it is encrypted, and this node has no keys"
    assert sealed_problem(b"anvil") is None


def test_a_payload_may_not_begin_as_an_envelope_does() -> None:
    """Or a node without keys would not run it; one that was encrypted so may be written back."""
    with pytest.raises(InvalidValue, match="the mark of an encrypted payload"):
        check_payload(MARK + b"anvil")

    assert check_payload(StoredPayload.of(MARK, MARK, HERE, key_id=None)) == MARK


def test_a_payload_travels_as_plain_bytes() -> None:
    """A job in another process gets no stored form."""
    travelled = pickle.loads(pickle.dumps(KEYS.open(KEYS.seal(b"anvil", HERE), HERE)))  # noqa: S301 - our own

    assert type(travelled) is bytes
    assert travelled == b"anvil"


# -- keys


@pytest.mark.parametrize(
    ("keys", "newest", "field"),
    [
        ({}, "k", "newest"),
        ({"k": OLD}, "other", "newest"),
        ({"k": OLD[:20]}, "k", "key"),
        ({"k": "text"}, "k", "key"),
        ({"": OLD}, "", "key id"),
        ({"ü": OLD}, "ü", "key id"),
        ({"a\n": OLD}, "a\n", "key id"),
        ({"k" * 65: OLD}, "k" * 65, "key id"),
        (OLD, "k", "keys"),
    ],
)
def test_keys_that_are_none_are_refused(keys: Any, newest: str, field: str) -> None:  # noqa: ANN401 - what a program may give
    """By the name of what is wrong, and without the keys."""
    with pytest.raises(InvalidValue) as caught:
        PayloadKeys(keys, newest=newest)

    assert caught.value.field == field
    assert repr(OLD)[2:20] not in str(caught.value)


def test_keys_do_not_change_with_what_they_were_made_of() -> None:
    """The caller's mapping stays the caller's."""
    given = {"k": OLD}
    keys = PayloadKeys(given, newest="k")
    given.clear()

    assert keys.keys == {"k": OLD}


def test_keys_are_not_shown() -> None:
    """They would stand in a log with the settings."""
    assert repr(KEYS) == "PayloadKeys(newest='2026-11', require=False)"


def test_a_missing_package_is_named() -> None:
    """By the extra that brings it."""
    ran = subprocess.run([sys.executable, "-P", "-c", WITHOUT_CRYPTOGRAPHY], check=True, capture_output=True, text=True)

    assert ran.stdout.strip() == "encryption"
