"""The history: newest first, searched and paged, and cut back by age and by count."""

from random import Random

import pytest
from attrs import evolve

from duly.stores import JobStore, Outcome, Run, RunQuery, RunStatus
from duly.stores.conformance.populations import leave_runs, run_query, walk
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_run, a_schedule, a_task, advanced, finished, lock_one, request
from duly.stores.matching import matches_run
from duly.stores.rules import transitions


class Histories:
    """`runs` and `prune`."""

    async def test_the_history_is_newest_first_and_paged(self, store: JobStore) -> None:
        """By the end of the run; runs that ended at one instant by their id."""
        await self._leave_runs(store, 5)

        first = await store.runs(RunQuery(limit=2))
        second = await store.runs(RunQuery(limit=2, after=first.next))
        third = await store.runs(RunQuery(limit=2, after=second.next))
        ends = [[run.finished_at for run in page.items] for page in (first, second, third)]
        assert ends == [[NOON + 4 * SECOND, NOON + 3 * SECOND], [NOON + 2 * SECOND, NOON + SECOND], [NOON]]
        assert third.next is None

    async def test_runs_of_one_instant_are_paged_without_gaps(self, store: JobStore) -> None:
        """The id decides the order, so that the cursor knows where it is."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(5)])
        await store.reschedule(NOON, [finished(task) for task in await store.lock(NOON, request())])

        seen: list[str] = []
        after: str | None = None
        for _ in range(3):
            page = await store.runs(RunQuery(limit=2, after=after))
            seen += [run.id for run in page.items]
            after = page.next
        assert seen == sorted(seen, reverse=True)
        assert (len(set(seen)), after) == (5, None)

    async def test_the_history_is_searched_by_each_condition(self, store: JobStore) -> None:
        """Slug, kind, status and the time of its end."""
        await self._leave_runs(store, 3)
        await store.create(NOON, [a_task("other", kind="other")])
        await lock_one(store, kind="other")
        await lock_one(store, kind="other", now=NOON + LEASE)

        async def found(query: RunQuery) -> list[str]:
            return [run.slug for run in (await store.runs(query)).items]

        assert await found(RunQuery()) == ["other", "s", "s", "s"]
        assert await found(RunQuery(slug="s")) == ["s", "s", "s"]
        assert await found(RunQuery(kinds=("other", "more"))) == ["other"]
        assert await found(RunQuery(statuses=(RunStatus.LOST, RunStatus.FAILED))) == ["other"]
        assert await found(RunQuery(since=NOON + SECOND, until=NOON + 2 * SECOND)) == ["s"]

    async def test_the_history_outlives_its_task(self, store: JobStore) -> None:
        """A finished one-off leaves the tasks at once, and its run stays."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.reschedule(NOON, [finished(held)])

        assert await store.get_slugs() == []
        assert [run.id for run in (await store.runs(RunQuery(slug="task"))).items] == [held.lease_id]

    async def test_old_runs_are_pruned_by_age(self, store: JobStore) -> None:
        """Finished before the instant; in small batches, oldest first."""
        await self._leave_runs(store, 5)

        assert await store.prune(NOON + 3 * SECOND, None, 2) == 2
        assert [run.finished_at for run in (await store.runs(RunQuery())).items][-1] == NOON + 2 * SECOND
        assert await store.prune(NOON + 3 * SECOND, None, 10) == 1
        assert await store.prune(NOON + 3 * SECOND, None, 10) == 0

    async def test_old_runs_are_pruned_by_count(self, store: JobStore) -> None:
        """Each task keeps its newest."""
        await self._leave_runs(store, 5)
        await self._leave_runs(store, 2, slug="few")

        assert await store.prune(None, 2, 100) == 3
        kept = (await store.runs(RunQuery(slug="s"))).items
        assert [run.finished_at for run in kept] == [NOON + 4 * SECOND, NOON + 3 * SECOND]
        assert len((await store.runs(RunQuery(slug="few"))).items) == 2

    async def test_pruning_by_nothing_deletes_nothing(self, store: JobStore) -> None:
        """Neither age nor count: everything is kept."""
        await self._leave_runs(store, 2)

        assert await store.prune(None, None, 100) == 0

    @pytest.mark.parametrize("seed", range(4))
    async def test_every_query_finds_the_runs_that_its_conditions_say(self, store: JobStore, seed: int) -> None:
        """All conditions in any company, on pages of any size; the predicate `matches_run` is what they say."""
        chance = Random(seed)  # noqa: S311 - a test that can be repeated
        everything = await leave_runs(store, chance)
        for _ in range(25):
            query = run_query(chance)

            assert await walk(store.runs, query) == [run for run in everything if matches_run(query, run)], query

    async def test_runs_are_found_by_the_beginning_of_their_slugs_and_by_their_node(self, store: JobStore) -> None:
        """As those are that a schedule started beside each other.

        No sign in the prefix is a wildcard, and `A` follows `@`.
        """
        slugs = ("s", "s@2024-06-01T12:00:00+00:00", "s@2024-06-01T12:01:00+00:00", "sA", "s%", "sx")
        await store.create(NOON, [a_task(slug) for slug in slugs])
        for node in ("a", "b"):
            held = await store.lock(NOON, request({"work": 3}, node=node))
            await store.reschedule(NOON, [finished(task) for task in held])

        async def found(query: RunQuery) -> list[str]:
            return sorted(run.slug for run in await walk(store.runs, query))

        assert await found(RunQuery(prefix="s@", limit=1)) == list(slugs[1:3])
        assert await found(RunQuery(prefix="s%")) == ["s%"]
        assert await found(RunQuery(prefix="s", slug="sx")) == ["sx"]
        assert await found(RunQuery(prefix="t")) == []
        of_a, of_b = await found(RunQuery(node="a", limit=2)), await found(RunQuery(node="b"))
        assert (len(of_a), sorted(of_a + of_b)) == (3, sorted(slugs))
        assert await found(RunQuery(node="A")) == []

    @pytest.mark.parametrize("limit", [1, 2, 5])
    async def test_pages_of_the_history_show_every_run_that_stays_just_once(self, store: JobStore, limit: int) -> None:
        """Between the pages newer runs end and the oldest are pruned."""
        before = await self._leave_runs(store, 14)
        ids, seen, number = {run.id for run in before}, list[str](), 20
        query: RunQuery | None = RunQuery(limit=limit)
        while query is not None:
            page = await store.runs(query)
            seen += [run.id for run in page.items]
            await self._leave_runs(store, 1, slug=f"new{number}", start=number)
            await store.prune(NOON + number * SECOND, None, 1)
            number += 1
            query = None if page.next is None else evolve(query, after=page.next)

        stayed = ids & {run.id for run in await walk(store.runs, RunQuery())}
        assert stayed <= set(seen) <= ids
        assert len(seen) == len(set(seen))
        assert stayed

    async def test_pruning_to_no_run_at_all_leaves_none(self, store: JobStore, other_tenant: JobStore) -> None:
        """Not the newest of any task; other namespaces keep theirs."""
        await self._leave_runs(store, 3)
        await self._leave_runs(store, 1, slug="other")
        await self._leave_runs(other_tenant, 2)

        assert await store.prune(None, 0, 100) == 4
        assert (await store.runs(RunQuery())).items == []
        assert len((await other_tenant.runs(RunQuery())).items) == 2

    async def test_of_runs_that_ended_at_one_instant_the_last_by_id_is_kept(self, store: JobStore) -> None:
        """In the order of the history, so that a page and a pruning agree on which one is older."""
        ids = ["r3", "r1", "r2"]
        await self._leave_at_noon(store, ids)

        assert await store.prune(None, 2, 100) == 1
        assert [run.id for run in (await store.runs(RunQuery())).items] == ["r3", "r2"]
        assert await store.prune(None, 1, 100) == 1
        assert [run.id for run in (await store.runs(RunQuery())).items] == ["r3"]

    async def test_a_run_that_ended_at_the_very_instant_is_not_before_it(self, store: JobStore) -> None:
        """To the microsecond."""
        await self._leave_at_noon(store, ["r1", "r2"])

        assert await store.prune(NOON, None, 100) == 0
        assert len((await store.runs(RunQuery())).items) == 2

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_age_and_count_together_delete_what_either_would(self, store: JobStore, limit: int) -> None:
        """In batches of at most the limit, until nothing is left to delete."""
        await self._leave_runs(store, 5)
        await self._leave_runs(store, 2, slug="old")
        await self._leave_runs(store, 2, slug="young", start=3)
        counts: list[int] = []
        while not counts or counts[-1]:
            counts.append(await store.prune(NOON + SECOND, 2, limit))
            assert len(counts) < 10

        assert max(counts) <= limit
        assert sum(counts) == 4
        left = sorted((run.slug, (run.finished_at - NOON) // SECOND) for run in (await store.runs(RunQuery())).items)
        assert left == [("old", 1), ("s", 3), ("s", 4), ("young", 3), ("young", 4)]

    async def _leave_at_noon(self, store: JobStore, ids: list[str]) -> None:
        """Leave runs of one task, under the ids given, that ended at one instant."""
        await store.create(NOON, [a_task("s")])
        held = await lock_one(store)
        runs = [a_run(held, now=NOON, id=each) for each in ids]
        assert await store.reschedule(NOON, [Outcome(task=held, next=None, runs=tuple(runs))]) == []

    async def _leave_runs(self, store: JobStore, count: int, slug: str = "s", *, start: int = 0) -> list[Run]:
        await store.create(NOON, [a_schedule(slug)])
        for number in range(start, start + count):
            instant = NOON + number * SECOND
            held = await lock_one(store, now=instant)
            await store.reschedule(instant, [advanced(held, now=instant, run_at=instant + SECOND)])
        await store.update(NOON, transitions.pause(await store.get(slug)))
        return (await store.runs(RunQuery(slug=slug))).items
