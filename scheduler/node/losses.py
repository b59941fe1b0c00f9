"""Tells of each run that was lost with its node, once, as far as this node can know."""

from collections import deque
from datetime import datetime

from duly.jobs import Task
from duly.scheduler.events.runs import RunLost
from duly.scheduler.services import Services

_REMEMBERED = 1000
"""How many published losses a node remembers; it may publish a much older loss again."""


class Losses:
    """Publishes `RunLost` once for every lost run of a task that this node locks."""

    def __init__(self, services: Services) -> None:
        """Publish to the subscribers of `services`."""
        self._services = services
        self._told: deque[tuple[str, datetime | None, int]] = deque(maxlen=_REMEMBERED)

    def look_at(self, task: Task) -> None:
        """Publish the last loss of `task`, which was just locked.

        The same loss is not published again when the task comes back after a failure, or after it was handed back.
        """
        loss = (task.slug, task.first_run_at, task.crashes)  # the n-th loss of one fire, which is first locked once
        if not task.crashes or loss in self._told:
            return
        self._told.append(loss)
        self._services.publish(
            RunLost(node=self._services.node, slug=task.slug, kind=task.kind, crashes=task.crashes, lease_ended_at=task.ended_at)
        )
