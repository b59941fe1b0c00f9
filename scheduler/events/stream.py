"""Events as an iterator.

A bounded queue stands between the node, which never waits for it, and a reader, who may be slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Lock
from typing import Self

from attrs import field, frozen

from duly.jobs import InvalidValue
from duly.jobs.validators import at_least
from duly.scheduler.errors import WrongThread
from duly.scheduler.events.events import Event, EventsDropped
from duly.scheduler.events.publishing import Events

QUEUE_LIMIT = 1000
"""How many events wait for their reader, unless the reader says otherwise."""


@frozen(kw_only=True)
class Wanted:
    """Which events a reader wants, and how many may wait."""

    types: tuple[type[Event], ...] = ()
    """Classes of events; none = all."""
    slug: str | None = None
    """Events of this task only; None = of all tasks, and of the node itself."""
    limit: int = field(default=QUEUE_LIMIT, validator=at_least(1))

    def takes(self, event: Event) -> bool:
        """Tell whether the reader wants `event`."""
        return (not self.types or isinstance(event, self.types)) and self.slug in (None, event.slug)


class EventStream:
    """The events of one node from `with` on, in the order in which they were told.

    The iteration ends when the scheduler is closed.

    ::

        async with scheduler.events(types=(RunEnded,)) as events:
            async for event in events: ...

        with scheduler.events() as events:  # in a thread without an event loop; the same stream
            for event in events: ...

    What does not fit into the queue is dropped, and an `EventsDropped` with its count stands in its place. Several
    streams, and several readers of one stream (each event goes to one of them), may be open at once, in any thread.
    """

    def __init__(self, streams: "Streams", wanted: Wanted) -> None:
        """Take part in `streams` once it is entered."""
        self._streams, self._wanted = streams, wanted
        self._changed = Condition()
        """Its lock guards all that follows."""
        self._events: deque[Event] = deque()
        self._dropped = 0
        """Events since the last one in the queue, for which there was no room."""
        self._is_over = False
        self._sleepers: list[asyncio.Future[None]] = []

    # -- the node's side

    def take(self, event: Event) -> None:
        """Queue `event` if it is wanted and fits; from any thread, without waiting."""
        if not self._wanted.takes(event):
            return
        with self._changed:
            if self._is_over:
                return
            if len(self._events) >= self._wanted.limit:
                self._dropped += 1
                return
            if self._dropped:
                self._events.append(self._note_of_dropped())
            self._events.append(event)
            self._wake()

    def end(self) -> None:
        """Let the iteration end once what is queued has been read."""
        with self._changed:
            self._is_over = True
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            with suppress(RuntimeError):  # its event loop is closed
                sleeper.get_loop().call_soon_threadsafe(_settle, sleeper)

    # -- the reader's side

    def _next(self) -> Event | None:
        """Return what is to be read next, None if nothing is; the lock is held."""
        if self._events:
            return self._events.popleft()
        return self._note_of_dropped() if self._dropped else None

    def _note_of_dropped(self) -> EventsDropped:
        dropped, self._dropped = self._dropped, 0
        return EventsDropped(node=self._streams.node, count=dropped)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        _refuse_in_event_loop()
        with self._changed:
            while (event := self._next()) is None:
                if self._is_over:
                    raise StopIteration
                self._changed.wait()
            return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            with self._changed:
                if (event := self._next()) is not None:
                    return event
                if self._is_over:
                    raise StopAsyncIteration
                sleeper = asyncio.get_running_loop().create_future()
                self._sleepers.append(sleeper)
            try:
                await sleeper
            except asyncio.CancelledError:
                self._forget(sleeper)
                raise

    def _forget(self, sleeper: "asyncio.Future[None]") -> None:
        with self._changed, suppress(ValueError):  # it was just woken
            self._sleepers.remove(sleeper)

    def __enter__(self) -> Self:
        self._streams.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._streams.remove(self)
        self.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)


class Streams:
    """The open streams of one scheduler; safe from any thread."""

    def __init__(self, events: Events, node: str) -> None:
        """Begin with none."""
        self._events = events
        self.node: str = node
        self._leaves: dict[EventStream, Callable[[], None]] = {}
        self._changing = Lock()

    def open(self, types: tuple[type[Event], ...], slug: str | None, limit: int) -> EventStream:
        """Return a stream that is to be entered.

        Raises:
            InvalidValue: the limit is less than 1, or `types` is no tuple of classes of events.

        """
        if not isinstance(types, tuple) or not all(isinstance(each, type) and issubclass(each, Event) for each in types):
            raise InvalidValue("types", types, "a tuple of classes of events, such as (RunEnded,)")
        return EventStream(self, Wanted(types=types, slug=slug, limit=limit))

    def add(self, stream: EventStream) -> None:
        """Let a stream take what is told from now on; once."""
        with self._changing:
            if stream not in self._leaves:
                self._leaves[stream] = self._events.listen(stream.take)

    def remove(self, stream: EventStream) -> None:
        """Let a stream take no more."""
        with self._changing:
            leave = self._leaves.pop(stream, None)
        if leave is not None:
            leave()

    def end(self) -> None:
        """End every stream that is open."""
        with self._changing:
            streams = list(self._leaves)
        for stream in streams:
            self.remove(stream)
            stream.end()


def _settle(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _refuse_in_event_loop() -> None:
    """Raise `WrongThread` where a plain wait would stop an event loop.

    The events may come from that very loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongThread("next")
