"""How a store names what it cannot reach or understand: in one line, and never with the password."""

from urllib.parse import urlsplit

import psycopg
import pytest

from duly.stores import InvalidStoreURL, StoreUnavailable, open_store
from duly.stores.postgres import PostgresStore, open_postgres
from support.postgres import OwnServer

pytestmark = pytest.mark.postgres


def told(error: BaseException | None) -> str:
    """Return what the error and all that led to it say, as a log would show it."""
    return "" if error is None else "\n".join((str(error), told(error.__cause__), told(error.__context__)))


UNREACHABLE = [
    ("{url}", "nowhere", 'database "nowhere" does not exist'),
    ("postgresql://stranger:sesame@{server}", "postgres", 'role "stranger" does not exist'),
    ("postgresql://postgres:sesame@127.0.0.1:1", "postgres", "refused"),
    ("postgresql://postgres:sesame@no-such-host.invalid", "postgres", "no-such-host.invalid"),
]


@pytest.mark.parametrize(("url", "database", "reason"), UNREACHABLE)
async def test_a_database_that_cannot_be_reached_is_named_without_the_password(
    postgres_url: str, url: str, database: str, reason: str
) -> None:
    """In one line; nor is the password in what led to it."""
    services = urlsplit(postgres_url)
    server = f"{services.hostname}:{services.port}"
    store = open_store(url.format(server=server, url=f"postgresql://postgres:sesame@{server}") + f"/{database}")
    with pytest.raises(StoreUnavailable, match=reason) as refused:
        await store.open()
    assert "\n" not in str(refused.value)
    assert "sesame" not in told(refused.value)
    await store.close()


async def test_a_wrong_password_is_called_so(postgres_server: OwnServer) -> None:
    """And not shown."""
    with psycopg.connect(postgres_server.url, autocommit=True) as administrator:
        administrator.execute("CREATE ROLE careful LOGIN PASSWORD 'right'")
        rules = postgres_server.directory / "data" / "pg_hba.conf"
        rules.write_text("host all careful 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        administrator.execute("SELECT pg_reload_conf()")
    with pytest.raises(StoreUnavailable, match='password authentication failed for user "careful"') as refused:
        await PostgresStore(postgres_server.url.replace("postgres@", "careful:sesame@")).open()
    assert "sesame" not in told(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:se%zzsame@host/database",
        "postgresql://user:sesame@host/database?no_such_parameter=1",
        "postgresql://user:sesame@host:port/database",
        "postgresql://user:sesame@host/database?schema=two%20words",
        "postgresql://user:sesame@[::1/database",
        "host=h password=sesame no_such_parameter=1",
    ],
)
def test_a_url_that_libpq_does_not_understand_is_refused_without_the_password(url: str) -> None:
    """At once, before anything is opened."""
    with pytest.raises(InvalidStoreURL) as refused:
        open_postgres(url, namespace="n")
    assert "same" not in told(refused.value)


def test_a_schema_that_is_no_plain_name_is_refused_without_the_password() -> None:
    """In a connection string the password stands anywhere."""
    with pytest.raises(InvalidStoreURL, match="a schema of letters, digits and _, not 'a b'") as refused:
        PostgresStore("host=h password=sesame", schema="a b")
    assert "sesame" not in told(refused.value)


async def test_the_schema_in_the_url_is_ours_and_the_rest_is_libpqs(postgres_url: str) -> None:
    """Also options, of which the user's count more than ours."""
    url = f"{postgres_url}?application_name=mine&schema=in_the_url&options=-c%20lock_timeout%3D77ms"
    async with PostgresStore(url) as store:
        assert store._session.schema == "in_the_url"
        async with store._session.connections.borrow() as connection:
            shown = await connection.execute("SELECT current_setting('lock_timeout'), current_setting('application_name')")
            assert await shown.fetchone() == ("77ms", "mine")


def test_a_connection_string_will_do() -> None:
    """As libpq's."""
    store = PostgresStore("host=somewhere user=me password=sesame dbname=d", schema="s")
    assert str(store._settings.address) == "user=me host=somewhere dbname=d"
    assert store._settings.address.schema == "s"
