"""How a scheduler is set up; the only place that reads the environment."""

import os
import socket
from collections.abc import Collection, Mapping
from datetime import timedelta
from secrets import token_hex
from typing import Any, TypedDict

from attrs import Attribute, field, frozen

from duly.jobs import PAYLOAD_LIMIT, PAYLOAD_MAX, InvalidValue, JobRegistry, PayloadKeys
from duly.jobs.cipher import ENVELOPE_MAX
from duly.jobs.keywords import check_keywords
from duly.jobs.validators import at_least, name, or_none, positive
from duly.scheduler.clock import Clock
from duly.stores import JobStore

STORE_VARIABLE = "DULY_STORE"
DEFAULT_STORE = "memory://"


class Settings(TypedDict, total=False):
    """The fields of `SchedulerConfig`, as keywords."""

    node: str
    concurrency: int
    lease: timedelta
    grace: timedelta
    poll: timedelta
    payload_limit: int
    keep_runs_for: timedelta | None
    keep_runs: int | None
    keys: PayloadKeys | None


def _node_name() -> str:
    """Return a name that no other process has: a restarted node is another node."""
    return f"{socket.gethostname()[:200]}:{os.getpid()}:{token_hex(3)}"


def _up_to_payload_max(config: "SchedulerConfig", _: object, value: int) -> None:
    most = PAYLOAD_MAX if config.keys is None else PAYLOAD_MAX - ENVELOPE_MAX
    if type(value) is not int or not 0 < value <= most:
        raise InvalidValue("payload_limit", value, f"1 to {most} bytes")


def _payload_keys(_: object, __: "Attribute[Any]", value: object) -> None:
    if value is not None and not isinstance(value, PayloadKeys):
        raise InvalidValue("keys", type(value).__name__, "PayloadKeys, or None")  # not the value, which holds keys


@frozen(kw_only=True)
class SchedulerConfig:
    """The settings of one node."""

    node: str = field(factory=_node_name, validator=name)
    """Its name in leases and histories; by default host, process and a random part."""
    concurrency: int = field(default=100, validator=at_least(1))
    """Most runs at once on this node, wherever they run; one that was given up while it may still be at work counts."""
    lease: timedelta = field(default=timedelta(seconds=30), validator=positive)
    """How long a task stays with a node that is not heard of; a dead node's tasks run again within two of these."""
    grace: timedelta = field(default=timedelta(seconds=25), validator=at_least(timedelta(0)))
    """How long `drain` waits for runs to end before it cuts them short; by default less than the 30 s after which Kubernetes kills."""
    poll: timedelta = field(default=timedelta(seconds=5), validator=positive)
    """Longest time between polls (jittered); the fallback if a notification is lost."""
    payload_limit: int = field(default=PAYLOAD_LIMIT, validator=_up_to_payload_max)
    """Largest payload, in bytes, before it is encrypted."""
    keep_runs_for: timedelta | None = field(default=timedelta(days=30), validator=or_none(positive))
    """Runs that ended longer ago are pruned; None keeps them."""
    keep_runs: int | None = field(default=1000, validator=or_none(at_least(0)))
    """Of each task, as many runs are kept; None keeps them all."""
    keys: PayloadKeys | None = field(default=None, validator=_payload_keys)
    """What payloads are encrypted with in the store; None leaves them in the clear."""

    @property
    def heartbeat(self) -> timedelta:
        """How often leases are extended: two beats may fail before one ends."""
        return self.lease / 3

    @property
    def margin(self) -> timedelta:
        """How long before its end a lease is no longer trusted, for the time that a write is under way."""
        return self.lease / 10


def store_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the store that `DULY_STORE` names, in memory if it names none."""
    return environment.get(STORE_VARIABLE) or DEFAULT_STORE


def check_settings(given: Collection[str]) -> None:
    """Refuse, as `TypeError`, a keyword that is no setting of a scheduler."""
    hint = '; a namespace is the store\'s: open_store(url, namespace="...")' if "namespace" in given else ""
    check_keywords("a scheduler", given, ("store", "jobs", "clock", *Settings.__annotations__), hint)


def check_wiring(store: object, jobs: object, clock: object) -> None:
    """Refuse what a scheduler cannot be made of.

    Raises:
        InvalidValue: `store` is neither None, a URL nor a store, `jobs` no registry, or `clock` no clock.

    """
    if isinstance(store, type) or not (store is None or isinstance(store, str) or hasattr(store, "exchange")):
        raise InvalidValue("store", store, f"a URL, or a {JobStore.__name__} such as MemoryStore()")
    if jobs is not None and not isinstance(jobs, JobRegistry):
        raise InvalidValue("jobs", jobs, "a JobRegistry")
    if isinstance(clock, type) or not (clock is None or hasattr(clock, "call_later")):
        raise InvalidValue("clock", clock, f"a {Clock.__name__} such as SystemClock()")
