"""Wait for what a test expects, with a deadline. The one place in the tests that sleeps."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

_POLL_SECONDS = 0.01
_DEADLINE = timedelta(seconds=10)


def wait_until(condition: Callable[[], object], timeout: timedelta = _DEADLINE) -> None:
    """Return when `condition()` is true.

    Raise AssertionError naming the condition if it is not within `timeout`.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not condition():
        _check(deadline, condition, timeout)
        time.sleep(_POLL_SECONDS)


async def wait_until_async(condition: Callable[[], object] | Callable[[], Awaitable[object]], timeout: timedelta = _DEADLINE) -> None:
    """Do the same while the event loop turns; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout.total_seconds()
    while not await _ask(condition):
        _check(deadline, condition, timeout)
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(condition: Callable[[], object]) -> object:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer


def _check(deadline: float, condition: Callable[[], object], timeout: timedelta) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"not within {timeout}: {_name(condition)}")


def _name(condition: Callable[[], object]) -> str:
    """The function's name; of a lambda the line it stands in, because its name says nothing."""
    name: str = getattr(condition, "__qualname__", repr(condition))
    if not name.endswith("<lambda>"):
        return name
    try:
        return inspect.getsource(condition).strip()
    except OSError:
        return name
