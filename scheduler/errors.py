"""What a scheduler refuses, before anything is written."""

from detent.jobs import JobError
from detent.triggers import DetentError


class SchedulerError(DetentError):
    """A scheduler was used in a way that cannot work."""


class InvalidSchedule(JobError, ValueError):
    """What was given as the time of a task does not say when."""

    def __init__(self, slug: str, problem: str) -> None:
        """Name the slug and what is wrong."""
        super().__init__(f"task {slug!r}: {problem}")
        self.slug, self.problem = slug, problem


class TriggerNeverFires(InvalidSchedule):
    """The trigger has no fire time from now on."""

    def __init__(self, slug: str, trigger: object) -> None:
        """Name the slug and show the trigger."""
        super().__init__(slug, f"the trigger {trigger} never fires again: expected a fire time later than now")
        self.trigger = trigger


class SchedulerClosed(SchedulerError):
    """The scheduler was used before it was started or after it was closed."""

    def __init__(self) -> None:
        """Say how to start one."""
        super().__init__("the scheduler is not running: use it inside 'with', or between start() and close()")


class WrongThread(SchedulerError):
    """A blocking call came from the thread that would have to serve it: it could only wait for itself."""

    def __init__(self, call: str) -> None:
        """Name the call."""
        super().__init__(
            f"{call}() was called from the scheduler's own event loop, which it would block for ever: "
            "use a plain 'def' job, which runs in a thread, or StdScheduler with await"
        )
        self.call = call


class ForkedScheduler(SchedulerError):
    """The process was forked after the scheduler was made: its thread and connections stayed with the parent."""

    def __init__(self, parent: int, child: int) -> None:
        """Give both process ids."""
        super().__init__(f"this scheduler belongs to process {parent}, this is its fork {child}: make one after the fork")
        self.parent, self.child = parent, child


class NotMainThread(SchedulerError):
    """`run` takes signals, which only the main thread of a process can."""

    def __init__(self) -> None:
        """Say what to use instead."""
        super().__init__("run() takes SIGINT and SIGTERM, which only the main thread can: elsewhere use start() and close()")
