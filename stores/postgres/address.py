"""Where a PostgreSQL database is, from a URL or a libpq connection string, and how to talk to it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from attrs import frozen
from psycopg.conninfo import conninfo_to_dict

from duly.stores.errors import InvalidStoreURL
from duly.stores.passwords import hide_password

DEFAULT_SCHEMA: Final = "duly"

_SCHEMA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

# Every statement reaches its rows by one index or by their ctid, whatever the statistics say. What is left to the planner, it might
# plan for a table that is tiny now and huge when the plan is used: read all of it, sort it, or compare each row of a batch with each.
# One plan a statement: the values never change which is best.
_PLANNER: Final = (
    *("enable_seqscan=off", "enable_sort=off", "enable_nestloop=off"),
    *("jit=off", "plan_cache_mode=force_generic_plan"),
)

_KEEPALIVE: Final = {"keepalives": "1", "keepalives_idle": "20", "keepalives_interval": "5", "keepalives_count": "3"}


@frozen(kw_only=True)
class Address:
    """A database and a schema in it."""

    parameters: Mapping[str, str]
    """What libpq is told, as the user gave it."""
    schema: str

    def __str__(self) -> str:
        """Name the database for people; without the password."""
        named = {key: self.parameters.get(key, "") for key in ("user", "host", "port", "dbname")}
        return " ".join(f"{key}={value}" for key, value in named.items() if value) or "libpq's default database"

    def connect_parameters(self, timeout: timedelta) -> dict[str, Any]:
        """Return what to connect with, so that nothing waits much longer than `timeout`; what the URL says counts more."""
        bound = ceil(timeout.total_seconds() * 1000)
        settings = (
            "TimeZone=UTC",
            "DateStyle=ISO",
            r"default_transaction_isolation=read\ committed",  # every statement sees what was committed before it began
            f"statement_timeout={bound}",
            f"lock_timeout={bound // 2}",
            f"idle_in_transaction_session_timeout={bound}",
            *_PLANNER,
        )
        return {
            "application_name": "duly",
            "client_encoding": "UTF8",
            "connect_timeout": str(ceil(timeout.total_seconds())),
            "tcp_user_timeout": str(bound),
            **_KEEPALIVE,
            **self.parameters,
            "options": " ".join((*(f"-c {each}" for each in settings), self.parameters.get("options", ""))).strip(),
        }


def parse_address(conninfo: str, schema: str | None = None) -> Address:
    """Read a URL (`postgresql://...`, its `schema=` is ours, all else libpq's) or a connection string; connect to nothing.

    Raises:
        InvalidStoreURL: libpq does not understand it, or the schema is no plain name.

    """
    rest, asked = _split_schema(conninfo)
    schema = schema or asked or DEFAULT_SCHEMA
    if not _SCHEMA_NAME.fullmatch(schema):
        shown = hide_password(conninfo) if "://" in conninfo else "..."
        raise InvalidStoreURL(shown, f"a schema of letters, digits and _, not {schema!r}")
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(rest).items()}
    except psycopg.ProgrammingError:
        parameters = None  # libpq's message may show a part of the password, also as the context of ours
    if parameters is None or not all(port.isdecimal() for port in parameters.get("port", "0").split(",") if port):
        expected = "postgresql://user:password@host:port/database, odd signs percent-encoded, after ? only schema= and libpq's parameters"
        raise InvalidStoreURL(_shown(conninfo), expected)
    return Address(parameters=parameters, schema=schema)


def _split_schema(conninfo: str) -> tuple[str, str | None]:
    """Take `schema=` out of the query of a URL."""
    base, _, query = conninfo.partition("?")
    if "://" not in base:
        return conninfo, None
    scheme, _, rest = base.partition("://")
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("schema=")]
    asked = [unquote(pair.removeprefix("schema=")) for pair in query.split("&") if pair.startswith("schema=")]
    return f"{scheme.lower()}://{rest}" + ("?" + "&".join(kept) if kept else ""), asked[-1] if asked else None


def _shown(conninfo: str) -> str:
    """Return as much of a text that could not be read as shows no password: a user's name, host and database are hidden with it."""
    return conninfo.partition("://")[0] + "://..." if "://" in conninfo else "..."
