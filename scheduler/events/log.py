"""Events as lines of the logger `duly`; nothing that a handler of the log raises leaves this room.

Trouble that lasts is told in three lines: when it begins, once a minute with how long it has lasted, and when it is over.
All loops that an outage of the store stops share these lines. Each failure between them is a line at DEBUG, with its traceback.
"""

import logging
import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from datetime import timedelta
from threading import Lock

from duly.scheduler.clock import Clock
from duly.scheduler.events.events import Event, Subscriber
from duly.scheduler.events.loops import LoopEnded, LoopFailed, LoopRecovered
from duly.scheduler.events.nodes import NodeStopped
from duly.scheduler.events.runs import RunEnded
from duly.scheduler.wording import headline, span

logger: logging.Logger = logging.getLogger("duly")

REMINDER = timedelta(minutes=1)
"""How often trouble that lasts is told again."""


class _Trouble:
    """An outage of the store, or a fault of one loop, that is not over."""

    def __init__(self, now: float, what: str) -> None:
        self.began = self.told = now
        self.what = what
        self.loops: set[str] = set()
        """The loops that have failed, and have not recovered."""


class EventLog:
    """Writes the events of one node to the log; safe from any thread, and raises nothing."""

    def __init__(self, clock: Clock) -> None:
        """Measure by the monotonic time of `clock` how long trouble lasts."""
        self._clock = clock
        self._changing = Lock()
        self._troubles: dict[Hashable, _Trouble] = {}
        self._lost = 0
        """How many lines could not be written since the last one that was."""

    def tell(self, event: Event) -> None:
        """Write `event` at its level; trouble that lasts is written less often."""
        match event:
            case LoopFailed():
                self._failed(event)
            case LoopRecovered():
                self._recovered(event)
            case LoopEnded(error=error):
                self._write(event.level, event, str(event), error)
            case RunEnded(run=run) if event.level >= logging.ERROR and "\n" in (run.error or ""):
                self._write(event.level, event, f"{event}\n{run.error}")
            case _:
                if isinstance(event, NodeStopped):
                    self._troubles.clear()
                if logger.isEnabledFor(level := event.level):  # most events are of a level that nobody reads: no text is made for them
                    self._write(level, event, str(event))

    def tell_of_failure(self, subscriber: Subscriber, event: Event, error: BaseException) -> None:
        """Write what a subscriber raised."""
        self._guard(lambda: logger.error("subscriber %r failed on %r", subscriber, event, exc_info=error))

    def _failed(self, event: LoopFailed) -> None:
        is_outage, now = bool(getattr(event.error, "retryable", False)), self._clock.monotonic()
        key: Hashable = "outage" if is_outage else (event.loop, type(event.error))
        with self._changing:
            is_new = key not in self._troubles
            trouble = self._troubles.setdefault(key, _Trouble(now, str(event)))
            trouble.loops.add(event.loop)
            is_told = is_new or now - trouble.told >= REMINDER.total_seconds()
            trouble.told = now if is_told else trouble.told
        if is_told:
            since = "" if is_new else f" (for {_seconds(now - trouble.began)} now)"
            self._write(event.level, event, f"{event}{since}", None if is_outage or not is_new else event.error)
        if is_outage or not is_new:
            self._write(logging.DEBUG, event, f"traceback of {event}", event.error)

    def _recovered(self, event: LoopRecovered) -> None:
        with self._changing:
            for trouble in self._troubles.values():
                trouble.loops.discard(event.loop)
            over = {key: trouble for key, trouble in self._troubles.items() if not trouble.loops}
            for key in over:
                del self._troubles[key]
        for trouble in over.values():
            length = _seconds(self._clock.monotonic() - trouble.began)
            self._write(logging.WARNING, event, f"{event.loop}: works again after {length} ({trouble.what})")
        if not over:
            self._write(event.level, event, str(event))

    def _write(self, level: int, event: Event, text: str, error: BaseException | None = None) -> None:
        if logger.isEnabledFor(level):
            self._guard(lambda: logger.log(level, "%s: %s", event.node, text, exc_info=error, extra=event.log_fields))

    def _guard(self, write: Callable[[], None]) -> None:
        """Call `write`; if it fails, say so on the standard error output.

        The log says so, too, once it works again.
        """
        try:
            write()
            lost, self._lost = self._lost, 0
            if lost:
                logger.warning("%d lines of this log could not be written", lost)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler is anybody's code, and must not stop what it is told of
            self._lost += 1
            if self._lost == 1:
                with suppress(Exception):  # there may be no such output
                    sys.stderr.write(f"duly: the log failed: {headline(error)}\n")


def _seconds(length: float) -> str:
    return span(timedelta(seconds=length))
