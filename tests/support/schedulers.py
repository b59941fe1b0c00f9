"""Schedulers for tests, with short leases.

Their store in memory records what it is asked, and misbehaves as it is told.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Self, Unpack

from attrs import evolve, field, frozen

from duly.jobs import JobRegistry, Task
from duly.scheduler import Event, StdScheduler, SystemClock
from duly.scheduler.clock import Clock, StoreClock
from duly.scheduler.config import SchedulerConfig, Settings
from duly.scheduler.events.publishing import Events
from duly.scheduler.services import Services
from duly.stores import Exchange, Extended, Held, JobStore, LockRequest, MemoryStore, Outcome, Refused, StoreUnavailable

LEASE = timedelta(seconds=0.6)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@frozen
class Call:
    """One exchange, as the store was asked."""

    now: datetime
    outcomes: Sequence[Outcome]
    request: LockRequest | None


Answer = Callable[["ScriptedStore", Call], Awaitable[Exchange]]
ExtendAnswer = Callable[[Sequence[Held]], Awaitable[None]]


async def obey(store: "ScriptedStore", call: Call) -> Exchange:
    """Do what is asked."""
    return await store.do(call)


async def unreachable(_: "ScriptedStore", __: Call) -> Exchange:
    """Fail before anything is done."""
    raise StoreUnavailable("the question was lost")


async def silent(store: "ScriptedStore", call: Call) -> Exchange:
    """Do what is asked, and fail all the same."""
    await store.do(call)
    raise StoreUnavailable("the answer was lost")


async def broken(_: "ScriptedStore", __: Call) -> Exchange:
    """Fail for good."""
    raise RuntimeError("a fault of the store")


async def busy(store: "ScriptedStore", call: Call) -> Exchange:
    """Lock what is asked for, and write nothing: somebody else's transaction holds every row."""
    exchange = await store.do(evolve(call, outcomes=()))
    return evolve(exchange, refused=[Refused(outcome=outcome, reason="busy") for outcome in call.outcomes])


async def always_due(store: "ScriptedStore", call: Call) -> Exchange:
    """Give nothing out, although something is due."""
    exchange = await store.do(evolve(call, request=None))
    return evolve(exchange, next_run=call.now)


def after(gate: asyncio.Event) -> Answer:
    """Do what is asked once the gate is open."""

    async def answer(store: "ScriptedStore", call: Call) -> Exchange:
        await gate.wait()
        return await store.do(call)

    return answer


@frozen
class Script:
    """What the objects of one store were asked, and how they are to answer."""

    exchanges: list[Call] = field(factory=list)
    answers: deque[Answer] = field(factory=deque)
    """For the next exchanges, one each; those after them are obeyed."""
    extended: list[list[str]] = field(factory=list)
    """The slugs that each heartbeat wanted to keep."""
    extend: list[ExtendAnswer] = field(factory=list)
    """Called before a heartbeat is served; may raise or wait."""
    wishes: list[tuple[str, int]] = field(factory=list)
    """The kind of which places were asked for, and how many."""
    slots: list[Callable[[], Awaitable[None]]] = field(factory=list)
    """Called before places are given; may raise or wait."""


class ScriptedStore(MemoryStore):
    """A store in memory that follows a script, which its siblings share."""

    def __init__(self, *answers: Answer) -> None:
        """Answer the first exchanges so, and obey after that."""
        super().__init__()
        self.script = Script(answers=deque(answers))

    def tenant(self, namespace: str) -> Self:
        """Return another object that follows the same script."""
        other = super().tenant(namespace)
        other.script = self.script
        return other

    async def exchange(self, now: datetime, outcomes: Sequence[Outcome], request: LockRequest | None) -> Exchange:
        """Answer as the script says."""
        call = Call(now, tuple(outcomes), request)
        self.script.exchanges.append(call)
        answer = self.script.answers.popleft() if self.script.answers else obey
        return await answer(self, call)

    async def lock(self, now: datetime, request: LockRequest) -> list[Task]:
        """Lock: the script is one of exchanges, and not of their halves."""
        return (await super().exchange(now, (), request)).tasks

    async def reschedule(self, now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        """Write, in the same way."""
        return (await super().exchange(now, outcomes, None)).refused

    async def do(self, call: Call) -> Exchange:
        """Answer truly."""
        return await super().exchange(call.now, call.outcomes, call.request)

    async def extend(self, now: datetime, held: Sequence[Held], lease: timedelta) -> Extended:
        """Extend, unless the script has something against it."""
        self.script.extended.append([each.slug for each in held])
        for answer in self.script.extend:
            await answer(held)
        return await super().extend(now, held, lease)

    async def slots(self, now: datetime, node: str, kind: str, want: int, total: int, lease: timedelta) -> int:
        """Give slots, unless the script has something against it."""
        self.script.wishes.append((kind, want))
        for answer in self.script.slots:
            await answer()
        return await super().slots(now, node, kind, want, total, lease)


class OffsetClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, offset: timedelta) -> None:
        """Be `offset` ahead of the true time."""
        self._offset = offset

    def now(self) -> datetime:
        """Return the wrong time."""
        return super().now() + self._offset


def a_scheduler(store: JobStore | None = None, jobs: JobRegistry | None = None, **settings: Unpack[Settings]) -> StdScheduler:
    """Return a scheduler on real time, whose lease is short and whose poll comes too late for any test."""
    settings.setdefault("lease", LEASE)
    settings.setdefault("poll", HOUR)
    settings.setdefault("grace", 5 * SECOND)
    return StdScheduler(MemoryStore() if store is None else store, jobs=jobs, **settings)


def some_services(
    clock: Clock, store: JobStore | None = None, *, jobs: JobRegistry | None = None, **settings: Unpack[Settings]
) -> Services:
    """Return what a loop is built from."""
    followed = StoreClock(clock)
    return Services(
        store=MemoryStore() if store is None else store,
        registry=JobRegistry() if jobs is None else jobs,
        clock=followed,
        events=Events(followed),
        config=SchedulerConfig(**settings),
    )


def heard(scheduler: StdScheduler) -> list[Event]:
    """Return a list that grows with every event of the scheduler, where and when it happens."""
    events: list[Event] = []
    scheduler._services.events.listen(events.append)
    return events


async def edit(store: JobStore, slug: str, now: datetime, **changes: object) -> Task:
    """Change a task's fields, as somebody who edits it does."""
    return await store.update(now, evolve(await store.get(slug), **changes))  # type: ignore[arg-type]  # fields of Task, by name


def threads_of(node: str) -> list[str]:
    """Return the names of the threads that work for a node."""
    return [thread.name for thread in threading.enumerate() if node in thread.name]


def tasks_of_the_library() -> Collection[str]:
    """Return the names of the library's tasks in the running event loop."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("duly ")]
