"""Passwords stay out of messages and logs."""

from urllib.parse import SplitResult, urlsplit


def hide_password(url: str) -> str:
    """Return `url` fit for messages and logs: with `***` where its password stands."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://..."
    return url if parts.password is None else _without_password(parts)


def _without_password(parts: SplitResult) -> str:
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()
