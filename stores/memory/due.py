"""The due instants of one kind, in memory."""

from datetime import datetime
from heapq import heapify, heappop, heappush

from duly.jobs import Task
from duly.stores.rules.transitions import is_understood

_SPARE = 64
"""Stale heap entries that are not worth a clean-up."""


class DueHeap:
    """The due instants of one kind, earliest first.

    An entry that its task no longer agrees with is stale, and skipped.
    """

    def __init__(self, tasks: dict[str, Task], kind: str) -> None:
        """Look at `tasks` of `kind`; what is due is pushed by the caller."""
        self._tasks, self._kind = tasks, kind
        self._heap: list[tuple[datetime, str]] = []

    def push(self, task: Task) -> None:
        """Note that `task` became due at another instant; amortised O(log n)."""
        if task.due_at is None or not is_understood(task):
            return
        heappush(self._heap, (task.due_at, task.slug))
        if len(self._heap) > 2 * len(self._tasks) + _SPARE:
            self._heap = [entry for entry in set(self._heap) if self._is_fresh(entry)]
            heapify(self._heap)

    def first(self) -> datetime | None:
        """Return the earliest due instant."""
        while self._heap and not self._is_fresh(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: datetime) -> Task | None:
        """Take out the task that has been due longest at `now`; the caller changes its due instant."""
        first = self.first()
        return self._tasks[heappop(self._heap)[1]] if first is not None and first <= now else None

    def _is_fresh(self, entry: tuple[datetime, str]) -> bool:
        due_at, slug = entry
        task = self._tasks.get(slug)
        return task is not None and task.due_at == due_at and task.kind == self._kind and is_understood(task)
