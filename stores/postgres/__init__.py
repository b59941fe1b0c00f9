"""The PostgreSQL store, and a PostgreSQL server that comes with it.

Needs the extra `postgres`, the server also `embedded`.
"""

from duly.stores.postgres.embedded.errors import EmbeddedServerError
from duly.stores.postgres.embedded.server import EmbeddedServer, open_embedded
from duly.stores.postgres.store import PostgresStore
from duly.stores.postgres.url import EmbeddedPostgresStore, open_embedded_postgres, open_postgres
from duly.triggers.exports import name_exports

__all__ = [
    "EmbeddedPostgresStore",
    "EmbeddedServer",
    "EmbeddedServerError",
    "PostgresStore",
    "open_embedded",
    "open_embedded_postgres",
    "open_postgres",
]

name_exports(__name__)
