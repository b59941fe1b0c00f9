"""How large the bytes of a task may be."""

from detent.jobs.errors import InvalidValue, PayloadTooLarge
from detent.jobs.validators import PAYLOAD_MAX

PAYLOAD_LIMIT = 256 * 1024
"""Default limit of a scheduler, in bytes; a payload is an argument, not a file."""

__all__ = ["PAYLOAD_LIMIT", "PAYLOAD_MAX", "check_payload"]


def check_payload(payload: bytes, limit: int = PAYLOAD_LIMIT) -> bytes:
    """Return `payload` if it is at most `limit` bytes long.

    Raises:
        PayloadTooLarge: names the size and the limit.

    """
    if not isinstance(payload, bytes):
        raise InvalidValue("payload", payload, "bytes")
    if len(payload) > limit:
        raise PayloadTooLarge(payload, limit)
    return payload
