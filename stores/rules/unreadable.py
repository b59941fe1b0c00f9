"""A row that this version cannot read: how long it is left to nodes that can. Pure.

Nobody but the one who met it need know: the pause follows from how late the row is, so that nothing is counted anywhere.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

UNREADABLE_PAUSE: Final = timedelta(minutes=1)
"""The first pause of a task that a node cannot read: meanwhile another node may run it."""

UNREADABLE_PAUSE_MAX: Final = timedelta(minutes=15)
"""The longest such pause: it spares a fleet that cannot read many tasks; a node that can comes soon."""


def unreadable_pause(late: timedelta) -> timedelta:
    """Return how long to leave a task to other nodes: as long as it is late, within the two bounds.

    So the time between tries doubles.
    """
    return min(max(UNREADABLE_PAUSE, late), UNREADABLE_PAUSE_MAX)


def put_off_until(now: datetime, since: Iterable[object]) -> datetime:
    """Return when an unreadable row is due again.

    `since` are the values that may say since when it is due, the best first. The first that is a past instant counts. Where none is, the
    pause is the longest one.
    """
    past = (each for each in since if isinstance(each, datetime) and each <= now)
    start = next(past, None)
    return now + (UNREADABLE_PAUSE_MAX if start is None else unreadable_pause(now - start))
