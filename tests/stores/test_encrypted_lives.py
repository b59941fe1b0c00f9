"""A store that encrypts answers as the one within would, whatever is asked of it.

The store within never holds a plain payload.

The lives are the same in every run of the tests; `DULY_EXAMPLES=20` makes them other ones, twenty times as many.
"""

from itertools import cycle
from typing import cast

import pytest
from attrs import frozen
from hypothesis.stateful import invariant, run_state_machine_as_test

from duly.jobs import PayloadKeys, Task
from duly.jobs.cipher import MARK
from duly.stores import EncryptedStore, JobStore, MemoryStore, TaskQuery
from support.life import Life
from support.three_stores import Servers, a_few

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_KEYS = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-10")
NEW_KEYS = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-11", require=True)


class Rotating(EncryptedStore):
    """What two nodes with different newest keys write in turn.

    One was restarted with the new key as its newest, the other was not yet.
    """

    def __init__(self, store: JobStore, keys: PayloadKeys) -> None:
        super().__init__(store, keys)
        self._turns = cycle((OLD_KEYS, NEW_KEYS, NEW_KEYS))

    def _sealed(self, task: Task) -> Task:
        self._keys = next(self._turns)
        return super()._sealed(task)


@frozen
class InMemory(Servers):
    """No servers at all."""

    def stores(self, namespace: str) -> tuple[JobStore, ...]:
        """Return a store in memory, and two that encrypt what they keep there."""
        return (
            MemoryStore(namespace=namespace),
            EncryptedStore(MemoryStore(namespace=namespace), NEW_KEYS),
            Rotating(MemoryStore(namespace=namespace), OLD_KEYS),
        )


class SealedLife(Life):
    """A life on these."""

    def __init__(self) -> None:
        super().__init__(InMemory("", ""))

    @invariant()
    def no_plain_payload_is_kept(self) -> None:
        """Every one is an envelope, in plain bytes.

        What an object knows beside them would be lost in any other store.
        """
        for store in self.world.stores[1:]:
            within = cast("EncryptedStore", store)._store
            for task in self.world.wait(within.search(TaskQuery(limit=10_000))).items:
                assert task.payload.startswith(MARK)
                assert type(task.payload) is bytes


@pytest.mark.slow
def test_stores_that_encrypt_live_the_life_of_one_that_does_not() -> None:
    """Every answer, and after every step all that they hold; also while keys change."""
    run_state_machine_as_test(SealedLife, settings=a_few(examples=40, steps=30))
