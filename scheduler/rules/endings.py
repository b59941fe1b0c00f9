"""How a run ended, and what a raised error means for it."""

from datetime import datetime, timedelta

from attrs import frozen

from duly.jobs import InvalidResult, Task, Then
from duly.jobs.ending import Cancel, Fail, Retry
from duly.jobs.retry import class_name, class_names
from duly.jobs.storable import TEXT_LIMIT
from duly.scheduler.wording import traceback_of

_INVALID_RESULT = class_name(InvalidResult)
"""A job that returned what it may not return would do so again: its run is not retried."""


@frozen
class Returned:
    """The job returned a task, or None to have it removed."""

    task: Task | Then | None
    spawn: tuple[Task, ...] = ()
    """The tasks that the job spawned."""


@frozen
class Raised:
    """The job failed."""

    error: str
    """The error with its traceback."""
    names: tuple[str, ...] = ()
    """The qualified names of the error's class and of its base classes."""
    after: timedelta | None = None
    """How long to wait before the retry, as the job says; None: as the policy says."""
    is_final: bool = False
    """Whether the fire is not retried, whatever the policy says."""


@frozen
class Cancelled:
    """The job said that its work is no longer wanted."""

    reason: str


@frozen
class Interrupted:
    """The run was cut short by no fault of its own, for example at the end of a drain's grace."""

    reason: str
    pause: timedelta = timedelta(0)
    """How long to wait before the fire is run again."""


@frozen
class Stopped:
    """A user, or the next fire, asked the run to stop."""

    reason: str


@frozen
class Missed:
    """There was no run: every past fire came too late."""


@frozen
class Moved:
    """There was no run: it was moved to a later time while a node held the task, and that lease ended."""


@frozen
class Spawned:
    """There was no run: each due fire becomes a one-off task."""


Ending = Returned | Raised | Cancelled | Interrupted | Stopped | Missed | Moved | Spawned


@frozen(kw_only=True)
class EndedRun:
    """A run and how it ended."""

    task: Task
    """The task as it was locked and passed to the job."""
    fire_time: datetime
    started_at: datetime
    ended_at: datetime
    ending: Ending


class RemoteError(Exception):
    """An error that a job raised in another process: its text, and the names of its classes."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        """Hold the error with its traceback, and the qualified names of its class and base classes."""
        super().__init__(text, names)
        self.text: str = text
        self.names: tuple[str, ...] = names

    def __str__(self) -> str:
        return self.text


class CancelledRemotely(Exception):
    """An `async def` job outside the scheduler's event loop was cancelled."""


def ending_of(error: BaseException) -> Raised | Cancelled:
    """Return what an error means for its run: what `Retry`, `Fail` or `Cancel` says, else a failure.

    `InvalidResult` is final.
    """
    match error:
        case Retry(after=after, reason=reason):
            return Raised(reason, after=after)
        case Fail(reason=reason):
            return Raised(reason, is_final=True)
        case Cancel(reason=reason):
            return Cancelled(reason)
        case RemoteError(text=text, names=names):
            return Raised(text, names, is_final=_INVALID_RESULT in names)
    names = class_names(type(error))
    return Raised(describe(error), names, is_final=_INVALID_RESULT in names)


def describe(error: BaseException) -> str:
    """Return an error with its traceback, bounded so that every store keeps it whole."""
    return traceback_of(error, TEXT_LIMIT // 4)  # characters, of at most four bytes each
