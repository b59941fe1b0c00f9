"""Passwords stay out of messages and logs."""

import re

_IN_AUTHORITY = re.compile(r"(?<=://)([^:@/?#]*):.*@", re.DOTALL)
"""From the first colon to the last `@`: what is malformed, such as a password with a bare slash, is hidden too."""

_IN_QUERY = re.compile(r"([?&](?:password|sslpassword|passfile)=)[^&#]*", re.IGNORECASE)


def hide_password(url: str) -> str:
    """Return `url` fit for messages and logs.

    `***` stands wherever a password may be: rather too often than too rarely.
    """
    return _IN_QUERY.sub(r"\1***", _IN_AUTHORITY.sub(r"\1:***@", url))
