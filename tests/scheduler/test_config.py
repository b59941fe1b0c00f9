"""How a scheduler is set up."""

from datetime import timedelta
from typing import Any

import pytest

from duly.jobs import PAYLOAD_LIMIT, PAYLOAD_MAX, InvalidValue
from duly.scheduler import SchedulerConfig
from duly.scheduler.config import DEFAULT_STORE, store_url

SECOND = timedelta(seconds=1)


def test_the_defaults_are_those_that_are_promised() -> None:
    """A dead node's tasks run again within two leases of half a minute."""
    config = SchedulerConfig()

    assert (config.concurrency, config.lease, config.grace, config.poll) == (100, 30 * SECOND, 25 * SECOND, 5 * SECOND)
    assert (config.payload_limit, config.keep_runs_for, config.keep_runs) == (PAYLOAD_LIMIT, timedelta(days=30), 1000)


def test_no_two_nodes_have_one_name() -> None:
    """A restarted node is another node."""
    assert len({SchedulerConfig().node for _ in range(100)}) == 100


def test_a_node_may_be_named() -> None:
    """By whoever can keep its name unique."""
    assert SchedulerConfig(node="a").node == "a"


@pytest.mark.parametrize("lease", [SECOND / 10, SECOND, 30 * SECOND, timedelta(hours=1)])
def test_two_heartbeats_may_fail_before_a_lease_ends(lease: timedelta) -> None:
    """And it is no longer trusted before the third would have been answered."""
    config = SchedulerConfig(lease=lease)

    assert 3 * config.heartbeat <= lease + timedelta(microseconds=3)
    assert 2 * config.heartbeat < lease - config.margin
    assert config.margin > timedelta(0)


GOOD: list[dict[str, Any]] = [
    {"concurrency": 1},
    {"grace": timedelta(0)},
    {"payload_limit": 1},
    {"payload_limit": PAYLOAD_MAX},
    {"keep_runs": 0},
    {"keep_runs": None},
    {"keep_runs_for": None},
    {"node": "n" * 255},
]


@pytest.mark.parametrize("setting", GOOD, ids=str)
def test_every_setting_may_go_to_its_limit(setting: dict[str, Any]) -> None:
    """What is allowed is allowed."""
    (name,) = setting
    assert getattr(SchedulerConfig(**setting), name) == setting[name]


BAD: list[tuple[str, object]] = [
    ("node", ""),
    ("node", "n" * 256),
    ("node", "a\0b"),
    ("concurrency", 0),
    ("concurrency", -1),
    ("lease", timedelta(0)),
    ("lease", -SECOND),
    ("grace", -SECOND),
    ("poll", timedelta(0)),
    ("payload_limit", 0),
    ("payload_limit", PAYLOAD_MAX + 1),
    ("keep_runs", -1),
    ("keep_runs_for", timedelta(0)),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_setting_is_refused_by_name(name: str, value: object) -> None:
    """With the value and what was expected."""
    settings: dict[str, Any] = {name: value}
    with pytest.raises(InvalidValue) as caught:
        SchedulerConfig(**settings)

    assert (caught.value.field, caught.value.value) == (name, value)
    assert caught.value.expected in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, DEFAULT_STORE),
        ({"DULY_STORE": ""}, DEFAULT_STORE),
        ({"DULY_STORE": "postgresql://host/db"}, "postgresql://host/db"),
        ({"OTHER_STORE": "x://"}, DEFAULT_STORE),
    ],
)
def test_the_environment_names_the_store(environment: dict[str, str], expected: str) -> None:
    """In memory, where it names none."""
    assert store_url(environment) == expected


def test_the_process_environment_is_asked_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is at that moment."""
    monkeypatch.setenv("DULY_STORE", "memory://")
    assert store_url() == "memory://"
    monkeypatch.setenv("DULY_STORE", "firestore://project")
    assert store_url() == "firestore://project"
