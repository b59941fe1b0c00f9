"""All pages of a query, walked with `for` and with `async for`."""

import pytest

from duly.jobs import JobRegistry, Task
from duly.scheduler import NewTask, StdScheduler, Unsupported
from duly.scheduler.client.paging import walk, walk_blocking
from duly.stores import MemoryStore, Page, RunQuery, TaskQuery
from duly.stores.conformance.values import a_task
from support.schedulers import HOUR, a_scheduler
from support.waiting import wait_until_async

PAGES: dict[str | None, Page[Task]] = {
    None: Page([a_task("a"), a_task("b")], "b"),
    "b": Page([], "m"),
    "m": Page([a_task("n")], None),
}
"""The one in the middle is empty and not the last: a store may return one that is short."""


class Book:
    """Answers by `PAGES`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[TaskQuery] = []

    def search(self, query: TaskQuery) -> Page[Task]:
        """Return the page after `after`."""
        self.asked.append(query)
        return PAGES[query.after]

    async def search_async(self, query: TaskQuery) -> Page[Task]:
        """Return it to who awaits it."""
        return self.search(query)


async def test_every_page_is_shown_to_the_end() -> None:
    """Also those behind an empty one; the conditions stay as they were."""
    book = Book()
    found = [task.slug async for task in walk(book.search_async, TaskQuery(kinds=("k",), limit=2))]

    assert found == ["a", "b", "n"]
    assert book.asked == [TaskQuery(kinds=("k",), limit=2, after=after) for after in PAGES]


def test_every_page_is_shown_to_the_end_without_an_event_loop() -> None:
    """The same."""
    book = Book()

    assert [task.slug for task in walk_blocking(book.search, TaskQuery(limit=2))] == ["a", "b", "n"]
    assert [query.after for query in book.asked] == list(PAGES)


async def test_a_page_is_asked_for_when_it_is_needed() -> None:
    """Who has seen enough pays for no more."""
    books = [Book(), Book()]
    async for _ in walk(books[0].search_async, TaskQuery()):
        break
    for _ in walk_blocking(books[1].search, TaskQuery()):
        break

    assert [len(book.asked) for book in books] == [1, 1]


async def test_a_walk_may_begin_in_the_middle() -> None:
    """After a place where an earlier one ended."""
    assert [task.slug async for task in walk(Book().search_async, TaskQuery(after="b"))] == ["n"]


async def test_a_scheduler_counts_and_walks_its_tasks_and_runs() -> None:
    """Whatever the size of the pages."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    async with a_scheduler(jobs=jobs) as scheduler:
        await scheduler.schedule_jobs([NewTask(f"later:{number}", "work", delay=HOUR) for number in range(5)])
        await scheduler.schedule_jobs([NewTask(f"now:{number}", "work") for number in range(3)])
        await wait_until_async(lambda: _has_run(scheduler, 3))

        later = TaskQuery(prefix="later:", limit=2)
        assert await scheduler.count_jobs(later) == 5
        assert [task.slug async for task in scheduler.iterate_jobs(later)] == [f"later:{number}" for number in range(5)]
        assert sorted([run.slug async for run in scheduler.iterate_runs(RunQuery(limit=1))]) == ["now:0", "now:1", "now:2"]


async def _has_run(scheduler: StdScheduler, count: int) -> bool:
    return len((await scheduler.runs(RunQuery())).items) == count


async def test_what_a_store_cannot_search_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first page, and as the store says it."""
    store = MemoryStore()

    async def refuse(_: TaskQuery) -> Page[Task]:
        raise Unsupported("ThisStore", "do it", "do something else")

    monkeypatch.setattr(store, "search", refuse)
    async with a_scheduler(store) as scheduler:
        with pytest.raises(Unsupported, match="ThisStore cannot do it: do something else") as refused:
            await anext(aiter(scheduler.iterate_jobs(TaskQuery(contains="a"))))
    assert (refused.value.store, refused.value.what, refused.value.instead) == ("ThisStore", "do it", "do something else")
