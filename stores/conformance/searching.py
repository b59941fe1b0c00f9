"""Tasks are found, paged and counted: by each condition and by all of them, while others come and go."""

from random import Random
from typing import ClassVar

import pytest
from attrs import evolve

from duly.jobs import TaskState
from duly.stores import JobStore, TaskQuery, Unsupported
from duly.stores.conformance.populations import leave_tasks, task_query, walk
from duly.stores.conformance.values import NOON, SECOND, a_task, lock_one
from duly.stores.matching import matches_task


class Searching:
    """`search` and `count`."""

    supports_substring_search: ClassVar[bool] = True
    """Whether the store serves `TaskQuery.contains`; with False it must say so, by `Unsupported`."""

    async def test_search_finds_by_each_condition(self, store: JobStore) -> None:
        """Kind, state, pause, metadata and due range; several at once must all hold."""
        await store.create(
            NOON,
            [
                a_task("a", kind="x", metadata={"city": "Rome", "n": "1"}),
                a_task("b", kind="y", metadata={"city": "Rome"}, run_at=NOON + 10 * SECOND),
                a_task("c", kind="z", run_at=NOON + 20 * SECOND),
                a_task("d", kind="x", paused=True),
            ],
        )
        await lock_one(store, kind="x")

        async def found(query: TaskQuery) -> list[str]:
            return [task.slug for task in (await store.search(query)).items]

        assert await found(TaskQuery()) == ["a", "b", "c", "d"]
        assert await found(TaskQuery(kinds=("x", "z"))) == ["a", "c", "d"]
        assert await found(TaskQuery(states=(TaskState.RUNNING,))) == ["a"]
        assert await found(TaskQuery(states=(TaskState.SCHEDULED,))) == ["b", "c", "d"]
        assert await found(TaskQuery(paused=True)) == ["d"]
        assert await found(TaskQuery(metadata={"city": "Rome"})) == ["a", "b"]
        assert await found(TaskQuery(metadata={"city": "Rome", "n": "1"})) == ["a"]
        assert await found(TaskQuery(due_from=NOON + 10 * SECOND, due_until=NOON + 20 * SECOND)) == ["b"]
        assert await found(TaskQuery(kinds=("x",), states=(TaskState.RUNNING,))) == ["a"]

    async def test_search_pages_without_gaps_or_repeats(self, store: JobStore) -> None:
        """Also when tasks come and go between the pages."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(7)])
        first = await store.search(TaskQuery(limit=3))
        await store.delete("t2")
        await store.create(NOON, [a_task("t0a")])
        second = await store.search(TaskQuery(limit=3, after=first.next))
        third = await store.search(TaskQuery(limit=3, after=second.next))

        pages = [[task.slug for task in page.items] for page in (first, second, third)]
        assert pages == [["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6"]]
        assert third.next is None

    async def test_an_exact_last_page_has_no_next(self, store: JobStore) -> None:
        """The end is known without asking again."""
        await store.create(NOON, [a_task("a"), a_task("b")])

        assert (await store.search(TaskQuery(limit=2))).next is None

    async def test_slugs_are_searched_by_a_text_that_they_contain(self, store: JobStore) -> None:
        """By case, wherever it stands, and as it stands: no sign in it is a wildcard.

        Or the store says that it cannot.
        """
        await store.create(NOON, [a_task(slug) for slug in ("a%b", "a_b", "axb", "AxB", "mañana", "x\\y", "50 %")])
        if not self.supports_substring_search:
            for ask in (store.search, store.count):
                with pytest.raises(Unsupported) as refused:
                    await ask(TaskQuery(contains="a", kinds=()))
                assert (refused.value.store, "contain" in refused.value.what) == (type(store).__name__, True)
                assert refused.value.instead in str(refused.value)
            return

        async def found(text: str, prefix: str = "") -> list[str]:
            query = TaskQuery(contains=text, prefix=prefix)
            slugs = [task.slug for task in (await store.search(query)).items]
            assert await store.count(query) == len(slugs)
            return slugs

        assert await found("%") == ["50 %", "a%b"]
        assert await found("_") == ["a_b"]
        assert await found("x") == ["AxB", "axb", "x\\y"]
        assert await found("xB") == ["AxB"]
        assert await found("\\") == ["x\\y"]
        assert await found("ñ") == ["mañana"]
        assert await found("a%b") == ["a%b"]
        assert await found("b", prefix="a") == ["a%b", "a_b", "axb"]
        assert await found("nothing") == []

    @pytest.mark.parametrize("seed", range(4))
    async def test_every_query_finds_and_counts_what_its_conditions_say(self, store: JobStore, seed: int) -> None:
        """All conditions in any company, on pages of any size; the predicate `matches_task` is what they say."""
        chance = Random(seed)  # noqa: S311 - a test that can be repeated
        everything = await leave_tasks(store, chance)
        for _ in range(25):
            query = task_query(chance, substrings=self.supports_substring_search)
            expected = [task.slug for task in everything if matches_task(query, task)]

            assert [task.slug for task in await walk(store.search, query)] == expected, query
            assert await store.count(query) == len(expected), query

    async def test_a_count_knows_no_pages(self, store: JobStore) -> None:
        """`limit` and `after` are for those who read on."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(5)])

        assert await store.count(TaskQuery(limit=1, after="t3")) == 5

    async def test_a_count_is_of_one_namespace(self, store: JobStore, other_tenant: JobStore) -> None:
        """As everything is."""
        await store.create(NOON, [a_task("a"), a_task("b")])
        await other_tenant.create(NOON, [a_task("c")])

        assert (await store.count(TaskQuery()), await other_tenant.count(TaskQuery())) == (2, 1)

    async def test_more_kinds_than_a_query_language_may_take_are_all_found(self, store: JobStore) -> None:
        """Fifty of them, one named twice."""
        kinds = tuple(f"k{number:02}" for number in range(50))
        await store.create(NOON, [a_task(kind, kind=kind) for kind in (*kinds, "other")])
        query = TaskQuery(kinds=(*kinds, "k00"), limit=20)

        assert [task.slug for task in await walk(store.search, query)] == list(kinds)
        assert await store.count(query) == 50
        assert await store.count(TaskQuery(kinds=("k00", "k00"))) == 1

    @pytest.mark.parametrize("seed", range(6))
    async def test_pages_show_every_task_that_stays_just_once(self, store: JobStore, seed: int) -> None:
        """Between the pages tasks are deleted, the last one shown too, and created before and behind it."""
        chance = Random(seed)  # noqa: S311 - a test that can be repeated
        names = {f"t{number:02}" for number in range(60)}
        there = set(chance.sample(sorted(names), 30))
        stayed, ever, seen = set(there), set(there), list[str]()
        await store.create(NOON, [a_task(slug) for slug in sorted(there)])
        query: TaskQuery | None = TaskQuery(limit=chance.randint(1, 7), kinds=("work",))
        while query is not None:
            page = await store.search(query)
            seen += [task.slug for task in page.items]
            gone, come = {*chance.sample(sorted(there), 2), *(there & set(seen[-1:]))}, set(chance.sample(sorted(names - there), 2))
            for slug in sorted(gone):
                await store.delete(slug)
            await store.create(NOON, [a_task(slug, kind=chance.choice(["work", "other"])) for slug in sorted(come)])
            there, stayed, ever = (there - gone) | come, stayed - gone, ever | come
            query = None if page.next is None or not there - set(seen) else evolve(query, after=page.next)

        assert seen == sorted(set(seen))
        assert stayed <= set(seen) <= ever
        assert await store.count(TaskQuery()) == len(there)
