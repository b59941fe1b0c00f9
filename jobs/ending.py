"""What a job may raise to say how its run ends.

Anything else that it raises is a failure, retried by the task's policy.
"""

from datetime import timedelta

from duly.jobs.errors import InvalidValue
from duly.triggers import DulyError


class JobEnding(DulyError):
    """Raised by a job on purpose."""

    reason: str
    """Why, for the history."""

    def __init__(self, reason: str) -> None:
        """Give the reason, for the history; an exception, or whatever else is given, by its text."""
        super().__init__(str(reason))
        self.reason = str(reason)


class Retry(JobEnding):
    """Try again, after `after` or, without it, when the task's policy says.

    Counts as a failed attempt against its limits.
    """

    after: timedelta | None
    """Time to wait before the retry; None: as the task's policy says."""

    def __init__(self, after: timedelta | None = None, reason: str = "") -> None:
        """Say when at the earliest, and why.

        Raises:
            InvalidValue: `after` is no timedelta of 0 or more.

        """
        if after is not None and not (isinstance(after, timedelta) and after >= timedelta(0)):
            raise InvalidValue("after", after, "a timedelta of 0 or more, or None")
        super().__init__(reason or "the job asked for another try")
        self.after = after

    def __reduce__(self) -> tuple[type["Retry"], tuple[timedelta | None, str]]:
        return type(self), (self.after, self.reason)


class Fail(JobEnding):
    """Fail for good: no retry, whatever the policy says."""


class Cancel(JobEnding):
    """The work is not wanted any more: recorded as cancelled.

    A schedule waits for its next fire, a one-off is removed.
    """

    def __init__(self, reason: str = "") -> None:
        """Say why."""
        super().__init__(reason or "the job cancelled itself")
