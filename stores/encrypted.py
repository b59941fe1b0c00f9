"""A store that keeps payloads encrypted, around any other.

It encrypts on the way in, and decrypts on the way out.

A payload that cannot be read comes out as it is stored, and says so (`StoredPayload.problem`): its task is listed, paused, edited
and deleted like any other, and only not run. What is written back unchanged keeps its stored form, so that a great payload is not
written anew at every fire; under a key that is not the newest, it is encrypted anew instead.
"""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from duly.jobs import PayloadTooLarge, Task
from duly.jobs.cipher import PayloadAddress, PayloadKeys, StoredPayload
from duly.jobs.with_changes import with_changes
from duly.stores.base import JobStore
from duly.stores.errors import Conflict, JobNotFound, UnreadableTask
from duly.stores.queries import Page, TaskQuery
from duly.stores.records import Exchange, IfExists, LockRequest, Outcome, Refused
from duly.stores.wrapped import WrappedStore

_TRIES = 20
"""How often a task is encrypted anew because somebody else was faster."""


class Reencryption(Protocol):
    """Facet of a store that keeps payloads encrypted."""

    @abstractmethod
    async def reencrypt(self, now: datetime) -> int:
        """Encrypt with the newest key every payload that can be read and is not; return how many were."""


class EncryptedStore(WrappedStore, Reencryption):
    """Keeps what another store keeps, with its payloads encrypted.

    A scheduler that is given `keys` makes one by itself.

    It passes on no facet of the store within, which would show payloads as they are kept, or take them in the clear.
    """

    def __init__(self, store: JobStore, keys: PayloadKeys) -> None:
        """Encrypt what goes to `store`, which is opened and closed with this one."""
        super().__init__(store)
        self._keys = keys

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Write what finished, then lock what is due, in one round trip."""
        exchange = await self._store.exchange(now, [self._sealed_outcome(each) for each in outcomes], request)
        tasks = [self._opened(task) for task in exchange.tasks]
        return with_changes(exchange, tasks=tasks, refused=self._refused(outcomes, exchange.refused))

    async def create(self, now: datetime, tasks: Sequence[Task], *, if_exists: IfExists = "error") -> list[str]:
        """Write new tasks.

        With `replace`, those that exist are read before: an equal payload stays as it is stored.
        """
        sealed = [await self._replacing(task) for task in tasks] if if_exists == "replace" else list(map(self._sealed, tasks))
        return await self._store.create(now, sealed, if_exists=if_exists)

    async def get(self, slug: str) -> Task:
        """Return the task."""
        return self._opened(await self._store.get(slug))

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Return the tasks that match."""
        page = await self._store.search(query)
        return with_changes(page, items=[self._opened(task) for task in page.items])

    async def update(self, now: datetime, task: Task) -> Task:
        """Write an edit of a task that was read before."""
        return self._opened(await self._store.update(now, self._sealed(task)))

    async def reencrypt(self, now: datetime) -> int:
        """Encrypt with the newest key every payload that can be read and is not; return how many were.

        What would be too large for an envelope, because it was written before encryption was switched on, stays as it is.

        Raises:
            Conflict: others wrote a task again and again; what was encrypted stays so.

        """
        written, query = 0, TaskQuery()
        while True:
            page = await self.search(query)
            for task in page.items:
                written += await self._is_reencrypted(now, task)
            if page.next is None:
                return written
            query = with_changes(query, after=page.next)

    async def _is_reencrypted(self, now: datetime, task: Task) -> bool:
        """Encrypt one task anew; tell whether there was anything to write.

        When somebody was faster, the newest version is tried.
        """
        for left in reversed(range(_TRIES)):
            sealed = self._sealed(task)
            if sealed.payload == _as_stored(task).payload:
                return False
            try:
                await self._store.update(now, sealed)
            except (JobNotFound, UnreadableTask):
                return False
            except Conflict:
                if not left:
                    raise
            else:
                return True
            try:
                task = await self.get(task.slug)
            except (JobNotFound, UnreadableTask):
                return False
        raise AssertionError("the last try returns or raises")

    # -- in and out

    def _address(self, task: Task) -> PayloadAddress:
        return PayloadAddress(self.namespace, task.slug, task.kind)

    def _opened(self, task: Task) -> Task:
        return with_changes(task, payload=self._keys.open(task.payload, self._address(task)))

    def _sealed(self, task: Task) -> Task:
        """Encrypt, but leave what was stored before and is too large for an envelope.

        Its run must end, and people may pause it.
        """
        payload, address = task.payload, self._address(task)
        try:
            return with_changes(task, payload=self._keys.seal(payload, address))
        except PayloadTooLarge:
            if isinstance(payload, StoredPayload) and (payload.address == address or payload.key_id is None):
                return with_changes(task, payload=payload.stored)
            raise

    def _sealed_outcome(self, outcome: Outcome) -> Outcome:
        return with_changes(
            outcome,
            task=_as_stored(outcome.task),
            next=outcome.next and self._sealed(outcome.next),
            spawn=tuple(map(self._sealed, outcome.spawn)),
        )

    def _refused(self, outcomes: Sequence[Outcome], refused: Sequence[Refused]) -> list[Refused]:
        given = {outcome.task.lease_id: outcome for outcome in outcomes}
        return [
            with_changes(each, outcome=given[each.outcome.task.lease_id], task=None if each.task is None else self._opened(each.task))
            for each in refused
        ]

    async def _replacing(self, new: Task) -> Task:
        """Encrypt, but leave an equal payload as the store has it, also under an older key.

        An equal definition is no write.
        """
        try:
            row = await self.get(new.slug)
        except (JobNotFound, UnreadableTask):  # the store within leaves the latter as it is
            return self._sealed(new)
        payload = row.payload
        is_same = isinstance(payload, StoredPayload) and payload.problem is None and (row.kind, payload) == (new.kind, new.payload)
        return _as_stored(with_changes(new, payload=payload)) if is_same else self._sealed(new)


def _as_stored(task: Task) -> Task:
    return with_changes(task, payload=task.payload.stored) if isinstance(task.payload, StoredPayload) else task
