"""The PostgreSQL store, and a PostgreSQL server that comes with it; needs the extra `postgres`, the server also `embedded`."""

from detent.stores.postgres.embedded import EmbeddedServer, EmbeddedServerError, open_embedded
from detent.stores.postgres.opening import EmbeddedPostgresStore, open_embedded_postgres, open_postgres
from detent.stores.postgres.store import PostgresStore

__all__ = [
    "EmbeddedPostgresStore",
    "EmbeddedServer",
    "EmbeddedServerError",
    "PostgresStore",
    "open_embedded",
    "open_embedded_postgres",
    "open_postgres",
]
