"""When a failed run is tried again."""

from datetime import timedelta

from attrs import field, frozen

from detent.jobs.errors import InvalidValue
from detent.jobs.validators import at_least, or_none, positive


def _up_to_max_backoff(policy: "RetryPolicy", _: object, value: timedelta) -> None:
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= policy.max_backoff:
        raise InvalidValue("min_backoff", value, f"a timedelta of 0 to max_backoff ({policy.max_backoff})")


@frozen(kw_only=True)
class RetryPolicy:
    """How often, how soon and how long a run that failed is retried.

    `limit` counts the retries *after* the first run of a fire: with `limit=5` a run that always fails is executed six
    times. Runs lost in a crash and runs handed back unfinished count against neither limit.
    With `limit` and `age_limit` both set, retrying goes on until **both** are reached; `None` means that this limit is
    not there, so with both `None` it never ends.

    The n-th retry waits between `min_backoff` and `min_backoff * multiplier ** n`, the latter never above
    `max_backoff`, evenly spread ("full jitter" above a floor: Amazon's Architecture Blog, "Exponential Backoff And
    Jitter", 2015), so that what failed together does not return together.
    """

    limit: int | None = field(default=5, validator=or_none(at_least(0)))
    max_backoff: timedelta = field(default=timedelta(hours=1), validator=at_least(timedelta(0)))
    min_backoff: timedelta = field(default=timedelta(seconds=1), validator=_up_to_max_backoff)
    multiplier: float = field(default=2.0, validator=at_least(1.0))
    age_limit: timedelta | None = field(default=None, validator=or_none(positive))

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
        floor, ceiling = self.min_backoff.total_seconds(), self.max_backoff.total_seconds()
        try:
            reach = min(ceiling, floor * self.multiplier**retry)
        except OverflowError:
            reach = ceiling
        return timedelta(seconds=floor + (max(reach, floor) - floor) * spread)
