"""Tells of runs that were lost with their nodes, as far as the node that takes their tasks over can know."""

from collections import deque
from datetime import datetime

from duly.jobs import Task
from duly.scheduler.events.events import RunLost
from duly.scheduler.services import Parts

_REMEMBERED = 1000
"""Losses that a node knows to have told; a loss of long before may be told again."""


class Losses:
    """Publishes `RunLost` once for every loss of a run whose task this node locks."""

    def __init__(self, parts: Parts) -> None:
        """Tell through `parts`."""
        self._parts = parts
        self._told: deque[tuple[str, datetime | None, int]] = deque(maxlen=_REMEMBERED)

    def look_at(self, task: Task) -> None:
        """Tell of the run that `task`, just locked, lost last; not again when it comes back after a failure or a hand-back."""
        loss = (task.slug, task.first_run_at, task.crashes)  # the n-th loss of one fire, which is first locked once
        if not task.crashes or loss in self._told:
            return
        self._told.append(loss)
        self._parts.publish(
            RunLost(node=self._parts.node, slug=task.slug, kind=task.kind, crashes=task.crashes, lease_ended_at=task.ended_at)
        )
