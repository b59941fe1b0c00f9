"""Queries, and the pages of their answers.

Every condition is checked when the query is built, not in the store.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import Attribute, field, frozen

from duly.jobs import InvalidValue, TaskState
from duly.jobs.validators import NAME_LIMIT, Validator, check_name, choice, instance_of, name, or_none, slug, text_map, texts, utc_or_none
from duly.stores.records import Run, RunStatus, Unreadable
from duly.triggers import require_aware

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

StateText: TypeAlias = Literal["scheduled", "running", "failed"]
"""A `TaskState` by its text."""
StatusText: TypeAlias = Literal["done", "failed", "retried", "skipped", "lost", "cancelled"]
"""A `RunStatus` by its text."""

LIMIT_MAX = 10_000
"""Most that one page holds: a page is whole in memory, and is one statement with a time limit. Follow `Page.next` for more."""


def _limit(_: object, attribute: "Attribute[int]", value: object) -> None:
    if not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LIMIT_MAX):
        raise InvalidValue(attribute.name, value, f"a whole number from 1 to {LIMIT_MAX}")


def _part_of_a_slug(_: object, attribute: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or len(value) > NAME_LIMIT:
        raise InvalidValue(attribute.name, value, f"text of at most {NAME_LIMIT} characters")
    if value:
        check_name(attribute.name, value)


def _members(kind: type[E], field: str, value: tuple[E | str, ...] | None) -> tuple[E, ...] | None:
    """Return members of an enumeration that are given as such, or by their texts."""
    if value is None:
        return None
    if not isinstance(value, tuple) or any(isinstance(each, Enum) and not isinstance(each, kind) for each in value):
        raise InvalidValue(field, value, f"a tuple of {kind.__name__}, or of their texts")
    return tuple(choice(kind, f"{field}[{place}]", each) for place, each in enumerate(value))


def _states(value: tuple[TaskState | StateText, ...] | None) -> tuple[TaskState, ...] | None:
    return _members(TaskState, "states", value)


def _statuses(value: tuple[RunStatus | StatusText, ...] | None) -> tuple[RunStatus, ...] | None:
    return _members(RunStatus, "statuses", value)


def _names(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, tuple):
        raise InvalidValue(attribute.name, value, "a tuple of names")
    for each in value:
        check_name(attribute.name, each)


def _not_before(start: str) -> Validator:
    """Accept None, or an instant that is not earlier than the attribute `start`.

    That attribute stands before this one in its class.
    """

    def check(query: object, attribute: "Attribute[Any]", value: datetime | None) -> None:
        since = getattr(query, start)
        if value is not None and since is not None and value < since:
            raise InvalidValue(attribute.name, value, f"an instant not earlier than {start}, which is {since}")

    return check


def _cursor(_: object, __: "Attribute[Any]", value: str | None) -> None:
    if value is not None:
        parse_run_cursor(value)


@frozen(kw_only=True)
class TaskQuery:
    """Which tasks to find; every condition given must hold. In slug order, a page at a time.

    A bad value raises `InvalidValue`, a naive datetime `NaiveDatetime`. An empty tuple is a condition that nothing fulfils.
    """

    kinds: tuple[str, ...] | None = field(default=None, validator=or_none(_names))
    """Of one of these kinds; None: of any."""
    states: tuple[TaskState, ...] | None = field(default=None, converter=_states)
    """In one of these states, such as `("failed",)`; None: in any."""
    paused: bool | None = field(default=None, validator=or_none(instance_of(bool)))
    """Paused or not; None: either."""
    prefix: str = field(default="", validator=_part_of_a_slug)
    """Slugs that start with this."""
    contains: str = field(default="", validator=_part_of_a_slug)
    """Slugs that contain this text as it stands, by case. Not every store can search for it: `Unsupported` says so."""
    metadata: Mapping[str, str] = field(factory=dict, converter=text_map, validator=texts)
    """Tasks whose metadata has all of these keys, each with this text."""
    due_from: datetime | None = field(default=None, converter=utc_or_none)
    """See `due_until`; None: however early."""
    due_until: datetime | None = field(default=None, converter=utc_or_none, validator=_not_before("due_from"))
    """Due at `due_from` or later, and before `due_until`; a task that is never due matches neither. None: however late."""
    limit: int = field(default=100, validator=_limit)
    """Most tasks on a page, up to `LIMIT_MAX`."""
    after: str | None = field(default=None, validator=or_none(name))
    """`Page.next` of the page before; None: the first page."""


@frozen(kw_only=True)
class RunQuery:
    """Which runs to find; newest first (by the end of the run, then by id), a page at a time.

    A bad value raises `InvalidValue`, a naive datetime `NaiveDatetime`. An empty tuple is a condition that nothing fulfils.
    """

    slug: str | None = field(default=None, validator=or_none(slug))
    """Runs of this task; None: of any."""
    prefix: str = field(default="", validator=_part_of_a_slug)
    """Runs of tasks whose slugs start with this; such as those that a schedule with overlap `allow` started, `slug@time`."""
    kinds: tuple[str, ...] | None = field(default=None, validator=or_none(_names))
    """Of tasks of one of these kinds; None: of any."""
    statuses: tuple[RunStatus, ...] | None = field(default=None, converter=_statuses)
    """That ended in one of these ways, such as `("failed", "lost")`; None: in any."""
    node: str | None = field(default=None, validator=or_none(name))
    """Runs on this node; a fire that was skipped was on none. None: on any, or none."""
    since: datetime | None = field(default=None, converter=utc_or_none)
    """See `until`; None: however early."""
    until: datetime | None = field(default=None, converter=utc_or_none, validator=_not_before("since"))
    """Finished at `since` or later, and before `until`; None: however late."""
    limit: int = field(default=100, validator=_limit)
    """Most runs on a page, up to `LIMIT_MAX`."""
    after: str | None = field(default=None, validator=_cursor)
    """`Page.next` of the page before; None: the first page."""


@frozen
class Page(Generic[T]):
    """A bounded part of an answer; iterate over it, or over `items`."""

    items: list[T]
    """At most `limit`. Fewer, or none, does not mean that there are no more: `next` does."""
    next: str | None
    """Give it back as `after` for the page that follows; None when this is the last."""
    unreadable: tuple[Unreadable, ...] = ()
    """What belongs on this page, but cannot be read by this version; it counts towards `limit`."""

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items of this page alone; `iterate_jobs` and `iterate_runs` go on to the next page."""
        return iter(self.items)


def task_cursor(slug: str) -> str:
    """Return where the task with this slug stands in slug order, as `TaskQuery.after` takes it.

    A slug of no legal length, which somebody wrote by hand, is stood in for by the nearest legal one after it.
    """
    if not slug:
        return "\x01"
    return slug if len(slug) <= NAME_LIMIT else slug[: NAME_LIMIT - 1] + "\U0010ffff"


def run_cursor(run: Run) -> str:
    """Return where `run` stands in the order of the history, as `RunQuery.after` takes it."""
    return run_cursor_at(run.finished_at, run.id)


def run_cursor_at(finished_at: datetime, run_id: str) -> str:
    """Return the same for a run of which no more is known."""
    return f"{finished_at.isoformat()} {run_id}"


def parse_run_cursor(cursor: str) -> tuple[datetime, str]:
    """Read what `run_cursor` wrote: the end of a run and its id.

    Raises:
        InvalidValue: it is no such text.

    """
    try:
        instant, _, run_id = cursor.partition(" ")
        check_name("after", run_id)
        return require_aware(datetime.fromisoformat(instant), "after"), run_id
    except (AttributeError, TypeError, ValueError):  # no text; `InvalidValue`, `NaiveDatetime` and `TriggerError` are ValueErrors
        raise InvalidValue("after", cursor, "the 'next' of an earlier page") from None
