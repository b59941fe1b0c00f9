"""Make a scheduler from a mapping, or from a TOML or JSON file.

::

    on = true                      # false: a NopScheduler, which discards tasks
    adapter = "postgres"           # memory, postgres, embedded, firestore, or the scheme of a third party's store;
                                   # without it: the URL in DULY_STORE, else memory

    [config]                       # of the adapter
    host = "db.internal"
    database = "app"
    schema = "duly"

    [settings]                     # the fields of SchedulerConfig; times as `30s` or in seconds
    concurrency = 20
    lease = "30s"

Nothing is guessed: an unknown key, or a value of the wrong type, raises an error that names the key and its place.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from attrs import field, fields_dict, frozen

from duly.jobs import JobRegistry, PayloadKeys
from duly.scheduler.blocking import BlockingScheduler
from duly.scheduler.config import SchedulerConfig, Settings, store_url
from duly.scheduler.errors import InvalidConfig
from duly.scheduler.nop import NopScheduler
from duly.scheduler.std import StdScheduler
from duly.stores import JobStore, NopStore, open_store
from duly.triggers import TriggerError, parse_interval

Texts = Mapping[str, str]

_KEYS: Final = ("on", "adapter", "config", "settings")
_CONFIG_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "memory": ("namespace",),
    "postgres": ("namespace", "url", "host", "port", "user", "password", "database", "schema", "sslmode"),
    "embedded": ("namespace", "directory", "schema"),
    "firestore": ("namespace", "project", "database", "collection", "listen"),
}
_THIRD_PARTY_KEYS: Final = ("namespace", "url")
_TIMES: Final = ("lease", "grace", "poll", "keep_runs_for")


def scheduler_from_config(
    source: Mapping[str, Any] | str | Path, *, jobs: JobRegistry | None = None, keys: PayloadKeys | None = None
) -> StdScheduler:
    """Return the scheduler that a configuration describes; it is not started.

    `source` is a mapping, or the path of a TOML or JSON file. `jobs` None: a new, empty registry. `keys` encrypt the
    payloads; a configuration never contains keys. If `on` is false, the result is a `NopScheduler`.

    Raises:
        InvalidConfig: the file cannot be read, a key is unknown or missing, or a value is of the wrong type.
        InvalidStoreURL, MissingExtra: the store cannot be opened here. InvalidValue: a setting is out of its range.

    """
    said = _understand(source, keys)
    if not said.is_on:
        return NopScheduler(jobs=jobs, **said.settings)
    return StdScheduler(said.open_store(), jobs=jobs, **said.settings)


def blocking_scheduler_from_config(
    source: Mapping[str, Any] | str | Path, *, jobs: JobRegistry | None = None, keys: PayloadKeys | None = None
) -> BlockingScheduler:
    """Return the same for programs without asyncio; it is not started.

    If `on` is false, the scheduler uses a `NopStore`.

    Raises:
        InvalidConfig, InvalidStoreURL, MissingExtra, InvalidValue: as in `scheduler_from_config`.

    """
    said = _understand(source, keys)
    store = said.open_store() if said.is_on else NopStore(namespace=said.namespace)
    return BlockingScheduler(store, jobs=jobs, **said.settings)


def store_from_config(source: Mapping[str, Any] | str | Path) -> JobStore:
    """Return the store that a configuration describes, for a program that only queries; it is not open.

    It ignores `on` and `settings`.

    Raises:
        InvalidConfig, InvalidStoreURL, MissingExtra: as in `scheduler_from_config`.

    """
    place, given = _read(source)
    _check_keys(place, given, _KEYS)
    url, namespace = _address(place, given)
    return open_store(url, namespace=namespace)


@frozen
class _Said:
    """The content of a configuration, checked."""

    is_on: bool
    url: str = field(repr=False)  # it may hold a password
    namespace: str
    settings: Settings

    def open_store(self) -> JobStore:
        return open_store(self.url, namespace=self.namespace)


def _understand(source: Mapping[str, Any] | str | Path, keys: PayloadKeys | None) -> _Said:
    place, given = _read(source)
    _check_keys(place, given, _KEYS)
    if not isinstance(is_on := given.get("on", True), bool):
        raise InvalidConfig(place, "on", f"expected true or false, not {is_on!r}")
    settings = _settings(f"{place}: settings", _table(place, given, "settings"))
    settings["keys"] = keys
    return _Said(is_on, *_address(place, given), settings)  # checked even if `on` is false: a mistake shows before it is turned on


# -- reading


def _read(source: Mapping[str, Any] | str | Path) -> tuple[str, Mapping[str, Any]]:
    """Return a name of the source for error messages, and its content."""
    if isinstance(source, Mapping):
        return "the configuration", source
    if isinstance(source, str) and "://" in source:  # it may hold a password
        raise InvalidConfig("the configuration", None, "expected a mapping or the path of a file, not a URL: a scheduler takes that itself")
    path = Path(source)
    readers = {".toml": tomllib.loads, ".json": json.loads}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidConfig(str(path), None, "expected a file whose name ends in .toml or .json")
    try:
        read = reader(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfig(str(path), None, f"cannot be read: {error}") from error
    if not isinstance(read, Mapping):
        raise InvalidConfig(str(path), None, "expected a table of keys")
    return str(path), read


def _check_keys(place: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise InvalidConfig(place, key, f"unknown: expected one of {', '.join(known)}")


def _table(place: str, given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = given.get(key, {})
    if not isinstance(table, Mapping):
        raise InvalidConfig(place, key, f"expected a table of keys, not {type(table).__name__}")  # the value may hold a password
    return table


# -- the adapter


def _address(place: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """Return the URL of the store and the namespace."""
    adapter = given.get("adapter", "memory")
    if not isinstance(adapter, str) or not adapter or "://" in adapter:
        raise InvalidConfig(place, "adapter", f"expected a name such as {', '.join(_CONFIG_KEYS)}")
    inside = f"{place}: config"
    config = _table(place, given, "config")
    _check_keys(inside, config, _CONFIG_KEYS.get(adapter, _THIRD_PARTY_KEYS))
    texts = {key: _text(inside, key, value) for key, value in config.items()}
    namespace = texts.pop("namespace", "default")
    return _url(adapter, inside, texts) if "adapter" in given else store_url(), namespace


def _text(place: str, key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidConfig(place, key, f"expected text, not {type(value).__name__}")  # the value may be a password
    return str(value)


def _url(adapter: str, place: str, config: Texts) -> str:
    if adapter == "memory":
        return "memory://"
    if adapter == "postgres":
        return _postgres_url(place, config)
    if adapter == "embedded":
        directory = Path(_required(place, config, "directory"))
        path = quote(str(directory)) if directory.is_absolute() else f"/./{quote(str(directory))}"
        return f"postgresql+embedded://{path}{_query(config, 'schema')}"
    if adapter == "firestore":
        project, database = _required(place, config, "project"), config.get("database", "(default)")
        return f"firestore://{project}/{quote(database, safe='()')}{_query(config, 'collection', 'listen')}"
    return _own_url(place, config, adapter) if "url" in config else f"{adapter}://"


def _own_url(place: str, config: Texts, *schemes: str) -> str:
    """Return the given `url`, if its scheme belongs to the named adapter.

    Raises:
        InvalidConfig: it does not; the URL would open another store than the named one.

    """
    url = config["url"]
    if url.partition("://")[0].lower() not in map(str.lower, schemes):
        raise InvalidConfig(place, "url", f"expected one that begins with {schemes[0]}://")
    return url


def _postgres_url(place: str, config: Texts) -> str:
    if "url" in config:
        others = [key for key in config if key != "url"]
        if others:
            raise InvalidConfig(place, others[0], "said beside url, which says where the database is: expected one of them")
        return _own_url(place, config, "postgresql", "postgres")
    user = quote(config.get("user", ""), safe="")
    password = f":{quote(config['password'], safe='')}" if "password" in config else ""
    at = f"{user}{password}@" if user or password else ""
    port = f":{quote(config['port'], safe='')}" if "port" in config else ""
    host = quote(config.get("host", ""), safe=":[]")  # a folder of sockets is percent-encoded
    return f"postgresql://{at}{host}{port}/{quote(config.get('database', ''), safe='')}{_query(config, 'schema', 'sslmode')}"


def _query(config: Texts, *keys: str) -> str:
    said = {key: config[key] for key in keys if key in config}
    return f"?{urlencode(said, quote_via=quote)}" if said else ""


def _required(place: str, config: Texts, key: str) -> str:
    if not config.get(key):
        raise InvalidConfig(place, key, "missing: the adapter needs it")
    return config[key]


# -- the settings


def _settings(place: str, given: Mapping[str, Any]) -> Settings:
    _check_keys(place, given, tuple(key for key in fields_dict(SchedulerConfig) if key != "keys"))
    return cast("Settings", {key: _time(place, key, value) if key in _TIMES else value for key, value in given.items()})


def _time(place: str, key: str, value: object) -> timedelta | None:
    """Read a length of time: a number of seconds, or an interval without months; a day is 24 hours."""
    if value is None or isinstance(value, timedelta):
        return value
    problem = f"expected seconds, or text such as 30s, not {value!r}"
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timedelta(seconds=value)
        if isinstance(value, str) and not (interval := parse_interval(value)).months:
            return timedelta(days=interval.days) + interval.time
    except TriggerError as error:
        raise InvalidConfig(place, key, str(error)) from error
    except (OverflowError, ValueError) as error:  # longer than any timedelta, or not a number
        raise InvalidConfig(place, key, problem) from error
    raise InvalidConfig(place, key, problem)
