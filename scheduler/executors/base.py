"""The seam behind which jobs run, and what all executors share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from duly.jobs import Job, JobContext, Task
from duly.scheduler.runs.live_run import LiveRun, Manner


class Executor(ABC):
    """Runs jobs somewhere; called in the scheduler's event loop, for many runs at once."""

    manner = Manner()
    """How it treats runs, as far as a run must know."""

    @abstractmethod
    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | None:
        """Begin the run (`LiveRun.work`), bring its job to its end, and return what it returned, checked.

        When it is cancelled it sees to it that the job ends, as far as it can.

        Raises:
            TimeLimitExceeded: the job took longer than the task's options allow. Else what the job raised.

        """

    def remains(self, run_id: str) -> "Remains | None":  # noqa: ARG002 - of most executors nothing is left
        """Say what is left of a run that was given up, once; None if nothing is."""
        return None

    def abandoned_of(self, kind: str | None = None) -> int:  # noqa: ARG002 - the same
        """Return how many runs were given up while their jobs still work: of one kind, or all; safe from any thread."""
        return 0

    def close(self) -> None:  # noqa: B027 - nothing to do, where nothing is kept
        """Take no more work; what still runs is left to itself, or killed where that is possible."""

    async def wait_closed(self) -> None:  # noqa: B027 - the same
        """Return when nothing is left that could be killed."""


class Abandoned:
    """The runs that an executor gave up while their jobs may still be at work; they take up room until these end."""

    def __init__(self, remains: "Remains", on_room: Callable[[], None]) -> None:
        """Begin with none; `remains` is said of each, and `on_room` is called when one has ended."""
        self._remains, self._on_room = remains, on_room
        self._kinds = dict[str, str]()
        """The kind of each, by its run id."""
        self._untold = set[str]()

    def add(self, run_id: str, kind: str) -> None:
        """Note a run whose job still works."""
        self._kinds[run_id] = kind
        self._untold.add(run_id)

    def note(self, run_id: str) -> None:
        """Note a run of which nobody can tell whether its job still works; it takes up no room."""
        self._untold.add(run_id)

    def ended(self, run_id: str) -> None:
        """Note that a job has ended, if its run was given up."""
        if self._kinds.pop(run_id, None) is not None:
            self._on_room()

    def remains(self, run_id: str) -> "Remains | None":
        """Say what is left of a run, once."""
        if run_id not in self._untold:
            return None
        self._untold.remove(run_id)
        return self._remains

    def of(self, kind: str | None) -> int:
        """Return how many still work: of one kind, or all; safe from any thread."""
        return len(self._kinds) if kind is None else list(self._kinds.values()).count(kind)


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
