"""Log lines that say which run they belong to.

Holds a context variable, a filter for handlers, and a logger for each kind.

Whoever runs a job says so by `running`. What the job then logs, through whichever logger and from whichever library, can
be told by `RunLogFilter`; threads that a job starts itself need a copy of its context (`contextvars.copy_context`), as
`asyncio.to_thread` makes one.
"""

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from attrs import field, frozen

from duly.jobs.validators import utc


@frozen(kw_only=True)
class RunFacts:
    """Which run this is; plain values, so that another process can be told."""

    slug: str
    """Slug of the task."""
    kind: str
    """Kind of the task."""
    attempt: int
    """Number of the attempt at this fire, from 1."""
    fire_time: datetime = field(converter=utc)
    """Nominal instant of the fire, in UTC."""
    run_id: str
    """Id of the run in the history."""

    @property
    def fields(self) -> dict[str, str | int]:
        """What a log record of this run carries, by the names of its attributes; all but `attempt` are text."""
        return {
            "slug": self.slug,
            "kind": self.kind,
            "attempt": self.attempt,
            "fire_time": self.fire_time.isoformat(),
            "run_id": self.run_id,
        }

    def __str__(self) -> str:
        return f"{self.slug} attempt {self.attempt} for {self.fire_time.isoformat()}"


_OUTSIDE: dict[str, str | int] = {"slug": "-", "kind": "-", "attempt": 0, "fire_time": "-", "run_id": "-"}
"""What a log record carries that belongs to no run: the same types, so that no format fails."""

_current: ContextVar[RunFacts | None] = ContextVar("duly_run", default=None)


def current_run() -> RunFacts | None:
    """Return which run this code is part of; None outside a run."""
    return _current.get()


@contextmanager
def running(facts: RunFacts) -> Iterator[None]:
    """Let the body, and every coroutine and thread that takes a copy of its context, be part of the run."""
    token = _current.set(facts)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is thrown away unfinished ends in a context in which nothing was set
            _current.reset(token)


class RunLogFilter(logging.Filter):
    """Gives every record the attributes `slug`, `kind`, `attempt`, `fire_time` and `run_id`.

    It drops none.

    Attach it to a *handler*: a logger's filters do not see the records of the loggers below it. The handler must be
    called where the record is made; for one behind a queue attach it to the `QueueHandler`. Outside a run the texts are
    `-` and the attempt is 0. A record that has such an attribute keeps it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with its attributes."""
        run = _current.get()
        for name, value in (_OUTSIDE if run is None else run.fields).items():
            record.__dict__.setdefault(name, value)
        return True


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger `duly.job.<kind>` of one run.

    Messages begin with their run, and records carry it, in whatever context they are made.
    """

    def __init__(self, facts: RunFacts) -> None:
        """Log for one run."""
        super().__init__(logging.getLogger(f"duly.job.{facts.kind}"), facts.fields)
        self._prefix = f"{facts}: "

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:  # noqa: ANN401 - as in the standard library
        """Add the run's attributes to those that the call names itself."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ANN401 - as in the standard library
        """Log with the run in front.

        A slug is never taken for a format, and the caller's line stays the record's.
        """
        if self.isEnabledFor(level):
            msg, known = self.process(msg, kwargs)
            known["stacklevel"] = known.get("stacklevel", 1) + 1
            text = f"{self._prefix.replace('%', '%%') if args else self._prefix}{msg}"
            self.logger.log(level, text, *args, **known)
