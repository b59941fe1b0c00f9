"""The history and the nodes of one namespace: nothing of another is seen, changed or deleted."""

import pytest
from attrs import evolve

from duly.stores import JobStore, Node, RunQuery
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_schedule, advanced, lock_one


class TenantRecords:
    """`runs`, `prune`, `announce` and `nodes` of two namespaces."""

    async def test_another_tenants_history_is_not_shown(self, store: JobStore, other_tenant: JobStore) -> None:
        """By none of the conditions."""
        await _leave_runs(store, 1)
        queries = (RunQuery(), RunQuery(slug="same"), RunQuery(prefix="sa"), RunQuery(kinds=("work",)), RunQuery(node="a", since=NOON))

        for query in queries:
            assert (await other_tenant.runs(query)).items == [], query
            assert [run.namespace for run in (await store.runs(query)).items] == [store.namespace], query

    @pytest.mark.parametrize("keep", [None, 0, 1])
    async def test_pruning_leaves_another_tenants_history(self, store: JobStore, other_tenant: JobStore, keep: int | None) -> None:
        """By age and by count: of the same slug, in which the other tenant has fewer runs or none to be kept."""
        await _leave_runs(store, 3)
        await _leave_runs(other_tenant, 1)
        before = NOON + LEASE if keep is None else None

        assert await other_tenant.prune(before, keep, 100) == (keep != 1)

        assert len((await store.runs(RunQuery())).items) == 3
        assert len((await other_tenant.runs(RunQuery())).items) == (keep == 1)

    async def test_a_node_of_the_same_name_is_another_tenants_own(self, store: JobStore, other_tenant: JobStore) -> None:
        """What one says of itself does not replace what the other said."""
        mine, theirs = _a_node(host="mine"), _a_node(host="theirs")
        await store.announce(mine)
        await other_tenant.announce(theirs)

        assert (await store.nodes(), await other_tenant.nodes()) == ([mine], [theirs])

    async def test_a_node_takes_no_leave_for_another_tenants(self, store: JobStore, other_tenant: JobStore) -> None:
        """Of the same name."""
        node = _a_node(host="mine")
        await store.announce(node)
        await other_tenant.announce(evolve(node, until=node.seen_at))

        assert await store.nodes() == [node]

    async def test_another_tenants_nodes_are_not_listed(self, store: JobStore, other_tenant: JobStore) -> None:
        """Although they are on the same store."""
        await store.announce(_a_node(host="mine"))

        assert await other_tenant.nodes() == []


def _a_node(*, host: str) -> Node:
    return Node(name="n", started_at=NOON, seen_at=NOON, until=NOON + LEASE, info={"host": host})


async def _leave_runs(store: JobStore, count: int) -> None:
    """Leave so many runs of one schedule, a second apart."""
    await store.create(NOON, [a_schedule("same")])
    for number in range(count):
        instant = NOON + number * SECOND
        held = await lock_one(store, now=instant)
        assert await store.reschedule(instant, [advanced(held, now=instant, run_at=instant + SECOND)]) == []
