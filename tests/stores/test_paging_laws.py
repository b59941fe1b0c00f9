"""Whatever comes and goes between the pages.

Each task that stays is shown once, and counts agree with the pages.
"""

import asyncio

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from duly.stores import JobStore, MemoryStore, TaskQuery
from duly.stores.conformance.populations import walk
from support.tasks import a_one_off, names

slug_sets = st.sets(st.text(alphabet="ab\x01é🙂", min_size=1, max_size=3) | names, max_size=12)
changes = st.lists(st.tuples(slug_sets, slug_sets), max_size=6)
"""What is created and what is deleted after each page; nothing any more after the last of them."""


async def _change(store: JobStore, created: set[str], deleted: set[str]) -> set[str]:
    """Return what was there all the while."""
    before = set(await store.get_slugs())
    await store.create(a_one_off().run_at, [a_one_off(slug=slug) for slug in sorted(created)], if_exists="keep")
    for slug in deleted & (before | created):
        await store.delete(slug)
    return before - deleted


@given(slug_sets, changes, st.integers(1, 5), st.sampled_from(["", "a", "é"]))
def test_each_task_that_stays_is_shown_once(there: set[str], changes: list[tuple[set[str], set[str]]], limit: int, prefix: str) -> None:
    """In order, and nothing that never was."""

    async def scenario() -> None:
        async with MemoryStore() as store:
            await _change(store, there, set())
            stayed, ever, seen, left = set(there), set(there), list[str](), list(changes)
            query: TaskQuery | None = TaskQuery(limit=limit, prefix=prefix)
            while query is not None:
                page = await store.search(query)
                seen += [task.slug for task in page.items]
                created, deleted = left.pop() if left else (set(), set())
                stayed &= await _change(store, created, deleted)
                ever |= created
                query = None if page.next is None else evolve(query, after=page.next)

            assert seen == sorted(set(seen))
            assert {slug for slug in stayed if slug.startswith(prefix)} <= set(seen) <= {slug for slug in ever if slug.startswith(prefix)}

    asyncio.run(scenario())


@given(slug_sets, st.integers(1, 5), st.text(alphabet="ab\x01é🙂", max_size=2), st.text(alphabet="ab\x01é🙂", max_size=2))
def test_a_count_is_what_all_pages_hold(there: set[str], limit: int, prefix: str, contains: str) -> None:
    """However large they are."""

    async def scenario() -> None:
        async with MemoryStore() as store:
            await _change(store, there, set())
            query = TaskQuery(limit=limit, prefix=prefix, contains=contains)

            found = [task.slug for task in await walk(store.search, query)]
            assert found == sorted(slug for slug in there if slug.startswith(prefix) and contains in slug)
            assert await store.count(query) == len(found)

    asyncio.run(scenario())
