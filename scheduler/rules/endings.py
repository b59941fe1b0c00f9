"""How a run ended, and what a raised error means for it."""

import traceback
from datetime import datetime, timedelta

from attrs import frozen

from duly.jobs import Task, Then
from duly.jobs.ending import Cancel, Fail, Retry
from duly.jobs.retry import class_names
from duly.jobs.storable import TEXT_LIMIT


@frozen
class Returned:
    """The job returned a task to go on with, or None to have it removed."""

    task: Task | Then | None
    spawn: tuple[Task, ...] = ()
    """What it asked to be created with that."""


@frozen
class Raised:
    """The job failed."""

    error: str
    """The error with its traceback."""
    names: tuple[str, ...] = ()
    """The qualified names of the error's class and of those it is derived from."""
    after: timedelta | None = None
    """How long the job itself wants to wait before the retry."""
    is_final: bool = False
    """Whether there is to be no retry, whatever the policy says."""


@frozen
class Cancelled:
    """The job said that its work is not wanted any more."""

    reason: str


@frozen
class Interrupted:
    """The run was cut short by no fault of its own, as at the end of a shutdown's grace."""

    reason: str
    pause: timedelta = timedelta(0)
    """How long to wait before the fire is run again."""


@frozen
class Stopped:
    """Somebody, or the next fire, asked for the run to be stopped."""

    reason: str


@frozen
class Missed:
    """There was no run: every fire that had passed came too late."""


@frozen
class Moved:
    """There was no run: somebody moved it ahead while a node held the task that let its lease end."""


@frozen
class Spawned:
    """There was no run: each of these fires lives on as a one-off task of its own."""


Ending = Returned | Raised | Cancelled | Interrupted | Stopped | Missed | Moved | Spawned


@frozen(kw_only=True)
class EndedRun:
    """A run that ended."""

    task: Task
    """As it was locked, and given to the job."""
    fire_time: datetime
    started_at: datetime
    ended_at: datetime
    ending: Ending


class RemoteError(Exception):
    """What a job raised in another process, as far as it travels: its text and what it is an instance of."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        """Give the error with its traceback, and the qualified names of its class and that one's bases."""
        super().__init__(text, names)
        self.text, self.names = text, names

    def __str__(self) -> str:
        return self.text


class CancelledRemotely(Exception):
    """An `async def` job that runs apart from the scheduler's event loop ended by being cancelled."""


def ending_of(error: BaseException) -> Raised | Cancelled:
    """Return what an error that ended a job means for its run: what the job said by it, else a failure."""
    match error:
        case Retry(after=after, reason=reason):
            return Raised(reason, after=after)
        case Fail(reason=reason):
            return Raised(reason, is_final=True)
        case Cancel(reason=reason):
            return Cancelled(reason)
        case RemoteError(text=text, names=names):
            return Raised(text, names)
    return Raised(describe(error), class_names(type(error)))


def describe(error: BaseException) -> str:
    """Return an error with its traceback; of one that is too long, the start and, more of it, the end."""
    text = "".join(traceback.format_exception(error)).rstrip()
    room = TEXT_LIMIT // 4  # characters, of at most four bytes each
    return text if len(text) <= room else f"{text[: room // 4]}\n...[cut]...\n{text[-room // 2 :]}"
