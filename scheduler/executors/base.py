"""The interface of an executor, and what all executors share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from duly.jobs import Job, JobContext, Task, Then
from duly.scheduler.runs.live_run import LiveRun, Manner


class Executor(ABC):
    """Runs jobs in one place; called in the scheduler's event loop, for many runs at once."""

    manner: Manner = Manner()
    """How it treats runs, as far as a run must know."""

    @abstractmethod
    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Begin the run (`LiveRun.work`), run its job to its end, and return what it returned, checked.

        If this call is cancelled, it ends the job as far as it can.

        Raises:
            TimeLimitExceeded: the job took longer than the task's options allow. Otherwise what the job raised.

        """

    def remains(self, run_id: str) -> "Remains | None":  # noqa: ARG002 - most executors leave nothing
        """Return what is left of a run that was given up, once per run; None if nothing is left."""
        return None

    def abandoned_of(self, kind: str | None = None) -> int:  # noqa: ARG002 - the same
        """Return how many runs were given up while their jobs still work; of `kind`, or (None) of all.

        Safe from any thread.
        """
        return 0

    def close(self) -> None:  # noqa: B027 - an executor that keeps nothing has nothing to do
        """Take no more runs; jobs that still work are killed if possible, and go on otherwise."""

    async def wait_closed(self) -> None:  # noqa: B027 - the same
        """Return when nothing is left that could be killed."""


class Abandoned:
    """The runs that an executor gave up while their jobs may still work; they take room until these end."""

    def __init__(self, remains: "Remains", on_room: Callable[[], None]) -> None:
        """Begin empty; `remains` describes each run, and `on_room` is called when the job of one has ended."""
        self._remains, self._on_room = remains, on_room
        self._kinds = dict[str, str]()
        """The kind of each run whose job still works, by run id."""
        self._untold = set[str]()

    def add(self, run_id: str, kind: str) -> None:
        """Add a run whose job still works."""
        self._kinds[run_id] = kind
        self._untold.add(run_id)

    def note(self, run_id: str) -> None:
        """Add a run whose job may or may not work: nobody can tell, so it takes no room."""
        self._untold.add(run_id)

    def ended(self, run_id: str) -> None:
        """Note that a job has ended; it may belong to a run that was not given up."""
        if self._kinds.pop(run_id, None) is not None:
            self._on_room()

    def remains(self, run_id: str) -> "Remains | None":
        """Return what is left of a run, once; None if it was not given up, or was asked about before."""
        if run_id not in self._untold:
            return None
        self._untold.remove(run_id)
        return self._remains

    def of(self, kind: str | None) -> int:
        """Return how many jobs still work; of `kind`, or (None) of all. Safe from any thread."""
        return len(self._kinds) if kind is None else list(self._kinds.values()).count(kind)


@frozen
class Remains:
    """What is left of a run that was given up."""

    note: str
    """Text for the record of the run."""
    is_at_work: bool
    """Whether the job may still be working: then its effects may happen twice."""


def as_error(raised: BaseException) -> Exception:
    """Return `raised`, or a `RuntimeError` around it if it is no ordinary error.

    `SystemExit` would end an event loop, and a future refuses `StopIteration`.
    """
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    error = RuntimeError(f"the job raised {raised!r}")
    error.__cause__ = raised
    return error


@contextmanager
def contained() -> Iterator[None]:
    """Convert what the job raises with `as_error`, except errors that mean something to the caller.

    Ordinary errors pass. So do those that are not the job's: a cancellation, Ctrl-C, and `GeneratorExit`, by which the end of
    the loop discards a coroutine.
    """
    try:
        yield
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as raised:
        raise as_error(raised) from raised
