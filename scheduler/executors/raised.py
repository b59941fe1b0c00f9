"""What a job raised, as an error of its run and of nothing else."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


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
