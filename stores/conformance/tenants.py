"""What people and programs ask of one namespace touches no other.

Nothing of another is seen, counted, changed or deleted, whatever it is called.
"""

from collections.abc import Callable, Mapping
from typing import Final

import pytest
from attrs import evolve

from duly.jobs import Task
from duly.stores import IfExists, JobNotFound, JobStore, TaskQuery
from duly.stores.conformance.values import NOON, SECOND, a_task, finished, lock_one, request
from duly.stores.rules import transitions

TRIED: Final[Mapping[str, tuple[str, ...]]] = {
    "namespace": ("test_a_store_says_its_own_namespace",),
    "open": ("test_a_store_that_is_opened_or_closed_is_nothing_to_another_tenant",),
    "close": ("test_a_store_that_is_opened_or_closed_is_nothing_to_another_tenant",),
    "__aenter__": ("test_a_store_that_is_opened_or_closed_is_nothing_to_another_tenant",),
    "__aexit__": ("test_a_store_that_is_opened_or_closed_is_nothing_to_another_tenant",),
    "sibling": ("test_a_sibling_is_of_the_same_tenant",),
    "create": (
        "test_another_tenants_slug_is_free",
        "test_replacing_leaves_another_tenants_task_as_it_is",
        "test_another_tenants_task_that_failed_does_not_give_way",
    ),
    "get": ("test_another_tenants_task_is_not_found",),
    "get_slugs": ("test_another_tenants_slugs_are_not_listed",),
    "search": ("test_a_search_finds_no_task_of_another_tenant",),
    "count": ("test_a_count_has_no_task_of_another_tenant",),
    "update": ("test_another_tenants_task_cannot_be_edited", "test_an_edit_goes_to_the_task_of_its_own_tenant"),
    "delete": ("test_another_tenants_task_cannot_be_deleted", "test_a_deletion_leaves_another_tenants_task"),
    "clear": ("test_clearing_leaves_another_tenants_tasks",),
    # -- tenant_records.py
    "runs": ("test_another_tenants_history_is_not_shown",),
    "prune": ("test_pruning_leaves_another_tenants_history",),
    "announce": ("test_a_node_of_the_same_name_is_another_tenants_own", "test_a_node_takes_no_leave_for_another_tenants"),
    "nodes": ("test_another_tenants_nodes_are_not_listed",),
    # -- at_work.py
    "lock": ("test_another_tenants_tasks_are_not_locked", "test_the_same_request_locks_for_each_tenant_its_own"),
    "reschedule": (
        "test_another_tenants_lease_writes_nothing",
        "test_a_run_on_record_proves_nothing_to_another_tenant",
        "test_an_outcome_goes_to_the_task_of_its_own_tenant",
        "test_another_tenants_slug_is_free_to_be_spawned",
        "test_another_tenants_task_that_failed_does_not_give_way_to_a_spawned_one",
        "test_runs_of_the_same_lease_id_are_each_tenants_own",
    ),
    "extend": ("test_another_tenants_lease_is_not_extended", "test_a_heartbeat_goes_to_the_lease_of_its_own_tenant"),
    "exchange": ("test_an_exchange_touches_nothing_of_another_tenant",),
    "next_run": ("test_another_tenants_tasks_are_not_next",),
    "slots": ("test_slots_that_another_tenant_holds_are_free", "test_slots_are_given_back_for_ones_own_tenant_only"),
    "listen": ("test_another_tenants_writes_ring_no_bell",),
}
"""The tests that try each member of `JobStore` from another namespace."""

UNTRIED: Final[Mapping[str, str]] = {
    "now": "the clock is everybody's",
    "facet": "asks no server; each facet has its own tests",
}
"""The members that know no tenant, and why."""

UNLIKE = (
    *("a", "A", "a ", "a/b", "a%2Fb", "a%252Fb", "b", "ab", "a.b", ".", "..", "%2E", "__a__", "%5F_a__", "a\tb", "a b"),
    *("é", "e\u0301", "日本", "日", "🙂", "default", "duly_tasks", "a'; --", 'a"', "a\\", "x" * 255, "x" * 254, "🙂" * 255, "🙂" * 254),
)
"""Namespaces that an encoding, a comparison or a cut might take for one another."""
_QUERIES = (
    TaskQuery(),
    TaskQuery(prefix="sa"),
    TaskQuery(kinds=("work",)),
    TaskQuery(metadata={"city": "Rome"}),
    TaskQuery(paused=False),
    TaskQuery(due_from=NOON, due_until=NOON + SECOND),
)
"""Each condition by itself; a task that is due has all of them."""


class Tenants:
    """Tasks of two namespaces with the same slugs.

    `tenant_records` is about history and nodes, `at_work` about what nodes do.
    """

    async def test_a_store_says_its_own_namespace(self, store: JobStore, other_tenant: JobStore) -> None:
        """And its tasks say it too."""
        await store.create(NOON, [a_task("same")])
        await other_tenant.create(NOON, [a_task("same")])

        assert store.namespace != other_tenant.namespace
        assert ((await store.get("same")).namespace, (await other_tenant.get("same")).namespace) == (
            store.namespace,
            other_tenant.namespace,
        )

    async def test_a_task_that_says_another_namespace_is_written_in_the_stores_own(self, store: JobStore, other_tenant: JobStore) -> None:
        """A store is bound to one: what a task says of itself does not lead elsewhere."""
        await other_tenant.create(NOON, [a_task("stray", namespace=store.namespace)])

        assert (await other_tenant.get("stray")).namespace == other_tenant.namespace
        assert await store.get_slugs() == []

    async def test_a_store_that_is_opened_or_closed_is_nothing_to_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Neither to its tasks nor to its objects."""
        await store.create(NOON, [a_task("same")])
        async with other_tenant.sibling():
            assert await store.get_slugs() == ["same"]

        assert await store.get_slugs() == ["same"]
        assert await other_tenant.get_slugs() == []

    async def test_a_sibling_is_of_the_same_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """It sees no more than the object that it was made from."""
        await store.create(NOON, [a_task("same")])

        async with other_tenant.sibling() as sibling:
            assert (sibling.namespace, await sibling.get_slugs()) == (other_tenant.namespace, [])

    @pytest.mark.parametrize("if_exists", ["error", "keep", "replace"])
    async def test_another_tenants_slug_is_free(self, store: JobStore, other_tenant: JobStore, if_exists: IfExists) -> None:
        """Whatever is to be done with one that exists: this one does not."""
        await store.create(NOON, [a_task("same", payload=b"mine")])

        assert await other_tenant.create(NOON, [a_task("same", payload=b"theirs")], if_exists=if_exists) == ["same"]

        assert ((await store.get("same")).payload, (await store.get("same")).version) == (b"mine", 1)
        assert ((await other_tenant.get("same")).payload, (await other_tenant.get("same")).version) == (b"theirs", 1)

    async def test_replacing_leaves_another_tenants_task_as_it_is(self, store: JobStore, other_tenant: JobStore) -> None:
        """Also where both have one of that slug."""
        await store.create(NOON, [a_task("same", payload=b"mine")])
        await other_tenant.create(NOON, [a_task("same", payload=b"theirs")])
        before = await store.get("same")

        assert await other_tenant.create(NOON, [a_task("same", kind="other", payload=b"new")], if_exists="replace") == ["same"]

        assert await store.get("same") == before
        assert (await other_tenant.get("same")).payload == b"new"

    @pytest.mark.parametrize("if_exists", ["error", "keep"])
    async def test_another_tenants_task_that_failed_does_not_give_way(
        self, store: JobStore, other_tenant: JobStore, if_exists: IfExists
    ) -> None:
        """It is not in the way: a slug is one tenant's."""
        await _leave_failed(store, "same")
        before = await store.get("same")

        assert await other_tenant.create(NOON, [a_task("same")], if_exists=if_exists) == ["same"]

        assert await store.get("same") == before

    async def test_another_tenants_task_is_not_found(self, store: JobStore, other_tenant: JobStore) -> None:
        """The error names the namespace that was looked in."""
        await store.create(NOON, [a_task("same")])

        with pytest.raises(JobNotFound) as missing:
            await other_tenant.get("same")
        assert (missing.value.slug, missing.value.namespace) == ("same", other_tenant.namespace)

    async def test_another_tenants_slugs_are_not_listed(self, store: JobStore, other_tenant: JobStore) -> None:
        """By prefix or not, from the first or after one."""
        await store.create(NOON, [a_task("a"), a_task("b")])
        await other_tenant.create(NOON, [a_task("b2")])

        assert await other_tenant.get_slugs() == ["b2"]
        assert await other_tenant.get_slugs(prefix="a") == []
        assert await other_tenant.get_slugs(after="a") == ["b2"]

    async def test_a_search_finds_no_task_of_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """By none of the conditions."""
        await store.create(NOON, [a_task("same", metadata={"city": "Rome"})])

        for query in _QUERIES:
            assert (await other_tenant.search(query)).items == [], query
            assert [task.slug for task in (await store.search(query)).items] == ["same"], query

    async def test_a_count_has_no_task_of_another_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """By none of the conditions."""
        await store.create(NOON, [a_task("same", metadata={"city": "Rome"})])

        for query in _QUERIES:
            assert (await other_tenant.count(query), await store.count(query)) == (0, 1), query

    async def test_another_tenants_task_cannot_be_edited(self, store: JobStore, other_tenant: JobStore) -> None:
        """Not even by who has read it; and it is not created by that."""
        await store.create(NOON, [a_task("same")])
        before = await store.get("same")

        with pytest.raises(JobNotFound):
            await other_tenant.update(NOON, evolve(before, payload=b"theirs"))

        assert await store.get("same") == before
        assert await other_tenant.get_slugs() == []

    async def test_an_edit_goes_to_the_task_of_its_own_tenant(self, store: JobStore, other_tenant: JobStore) -> None:
        """Where both have the slug in the same version, and the edit was made of the other one."""
        await store.create(NOON, [a_task("same", payload=b"mine")])
        await other_tenant.create(NOON, [a_task("same", payload=b"theirs")])
        before = await store.get("same")

        edited = await other_tenant.update(NOON + SECOND, transitions.pause(before))

        assert (edited.namespace, edited.paused) == (other_tenant.namespace, True)
        assert await store.get("same") == before

    @pytest.mark.parametrize("version", [None, 1])
    async def test_another_tenants_task_cannot_be_deleted(self, store: JobStore, other_tenant: JobStore, version: int | None) -> None:
        """Of any version."""
        await store.create(NOON, [a_task("same")])

        with pytest.raises(JobNotFound):
            await other_tenant.delete("same", version)

        assert await store.get_slugs() == ["same"]

    async def test_a_deletion_leaves_another_tenants_task(self, store: JobStore, other_tenant: JobStore) -> None:
        """Where both have the slug."""
        await store.create(NOON, [a_task("same")])
        await other_tenant.create(NOON, [a_task("same")])

        await other_tenant.delete("same")

        assert (await store.get_slugs(), await other_tenant.get_slugs()) == (["same"], [])

    async def test_clearing_leaves_another_tenants_tasks(self, store: JobStore, other_tenant: JobStore) -> None:
        """And does not count them."""
        await store.create(NOON, [a_task("a"), a_task("b")])
        await other_tenant.create(NOON, [a_task("a")])

        assert await other_tenant.clear() == 1

        assert (await store.get_slugs(), await other_tenant.get_slugs()) == (["a", "b"], [])

    async def test_namespaces_that_look_alike_are_not_the_same(self, make_store: Callable[[str], JobStore]) -> None:
        """Neither by case, accents, spaces and encodings, nor by their beginnings."""
        for namespace in UNLIKE:
            async with make_store(namespace) as store:
                assert await store.get_slugs() == [], namespace
                await store.create(NOON, [a_task("same", payload=namespace.encode())])

        for namespace in UNLIKE:
            async with make_store(namespace) as store:
                (held,) = await store.lock(NOON, request())
                assert (held.payload, held.namespace) == (namespace.encode(), namespace)


async def _leave_failed(store: JobStore, slug: str) -> Task:
    """Leave a one-off that was set aside."""
    await store.create(NOON, [a_task(slug)])
    held = await lock_one(store)
    outcome = evolve(finished(held), next=transitions.fail(held, now=NOON))
    assert await store.reschedule(NOON, [outcome]) == []
    return await store.get(slug)
