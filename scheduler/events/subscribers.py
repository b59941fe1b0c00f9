"""A subscriber behind a queue and a thread of its own.

Nothing that it does, or fails to do, reaches the node.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Condition, Thread

from duly.scheduler.events.events import Event, EventsDropped, Subscriber

QUEUE_LIMIT = 1000
"""How many events wait for a subscriber; further ones are dropped and counted."""

Failed = Callable[[Subscriber, Event, BaseException], None]


class QueuedSubscriber:
    """Calls a subscriber with one event after another, in a daemon thread.

    Each call has the context in which its event happened.

    The thread starts with the first event. While the interpreter exits no thread can be started; then the subscriber is called
    where the event happens.
    """

    def __init__(self, subscriber: Subscriber, on_drop: Subscriber, on_failure: Failed) -> None:
        """Wait for events.

        `on_drop` is told of each `EventsDropped` before the subscriber is. `on_failure` is told what the subscriber raised.
        """
        self._subscriber, self._on_drop, self._on_failure = subscriber, on_drop, on_failure
        self._changed = Condition()
        """Its lock guards all that follows."""
        self._calls: deque[Callable[[], None]] = deque()
        self._dropped, self._node = 0, ""
        self._thread: Thread | None = None
        self._has_left = self._is_resting = False

    def take(self, event: Event) -> None:
        """Queue `event` if there is room; from any thread, without waiting for the subscriber."""
        with self._changed:
            if self._has_left:
                return
            self._node = event.node
            if len(self._calls) >= QUEUE_LIMIT:
                self._dropped += 1
                return
            if self._dropped:
                self._calls.append(self._note_of_dropped())
            self._calls.append(partial(copy_context().run, self._call, event))
            is_alone = self._is_resting = not self._has_thread()
            self._changed.notify()
        if is_alone:
            self._serve()

    def _has_thread(self) -> bool:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name=f"duly-subscriber-{self._node}", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter exits
                self._thread = None
        return self._thread is not None

    def _serve(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._calls:
                if self._dropped:
                    return self._note_of_dropped()
                if self._is_resting:
                    self._thread = None
                    return None
                self._changed.wait()
            return self._calls.popleft()

    def _note_of_dropped(self) -> Callable[[], None]:
        dropped, self._dropped = EventsDropped(node=self._node, count=self._dropped), 0
        return partial(self._tell_of_dropped, dropped)

    def _tell_of_dropped(self, dropped: EventsDropped) -> None:
        self._on_drop(dropped)
        self._call(dropped)

    def _call(self, event: Event) -> None:
        try:
            self._subscriber(event)
        except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever a subscriber raises
            self._on_failure(self._subscriber, event, error)

    def heard(self) -> "Future[None]":
        """Return a future that is done once the subscriber was called with all that is queued now."""
        done: Future[None] = Future()
        with self._changed:
            if self._thread is None:
                done.set_result(None)
            else:
                self._calls.append(partial(done.set_result, None))
                self._changed.notify()
        return done

    def rest(self) -> None:
        """End the thread once the queue is empty; the next event starts another."""
        with self._changed:
            self._is_resting = True
            self._changed.notify()

    def leave(self) -> None:
        """Take no more events; what is queued is still told."""
        with self._changed:
            self._has_left = self._is_resting = True
            self._changed.notify()
