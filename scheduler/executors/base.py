"""The executor protocol."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from attrs import frozen

from duly.jobs import Job, JobContext, Task, Then


class Executor(Protocol):
    """Runs jobs somewhere; called in the scheduler's event loop, for many runs at once."""

    async def execute(self, job: Job, ctx: JobContext, task: Task) -> Task | Then | None:
        """Run the job to its end and return what it returned, or raise what it raised; when cancelled, see that it ends."""
        ...

    def close(self) -> None:
        """Take no more work; what still runs is left to itself."""


@frozen
class Remains:
    """What is left of a run that was given up."""

    note: str
    """For the history."""
    is_at_work: bool
    """Whether its job may still be at work: what it goes on to do may be done twice."""


def as_error(raised: BaseException) -> Exception:
    """Return it, or an ordinary error around it: `SystemExit` would end an event loop, and a future takes no `StopIteration`."""
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    error = RuntimeError(f"the job raised {raised!r}")
    error.__cause__ = raised
    return error


@contextmanager
def contained() -> Iterator[None]:
    """Let ordinary errors through, and what is not the job's: a cancelling, Ctrl-C, the end of the loop; `as_error` of the rest."""
    try:
        yield
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as raised:
        raise as_error(raised) from raised
