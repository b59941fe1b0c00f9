"""The store protocol, and the base class with what every store does alike."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, Self, TypeVar, cast

from duly.jobs import Task
from duly.jobs.validators import check_name
from duly.stores.queries import Page, RunQuery, TaskQuery
from duly.stores.records import (
    Exchange,
    Extended,
    Held,
    IfExists,
    LockRequest,
    Node,
    Outcome,
    Refused,
    Run,
)

P = TypeVar("P")


class JobStore(Protocol):
    """Where tasks are kept; bound to one namespace, and the same to its callers whatever it keeps them in.

    A store object belongs to the event loop in which it was opened; `sibling` gives another loop its own. Any number of
    coroutines may call it at once. Nothing here reads a clock: what depends on time takes `now`, aware and in UTC.

    **Every write is whole or absent**, for each task by itself: a task that is refused never keeps its neighbours in the
    same call from being written. **Calls are repeatable**: after `StoreUnavailable` the same call with the same
    arguments does what was not done, and answers as if it were the first.

    Every method raises `StoreClosed` outside `open` and `close`, and `StoreUnavailable` when the store does not answer
    within its bounds. A `now` more than a few seconds ahead of the store's own clock raises `ClockSkew` (unless the
    store was made for a manual clock, or has no clock): a node that lives in the future would take what is not due.

    A third party's store derives from `BaseStore`, and passes `duly.stores.conformance`. What only some stores can do is no method
    here, but a *facet*: a small protocol of its own, asked for by `facet`.
    """

    @property
    @abstractmethod
    def namespace(self) -> str:
        """The tenant whose tasks this object sees; it sees no others."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, and bring the schema up to date; safe when many processes do it at once.

        Opening twice is once.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give back every connection and thread; safe to call twice, and after a failed `open`."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open."""

    @abstractmethod
    async def __aexit__(self, *error: object) -> None:
        """Close."""

    @abstractmethod
    def sibling(self) -> Self:
        """Return a store on the same tasks, not yet open, for use in another event loop.

        It has connections of its own.
        """

    @abstractmethod
    async def now(self) -> datetime | None:
        """Return the store's own clock, which is the cluster's; None if it has none, and the caller's must do."""

    @abstractmethod
    def facet(self, kind: Callable[..., P]) -> P | None:
        """Return what this store can do beyond this protocol, by the protocol that says it; None: it cannot."""

    # -- what a node lives on

    @abstractmethod
    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished (as `reschedule`), then lock what is due (as `lock`), in one round trip.

        Without a request, only write.
        """

    @abstractmethod
    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock due tasks of the requested kinds, at most as many as there is room for.

        Within each kind, the one that has been due longest comes first. One that this version cannot read is put off instead, for
        a while that doubles (`duly.stores.rules.unreadable`); `exchange` names it. So is it with one that becomes unreadable during
        its run: no call fails by it for the others.

        A task whose lease has ended is due; its former holder's run is recorded as lost in the same write. Tasks of
        other kinds, and rows that somebody else is just changing, are passed over without waiting.
        """

    @abstractmethod
    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write each outcome (next state, runs, spawned tasks) if its lease still holds.

        Return those that were not written.

        Tasks are spawned as by `create` with `keep`.
        """

    @abstractmethod
    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Heartbeat: move the end of each lease to `now + lease`, never back. No row waits for another."""

    @abstractmethod
    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant among tasks of `kinds`; None when there is none."""

    @abstractmethod
    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold up to `want` of the `total` slots that `kind` has in the namespace until `now + lease`.

        Return how many.

        The answer replaces what `node` held before; 0 gives all back. Slots that no node renewed in time are free again.
        """

    @abstractmethod
    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield whenever something may be due sooner than the last `next_run` said.

        A hint, never the truth: it may come for nothing, several may come as one, and a store that cannot tell never
        yields. What is written after the context was entered is not missed, as long as the store's line holds; the
        poll is the net.
        """

    # -- what people and programs do with tasks

    @abstractmethod
    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks, and return the slugs that were written, in the order given.

        Of each task its definition, `paused`, `anchor` and `run_at` count. A slug given twice is refused. A task that was
        set aside (`transitions.gives_way`) gives way to a new one, except with `replace`: nothing of it stays but its
        history, and the versions go on from its own. One that this version cannot read is left as it is, also with `replace`.

        Raises:
            JobAlreadyScheduled: with `error`, if any slug exists and does not give way; then nothing is written.
            InvalidValue: a slug is given twice.

        """

    @abstractmethod
    async def get(self, slug: str) -> Task:
        """Return the task.

        Raises:
            JobNotFound: there is none.
            UnreadableTask: this version cannot read it.

        """

    @abstractmethod
    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return up to `limit` slugs that start with `prefix` and sort after `after`, by code point."""

    @abstractmethod
    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match, in slug order.

        No task is shown twice or left out while others come and go. Those that cannot be read are named in `Page.unreadable`.

        Raises:
            Unsupported: this store cannot search by one of the conditions.

        """

    @abstractmethod
    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match, all pages together: exactly; `limit` and `after` do not matter.

        While tasks come and go, those count that were there all the while, and of the others some.

        Raises:
            Unsupported: this store cannot search by one of the conditions.

        """

    @abstractmethod
    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit of a task that was read before, and return it as it is now; a lease stays as it is.

        Raises:
            Conflict: the task has another version than the one edited.
            JobNotFound: there is no such task.

        """

    @abstractmethod
    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task, and its lease with it; its history stays.

        Raises:
            Conflict: `version` is given and is not the task's.
            JobNotFound: there is no such task.

        """

    @abstractmethod
    async def clear(self) -> int:
        """Delete every task of the namespace, leases included; return how many there were. The history stays."""

    # -- history and nodes

    @abstractmethod
    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first.

        None that is kept is shown twice or left out while others come and go.
        """

    @abstractmethod
    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete up to `limit` old runs; return how many.

        Old are those that finished before `before` (None: no age is too old) and those that are older than their task's `keep` newest
        runs (None: no number is too many).
        """

    @abstractmethod
    async def announce(self, node: Node) -> None:
        """Write what a node says of itself; one whose `until` is not later than its `seen_at` takes its leave."""

    @abstractmethod
    async def nodes(self) -> list[Node]:
        """Return the nodes that announced themselves and did not take their leave, by name.

        The caller judges `until`.
        """


class BaseStore(JobStore):
    """What every store does alike; a store derives from it and writes the methods that are left abstract.

    A store has a facet by deriving from its protocol, too.
    """

    def __init__(self, namespace: str) -> None:
        """Be bound to a namespace.

        Raises:
            InvalidValue: it is no name.

        """
        check_name("namespace", namespace)
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The tenant whose tasks this object sees; it sees no others."""
        return self._namespace

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

    def facet(self, kind: Callable[..., P]) -> P | None:
        """Return this very store if its class derives from `kind`."""
        return cast("P", self) if kind in type(self).__mro__ else None

    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock due tasks: the half of an exchange that has no outcomes."""
        return (await self.exchange(now, (), request)).tasks

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write outcomes: the half of an exchange that locks nothing."""
        return (await self.exchange(now, outcomes, None)).refused
