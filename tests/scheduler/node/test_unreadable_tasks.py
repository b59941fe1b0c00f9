"""Tasks whose row this version of duly cannot read, beside those that run.

The node, `why` and listings tell of them.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

import pytest
from attrs import evolve

from duly.jobs import Task
from duly.jobs.cipher import PayloadKeys
from duly.jobs.task import RECORD_VERSION
from duly.scheduler import TaskUnreadable, UnreadableTask
from duly.stores import EncryptedStore, Exchange, LockRequest, MemoryStore, Outcome, Page, TaskQuery, Unreadable
from support.lives import Work
from support.schedulers import HOUR, a_scheduler
from support.waiting import wait_until_async

REASON = "overlap 'someday': expected 'skip'"


class OddStore(MemoryStore):
    """A store in memory, which holds nothing odd by itself: here the task `odd` cannot be read."""

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Put it off, once."""
        exchange = await super().exchange(now, outcomes, request)
        odd = tuple(Unreadable(task.slug, REASON) for task in exchange.tasks if task.slug == "odd")
        return evolve(exchange, tasks=[task for task in exchange.tasks if task.slug != "odd"], unreadable=odd)

    async def get(self, slug: str) -> Task:
        """Refuse to show it."""
        if slug == "odd":
            raise UnreadableTask(slug, REASON)
        return await super().get(slug)

    async def search(self, query: TaskQuery) -> Page[Task]:
        """Name it apart."""
        page = await super().search(query)
        odd = tuple(Unreadable(task.slug, REASON) for task in page.items if task.slug == "odd")
        return evolve(page, items=[task for task in page.items if task.slug != "odd"], unreadable=odd)


async def test_a_node_tells_of_it_and_runs_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """As an event and as one line."""
    work = Work()
    work.gate.set()
    with caplog.at_level(logging.WARNING, "duly"):
        async with a_scheduler(OddStore(), jobs=work.registry) as scheduler:
            events = list[TaskUnreadable]()
            scheduler.subscribe(lambda event: events.append(event) if isinstance(event, TaskUnreadable) else None)
            for slug in ("odd", "plain"):
                await scheduler.schedule_job(slug, "work")
            await wait_until_async(lambda: events and work.began)
            why = await scheduler.why("odd")

    assert [(event.slug, event.reason) for event in events] == [("odd", REASON)]
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        f"task 'odd' put off, because this version of duly cannot read it: {REASON}"
    ]
    assert why == f"Task 'odd' cannot be read by this version of duly, and is left to a node that can: {REASON}."


async def test_a_listing_names_it_and_every_edit_is_refused() -> None:
    """With the slug and the reason; it can be deleted."""
    async with a_scheduler(OddStore(), jobs=Work().registry) as scheduler:
        for slug in ("odd", "plain"):
            await scheduler.schedule_job(slug, "work", delay=HOUR)
        page = await scheduler.search_jobs(TaskQuery())
        with pytest.raises(UnreadableTask) as caught:
            await scheduler.pause_job("odd")
        await scheduler.delete_job("odd")
        left = await scheduler.get_job_slugs()

    assert ([task.slug for task in page.items], page.unreadable) == (["plain"], (Unreadable("odd", REASON),))
    assert (caught.value.slug, caught.value.reason, caught.value.retryable) == ("odd", REASON, False)
    assert left == ["plain"]


async def test_why_tells_of_a_task_that_needs_a_newer_version() -> None:
    """No node of this version takes it."""
    store = MemoryStore()
    async with a_scheduler(store.sibling(), jobs=Work().registry) as scheduler, store:
        await scheduler.schedule_job("t", "work", delay=HOUR)
        task = await store.get("t")
        await store.update(task.run_at, evolve(task, needs=RECORD_VERSION + 1, run_at=task.run_at - HOUR))
        why = await scheduler.why("t")

    assert f"but it needs a newer version of duly: its record is of version {RECORD_VERSION + 1}" in why


async def test_an_encrypting_store_passes_it_on() -> None:
    """Beside the others, whose payloads it decrypts; encrypting anew leaves it out."""
    keys = PayloadKeys({"k": b"k" * 32}, newest="k")
    async with a_scheduler(EncryptedStore(OddStore(), keys), jobs=Work().registry) as scheduler:
        for slug in ("odd", "plain"):
            await scheduler.schedule_job(slug, "work", payload=b"p", delay=HOUR)
        page = await scheduler.search_jobs(TaskQuery())

        assert [(task.slug, bytes(task.payload)) for task in page.items] == [("plain", b"p")]
        assert page.unreadable == (Unreadable("odd", REASON),)
        assert await scheduler.schedule_job("odd", "work", payload=b"q", delay=HOUR, if_exists="keep") is False
