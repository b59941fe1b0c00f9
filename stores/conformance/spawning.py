"""Further tasks that an outcome brings along: created in its write, or not at all."""

from attrs import evolve

from duly.jobs import TaskState
from duly.stores import JobStore, RunQuery, RunStatus, TaskQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, a_task, advanced, finished, lock_one, request
from duly.stores.rules import transitions


class Spawning:
    """`Outcome.spawn`."""

    async def test_spawned_tasks_are_created_with_the_outcome(self, store: JobStore) -> None:
        """In the same write; a slug that exists is kept, and is no error."""
        await store.create(NOON, [a_task("parent"), a_task("there", run_at=NOON + SECOND, payload=b"old")])
        held = await lock_one(store)
        spawn = (a_task("child", payload=b"new"), a_task("there", payload=b"new"))

        assert await store.reschedule(NOON, [finished(held, spawn=spawn)]) == []

        assert await store.get_slugs() == ["child", "there"]
        assert ((await store.get("child")).payload, (await store.get("child")).version) == (b"new", 1)
        assert (await store.get("there")).payload == b"old"

    async def test_of_a_slug_that_is_spawned_twice_the_first_is_created(self, store: JobStore) -> None:
        """The second finds that it exists."""
        await store.create(NOON, [a_task("parent")])
        spawn = tuple(a_task("child", payload=payload) for payload in (b"2", b"1", b"3"))

        assert await store.reschedule(NOON, [finished(await lock_one(store), spawn=spawn)]) == []

        assert (await store.get("child")).payload == b"2"

    async def test_a_task_that_stays_and_spawns_its_own_slug_is_kept(self, store: JobStore) -> None:
        """Its slug exists."""
        await store.create(NOON, [a_schedule("s", payload=b"old")])
        outcome = evolve(advanced(await lock_one(store), run_at=NOON + SECOND), spawn=(a_task("s", payload=b"new"),))

        assert await store.reschedule(NOON, [outcome]) == []

        assert ((await store.get("s")).payload, (await store.get("s")).run_at) == (b"old", NOON + SECOND)

    async def test_a_task_that_ends_may_spawn_its_own_slug_anew(self, store: JobStore) -> None:
        """A new task, with nothing of the old one; repeated, it is not written again."""
        await store.create(NOON, [a_task(payload=b"old", metadata={"k": "v"})])
        anew = a_task(payload=b"new", run_at=NOON + SECOND)
        outcome = finished(await lock_one(store), spawn=(anew,))

        assert await store.reschedule(NOON, [outcome]) == []
        assert await store.get("task") == transitions.create(anew, namespace=store.namespace, now=NOON)
        held = await lock_one(store, now=NOON + SECOND)
        assert await store.reschedule(NOON + SECOND, [outcome]) == []
        assert await store.get("task") == held

    async def test_a_refused_outcome_spawns_nothing(self, store: JobStore) -> None:
        """Whole or absent: no child and no history without its parent's write."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store, node="a")
        await lock_one(store, node="b", now=NOON + LEASE)

        await store.reschedule(NOON + LEASE, [finished(held, spawn=(a_task("child"),))])

        assert await store.get_slugs() == ["task"]
        assert [run.status for run in (await store.runs(RunQuery())).items] == [RunStatus.LOST]

    async def test_a_step_and_what_it_spawns_are_one_write(self, store: JobStore) -> None:
        """A workflow's step is written whole.

        The state for the next step, its time, the record of this one, and a child of another kind.
        """
        await store.create(NOON, [a_task("w", payload=b"1")])
        outcome = advanced(evolve(await lock_one(store), payload=b"2"), run_at=NOON + 9 * SECOND)

        assert await store.reschedule(NOON, [evolve(outcome, spawn=(a_task("child", kind="other", metadata={"of": "w"}),))]) == []

        workflow, child = await store.get("w"), await store.get("child")
        assert (workflow.payload, workflow.run_at, workflow.state) == (b"2", NOON + 9 * SECOND, TaskState.SCHEDULED)
        assert (child.kind, child.metadata, child.due_at) == ("other", {"of": "w"}, NOON)
        assert [run.status for run in (await store.runs(RunQuery(slug="w"))).items] == [RunStatus.DONE]

    async def test_a_spawned_task_belongs_to_its_parents_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Whatever it says itself, and though another tenant has its slug."""
        await other_tenant.create(NOON, [a_task("child", payload=b"theirs")])
        await store.create(NOON, [a_task("parent")])
        child = a_task("child", payload=b"ours", namespace=other_tenant.namespace)

        assert await store.reschedule(NOON, [finished(await lock_one(store), spawn=(child,))]) == []

        assert ((await store.get("child")).payload, (await store.get("child")).namespace) == (b"ours", store.namespace)
        assert (await other_tenant.get("child")).payload == b"theirs"

    async def test_a_thousand_tasks_may_be_spawned_at_once(self, store: JobStore) -> None:
        """All but the one that exists, in the one write."""
        await store.create(NOON, [a_task("parent"), a_task("child0500", run_at=NOON + SECOND, payload=b"old")])
        children = tuple(a_task(f"child{number:04}", run_at=NOON + SECOND) for number in range(1000))

        assert await store.reschedule(NOON, [finished(await lock_one(store), spawn=children)]) == []

        assert await store.count(TaskQuery()) == 1000
        assert (await store.get("child0500")).payload == b"old"

    async def test_what_is_spawned_is_a_task_at_its_beginning(self, store: JobStore) -> None:
        """Whatever life the value had that it was made from; paused it waits."""
        await store.create(NOON, [a_task("parent")])
        held = await lock_one(store)
        children = tuple(
            evolve(held, slug=slug, fires=7, owed=(NOON,), result="r", paused=slug == "paused") for slug in ("child", "paused")
        )

        assert await store.reschedule(NOON, [finished(held, spawn=children)]) == []

        for child in children:
            assert await store.get(child.slug) == transitions.create(child, namespace=store.namespace, now=NOON)
        assert [task.slug for task in await store.lock(NOON, request())] == ["child"]

    async def test_an_outcome_that_is_refused_as_edited_spawns_nothing(self, store: JobStore) -> None:
        """The holder decides again, and hands in what it spawned with that."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.update(NOON, evolve(held, metadata={"k": "v"}))

        (refused,) = await store.reschedule(NOON, [finished(held, spawn=(a_task("child"),))])

        assert (refused.reason, await store.get_slugs()) == ("edited", ["task"])

    async def test_a_repeated_outcome_does_not_spawn_again_what_has_ended(self, store: JobStore) -> None:
        """The answer to the first call was lost, and its child was run and removed meanwhile."""
        await store.create(NOON, [a_schedule("parent")])
        outcome = evolve(advanced(await lock_one(store), run_at=NOON + LEASE), spawn=(a_task("child"),))
        assert await store.reschedule(NOON, [outcome]) == []
        assert await store.reschedule(NOON, [finished(await lock_one(store))]) == []

        assert await store.reschedule(NOON, [outcome]) == []

        assert await store.get_slugs() == ["parent"]

    async def test_a_spawned_task_that_is_due_is_locked_in_the_same_exchange(self, store: JobStore) -> None:
        """Outcomes are written first."""
        await store.create(NOON, [a_task("parent")])
        outcome = finished(await lock_one(store), spawn=(a_task("child"),))

        exchange = await store.exchange(NOON, [outcome], request())

        assert ([task.slug for task in exchange.tasks], exchange.refused) == (["child"], [])
