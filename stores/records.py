"""The values that pass between a node and a store."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from attrs import Attribute, field, frozen

from duly.jobs import InvalidValue, Task
from duly.jobs.plain import Plain, to_dict
from duly.jobs.storable import storable
from duly.jobs.validators import name, or_none, positive, text_map, utc

IfExists = Literal["error", "keep", "replace"]
"""What `create` does with a slug that exists: refuse the whole call, leave the task alone, or change its definition.

With the first two, a task that was set aside as failed is not in the way: it gives way to the new one.
"""


_name_or_none = or_none(name)


class RunStatus(StrEnum):
    """How a run ended, or why a fire had none."""

    DONE = "done"
    """The job returned."""
    FAILED = "failed"
    """It failed, and is not tried again for this fire."""
    RETRIED = "retried"
    """It failed, and is tried again."""
    SKIPPED = "skipped"
    """The fire was not run; `Run.error` has the reason."""
    LOST = "lost"
    """Its node let the lease end."""
    CANCELLED = "cancelled"
    """It was stopped, or cut short by the end of its node."""


@frozen(kw_only=True)
class Run:
    """One execution, kept in the history; or one or more fires that were dropped (`skipped`)."""

    id: str = field(validator=name)
    """Id of the lease under which it ran, so that writing it twice writes it once."""
    slug: str
    """Slug of the task."""
    kind: str
    """Kind of the task at that time."""
    namespace: str = "default"
    """The tenant."""
    fire_time: datetime = field(converter=utc)
    """Nominal instant of the fire; of several that were skipped, the first."""
    attempt: int = 0
    """Which run of this fire it was, from 1; 0: it was none, as of a fire that was skipped."""
    node: str | None = None
    """Node that ran it; None: no node did."""
    started_at: datetime = field(converter=utc)
    """When the run began, or was locked if nobody knows when it began."""
    finished_at: datetime = field(converter=utc)
    """When it ended; of a lost run, when its lease did."""
    status: RunStatus = field(converter=RunStatus)
    """How it ended."""
    count: int = 1
    """How many fires this stands for: more than one only where many were skipped at once."""
    error: str | None = field(default=None, converter=storable, repr=False)
    """What went wrong, or the reason of a skip; bounded. None: nothing went wrong."""
    result: str | None = field(default=None, converter=storable, repr=False)
    """Text that the run left; bounded. None: it left none."""

    def to_dict(self) -> Plain:
        """Return the run as plain values that `json` takes, field by field.

        Instants are ISO 8601 text in UTC, lengths of time are seconds.
        """
        return to_dict(self)


def _first_of_each_slug(tasks: Iterable[Task]) -> tuple[Task, ...]:
    first: dict[str, Task] = {}
    for task in tasks:
        first.setdefault(task.slug, task)
    return tuple(first.values())


@frozen(kw_only=True)
class Outcome:
    """What its holder made of a locked task: written whole or not at all, fenced by lease and version."""

    task: Task
    """The task as the decision knew it: its `lease_id` and `version` must still be the row's."""
    next: Task | None
    """The task as it is to be, released; None removes it. Built by `duly.stores.rules.transitions`."""
    runs: tuple[Run, ...] = ()
    """What goes into the history with it; empty when the task is handed back unrun."""
    spawn: tuple[Task, ...] = field(default=(), converter=_first_of_each_slug)
    """New tasks, created in the same write; a slug that exists is kept, unless its task was set aside, and of one that is given twice
    the first counts."""


Refusal = Literal["lost", "edited", "busy"]


@frozen(kw_only=True)
class Refused:
    """Why a store did not write an outcome.

    `lost`: the lease is another's, or the task is gone. `edited`: the lease is held, but an edit came in between;
    `task` is the task as it is now, on which the holder decides again. `busy`: somebody else's transaction holds the
    row; hand the same outcome in again.
    """

    outcome: Outcome
    """What was not written."""
    reason: Refusal
    """Why."""
    task: Task | None = None
    """With `edited`, the task as it is now; else None."""


def _at_least_one_each(_: object, attribute: "Attribute[Mapping[str, int]]", value: Mapping[str, int]) -> None:
    for kind, room in value.items():
        if room < 1:
            raise InvalidValue(f"{attribute.name}[{kind!r}]", room, "at least 1")


@frozen(kw_only=True)
class LockRequest:
    """What a node has room for.

    `rooms` bounds what is locked of each kind; kinds that are not in it are never touched. Its order is the order in
    which kinds are visited. The sum of its values is the most that one call locks.
    `token` names this request, new for each: its lease ids derive from it, so that the same request with the same
    `now`, repeated after an ambiguous error, returns the tasks it already locked.
    """

    node: str = field(validator=name)
    """Name of the node that asks."""
    rooms: Mapping[str, int] = field(validator=_at_least_one_each)
    """By kind: how many tasks may be locked, at least 1."""
    lease: timedelta = field(validator=positive)
    """How long the tasks are held unless a heartbeat extends that."""
    token: str = field(validator=name)
    """Text that no other request has."""
    instance: str | None = field(default=None, validator=_name_or_none)
    """Instance id of the node, written into the tasks that it locks; None: it has none."""
    live: frozenset[str] = frozenset()
    """Lease ids of the runs that the node still has. A task under one of them is not locked, though its lease may have ended."""
    take_over: bool = True
    """Whether tasks are locked whose lease has ended; without it, only tasks that nobody holds."""

    def leaves(self, task: Task) -> bool:
        """Tell whether the request leaves a due task alone because of the lease that it is under."""
        return task.lease_id is not None and (not self.take_over or task.lease_id in self.live)

    @property
    def batch(self) -> int:
        """Most tasks that one call locks."""
        return sum(self.rooms.values())

    def lease_id(self, number: int) -> str:
        """Return the id of the lease on the task that this request locks as its `number`-th."""
        return f"{self.token}.{number}"


@frozen
class Unreadable:
    """What is in a store, and cannot be read by this version of duly.

    A later version or a person wrote it.
    """

    slug: str
    """Slug of the task; of a run, that of its task."""
    reason: str
    """What cannot be read, and why."""


@frozen(kw_only=True)
class Exchange:
    """What one round trip brought."""

    tasks: list[Task]
    """Locked now, at most `batch`, in due order within each kind."""
    refused: list[Refused]
    """Outcomes that were not written."""
    next_run: datetime | None
    """When to ask again: the earliest due instant of the request's kinds; not later than `now` if more is due already."""
    store_now: datetime | None
    """The store's clock, read while it served this; None where the store has no clock of its own."""
    unreadable: tuple[Unreadable, ...] = ()
    """Due tasks that this version cannot read: not locked but put off, for a node that can."""


@frozen
class Held:
    """A lease that a node believes to hold."""

    slug: str
    """Slug of the task."""
    lease_id: str
    """Lease under which it is held."""
    etag: object = field(default=None, eq=False, repr=False)
    """`Task.etag` of the task; None: the store reads the row first, if it must."""


@frozen(kw_only=True)
class Kept(Held):
    """A lease that was extended, and what the holder should know of its row."""

    version: int
    """Version of the row: a greater one than the holder's tells of an edit."""
    stop: bool
    """Whether somebody asked for the run to be stopped."""


@frozen(kw_only=True)
class Extended:
    """What a heartbeat found."""

    kept: list[Kept]
    """Extended."""
    lost: list[Held]
    """No longer held: another node has the task, or it is gone."""
    busy: list[Held]
    """Rows that somebody else's transaction holds: neither extended nor lost; try again well before the lease ends."""
    store_now: datetime | None
    """The store's clock, read while it served this; None: the store has no clock of its own."""


@frozen(kw_only=True)
class Node:
    """A running scheduler process, as it announces itself."""

    name: str = field(validator=name)
    """Name of the node, which its leases carry."""
    kinds: tuple[str, ...] = ()
    """Kinds that it runs."""
    started_at: datetime = field(converter=utc)
    """When it started."""
    seen_at: datetime = field(converter=utc)
    """When it announced itself."""
    until: datetime = field(converter=utc)
    """When it counts as gone unless it announces itself again."""
    info: Mapping[str, str] = field(factory=dict, converter=text_map)
    """Host, pid, version …: text for people."""
    instance: str | None = field(default=None, validator=_name_or_none)
    """What tells two nodes of one name apart; None: the node has no such id."""

    def to_dict(self) -> Plain:
        """Return the node as plain values that `json` takes, field by field.

        Instants are ISO 8601 text in UTC, lengths of time are seconds.
        """
        return to_dict(self)
