"""What a scheduler refuses, before anything is written."""

import signal

from duly.jobs import JobError
from duly.triggers import DulyError


class SchedulerError(DulyError):
    """A scheduler was used in a way that cannot work."""


class InvalidSchedule(JobError, ValueError):
    """What was given as the time of a task does not say when."""

    slug: str
    """Slug of the task."""
    problem: str
    """What is wrong."""

    def __init__(self, slug: str, problem: str) -> None:
        """Name the slug and what is wrong."""
        super().__init__(f"task {slug!r}: {problem}")
        self.slug, self.problem = slug, problem


class TriggerNeverFires(InvalidSchedule):
    """The trigger has no fire time from now on."""

    trigger: object
    """The trigger, or its text."""

    def __init__(self, slug: str, trigger: object) -> None:
        """Name the slug and show the trigger."""
        super().__init__(slug, f"the trigger {trigger} never fires again: expected a fire time later than now")
        self.trigger = trigger


class SchedulerClosed(SchedulerError):
    """The scheduler was used before it was started or after it was closed."""

    def __init__(self) -> None:
        """Say how to start one."""
        super().__init__("the scheduler is not running: use it inside 'with', or between start() and close()")


class InvalidConfig(SchedulerError, ValueError):
    """A configuration says what cannot be understood."""

    place: str
    """Where the configuration came from, such as a file's path."""
    key: str | None
    """The key at fault; None where the whole is."""
    problem: str
    """What is wrong."""

    def __init__(self, place: str, key: str | None, problem: str) -> None:
        """Name the place, the key if it is one key's fault, and what is wrong.

        The value of a password is never shown.
        """
        super().__init__(f"{place}: {problem}" if key is None else f"{place}: {key!r}: {problem}")
        self.place, self.key, self.problem = place, key, problem


class NoScheduler(SchedulerError, LookupError):
    """There is no scheduler in this context, or none that can be called from here."""

    problem: str
    """What is missing."""

    def __init__(self, problem: str) -> None:
        """Say what is missing."""
        super().__init__(f"no scheduler in this context: {problem}")
        self.problem = problem


class AlreadyAcknowledged(SchedulerError):
    """A fetched task was acknowledged whose run is over, or in other hands; nothing was written by that."""

    run_id: str
    """Id of the run, which is its lease id."""
    reason: str
    """Why it cannot be acknowledged."""

    def __init__(self, run_id: str, reason: str) -> None:
        """Give the id of the run, which is its lease id, and say why it cannot be acknowledged."""
        super().__init__(f"run {run_id} cannot be acknowledged: {reason}")
        self.run_id, self.reason = run_id, reason


class WrongThread(SchedulerError):
    """A blocking call came from the thread that would have to serve it: it could only wait for itself."""

    call: str
    """Name of the method that was called."""

    def __init__(self, call: str) -> None:
        """Name the call."""
        super().__init__(
            f"{call}() was called from the scheduler's own event loop, which it would block for ever: "
            "use a plain 'def' job, which runs in a thread, or StdScheduler with await"
        )
        self.call = call


class CalledInJob(SchedulerError):
    """A job asked its own scheduler to stop, and would have waited for its own end."""

    call: str
    """Name of the method that was called."""
    slug: str
    """Task of the job."""

    def __init__(self, call: str, slug: str) -> None:
        """Name the call and the task."""
        super().__init__(
            f"{call}() was called by the job of task {slug!r}, for whose end it would wait: let the program stop its scheduler, "
            "for example when the job sets an event that it waits for"
        )
        self.call, self.slug = call, slug


class WrongLoop(SchedulerError):
    """A scheduler was used in another event loop than the one in which it was started.

    Another thread has another loop, and so has a forked process.
    """

    def __init__(self) -> None:
        """Say what can be used there."""
        super().__init__(
            "the scheduler belongs to the event loop in which it was started, and this is another: await it there, use BlockingScheduler, "
            "or, in a job's thread, blocking_scheduler_from_context()"
        )


class ForkedScheduler(SchedulerError):
    """The process was forked after the scheduler was made.

    Its thread and connections stayed with the parent.
    """

    parent: int
    """Process id of the scheduler's process."""
    child: int
    """Process id of its fork."""

    def __init__(self, parent: int, child: int) -> None:
        """Give both process ids."""
        super().__init__(f"this scheduler belongs to process {parent}, this is its fork {child}: make one after the fork")
        self.parent, self.child = parent, child


class NotMainThread(SchedulerError):
    """`run` takes signals, which only the main thread of a process can."""

    def __init__(self) -> None:
        """Say what to use instead."""
        super().__init__("run() takes SIGINT and SIGTERM, which only the main thread can: elsewhere use start() and close()")


class MainNotGuarded(SchedulerError):
    """A program starts a scheduler whenever its main module is imported.

    Each of its child processes imports that module anew.
    """

    def __init__(self) -> None:
        """Say what is missing."""
        super().__init__(
            "a scheduler is started by the import of the main module in a child process: start it below 'if __name__ == \"__main__\":'"
        )


class ProcessDied(SchedulerError):
    """The process in which a job ran ended by itself, before the job did.

    It crashed, called `os._exit`, or the kernel ran short of memory.
    """

    pid: int
    """Process id of the job's process."""
    status: int
    """Exit status; negative: the number of the signal that ended it."""

    def __init__(self, pid: int, status: int) -> None:
        """Give its id, and its exit status: negative for the signal that ended it."""
        super().__init__(f"the process of the job ({pid}) ended before the job did: {_how_it_ended(status)}")
        self.pid, self.status = pid, status


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-status}"


class ExecutorFailed(SchedulerError):
    """The executor to which a job was handed could not run it, or lost it.

    It is shut down, broken, or cannot pickle the job.
    """

    kind: str
    """Kind of the job."""

    def __init__(self, kind: str, executor: object, problem: BaseException) -> None:
        """Name the kind and the executor; its error is the `__cause__`."""
        super().__init__(f"{type(executor).__name__} did not run job {kind!r}: {type(problem).__name__}: {problem}")
        self.kind = kind
