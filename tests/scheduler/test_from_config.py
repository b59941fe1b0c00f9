"""A scheduler from a configuration."""

import json
from collections.abc import Mapping
from datetime import timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from duly.jobs import InvalidValue, JobRegistry, PayloadKeys
from duly.scheduler import (
    InvalidConfig,
    InvalidStoreURL,
    NopScheduler,
    StdScheduler,
    blocking_scheduler_from_config,
    scheduler_from_config,
    store_from_config,
)
from duly.scheduler import from_config as configuring
from duly.stores import MemoryStore

SECOND = timedelta(seconds=1)


@pytest.fixture(name="opened")
def opened_urls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The URLs, with their namespaces, of the stores that are opened from now on.

    In their place there is one in memory.
    """
    urls = list[tuple[str, str]]()

    def open_store(url: str, *, namespace: str) -> MemoryStore:
        urls.append((url, namespace))
        return MemoryStore(namespace=namespace)

    monkeypatch.setattr(configuring, "open_store", open_store)
    return urls


STORES: list[tuple[dict[str, Any], str]] = [
    ({}, "memory://"),
    ({"adapter": "memory"}, "memory://"),
    ({"adapter": "postgres"}, "postgresql:///"),
    ({"adapter": "postgres", "config": {"url": "postgresql://a@b/c?schema=d"}}, "postgresql://a@b/c?schema=d"),
    (
        {
            "adapter": "postgres",
            "config": {
                "host": "db",
                "port": 5433,
                "user": "me",
                "password": "p/w@ d",
                "database": "app",
                "schema": "s",
                "sslmode": "prefer",
            },
        },
        "postgresql://me:p%2Fw%40%20d@db:5433/app?schema=s&sslmode=prefer",
    ),
    ({"adapter": "postgres", "config": {"host": "/run/pg", "port": "5432"}}, "postgresql://%2Frun%2Fpg:5432/"),
    ({"adapter": "embedded", "config": {"directory": "/srv/data"}}, "postgresql+embedded:///srv/data"),
    ({"adapter": "embedded", "config": {"directory": "data", "schema": "s"}}, "postgresql+embedded:///./data?schema=s"),
    ({"adapter": "firestore", "config": {"project": "p"}}, "firestore://p/(default)"),
    (
        {"adapter": "firestore", "config": {"project": "p", "database": "d", "collection": "a b", "listen": "no"}},
        "firestore://p/d?collection=a%20b&listen=no",
    ),
    ({"adapter": "mine", "config": {"url": "mine://there"}}, "mine://there"),
    ({"adapter": "mine"}, "mine://"),
]


@pytest.mark.parametrize(("given", "url"), STORES, ids=[url for _, url in STORES])
def test_an_adapter_and_its_keys_name_a_store(given: dict[str, Any], url: str, opened: list[tuple[str, str]]) -> None:
    """Odd signs are percent-encoded."""
    scheduler_from_config(given)
    store_from_config(given)
    assert opened == [(url, "default")] * 2


def test_every_built_in_adapter_is_opened_by_what_it_is_given() -> None:
    """Each URL is one that its store understands; none connects."""
    for given, url in STORES:
        if not url.startswith("mine"):
            assert store_from_config(given).namespace == "default"


def test_a_namespace_is_given_to_the_store(opened: list[tuple[str, str]]) -> None:
    """Of any adapter."""
    scheduler_from_config({"config": {"namespace": "tenant"}})
    assert opened == [("memory://", "tenant")]


def test_jobs_and_settings_are_the_schedulers() -> None:
    """Lengths of time as text, in seconds, or as they are."""
    registry = JobRegistry()
    settings = {"node": "a", "concurrency": 3, "lease": "1m30s", "grace": 2.5, "poll": SECOND, "keep_runs_for": "7 days", "keep_runs": None}
    scheduler = scheduler_from_config({"on": True, "settings": settings}, jobs=registry)
    config = scheduler.config
    assert type(scheduler) is StdScheduler
    assert scheduler.jobs is registry
    assert (config.node, config.concurrency, config.lease, config.grace) == ("a", 3, 90 * SECOND, 2.5 * SECOND)
    assert (config.poll, config.keep_runs_for, config.keep_runs) == (SECOND, timedelta(days=7), None)


def test_what_is_off_discards_and_opens_no_store(opened: list[tuple[str, str]]) -> None:
    """But what is wrong is found all the same."""
    off = {"on": False, "adapter": "postgres", "config": {"host": "db"}}
    assert isinstance(scheduler_from_config(off), NopScheduler)
    assert opened == []
    with pytest.raises(InvalidConfig, match="the configuration: config: 'hots': unknown"):
        scheduler_from_config({**off, "config": {"hots": "db"}})


TOML = """
on = true
adapter = "memory"

[config]
namespace = "tenant"

[settings]
lease = "10s"
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.toml", TOML), ("a.json", json.dumps({"on": True, "config": {"namespace": "tenant"}, "settings": {"lease": 10}}))],
)
def test_a_file_is_read_by_its_ending(name: str, text: str, tmp_path: Path, opened: list[tuple[str, str]]) -> None:
    """Its path may be text."""
    (tmp_path / name).write_text(text, "utf-8")
    assert scheduler_from_config(str(tmp_path / name)).config.lease == 10 * SECOND
    store_from_config(tmp_path / name)
    assert opened == [("memory://", "tenant")] * 2


BAD: list[tuple[Mapping[str, Any], str, str | None, str]] = [
    ({"adaptor": "memory"}, "the configuration", "adaptor", "unknown: expected one of on, adapter, config, settings"),
    ({"on": "yes"}, "the configuration", "on", "expected true or false, not 'yes'"),
    ({"adapter": 5}, "the configuration", "adapter", "expected a name such as memory, postgres, embedded, firestore"),
    ({"adapter": ""}, "the configuration", "adapter", "expected a name such as memory, postgres, embedded, firestore"),
    ({"adapter": None}, "the configuration", "adapter", "expected a name such as memory, postgres, embedded, firestore"),
    ({"config": []}, "the configuration", "config", "expected a table of keys, not list"),
    (
        {"adapter": "postgres", "config": {"url": "memory://"}},
        "the configuration: config",
        "url",
        "expected one that begins with postgresql://",
    ),
    ({"adapter": "mine", "config": {"url": "other://"}}, "the configuration: config", "url", "expected one that begins with mine://"),
    ({"settings": {"lease": inf}}, "the configuration: settings", "lease", "expected seconds, or text such as 30s, not inf"),
    ({"settings": {"lease": nan}}, "the configuration: settings", "lease", "expected seconds, or text such as 30s, not nan"),
    (
        {"settings": {"lease": 10**15}},
        "the configuration: settings",
        "lease",
        "expected seconds, or text such as 30s, not 1000000000000000",
    ),
    ({"config": {"url": "x"}}, "the configuration: config", "url", "unknown: expected one of namespace"),
    ({"adapter": "postgres", "config": {"password": ["s"]}}, "the configuration: config", "password", "expected text, not list"),
    ({"adapter": "postgres", "config": {"port": True}}, "the configuration: config", "port", "expected text, not bool"),
    (
        {"adapter": "postgres", "config": {"url": "postgresql://", "host": "h"}},
        "the configuration: config",
        "host",
        "said beside url, which says where the database is: expected one of them",
    ),
    ({"adapter": "firestore"}, "the configuration: config", "project", "missing: the adapter needs it"),
    ({"adapter": "embedded", "config": {"directory": ""}}, "the configuration: config", "directory", "missing: the adapter needs it"),
    ({"settings": {"lease": True}}, "the configuration: settings", "lease", "expected seconds, or text such as 30s, not True"),
    ({"settings": {"lease": "1 month"}}, "the configuration: settings", "lease", "expected seconds, or text such as 30s, not '1 month'"),
]


@pytest.mark.parametrize(("given", "place", "key", "problem"), BAD, ids=[f"{key} {problem[:20]}" for _, _, key, problem in BAD])
def test_what_is_not_understood_is_refused_by_name_and_place(given: Mapping[str, Any], place: str, key: str, problem: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidConfig) as caught:
        scheduler_from_config(given)
    assert (caught.value.place, caught.value.key, caught.value.problem) == (place, key, problem)
    assert str(caught.value) == f"{place}: {key!r}: {problem}"


def test_keys_are_handed_over_beside_the_configuration_which_holds_none() -> None:
    """What somebody put there by mistake is not shown."""
    keys = PayloadKeys({"a": bytes(16)}, newest="a")
    assert scheduler_from_config({}, keys=keys).config.keys is keys
    with pytest.raises(InvalidConfig, match="'keys': unknown") as refused:
        scheduler_from_config({"settings": {"keys": "a secret"}})
    assert "a secret" not in str(refused.value)


MISPLACED = "postgresql://me:s3cret@db/app"


@pytest.mark.parametrize(
    "source",
    [
        MISPLACED,
        MISPLACED + ".toml",
        {"adapter": MISPLACED},
        {"adapter": [MISPLACED]},
        {"config": MISPLACED},
        {"settings": MISPLACED},
        {"adapter": "postgres", "config": [MISPLACED]},
        {"adapter": "postgres", "config": {"url": [MISPLACED]}},
        {"adapter": "postgres", "config": {"url": MISPLACED.replace("postgresql", "postgers")}},
        {"adapter": "postgres", "config": {"url": MISPLACED, "password": "s3cret"}},
        {"adapter": "postgres", "config": {"password": "s3cret", "host": "db", "port": "5432/s3cret"}},
        {"adapter": "postgres", "config": {"password": "s3cret", "host": "db", "schema": "a b"}},
        {"adapter": "mine", "config": {"url": MISPLACED.replace("postgresql", "mine")}},
    ],
)
def test_no_error_shows_a_password(source: str | dict[str, Any]) -> None:
    """Wherever it was put by mistake."""
    with pytest.raises((InvalidConfig, InvalidStoreURL)) as refused:
        scheduler_from_config(source)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("given", ["1", None, True, 2.5, 0])
def test_a_payload_limit_that_is_no_number_of_bytes_is_refused(given: object) -> None:
    """A file may say anything."""
    with pytest.raises(InvalidValue, match="payload_limit"):
        scheduler_from_config({"settings": {"payload_limit": given}})


def test_without_an_adapter_the_environment_names_the_store(opened: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere where no store is given; an adapter goes before it."""
    monkeypatch.setenv("DULY_STORE", "postgresql://db/app")
    scheduler_from_config({"config": {"namespace": "tenant"}})
    scheduler_from_config({"adapter": "memory"})
    assert opened == [("postgresql://db/app", "tenant"), ("memory://", "default")]


def test_a_program_without_asyncio_is_configured_alike(opened: list[tuple[str, str]]) -> None:
    """On or off: then what it schedules is checked and discarded."""
    registry = JobRegistry()
    registry.job("work")(lambda: None)
    on = blocking_scheduler_from_config({"settings": {"lease": 10}}, jobs=registry)
    assert (on.config.lease, on.jobs, opened) == (10 * SECOND, registry, [("memory://", "default")])
    with blocking_scheduler_from_config({"on": False, "adapter": "postgres", "config": {"host": "db"}}, jobs=registry) as off:
        assert off.in_(SECOND, "work", slug="t") == "t"
        assert off.get_job_slugs() == []
    assert len(opened) == 1


def test_an_unknown_setting_and_a_text_that_is_no_time_are_refused() -> None:
    """The other settings are checked as they always are."""
    with pytest.raises(InvalidConfig, match="settings: 'leese': unknown: expected one of node, concurrency, lease"):
        scheduler_from_config({"settings": {"leese": 1}})
    with pytest.raises(InvalidConfig, match=r"settings: 'lease': .*soon"):
        scheduler_from_config({"settings": {"lease": "soon"}})
    with pytest.raises(InvalidValue, match="concurrency"):
        scheduler_from_config({"settings": {"concurrency": 0}})
    with pytest.raises(InvalidStoreURL, match="mine"):
        scheduler_from_config({"adapter": "mine"})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.toml", "on = ", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[]", "expected a table of keys"),
        ("a.yaml", "on: true", r"ends in \.toml or \.json"),
        ("a.toml", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, text: str | None, problem: str, tmp_path: Path) -> None:
    """With what is wrong with it."""
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(InvalidConfig, match=problem) as caught:
        scheduler_from_config(tmp_path / name)
    assert (caught.value.place, caught.value.key) == (str(tmp_path / name), None)
