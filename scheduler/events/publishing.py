"""The one seam through which events are told: to the log, to listeners, and to subscribers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from duly.scheduler.clock import Clock
from duly.scheduler.events.events import Event, Subscriber
from duly.scheduler.events.log import EventLog
from duly.scheduler.events.subscribers import QueuedSubscriber

LAST_WORD = timedelta(seconds=1)
"""How long a node that closes waits for its subscribers to hear what has happened."""


class Events:
    """Those who are told the events of one scheduler; safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        """Begin with the log alone, which measures by `clock` how long trouble lasts."""
        self._log = EventLog(clock)
        self._listeners: tuple[Subscriber, ...] = (self._log.tell,)
        self._queues: tuple[QueuedSubscriber, ...] = ()
        self._changing = Lock()

    def publish(self, event: Event) -> None:
        """Tell everybody; whatever a listener raises is logged and goes no further."""
        for listener in self._listeners:
            try:
                listener(event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - an observer must not stop what it observes
                self._log.tell_of_failure(listener, event, error)

    def listen(self, listener: Subscriber) -> Callable[[], None]:
        """Call `listener` where and when each event happens, until the returned callable is called.

        A listener belongs to the library: it must be quick.
        """
        with self._changing:
            self._listeners = (*self._listeners, listener)

        def leave() -> None:
            with self._changing:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return leave

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with each event in a thread of its own, until the returned callable is called.

        What happened before that is still told.
        """
        queue = QueuedSubscriber(subscriber, self._log.tell, self._log.tell_of_failure)
        take = queue.take
        with self._changing:
            self._queues = (*self._queues, queue)
        leave_events = self.listen(take)

        def leave() -> None:
            leave_events()
            queue.leave()
            with self._changing:
                self._queues = tuple(each for each in self._queues if each is not queue)

        return leave

    async def heard(self) -> None:
        """Wait until every subscriber was told what has happened; at most `LAST_WORD`."""
        told = [asyncio.wrap_future(future) for queue in self._queues if not (future := queue.heard()).done()]
        if told:
            await asyncio.wait(told, timeout=LAST_WORD.total_seconds())

    def rest(self) -> None:
        """End the subscribers' threads once they have told all; the next event starts them again."""
        for queue in self._queues:
            queue.rest()
