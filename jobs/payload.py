"""What the bytes of a task may be, and whether this node can read them."""

from detent.jobs.cipher import MARK, StoredPayload
from detent.jobs.errors import InvalidValue, PayloadTooLarge
from detent.jobs.validators import PAYLOAD_MAX

PAYLOAD_LIMIT = 256 * 1024
"""Default limit of a scheduler, in bytes; a payload is an argument, not a file."""

__all__ = ["PAYLOAD_LIMIT", "PAYLOAD_MAX", "check_payload"]


def check_payload(payload: bytes, limit: int = PAYLOAD_LIMIT) -> bytes:
    """Return `payload` if it is at most `limit` bytes long, and not to be taken for an encrypted one.

    Raises:
        PayloadTooLarge: names the size and the limit.
        InvalidValue: it is no bytes, or begins as encrypted payloads do.

    """
    if not isinstance(payload, bytes):
        raise InvalidValue("payload", payload, "bytes")
    if len(payload) > limit:
        raise PayloadTooLarge(payload, limit)
    if payload.startswith(MARK) and not isinstance(payload, StoredPayload):
        raise InvalidValue("payload", payload, f"bytes that do not begin with {MARK!r}, the mark of an encrypted payload")
    return payload
