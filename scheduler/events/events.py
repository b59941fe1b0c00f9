"""What all events share: an event is a typed value that says what happened on a node."""

import logging
from collections.abc import Callable, Mapping

from attrs import frozen

from duly.jobs.plain import Plain, to_dict
from duly.scheduler.wording import counted


@frozen(kw_only=True)
class Event:
    """Something happened on a node."""

    node: str
    """Name of the node."""

    @property
    def level(self) -> int:
        """How loud, as `logging` counts."""
        return logging.INFO

    @property
    def slug(self) -> str | None:
        """The task it is about; None where it is about the node."""
        return None

    @property
    def log_fields(self) -> Mapping[str, str | int]:
        """What is known of its run, by the names that `RunLogFilter` uses; its log record carries them."""
        return {} if self.slug is None else {"slug": self.slug}

    @property
    def kind(self) -> str | None:
        """Kind of that task; None where it is about the node."""
        return None

    def to_dict(self) -> Plain:
        """Return the event as plain values that `json` takes.

        Beside its own fields, every event has `event` (the name of its class), `level` (as in `logging`), `message`, `node`, `slug`
        and `kind`.
        """
        told = {"event": type(self).__name__, "level": logging.getLevelName(self.level), "message": str(self)}
        return told | {"slug": self.slug, "kind": self.kind} | to_dict(self)


@frozen(kw_only=True)
class EventsDropped(Event):
    """In an event stream only: so many events were dropped here, because its reader was too slow."""

    count: int
    """How many were dropped."""

    @property
    def level(self) -> int:
        """Somebody does not see all that happens."""
        return logging.WARNING

    def __str__(self) -> str:
        return f"{counted(self.count, 'event')} dropped: the reader was too slow"


Subscriber = Callable[[Event], None]
