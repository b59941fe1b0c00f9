"""What happens to loops beside a turn that fails: they work again, or end."""

import logging

from attrs import frozen

from duly.scheduler.events.events import Event
from duly.scheduler.wording import headline


@frozen(kw_only=True)
class LoopRecovered(Event):
    """A loop works again: its turn succeeded after one or more that failed."""

    loop: str
    """Name of the loop."""

    def __str__(self) -> str:
        return f"{self.loop}: works again"


@frozen(kw_only=True)
class LoopEnded(Event):
    """A loop ended though nobody stopped it; it is started again after a pause.

    Until it works again, the node is not ready.
    """

    loop: str
    """Name of the loop."""
    error: BaseException | None
    """What ended it; None: somebody cancelled its asyncio task."""

    @property
    def level(self) -> int:
        """Nothing should end a loop."""
        return logging.ERROR

    def __str__(self) -> str:
        reason = "it was cancelled" if self.error is None else headline(self.error)
        return f"{self.loop}: ended unexpectedly, and is started again: {reason}"


@frozen(kw_only=True)
class LoopFailed(Event):
    """A loop's turn failed; it goes on after a pause."""

    loop: str
    """Name of the loop."""
    error: BaseException
    """What was raised."""

    @property
    def level(self) -> int:
        """Every one of these is an outage or a fault."""
        return logging.ERROR

    def __str__(self) -> str:
        return f"{self.loop}: {headline(self.error)}"
