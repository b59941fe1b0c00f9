"""What the bytes of a task may be, and whether this node can read them."""

from duly.jobs.cipher import MARK, StoredPayload
from duly.jobs.errors import InvalidValue, PayloadTooLarge
from duly.jobs.validators import PAYLOAD_MAX

PAYLOAD_LIMIT = 256 * 1024
"""Default limit of a scheduler, in bytes; a payload is an argument, not a file."""

__all__ = ["PAYLOAD_LIMIT", "PAYLOAD_MAX", "check_payload"]


def check_payload(payload: bytes, limit: int = PAYLOAD_LIMIT) -> bytes:
    """Return the plain bytes of `payload`, checked.

    They are at most `limit`, can be read, and do not look like an encrypted payload.

    Raises:
        PayloadTooLarge: names the size and the limit.
        InvalidValue: it is no bytes, begins as encrypted payloads do, or came from a store as one that this node cannot read.

    """
    if not isinstance(payload, bytes):
        raise InvalidValue("payload", type(payload).__name__, "bytes")
    if len(payload) > limit:
        raise PayloadTooLarge(payload, limit)
    if isinstance(payload, StoredPayload):
        if payload.problem is not None:
            raise InvalidValue("payload of task", payload.address.slug, f"one that can be read: {payload.problem}")
    elif payload.startswith(MARK):
        raise InvalidValue("payload", type(payload).__name__, f"bytes that do not begin with {MARK!r}, the mark of an encrypted payload")
    return bytes(payload)
