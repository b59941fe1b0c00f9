"""What can be wrong with a job or a task before it ever runs."""

from reprlib import Repr

from duly.triggers import DulyError

_shown = Repr()
_shown.maxstring = _shown.maxother = 80


class JobError(DulyError):
    """A job, or the description of a task, is at fault."""


class InvalidJob(JobError, TypeError):
    """What was given as a job is none: no kind, no `execute`, or a function of too many parameters."""

    job: object
    """What was given as a job."""
    expected: str
    """What is expected instead."""

    def __init__(self, job: object, expected: str) -> None:
        """Name the object and say what was expected of it."""
        super().__init__(f"{job!r} is not a job: {expected}")
        self.job, self.expected = job, expected


class InvalidValue(JobError, ValueError):
    """A field of a task, a run or an option has a value that no store may keep."""

    field: str
    """Name of the field or argument, such as `limit` or `delays[2]`."""
    value: object
    """The refused value; of a payload or a key only its class."""
    expected: str
    """What is allowed there."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        """Name the field, the value as it was given, and what is allowed there."""
        super().__init__(f"{field} {_shown.repr(value)}: expected {expected}")
        self.field, self.value, self.expected = field, value, expected


class InvalidSlug(InvalidValue):
    """A slug is empty, longer than 255 characters, or holds what no store can keep."""


class InvalidDelay(InvalidValue):
    """A delay is negative: a first fire cannot lie in the past."""


class InvalidPayload(InvalidValue):
    """A payload is not of the class that its job is registered with, or has no form that a store can keep."""

    kind: str
    """Kind of the job."""
    given: str
    """Qualified name of the class that was given."""

    def __init__(self, kind: str, given: str, expected: str) -> None:
        """Name the kind, the class that was given, and what is expected.

        Never name the payload itself, which may be a secret.
        """
        super().__init__(f"payload of job {kind!r}", given, expected)
        self.kind, self.given = kind, given


class UnreadablePayload(JobError):
    """A node cannot read the payload of a task.

    It is of another version or form, or encrypted with a key that the node does not have.
    """

    problem: str
    """Why it cannot be read, as a clause: `it is no JSON`."""

    def __init__(self, problem: str) -> None:
        """Say why, as a clause."""
        super().__init__(problem)
        self.problem = problem


class PayloadTooLarge(InvalidValue):
    """A payload is larger than the scheduler or the stores allow."""

    size: int
    """Size of the payload, in bytes."""
    limit: int
    """Largest size that is allowed, in bytes."""

    def __init__(self, payload: bytes, limit: int) -> None:
        """Name the size found and the limit, both in bytes: never the payload itself, which may be a secret."""
        super().__init__("payload", type(payload).__name__, f"at most {limit} bytes, this has {len(payload)}")
        self.size, self.limit = len(payload), limit


class JobNotPicklable(InvalidValue):
    """A job is to run in another process, and cannot be sent there."""

    kind: str
    """Kind of the job."""
    problem: str
    """What cannot be pickled, and why."""

    def __init__(self, kind: str, problem: str) -> None:
        """Name the kind, and what stands in the way."""
        super().__init__("executor", "process", f"a job that can be pickled, which {kind!r} cannot: {problem}")
        self.kind, self.problem = kind, problem


class InvalidResult(JobError, TypeError):
    """A job returned something that is neither its task nor None."""

    kind: str
    """Kind of the job."""
    returned: object
    """What the job returned."""

    def __init__(self, kind: str, returned: object, what: str = "") -> None:
        """Name the kind of the job and what it returned, by its class if nothing better is said."""
        super().__init__(f"job {kind!r} returned {what or type(returned).__name__}: expected its Task to go on, or None to be removed")
        self.kind, self.returned = kind, returned


class JobAlreadyRegistered(JobError, ValueError):
    """A kind was registered twice; the first registration stands."""

    kind: str
    """The kind that is taken."""

    def __init__(self, kind: str, hint: str = "a kind names one job in a process") -> None:
        """Name the kind, and say why there can be no second one."""
        super().__init__(f"job kind {kind!r} is registered already: {hint}")
        self.kind = kind


class KindFetched(JobAlreadyRegistered):
    """A job was registered for a kind whose tasks are fetched.

    Each task can go to one of the two only, and nobody could say to which.
    """

    def __init__(self, kind: str) -> None:
        """Name the kind."""
        super().__init__(kind, "its tasks are fetched in this process; end the subscriptions, or give the job a kind of its own")


class JobNotRegistered(JobError, LookupError):
    """A kind that this process has not registered was asked for."""

    kind: str
    """The kind that was asked for."""
    known: tuple[str, ...]
    """The kinds that are registered here."""

    def __init__(self, kind: str, known: tuple[str, ...]) -> None:
        """Name the kind and those that are known."""
        names = ", ".join(map(repr, known)) or "none"
        super().__init__(
            f"job kind {kind!r} is not registered here (registered: {names}); a program that only schedules passes remote=True"
        )
        self.kind, self.known = kind, known


class TimeLimitExceeded(DulyError):
    """Work took longer than its time limit and was stopped."""

    limit: object
    """The limit, a `timedelta`."""

    def __init__(self, limit: object) -> None:
        """Name the limit, a `timedelta`."""
        super().__init__(f"stopped at its time limit of {limit}")
        self.limit = limit
