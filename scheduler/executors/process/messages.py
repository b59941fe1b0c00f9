"""Messages from a node to its child process; pickled, because only these two processes see them."""

from collections.abc import Mapping

from attrs import frozen


@frozen(kw_only=True)
class Home:
    """The first message: where the child comes from."""

    parent: int
    """The node's process id."""
    main: Mapping[str, str]
    """How the child imports the program's main module: arguments of `multiprocessing.spawn.prepare`."""


@frozen(kw_only=True)
class News:
    """What a job should know of its run by now."""

    stop: str | None
    """Why the job should end; None: it should not."""
    trusted_until: float
    """Until when the lease is trusted, in seconds of this machine's clock (`SystemClock.monotonic`)."""


@frozen(kw_only=True)
class Work:
    """A job to call."""

    kind: str
    call: bytes
    """The pickled job, task and `Form` of the context.

    They are pickled apart from the message: if they cannot be loaded, that is an error of this run only.
    """
    news: News


Message = Home | News | Work | None
"""None is the goodbye: end as soon as the child is idle."""
