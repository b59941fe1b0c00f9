"""What a node says to a child process of its own; pickled, because it never leaves the two."""

from collections.abc import Mapping

from attrs import frozen


@frozen(kw_only=True)
class Home:
    """Where the child comes from; the first message."""

    parent: int
    """The node's process id."""
    main: Mapping[str, str]
    """How the child finds the program's main module, in the words of `multiprocessing.spawn.prepare`."""


@frozen(kw_only=True)
class News:
    """What a job should know of its run by now."""

    stop: str | None
    """Why it should end."""
    trusted_until: float
    """Until when it may believe in its lease: seconds of the machine's own clock (`SystemClock.monotonic`)."""


@frozen(kw_only=True)
class Work:
    """A job to call."""

    kind: str
    call: bytes
    """The pickled job, task and `Form` of the context: apart, because what fails to load then is an error of this run."""
    news: News


Message = Home | News | Work | None
"""None is goodbye: end when nothing is at work."""
