"""Make text fit for every store: what one store refuses must not reach any.

PostgreSQL refuses NUL in text, UTF-8 has no lone surrogates, and Firestore bounds a document at 1 MiB. A value is
made storable when it is built, so that one odd error message can never fail the write of a whole batch.
"""

import re

from duly.jobs.errors import InvalidValue

TEXT_LIMIT = 64 * 1024
"""Longest result or error text, in bytes of UTF-8."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL (NUL) or UTF-8 (lone surrogates) cannot keep."""
_CUT = " ...[cut]"


def storable(text: str | None, limit: int = TEXT_LIMIT) -> str | None:
    r"""Return `text` as every store can keep it.

    NUL and lone surrogates are escaped (`\x00`, `\ud800`), and it is cut to `limit` bytes of UTF-8.

    A text that was cut ends in ` ...[cut]`. Idempotent: what is storable comes back as it is.

    Raises:
        InvalidValue: it is neither text nor None.

    """
    if text is not None and not isinstance(text, str):
        raise InvalidValue("result or error", type(text).__name__, "text, or None")
    if text is None or (text.isascii() and len(text) <= limit and "\x00" not in text):
        return text
    text = UNSTORABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - len(_CUT)].decode(errors="ignore") + _CUT
