"""The embedded server's error."""

from duly.triggers import DulyError


class EmbeddedServerError(DulyError):
    """An embedded PostgreSQL server cannot be found, prepared, started or stopped.

    One line, with the server's own last words.
    """
