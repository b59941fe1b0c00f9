"""Payloads encrypted at rest: AES-GCM under keys that rotate.

What a store keeps of an encrypted payload is an envelope::

    mark (6 bytes)  format (1)  length of the key's id (1)  the key's id  nonce (12)  ciphertext and tag (16 more than the plain bytes)

The associated data are everything before the nonce, then namespace, slug and kind, each as UTF-8 behind its length (4 bytes, big-endian):
an envelope that somebody copies to another task, or whose task is given another kind, does not open. The nonce is random, so that one
key should encrypt no more than 2**32 payloads (NIST SP 800-38D, 8.3).

cryptography, the `encryption` extra, is imported when keys are made and not before.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from duly.jobs.errors import InvalidValue
from duly.jobs.validators import boolean
from duly.triggers import MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = b"\x00duly\x00"
"""How every envelope begins, and no payload that is scheduled may."""

KEY_ID_MAX = 64
"""Longest id of a key, in characters of ASCII."""

_FORMAT = b"\x01"
_NONCE, _TAG = 12, 16
_KEY_SIZES = (16, 24, 32)

ENVELOPE_MAX = len(MARK) + len(_FORMAT) + 1 + KEY_ID_MAX + _NONCE + _TAG
"""Most bytes by which an envelope is longer than what is in it."""


@frozen
class PayloadAddress:
    """Whose payload it is: an envelope opens nowhere else."""

    namespace: str
    slug: str
    kind: str

    def bound(self, header: bytes) -> bytes:
        """Return the associated data of an envelope that begins with `header`."""
        names = [name.encode() for name in (self.namespace, self.slug, self.kind)]
        return header + b"".join(len(name).to_bytes(4, "big") + name for name in names)


class StoredPayload(bytes):
    """A payload that was read from an encrypting store.

    These are the plain bytes; they remember their stored form.

    So what was not changed is written back byte by byte, and what could not be read stays as it is. In another process it is plain bytes.
    """

    stored: bytes
    """What the store has."""
    address: PayloadAddress
    key_id: str | None
    """Which key it is encrypted with; None if it was written in the clear."""
    problem: str | None
    """Why it cannot be read, and these are the stored bytes; None if it can."""

    @classmethod
    def of(cls, value: bytes, stored: bytes, address: PayloadAddress, *, key_id: str | None, problem: str | None = None) -> "StoredPayload":
        """Return `value`, knowing the rest."""
        payload = cls(value)
        payload.stored, payload.address, payload.key_id, payload.problem = stored, address, key_id, problem
        return payload

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        """Travel as plain bytes."""
        return bytes, (bytes(self),)


def sealed_problem(payload: bytes) -> str | None:
    """Say why a payload from a store cannot be read; None if it can.

    It is encrypted and this node has no key, or it is not encrypted although it must be.
    """
    if isinstance(payload, StoredPayload):
        return payload.problem
    if not payload.startswith(MARK):
        return None
    key_id = _key_id(payload)
    with_key = "" if key_id is None else f" with key {key_id!r}"
    return f"it is encrypted{with_key}, and this node has no keys"


def _ids(_: object, __: object, value: Mapping[str, bytes]) -> None:
    for key_id, key in value.items():
        if not isinstance(key_id, str):  # not the value: it is a key, if somebody took one for the other
            raise InvalidValue("key id", type(key_id).__name__, f"1 to {KEY_ID_MAX} printable characters of ASCII")
        if not key_id.isascii() or not key_id.isprintable() or not 0 < len(key_id) <= KEY_ID_MAX:
            raise InvalidValue("key id", key_id, f"1 to {KEY_ID_MAX} printable characters of ASCII")
        if not isinstance(key, bytes) or len(key) not in _KEY_SIZES:
            # Never the key itself: it would stand in a log.
            raise InvalidValue("key", key_id, "an id whose key is 16, 24 or 32 bytes long")


def _copy(value: Mapping[str, bytes]) -> Mapping[str, bytes]:
    if not isinstance(value, Mapping):
        raise InvalidValue("keys", type(value).__name__, "a mapping of ids to keys")
    return dict(value)


def _known(keys: "PayloadKeys", _: object, value: str) -> None:
    if not isinstance(value, str) or value not in keys.keys:
        raise InvalidValue("newest", value if isinstance(value, str) else type(value).__name__, "the id of one of the keys")


@frozen(eq=False)
class PayloadKeys:
    """The keys of payloads: all of them decrypt, the newest encrypts.

    A payload without an envelope, written before encryption was switched on or by a program without keys, is read as it is, unless
    `require` is set: then it counts as unreadable, so that whoever can write to the store but has no key cannot have anything run.

    Raises:
        InvalidValue: a key is not 16, 24 or 32 bytes long, an id is not 1 to 64 printable characters of ASCII, or `newest` is no id.
        MissingExtra: the `encryption` extra is not installed.

    """

    keys: Mapping[str, bytes] = field(converter=_copy, validator=_ids, repr=False)
    """Id to key; a key is 16, 24 or 32 bytes long."""
    newest: str = field(kw_only=True, validator=_known)
    """Id of the key that encrypts."""
    require: bool = field(default=False, kw_only=True, validator=boolean)
    """Whether a payload that is not encrypted counts as unreadable."""
    _ciphers: Mapping[str, "AESGCM"] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Make the ciphers once."""
        object.__setattr__(self, "_ciphers", {key_id: aes_gcm(key) for key_id, key in self.keys.items()})

    def seal(self, payload: bytes, address: PayloadAddress) -> bytes:
        """Return the stored form of `payload`.

        That which it had, if it came from this very place under the newest key, or cannot be read.

        Raises:
            InvalidValue: it cannot be read, and is another task's.

        """
        if isinstance(payload, StoredPayload):
            if payload.address == address and (payload.key_id == self.newest or payload.problem is not None):
                return payload.stored
            if payload.problem is not None:
                expected = f"one that can be read, to be copied to task {address.slug!r}: {payload.problem}"
                raise InvalidValue("payload of task", payload.address.slug, expected)
        header = MARK + _FORMAT + bytes([len(self.newest)]) + self.newest.encode()
        nonce = os.urandom(_NONCE)
        return header + nonce + self._ciphers[self.newest].encrypt(nonce, bytes(payload), address.bound(header))

    def open(self, stored: bytes, address: PayloadAddress) -> StoredPayload:
        """Return the payload that is stored as `stored`; where it cannot be read, its `problem` says why."""
        if not stored.startswith(MARK):
            problem = "it is not encrypted, and this node requires that it is" if self.require else None
            return StoredPayload.of(stored, stored, address, key_id=None, problem=problem)
        key_id = _key_id(stored)
        if key_id is None:
            problem = "its envelope is of a format that this version does not know, or cut short"
            return StoredPayload.of(stored, stored, address, key_id=None, problem=problem)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            problem = f"it is encrypted with key {key_id!r}, which this node does not have"
            return StoredPayload.of(stored, stored, address, key_id=key_id, problem=problem)
        header, nonce, sealed = _parts(stored)
        plain = decrypted(cipher, nonce, sealed, address.bound(header))
        if plain is None:
            problem = f"it does not open with key {key_id!r}: it was changed, or is another task's, or that is another key"
            return StoredPayload.of(stored, stored, address, key_id=key_id, problem=problem)
        return StoredPayload.of(plain, stored, address, key_id=key_id)


def aes_gcm(key: bytes) -> "AESGCM":
    """Return the cipher of a key.

    Raises:
        MissingExtra: the `encryption` extra is not installed.

    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("PayloadKeys", "encryption") from error
    return AESGCM(key)


def decrypted(cipher: "AESGCM", nonce: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """Return the plain bytes.

    None where they, the associated data or the key are not those that were encrypted.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra, of which there is a cipher already

    try:
        return cipher.decrypt(nonce, sealed, bound)
    except InvalidTag:
        return None


def _key_id(envelope: bytes) -> str | None:
    """Return the id of the key that an envelope names; None where it is cut short, or of another format."""
    start = len(MARK)
    if envelope[start : start + 1] != _FORMAT or len(envelope) < start + 2:
        return None
    length = envelope[start + 1]
    key_id = envelope[start + 2 : start + 2 + length]
    if not 0 < length <= KEY_ID_MAX or len(envelope) < start + 2 + length + _NONCE + _TAG or not key_id.isascii():
        return None
    name = key_id.decode("ascii")
    return name if name.isprintable() else None


def _parts(envelope: bytes) -> tuple[bytes, bytes, bytes]:
    """Return header, nonce and ciphertext of an envelope that names a key."""
    end = len(MARK) + 2 + envelope[len(MARK) + 1]
    return envelope[:end], envelope[end : end + _NONCE], envelope[end + _NONCE :]
