"""One namespace in Firestore: where its documents lie, and how one of them is changed.

::

    {collection}/{namespace}/duly_tasks/{slug}
                             duly_runs/{lease id}
                             duly_nodes/{name}
                             duly_slots/{kind}

The names of the four collections are fixed, so that the index file fits whatever `collection` is; `{collection}/{namespace}`
itself is never written.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar

from attrs import frozen
from google.cloud.firestore import DELETE_FIELD, SERVER_TIMESTAMP, AsyncCollectionReference, AsyncDocumentReference, AsyncWriteBatch

from duly.jobs import Task
from duly.stores.errors import ClockSkew, StoreUnavailable, UnreadableTask
from duly.stores.firestore.connection import CALL_SECONDS, Connection
from duly.stores.firestore.documents import EDITED_AT, Row, changed, document_id, dropped, dump_task, load_task
from duly.stores.firestore.failures import Blocked, Raced, Unsure, unavailable
from duly.stores.rules import transitions

T = TypeVar("T")

ATTEMPTS = 5
"""How often one call tries to change a document that others are changing too."""

BATCH = 300
"""Most documents that are read, written or deleted at a time, where there are many."""

_PAUSE_SECONDS = 0.02
"""Longest pause before the third attempt, doubled for each further one; the second comes at once."""


@frozen
class Settled(Generic[T]):
    """Nothing is to be written: this is the answer."""

    answer: T


@frozen
class Write(Generic[T]):
    """What is to be written if the document is still as it was read.

    The answer is made once it was written, from its update time.
    """

    fill: Callable[[AsyncWriteBatch], None]
    answer: Callable[[datetime], T]
    seconds: float = CALL_SECONDS
    """How long it may take."""


Decide = Callable[[Row | None, bool], Awaitable[Settled[T] | Write[T]]]
"""What to do with a document as it is (None: not there); the flag tells that an attempt of this call may have been written."""


class Contended(Exception):
    """Others changed the document in every attempt, or hold it. Does not leave this package."""


async def side_by_side(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Await all the calls at once, and raise the first error only when every one has ended.

    None is left half done.
    """
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]  # no exception is among them


def too_contended(slug: str) -> StoreUnavailable:
    """Return the error for a task that others changed at every attempt."""
    return StoreUnavailable(f"task {slug!r} is being changed by others all the time")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, the last one of what is left."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


class Tenant:
    """The documents of one namespace, on one connection."""

    def __init__(self, connection: Connection, namespace: str, skew_limit: timedelta | None) -> None:
        """Refuse a `now` that is more than `skew_limit` ahead of the server's clock; None refuses none."""
        self.connection: Connection = connection
        self.namespace: str = namespace
        self._skew_limit = skew_limit
        self.root: AsyncDocumentReference = connection.client.collection(connection.target.collection).document(document_id(namespace))
        self.tasks: AsyncCollectionReference = self.root.collection("duly_tasks")
        self.runs: AsyncCollectionReference = self.root.collection("duly_runs")
        self.nodes: AsyncCollectionReference = self.root.collection("duly_nodes")
        self.slots: AsyncCollectionReference = self.root.collection("duly_slots")

    def task_at(self, slug: str) -> AsyncDocumentReference:
        """Return where the task with this slug is, or would be."""
        reference: AsyncDocumentReference = self.tasks.document(document_id(slug))
        return reference

    def run_at(self, run_id: str) -> AsyncDocumentReference:
        """Return where the run with this id is, or would be."""
        reference: AsyncDocumentReference = self.runs.document(document_id(run_id))
        return reference

    def load(self, row: Row) -> Task:
        """Return the task that a row of `tasks` holds.

        Raises:
            UnreadableTask: this version cannot read it.

        """
        return load_task(row, self.namespace)

    def load_if_readable(self, row: Row) -> Task | None:
        """Return the same; None: this version cannot read it."""
        try:
            return self.load(row)
        except UnreadableTask:
            return None

    async def find(self, slugs: Iterable[str]) -> dict[str, Task | None]:
        """Return those that exist, None for one that cannot be read; a billed read for each slug."""
        parts = await side_by_side(self._find(some) for some in chunks(slugs, BATCH))
        return {slug: self.load_if_readable(row) for rows in parts for slug, row in rows if row is not None}

    async def _find(self, slugs: list[str]) -> list[tuple[str, Row | None]]:
        return list(zip(slugs, await self.connection.rows([self.task_at(slug) for slug in slugs]), strict=True))

    # -- the clock

    async def server_now(self) -> datetime:
        """Ask for the server's time: one billed read."""
        await self.connection.row(self.root)
        now = self.connection.clock.since(0)
        if now is None:
            raise StoreUnavailable(f"{self.connection.target} sent an answer without its time")
        return now

    async def check(self, now: datetime) -> None:
        """Refuse a `now` that is too far ahead, before anything is written.

        Free as long as the time carried on from earlier answers allows `now`. That time is never ahead, so that it is
        asked for (one billed read) only before a refusal, and after the machine has slept.

        Raises:
            ClockSkew: it is ahead of the server's clock by more than the limit.

        """
        if self._skew_limit is None:
            return
        estimate = self.connection.clock.estimate()
        if estimate is not None and now <= estimate + self._skew_limit:
            return
        server_now = await self.server_now()
        if now > server_now + self._skew_limit:
            raise ClockSkew(now, server_now, self._skew_limit)

    # -- writes

    def put_new(self, batch: AsyncWriteBatch, task: Task) -> None:
        """Write a task whose slug must be free; listeners hear of it."""
        batch.create(self.task_at(task.slug), {**dump_task(task), EDITED_AT: SERVER_TIMESTAMP})

    def put_first(self, batch: AsyncWriteBatch, task: Task, former: Task | None, now: datetime) -> None:
        """Write the first version of a new task.

        Its slug must be free, or the `former` task, which gives way, still be as it was read.
        """
        first = transitions.create(task, namespace=self.namespace, now=now, former=former)
        if former is None:
            self.put_new(batch, first)
        else:
            assert isinstance(former.etag, Row), "a task that was read from here has its row"  # noqa: S101 - an invariant of this package
            self.put(batch, former.etag, first, edited=True)

    def put(self, batch: AsyncWriteBatch, row: Row, task: Task, *, edited: bool = False) -> None:
        """Write what `task` has otherwise than `row`, if the document is still `row`.

        As an edit, listeners hear of it.
        """
        fields = dump_task(task)
        changes: dict[str, Any] = changed(row.fields, fields) | dict.fromkeys(dropped(row.fields, fields), DELETE_FIELD)
        if edited:
            changes[EDITED_AT] = SERVER_TIMESTAMP
        batch.update(self.task_at(task.slug), changes, option=self._unchanged(row))

    def drop(self, batch: AsyncWriteBatch, slug: str, row: Row) -> None:
        """Delete a task, if its document is still `row`."""
        batch.delete(self.task_at(slug), option=self._unchanged(row))

    def put_beside(self, batch: AsyncWriteBatch, reference: AsyncDocumentReference, row: Row | None, fields: dict[str, Any]) -> None:
        """Write a document that is no task, if it is still `row`, or still not there."""
        if row is None:
            batch.create(reference, fields)
        else:
            batch.update(reference, fields, option=self._unchanged(row))

    def _unchanged(self, row: Row) -> Any:  # noqa: ANN401 - the library's WriteOption has no public name
        return self.connection.client.write_option(last_update_time=row.update_time)

    async def change(
        self, reference: AsyncDocumentReference, decide: Decide[T], *, known: Row | None = None, attempts: int = ATTEMPTS
    ) -> T:
        """Decide on a document as it is, and write that if it still is.

        When it was changed in between, decide again.

        The write is conditional on the document's update time, and there is no transaction: Firestore's take locks,
        and under contention everybody waits. With `known` the first decision is made without reading.

        Raises:
            Contended: others were faster in every attempt, or a transaction holds the document.
            StoreUnavailable: the write may or may not have happened, twice.

        """
        row = await self.connection.row(reference) if known is None else known
        unsure, blocked = False, False
        for attempt in range(attempts):
            step = await decide(row, unsure)
            if isinstance(step, Settled):
                return step.answer
            try:
                return step.answer(await self.connection.commit(step.fill, seconds=step.seconds))
            except Blocked as error:  # it took two seconds or more to say so
                if blocked:
                    raise Contended from error
                blocked = True
            except Raced:
                if attempt:
                    await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * 2**attempt))  # noqa: S311 - no secret, a jitter
            except Unsure as error:
                if unsure:
                    raise unavailable(str(self.connection.target), error.__cause__ or error) from error.__cause__
                unsure = True
            row = await self.connection.row(reference)
        raise Contended

    async def change_task(self, slug: str, decide: Decide[T], *, known: Row | None = None) -> T:
        """Change a task for somebody who cannot be told to come again.

        Too much contention is `StoreUnavailable`.
        """
        try:
            return await self.change(self.task_at(slug), decide, known=known)
        except Contended as error:
            raise too_contended(slug) from error

    async def delete_all(self, references: Iterable[AsyncDocumentReference]) -> None:
        """Delete documents, whatever they hold and whether or not they are there."""
        for some in chunks(references, BATCH):
            await self._delete(some)

    async def _delete(self, references: Sequence[AsyncDocumentReference]) -> None:
        def fill(batch: AsyncWriteBatch) -> None:
            for reference in references:
                batch.delete(reference)

        try:
            await self.connection.commit(fill)
        except (Raced, Unsure):  # somebody was writing one of them, or the answer was lost: to delete twice does no harm
            await self.connection.write(fill)
