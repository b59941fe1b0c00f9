"""What is refused at the scheduler's door, because it would fail later, elsewhere, in words about something else. Pure."""

from collections.abc import Collection
from typing import TypeVar, get_args

from duly.jobs import InvalidValue, JobRegistry
from duly.jobs.keywords import check_keywords
from duly.jobs.options import OptionValues
from duly.jobs.spawning import When
from duly.scheduler.clock import Clock
from duly.scheduler.config import Settings
from duly.scheduler.rules.new_task import NewTask
from duly.stores import IfExists, JobStore

Q = TypeVar("Q")

_ON_EXISTS: tuple[str, ...] = get_args(IfExists)


def check_when(call: str, given: Collection[str]) -> None:
    """Refuse, as `TypeError`, what is no keyword of a new task, for which `call` asks, and say where an option belongs."""
    options = [name for name in given if name in OptionValues.__annotations__]
    hint = f"; how one task is run is said by options=TaskOptions({options[0]}=...)" if options else ""
    check_keywords(call, given, When.__annotations__, hint)


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


def check_new(task: object) -> NewTask:
    """Return `task` if it is one to be scheduled.

    Raises:
        InvalidValue: it is none.

    """
    if not isinstance(task, NewTask):
        raise InvalidValue("task", task, "a NewTask(slug, job, ...)")
    return task


def check_if_exists(value: object) -> None:
    """Refuse, as `InvalidValue`, what says nothing of a slug that exists."""
    if value not in _ON_EXISTS:
        raise InvalidValue("if_exists", value, " or ".join(map(repr, _ON_EXISTS)))


def checked_query(query: Q, kind: type[Q]) -> Q:
    """Return `query` if it is one of that kind.

    Raises:
        InvalidValue: it is not.

    """
    if not isinstance(query, kind):
        raise InvalidValue("query", query, f"a {kind.__name__}(...)")
    return query
