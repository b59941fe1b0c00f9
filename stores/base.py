"""The store protocol: tasks kept, locked and fenced."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, Self

from duly.jobs import Task
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

    A third party's store passes `duly.stores.conformance`.
    """

    @property
    def namespace(self) -> str:
        """The tenant whose tasks this object sees; it sees no others."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date; safe when many processes do it at once. Opening twice is once."""

    async def close(self) -> None:
        """Give back every connection and thread; safe to call twice, and after a failed `open`."""

    async def __aenter__(self) -> Self:
        """Open."""

    async def __aexit__(self, *error: object) -> None:
        """Close."""

    def sibling(self) -> Self:
        """Return a store on the same tasks, not yet open, for use in another event loop: with a connection of its own."""

    async def now(self) -> datetime | None:
        """Return the store's own clock, which is the cluster's; None if it has none, and the caller's must do."""

    # -- what a node lives on

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished (as `reschedule`), then lock what is due (as `lock`), in one round trip; without a request, only write."""

    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock due tasks of the requested kinds, oldest due first within each kind, at most as many as there is room.

        A task whose lease has ended is due; its former holder's run is recorded as lost in the same write. Tasks of
        other kinds, and rows that somebody else is just changing, are passed over without waiting.
        """

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write each outcome (next state, runs, spawned tasks) if its lease still holds; return those that were not written.

        Tasks are spawned as by `create` with `keep`.
        """

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Heartbeat: move the end of each lease to `now + lease`, never back. No row waits for another."""

    async def next_run(self, kinds: Sequence[str]) -> datetime | None:
        """Return the earliest due instant among tasks of `kinds`; None when there is none."""

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Hold up to `want` of the `total` slots that `kind` has in the namespace until `now + lease`; return how many.

        The answer replaces what `node` held before; 0 gives all back. Slots that no node renewed in time are free again.
        """

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Yield whenever something may be due sooner than the last `next_run` said.

        A hint, never the truth: it may come for nothing, several may come as one, and a store that cannot tell never
        yields. What is written after the context was entered is not missed, as long as the store's line holds; the
        poll is the net.
        """

    # -- what people and programs do with tasks

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks, and return the slugs that were written, in the order given.

        Of each task its definition, `paused`, `anchor` and `run_at` count. A slug given twice is refused. A task that was
        set aside (`transitions.gives_way`) gives way to a new one, except with `replace`: nothing of it stays but its
        history, and the versions go on from its own.

        Raises:
            JobAlreadyScheduled: with `error`, if any slug exists and does not give way; then nothing is written.
            InvalidValue: a slug is given twice.

        """

    async def get(self, slug: str) -> Task:
        """Return the task.

        Raises:
            JobNotFound: there is none.

        """

    async def get_slugs(self, *, prefix: str = "", limit: int = 1000, after: str | None = None) -> list[str]:
        """Return up to `limit` slugs that start with `prefix` and sort after `after`, by code point."""

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match, in slug order; no task is shown twice or left out while others come and go.

        Raises:
            Unsupported: this store cannot search by one of the conditions.

        """

    async def count(self, query: TaskQuery) -> int:
        """Return how many tasks match, all pages together: exactly; `limit` and `after` do not matter.

        While tasks come and go, those count that were there all the while, and of the others some.

        Raises:
            Unsupported: this store cannot search by one of the conditions.

        """

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit of a task that was read before, and return it as it is now; a lease stays as it is.

        Raises:
            Conflict: the task has another version than the one edited.
            JobNotFound: there is no such task.

        """

    async def delete(self, slug: str, version: int | None = None) -> None:
        """Delete the task, and its lease with it; its history stays.

        Raises:
            Conflict: `version` is given and is not the task's.
            JobNotFound: there is no such task.

        """

    async def clear(self) -> int:
        """Delete every task of the namespace, leases included; return how many there were. The history stays."""

    # -- history and nodes

    async def runs(self, query: RunQuery) -> Page[Run]:
        """Return the runs that match, newest first; none that is kept is shown twice or left out while others come and go."""

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete up to `limit` runs that finished before `before`, or that are older than their task's `keep` newest; return how many."""

    async def announce(self, node: Node) -> None:
        """Write what a node says of itself; one whose `until` is not later than its `seen_at` takes its leave."""

    async def nodes(self) -> list[Node]:
        """Return the nodes that announced themselves and did not take their leave, by name; the caller judges `until`."""
