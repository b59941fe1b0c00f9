"""Events as they happen.

In order, bounded, for several readers, from any thread, until the scheduler is closed.
"""

import asyncio
import threading
from datetime import timedelta

import pytest

from duly.jobs import InvalidValue, JobRegistry, Task
from duly.scheduler import (
    BlockingScheduler,
    Event,
    EventsDropped,
    LoopFailed,
    NodeStarted,
    NodeStopped,
    RunEnded,
    RunReturned,
    RunStarted,
    StdScheduler,
    SystemClock,
    WrongThread,
)
from duly.scheduler.events.publishing import Events
from duly.scheduler.events.stream import EventStream, Streams
from duly.stores import MemoryStore
from support.contexts import NOON, task_with
from support.schedulers import HOUR, LEASE, a_scheduler
from support.waiting import wait_until, wait_until_async


def handed_back(number: int, slug: str = "t") -> RunReturned:
    """An event with a number."""
    return RunReturned(node="n", slug=slug, reason=str(number))


class Told:
    """A seam, and the streams that hang on it."""

    def __init__(self) -> None:
        self.events = Events(SystemClock())
        self.streams = Streams(self.events, "n")

    def stream(self, *types: type[Event], slug: str | None = None, limit: int = 1000) -> EventStream:
        """Return a stream that is to be entered."""
        return self.streams.open(types, slug, limit)

    def tell(self, *numbers: int) -> None:
        """Publish numbered events."""
        for number in numbers:
            self.events.publish(handed_back(number))


def shown(events: list[Event]) -> list[str]:
    """Return the numbers of events, and where some were dropped how many."""
    return [event.reason if isinstance(event, RunReturned) else str(event) for event in events]


# -- reading


async def test_events_come_in_order_until_the_scheduler_is_closed() -> None:
    """From the start of the node to its stop, which is the last."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    scheduler, seen = a_scheduler(jobs=jobs), list[Event]()

    async def read(events: EventStream) -> None:
        async for event in events:
            seen.append(event)

    async with scheduler.events() as events:
        reading = asyncio.create_task(read(events))
        async with scheduler:
            await scheduler.schedule_job("t", "work")
            await wait_until_async(lambda: len(seen) == 3)
        await reading
    assert [type(event) for event in seen] == [NodeStarted, RunStarted, RunEnded, NodeStopped]


def test_a_blocking_scheduler_has_them_in_a_plain_loop() -> None:
    """In a thread of the reader's own, or in the one that schedules."""
    jobs = JobRegistry()
    jobs.job("work")(lambda: None)
    seen: list[str] = []
    with BlockingScheduler(MemoryStore(), jobs=jobs, lease=LEASE, poll=HOUR) as scheduler:
        with scheduler.events(types=(RunEnded,), slug="t") as events:
            scheduler.schedule_job("u", "work")
            scheduler.schedule_job("t", "work")
            seen.append(str(next(events).slug))
        with scheduler.events() as rest:
            reader = threading.Thread(target=lambda: seen.extend(type(event).__name__ for event in rest))
            reader.start()
            scheduler.close()
            reader.join(10)
    assert seen == ["t", "NodeStopped"]


async def test_it_ends_also_when_the_store_cannot_be_closed() -> None:
    """Nobody waits for ever."""

    class Stuck(MemoryStore):
        async def close(self) -> None:
            raise ZeroDivisionError

    scheduler = StdScheduler(Stuck())
    async with scheduler.events() as events:
        with pytest.raises(ZeroDivisionError):
            await scheduler.close()
        assert [event async for event in events] == []


async def test_only_what_is_wanted_is_queued() -> None:
    """By class, by task, or both; what is about the node is about no task."""
    told = Told()
    failed = LoopFailed(node="n", loop="dispatch", error=ValueError())
    started = RunStarted(node="n", task=task_with(slug="u"), fire_time=NOON)
    with (
        told.stream(RunReturned) as by_class,
        told.stream(slug="u") as by_task,
        told.stream(RunReturned, slug="u") as by_both,
        told.stream(LoopFailed, RunStarted) as by_classes,
    ):
        for event in (handed_back(1), handed_back(2, "u"), failed, started):
            told.events.publish(event)
        told.streams.end()
    assert [event async for event in by_class] == [handed_back(1), handed_back(2, "u")]
    assert [event async for event in by_task] == [handed_back(2, "u"), started]
    assert [event async for event in by_both] == [handed_back(2, "u")]
    assert [event async for event in by_classes] == [failed, started]


async def test_every_stream_has_every_event_and_its_readers_share_them() -> None:
    """Two streams, one of them with two readers."""
    told, alone, shared = Told(), list[Event](), list[Event]()

    async def read(events: EventStream, seen: list[Event]) -> None:
        async for event in events:
            seen.append(event)
            await asyncio.sleep(0)

    async with told.stream() as one, told.stream() as other, asyncio.TaskGroup() as group:
        for events, seen in ((one, alone), (other, shared), (other, shared)):
            group.create_task(read(events, seen))
        await asyncio.sleep(0)
        told.tell(1, 2, 3, 4)
        told.streams.end()
    assert shown(alone) == ["1", "2", "3", "4"]
    assert sorted(shown(shared)) == ["1", "2", "3", "4"]


# -- the bound


async def test_what_does_not_fit_is_dropped_and_said_in_its_place() -> None:
    """Behind what was queued, before what came when there was room again."""
    told = Told()
    with told.stream(limit=2) as events:
        told.tell(1, 2, 3, 4, 5)
        seen = [await anext(events)]
        told.tell(6)
        seen += [await anext(events) for _ in range(3)]
        told.tell(7)
        told.streams.end()
        seen += [event async for event in events]
    assert shown(seen) == ["1", "2", "3 events dropped: the reader was too slow", "6", "7"]
    assert seen[2] == EventsDropped(node="n", count=3)


async def test_what_was_dropped_last_is_said_when_the_queue_is_empty() -> None:
    """Nothing has to happen for it."""
    told = Told()
    with told.stream(limit=1) as events:
        told.tell(1, 2, 3)
        assert shown([await anext(events), await anext(events)]) == ["1", "2 events dropped: the reader was too slow"]
        told.tell(4, 5)
        told.streams.end()
        assert shown([event async for event in events]) == ["4", "1 event dropped: the reader was too slow"]


async def test_a_stream_that_nobody_reads_stays_small() -> None:
    """A node outlives its forgetful readers."""
    told = Told()
    with told.stream(limit=10) as events:
        told.tell(*range(10_000))
        assert len(events._events) == 10


@pytest.mark.parametrize("limit", [0, -1])
def test_a_queue_without_room_is_refused(limit: int) -> None:
    """It could only drop."""
    with pytest.raises(InvalidValue, match="limit"):
        StdScheduler(MemoryStore()).events(limit=limit)


# -- threads and ends


async def test_events_of_other_threads_wake_the_reader() -> None:
    """All of them, each thread's in order."""
    told, each = Told(), 500

    def tell(slug: str) -> None:
        for number in range(each):
            told.events.publish(handed_back(number, slug))

    async with told.stream(limit=4 * each) as events:
        threads = [threading.Thread(target=tell, args=(slug,)) for slug in "abc"]
        for thread in threads:
            thread.start()
        seen = [event for _ in range(3 * each) if isinstance(event := await anext(events), RunReturned)]
        for thread in threads:
            thread.join()
    for slug in "abc":
        assert [event.reason for event in seen if event.slug == slug] == [str(number) for number in range(each)]


def test_a_plain_reader_in_another_thread_is_woken() -> None:
    """By an event, and by the end."""
    told, seen = Told(), list[Event]()
    with told.stream() as events:
        reader = threading.Thread(target=lambda: seen.extend(events))
        reader.start()
        told.tell(1)
        wait_until(lambda: not events._events)
        told.tell(2)
        told.streams.end()
        reader.join(10)
    assert not reader.is_alive()
    assert shown(seen) == ["1", "2"]


async def test_a_plain_wait_in_an_event_loop_is_refused() -> None:
    """It would stop the loop, which may be the one that the events come from."""
    with Told().stream() as events, pytest.raises(WrongThread):
        next(events)


async def test_a_reader_that_gives_up_waiting_misses_nothing() -> None:
    """And leaves nothing behind, however often it looks."""
    told = Told()
    async with told.stream() as events:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.001)
        assert events._sleepers == []
        told.tell(1)
        assert shown([await anext(events)]) == ["1"]


def test_the_end_of_a_readers_event_loop_is_none_of_the_nodes_business() -> None:
    """The stream is still open, and nobody reads it."""
    told = Told()
    events = told.stream()

    async def give_up() -> None:
        events.__enter__()
        sleeper = asyncio.get_running_loop().create_future()
        events._sleepers.append(sleeper)

    asyncio.run(give_up())
    told.tell(1)
    told.streams.end()
    assert shown(list(events)) == ["1"]


def test_a_stream_that_was_left_takes_nothing_more() -> None:
    """What it had can still be read; it costs the node nothing."""
    told = Told()
    with told.stream() as events:
        told.tell(1)
    told.tell(2)
    assert shown(list(events)) == ["1"]
    assert len(told.events._listeners) == 1


async def test_streams_opened_after_a_restart_are_new() -> None:
    """A scheduler may be closed and started again."""
    scheduler = a_scheduler()
    for _ in range(2):
        async with scheduler.events() as events:
            async with scheduler:
                pass
            assert [type(event) async for event in events] == [NodeStarted, NodeStopped]


# -- what is told of a node's life


async def test_runs_that_were_cut_short_are_counted_when_a_node_stops() -> None:
    """And told louder than a clean stop."""
    jobs = JobRegistry()
    jobs.job("long")(asyncio.Event().wait)
    async with a_scheduler(jobs=jobs, grace=timedelta(0)) as scheduler:
        await scheduler.schedule_job("t", "long")
        await wait_until_async(lambda: [run for run in scheduler.running_node.runs if run.started])
        async with scheduler.events(types=(NodeStopped,)) as events:
            await scheduler.close()
            (stopped,) = [event async for event in events]
    assert stopped == NodeStopped(node=scheduler.node, cut_short=1, left=0)
    assert (stopped.level, str(stopped)) == (30, "stopped; 1 run cut short, 0 tasks left to the leases")


def test_every_event_has_a_level_a_sentence_and_a_task_or_none() -> None:
    """So that a subscriber need not know them all."""
    task: Task = task_with()
    events: list[Event] = [
        NodeStarted(node="n", kinds=("a", "b")),
        NodeStarted(node="n", kinds=()),
        NodeStopped(node="n", cut_short=0, left=0),
        RunStarted(node="n", task=task, fire_time=NOON),
        handed_back(1, "task"),
        EventsDropped(node="n", count=1),
    ]
    assert [(event.level, event.slug, str(event)) for event in events] == [
        (20, None, "started, for 2 kinds: a, b"),
        (20, None, "started, for 0 kinds"),
        (20, None, "stopped; 0 runs cut short, 0 tasks left to the leases"),
        (10, "task", "task 'task' (kind) runs for 2024-01-01T12:00:00+00:00, attempt 0"),
        (30, "task", "task 'task' handed back unrun: 1"),
        (30, None, "1 event dropped: the reader was too slow"),
    ]
