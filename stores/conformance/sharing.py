"""Several objects and nodes on the same tasks; `tenants` is about several namespaces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from duly.stores import ClockSkew, JobStore, Node, RunQuery, StoreClosed, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_task, finished, held_of, lock_one, request
from duly.stores.rules import transitions

DEADLINE = 10.0
"""How long a wake-up may take, in seconds of real time; only a failing test waits that long."""


@asynccontextmanager
async def _awaited_ring(store: JobStore) -> AsyncIterator[None]:
    """Listen, run the body, and return when a ring came; fail when none does."""
    async with store.listen() as rings:
        ring = asyncio.ensure_future(anext(rings))
        await asyncio.sleep(0)
        yield
        try:
            await asyncio.wait_for(ring, DEADLINE)
        except TimeoutError:
            pytest.fail(f"no wake-up came within {DEADLINE} s")


class Sharing:
    """Siblings, `slots`, `listen`, open and close, and the store's clock."""

    async def test_a_sibling_sees_the_same_tasks(self, store: JobStore) -> None:
        """In the same namespace, by a line of its own."""
        await store.create(NOON, [a_task()])
        async with store.sibling() as sibling:
            assert sibling.namespace == store.namespace
            held = await lock_one(sibling)
        assert await store.get("task") == held

    async def test_slots_are_never_given_out_twice(self, store: JobStore) -> None:
        """All nodes together hold at most the total; what one gives back, another gets."""
        assert await store.slots(NOON, "a", "work", 2, 3, LEASE) == 2
        assert await store.slots(NOON, "b", "work", 2, 3, LEASE) == 1
        assert await store.slots(NOON, "b", "work", 2, 3, LEASE) == 1
        assert await store.slots(NOON, "a", "work", 0, 3, LEASE) == 0
        assert await store.slots(NOON, "b", "work", 2, 3, LEASE) == 2
        assert await store.slots(NOON, "a", "other", 3, 3, LEASE) == 3

    async def test_slots_of_a_node_that_died_are_free_when_their_lease_ends(self, store: JobStore) -> None:
        """And not before."""
        assert await store.slots(NOON, "a", "work", 3, 3, LEASE) == 3
        assert await store.slots(NOON + LEASE - SECOND, "b", "work", 1, 3, LEASE) == 0
        assert await store.slots(NOON + LEASE, "b", "work", 1, 3, LEASE) == 1

    async def test_eight_nodes_at_once_share_the_slots(self, store: JobStore) -> None:
        """No race gives out more than there are."""
        granted = await asyncio.gather(*(store.slots(NOON, f"n{number}", "work", 1, 3, LEASE) for number in range(8)))

        assert sum(granted) <= 3
        again = [await store.slots(NOON, f"n{number}", "work", 1, 3, LEASE) for number in range(8)]
        assert sum(again) == 3

    async def test_a_created_task_wakes_a_listener(self, store: JobStore) -> None:
        """Written by another object, as by another node."""
        async with store.sibling() as elsewhere, _awaited_ring(store):
            await elsewhere.create(NOON, [a_task()])

    async def test_an_edit_wakes_a_listener(self, store: JobStore) -> None:
        """Resuming makes due what was not."""
        await store.create(NOON, [a_task(paused=True)])
        async with store.sibling() as elsewhere, _awaited_ring(store):
            await elsewhere.update(NOON, transitions.resume(await elsewhere.get("task")))

    async def test_a_spawned_task_wakes_a_listener(self, store: JobStore) -> None:
        """Follow-ups are not left to the poll."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        async with store.sibling() as elsewhere, _awaited_ring(store):
            await elsewhere.reschedule(NOON, [finished(held, spawn=(a_task("child"),))])

    async def test_a_store_that_is_not_open_says_so(self, store: JobStore) -> None:
        """Before it was opened and after it was closed, by every method."""
        unopened = store.sibling()
        calls: list[Callable[[JobStore], object]] = [
            lambda closed: closed.now(),
            lambda closed: closed.exchange(NOON, [], None),
            lambda closed: closed.lock(NOON, request()),
            lambda closed: closed.reschedule(NOON, []),
            lambda closed: closed.extend(NOON, [], LEASE),
            lambda closed: closed.next_run(["work"]),
            lambda closed: closed.slots(NOON, "n", "work", 1, 1, LEASE),
            lambda closed: closed.listen().__aenter__(),
            lambda closed: closed.create(NOON, [a_task()]),
            lambda closed: closed.get("task"),
            lambda closed: closed.get_slugs(),
            lambda closed: closed.search(TaskQuery()),
            lambda closed: closed.update(NOON, a_task()),
            lambda closed: closed.delete("task"),
            lambda closed: closed.clear(),
            lambda closed: closed.runs(RunQuery()),
            lambda closed: closed.prune(NOON, None, 1),
            lambda closed: closed.announce(Node(name="n", started_at=NOON, seen_at=NOON, until=NOON + LEASE)),
            lambda closed: closed.nodes(),
        ]
        for call in calls:
            with pytest.raises(StoreClosed):
                await call(unopened)  # type: ignore[misc]  # each returns an awaitable
        await unopened.open()
        await unopened.close()
        for call in calls:
            with pytest.raises(StoreClosed):
                await call(unopened)  # type: ignore[misc]

    async def test_opening_and_closing_twice_is_once(self, store: JobStore) -> None:
        """And a closed store may be opened again."""
        sibling = store.sibling()
        await sibling.open()
        await sibling.open()
        await sibling.close()
        await sibling.close()
        async with sibling:
            assert await sibling.get_slugs() == []

    async def test_a_node_that_lives_in_the_future_locks_nothing(self, store: JobStore) -> None:
        """A `now` far ahead of the store's own clock is refused, and nothing is written.

        A store without a clock takes any.
        """
        own = await store.now()
        if own is None:
            assert (await store.exchange(NOON, [], request())).store_now is None
            return
        await store.create(NOON, [a_task()])
        ahead = own + timedelta(hours=1)
        for call in (store.lock(ahead, request()), store.exchange(ahead, [], request())):
            with pytest.raises(ClockSkew) as refused:
                await call
            assert (refused.value.now, refused.value.retryable) == (ahead, False)
        assert (await store.get("task")).version == 1

    async def test_every_reply_to_a_holder_carries_the_stores_clock(self, store: JobStore) -> None:
        """So that following it costs no call of its own."""
        await store.create(NOON, [a_task()])
        before = await store.now()
        exchange = await store.exchange(NOON, [], request())
        extended = await store.extend(NOON, [held_of(task) for task in exchange.tasks], LEASE)
        after = await store.now()

        if before is None or after is None:
            assert (exchange.store_now, extended.store_now) == (None, None)
        else:
            assert exchange.store_now is not None
            assert extended.store_now is not None
            assert before <= exchange.store_now <= extended.store_now <= after
