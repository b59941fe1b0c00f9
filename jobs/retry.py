"""When a failed run is tried again."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from attrs import Attribute, field, frozen

from duly.jobs.errors import InvalidValue
from duly.jobs.validators import at_least, check_name, fraction, or_none, positive, text

_MOST = 100
"""Most delays, and most classes of exceptions: they stand in the record of every task."""


def _up_to_max_backoff(policy: "RetryPolicy", _: object, value: timedelta) -> None:
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= policy.max_backoff:
        raise InvalidValue("min_backoff", value, f"a timedelta of 0 to max_backoff ({policy.max_backoff})")


def _listed(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - what anybody gives
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)


def _names(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - what anybody gives
    return tuple(class_name(each) if isinstance(each, type) else each for each in _listed(value))


def _delays(_: object, attribute: "Attribute[Any]", value: tuple[Any, ...]) -> None:
    if len(value) > _MOST:
        raise InvalidValue(attribute.name, value, f"at most {_MOST} delays")
    for place, delay in enumerate(value):
        if not isinstance(delay, timedelta) or delay < timedelta(0):
            raise InvalidValue(f"{attribute.name}[{place}]", delay, "a timedelta of 0 or more")


def _exceptions(_: object, attribute: "Attribute[Any]", value: tuple[Any, ...]) -> None:
    if len(value) > _MOST:
        raise InvalidValue(attribute.name, value, f"at most {_MOST} classes")
    for place, name in enumerate(value):
        if not isinstance(name, str):
            raise InvalidValue(f"{attribute.name}[{place}]", name, "a class of exceptions, or its qualified name")
        check_name(f"{attribute.name}[{place}]", name)


def class_name(kind: type) -> str:
    """Return the name by which a class of exceptions is known in a policy: `builtins.ValueError`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def class_names(kind: type) -> tuple[str, ...]:
    """Return the names of a class and of those it is derived from, the nearest first."""
    return tuple(class_name(each) for each in kind.__mro__)


@frozen(kw_only=True)
class RetryPolicy:
    """How often, how soon and how long a run that failed is retried.

    `limit` counts the retries *after* the first run of a fire: with `limit=5` a run that always fails is executed six
    times. Runs lost in a crash and runs handed back unfinished count against neither limit.
    With `limit` and `age_limit` both set, retrying goes on until **both** are reached; `None` means that this limit is
    not there, so with both `None` it never ends. The age is counted from the start of the first run.

    The n-th retry waits `min_backoff * multiplier ** n`, never above `max_backoff`, less a random part: `jitter` says
    which part of the wait above `min_backoff` is left to chance, by default all of it ("full jitter" above a floor:
    Amazon's Architecture Blog, "Exponential Backoff And Jitter", 2015), so that what failed together does not return
    together. `delays` are fixed waits instead: the first before the first retry and so on, the last before every
    further one; they are kept to exactly.

    An error of a class in `never`, or of one derived from it, is not retried. Classes are kept by their qualified names.
    """

    limit: int | None = field(default=5, validator=or_none(at_least(0)))
    """Most retries after the first run; None: no limit by count."""
    max_backoff: timedelta = field(default=timedelta(hours=1), validator=at_least(timedelta(0)))
    """Longest wait between two tries."""
    min_backoff: timedelta = field(default=timedelta(seconds=1), validator=_up_to_max_backoff)
    """Shortest wait between two tries."""
    multiplier: float = field(default=2.0, validator=at_least(1.0))
    """Factor by which the wait grows from one retry to the next; 1 or more."""
    jitter: float = field(default=1.0, validator=fraction)
    """Part of the wait above `min_backoff` that is left to chance, from 0 (none) to 1 (all)."""
    delays: tuple[timedelta, ...] = field(default=(), converter=_listed, validator=_delays)
    """Fixed waits instead of growing ones, such as `(timedelta(seconds=10), timedelta(minutes=5))`; empty: none."""
    age_limit: timedelta | None = field(default=None, validator=or_none(positive))
    """Time from the start of the first run after which there is no retry; None: no limit by age."""
    never: tuple[str, ...] = field(default=(), converter=_names, validator=_exceptions)
    """Qualified names of exceptions that are not retried, such as `builtins.ValueError`; classes are converted."""
    unknown: str = field(default="", validator=text, repr=False)
    """JSON text of the fields that a later version wrote: kept, and not read. Stores set it; empty: there are none."""

    def allows(self, *, failures: int, age: timedelta) -> bool:
        """Tell whether a run that has now failed `failures` times (at least 1) may be retried.

        `age` is the time since its first run started.
        """
        left_by_count = self.limit is None or failures <= self.limit
        left_by_age = self.age_limit is None or age < self.age_limit
        if self.limit is not None and self.age_limit is not None:
            return left_by_count or left_by_age
        return left_by_count and left_by_age

    def backoff(self, retry: int, spread: float) -> timedelta:
        """Return the wait before retry number `retry` (from 1); `spread` in [0, 1) is its place in the jitter."""
        if self.delays:
            return self.delays[min(retry, len(self.delays)) - 1]
        floor, ceiling = self.min_backoff.total_seconds(), self.max_backoff.total_seconds()
        try:
            reach = min(ceiling, floor * self.multiplier**retry)
        except OverflowError:
            reach = ceiling
        above = max(reach, floor) - floor
        return timedelta(seconds=floor + above * (1 - self.jitter) + above * self.jitter * spread)
