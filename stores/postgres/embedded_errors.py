"""The embedded server's error."""

from detent.triggers import DetentError


class EmbeddedServerError(DetentError):
    """An embedded PostgreSQL server cannot be found, prepared, started or stopped; one line, with the server's own last words."""
