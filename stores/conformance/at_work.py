"""What nodes do in one namespace touches no other.

Nothing of another is locked, extended, written, waited for or heard, though all names are the same.
"""

import asyncio
from datetime import timedelta

import pytest
from attrs import evolve

from duly.jobs import Task, TaskState
from duly.stores import JobStore, RunQuery, RunStatus
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, held_of, lock_one, request
from duly.stores.rules import transitions

DEADLINE = 10.0
"""How long a wake-up may take, in seconds of real time; only a failing test waits that long."""

_LOOKS = 20
"""Calls of the store in which what was rung by mistake would have come in."""


class TenantsAtWork:
    """Two namespaces with the same slugs, kinds, nodes, tokens and lease ids, as nodes meet them."""

    async def test_another_tenants_tasks_are_not_locked(self, store: JobStore, other_tenant: JobStore) -> None:
        """Nor is one whose lease has ended."""
        await store.create(NOON, [a_task("same")])

        assert await other_tenant.lock(NOON, request()) == []
        held = await lock_one(store)
        assert await other_tenant.lock(NOON + LEASE, request()) == []
        assert await store.get("same") == held

    async def test_the_same_request_locks_for_each_tenant_its_own(self, store: JobStore, other_tenant: JobStore) -> None:
        """With the same token and so the same lease ids; and each that repeats it is given its own again."""
        await store.create(NOON, [a_task("same", payload=b"mine")])
        await other_tenant.create(NOON, [a_task("same", payload=b"theirs")])
        asked = request()
        mine, theirs = await store.lock(NOON, asked), await other_tenant.lock(NOON, asked)

        assert [(task.payload, task.lease_id) for task in mine] == [(b"mine", asked.lease_id(0))]
        assert [(task.payload, task.lease_id) for task in theirs] == [(b"theirs", asked.lease_id(0))]
        assert (await store.lock(NOON, asked), await other_tenant.lock(NOON, asked)) == (mine, theirs)

    async def test_a_request_that_another_tenant_made_is_not_repeated(self, store: JobStore, other_tenant: JobStore) -> None:
        """What the token locked there is not given out here."""
        await store.create(NOON, [a_task("same")])
        asked = request()
        mine = await store.lock(NOON, asked)

        assert await other_tenant.lock(NOON, asked) == []
        assert await store.lock(NOON, asked) == mine

    async def test_another_tenants_lease_writes_nothing(self, store: JobStore, other_tenant: JobStore) -> None:
        """Neither the task, nor history, nor what was spawned, on either side."""
        await store.create(NOON, [a_schedule("same")])
        held = await lock_one(store)
        outcome = evolve(advanced(held, run_at=NOON + SECOND), spawn=(a_task("child"),))

        assert [refused.reason for refused in await other_tenant.reschedule(NOON, [outcome])] == ["lost"]

        assert await store.get("same") == held
        assert (await store.get_slugs(), await other_tenant.get_slugs()) == (["same"], [])
        assert ((await store.runs(RunQuery())).items, (await other_tenant.runs(RunQuery())).items) == ([], [])

    async def test_a_run_on_record_proves_nothing_to_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """An outcome counts as written before by its own history only."""
        await store.create(NOON, [a_task("same")])
        outcome = finished(await lock_one(store))
        assert await store.reschedule(NOON, [outcome]) == []

        assert [refused.reason for refused in await other_tenant.reschedule(NOON, [outcome])] == ["lost"]
        assert await store.reschedule(NOON, [outcome]) == []

    async def test_an_outcome_goes_to_the_task_of_its_own_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Where the other one's has the same slug, version and lease id."""
        mine, _ = await _both_held(store, other_tenant)

        assert await other_tenant.reschedule(NOON, [finished(mine)]) == []

        assert await store.get("same") == mine
        assert (await other_tenant.get_slugs(), (await store.runs(RunQuery())).items) == ([], [])

    async def test_an_outcome_that_is_refused_shows_no_task_of_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Edited here, and not there: the task that comes with the refusal is this one."""
        mine, theirs = await _both_held(store, other_tenant)
        edited = await other_tenant.update(NOON, evolve(theirs, metadata={"k": "v"}))

        (refused,) = await other_tenant.reschedule(NOON, [finished(mine)])

        assert (refused.reason, refused.task) == ("edited", edited)
        assert await store.reschedule(NOON, [finished(mine)]) == []

    async def test_another_tenants_slug_is_free_to_be_spawned(self, store: JobStore, other_tenant: JobStore) -> None:
        """And what is spawned stays with its own."""
        await store.create(NOON, [a_task("child", kind="other", payload=b"mine")])
        await other_tenant.create(NOON, [a_task("parent")])
        held = await lock_one(other_tenant)

        assert await other_tenant.reschedule(NOON, [finished(held, spawn=(a_task("child", payload=b"theirs"),))]) == []

        assert (await other_tenant.get("child")).payload == b"theirs"
        assert [((await store.get(slug)).payload, slug) for slug in await store.get_slugs()] == [(b"mine", "child")]

    async def test_another_tenants_task_that_failed_does_not_give_way_to_a_spawned_one(
        self, store: JobStore, other_tenant: JobStore
    ) -> None:
        """It is not in the way."""
        await store.create(NOON, [a_task("child")])
        held = await lock_one(store)
        assert await store.reschedule(NOON, [evolve(finished(held), next=transitions.fail(held, now=NOON))]) == []
        before = await store.get("child")
        await other_tenant.create(NOON, [a_task("parent")])

        assert await other_tenant.reschedule(NOON, [finished(await lock_one(other_tenant), spawn=(a_task("child"),))]) == []

        assert (await store.get("child"), (await other_tenant.get("child")).version) == (before, 1)

    async def test_runs_of_the_same_lease_id_are_each_tenants_own(self, store: JobStore, other_tenant: JobStore) -> None:
        """What the history has under an id in one namespace does not keep it out of the other."""
        mine, theirs = await _both_held(store, other_tenant)
        assert await store.reschedule(NOON, [finished(mine)]) == []
        assert await other_tenant.reschedule(NOON, [finished(theirs)]) == []

        runs = [(await each.runs(RunQuery())).items for each in (store, other_tenant)]
        assert [[(run.id, run.namespace) for run in found] for found in runs] == [
            [(mine.lease_id, store.namespace)],
            [(mine.lease_id, other_tenant.namespace)],
        ]

    async def test_a_lost_run_is_recorded_for_its_own_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Although the other one has the same lease, which has ended too."""
        mine, _ = await _both_held(store, other_tenant)
        await lock_one(other_tenant, node="b", now=NOON + LEASE)

        assert [run.status for run in (await other_tenant.runs(RunQuery())).items] == [RunStatus.LOST]
        assert (await store.runs(RunQuery())).items == []
        assert await store.get("same") == mine

    async def test_another_tenants_lease_is_not_extended(self, store: JobStore, other_tenant: JobStore) -> None:
        """It is lost, to whoever has it here."""
        await store.create(NOON, [a_task("same")])
        held = await lock_one(store)

        extended = await other_tenant.extend(NOON + SECOND, [held_of(held)], LEASE)

        assert (extended.kept, extended.lost, extended.busy) == ([], [held_of(held)], [])
        assert await store.get("same") == held

    async def test_a_heartbeat_goes_to_the_lease_of_its_own_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Where the other one has the same slug and lease id."""
        mine, _ = await _both_held(store, other_tenant)

        extended = await other_tenant.extend(NOON + SECOND, [held_of(mine)], LEASE)

        assert [kept.slug for kept in extended.kept] == ["same"]
        assert (await other_tenant.get("same")).due_at == NOON + SECOND + LEASE
        assert await store.get("same") == mine

    async def test_an_exchange_touches_nothing_of_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Neither by its outcomes, nor by its request, nor in what it says is due next."""
        await store.create(NOON, [a_task("due"), a_task("same", kind="held"), a_task("later", run_at=NOON + SECOND)])
        held = await lock_one(store, kind="held")
        before = [await store.get(slug) for slug in await store.get_slugs()]

        exchange = await other_tenant.exchange(NOON, [finished(held)], request({"work": 10, "held": 10}))

        assert ([refused.reason for refused in exchange.refused], exchange.tasks, exchange.next_run) == (["lost"], [], None)
        assert [await store.get(slug) for slug in await store.get_slugs()] == before

    async def test_another_tenants_tasks_are_not_next(self, store: JobStore, other_tenant: JobStore) -> None:
        """Nobody polls for them."""
        await store.create(NOON, [a_task("same")])

        assert await other_tenant.next_run(["work"]) is None
        await other_tenant.create(NOON, [a_task("same", run_at=NOON + SECOND)])
        assert await other_tenant.next_run(["work"]) == NOON + SECOND

    async def test_slots_that_another_tenant_holds_are_free(self, store: JobStore, other_tenant: JobStore) -> None:
        """A limit is one tenant's own.

        A kind of the same name has another limit there, though the nodes have the same names, too.
        """
        assert await store.slots(NOON, "n", "work", 2, 2, LEASE) == 2

        assert await other_tenant.slots(NOON, "m", "work", 2, 2, LEASE) == 2
        assert await store.slots(NOON, "m", "work", 2, 2, LEASE) == 0

    @pytest.mark.parametrize("lasting", [timedelta(0), LEASE])
    async def test_slots_are_given_back_for_ones_own_tenant_only(self, store: JobStore, other_tenant: JobStore, lasting: timedelta) -> None:
        """By the node of the same name, or when it clears away what has ended in its own."""
        assert await store.slots(NOON, "n", "work", 2, 2, LEASE) == 2
        assert await other_tenant.slots(NOON, "n", "work", 1, 2, lasting) == 1
        assert await other_tenant.slots(NOON, "n", "work", 0, 2, LEASE) == 0
        assert await other_tenant.slots(NOON + LEASE, "m", "work", 2, 2, LEASE) == 2

        assert await store.slots(NOON, "m", "work", 2, 2, LEASE) == 0

    async def test_another_tenants_writes_ring_no_bell(self, store: JobStore, other_tenant: JobStore) -> None:
        """Creation, edit and spawning are heard by their own tenant.

        By then the other one has heard nothing.
        """
        async with store.listen() as rings, other_tenant.listen() as their_rings:
            ring, theirs = asyncio.ensure_future(anext(rings)), asyncio.ensure_future(anext(their_rings))
            await asyncio.sleep(0)
            await other_tenant.create(NOON, [a_task("same"), a_task("edited", kind="other")])
            held = await lock_one(other_tenant)
            await other_tenant.update(NOON, evolve(await other_tenant.get("edited"), payload=b"2", state=TaskState.SCHEDULED))
            assert await other_tenant.reschedule(NOON, [finished(held, spawn=(a_task("child"),))]) == []
            await asyncio.wait_for(theirs, DEADLINE)
            for _ in range(_LOOKS):
                await store.get_slugs()

            assert not ring.done()
            ring.cancel()


async def _both_held(store: JobStore, other_tenant: JobStore) -> tuple[Task, Task]:
    """Return the same task, held under the same lease id in both namespaces."""
    asked = request()
    held: list[Task] = []
    for each in (store, other_tenant):
        await each.create(NOON, [a_task("same")])
        held += await each.lock(NOON, asked)
    mine, theirs = held
    assert (mine.slug, mine.version, mine.lease_id) == (theirs.slug, theirs.version, theirs.lease_id)
    return mine, theirs
