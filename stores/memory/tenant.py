"""What one namespace holds in memory.

Nothing in this package waits or locks but the store itself: every function is one step, taken under the store's lock.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from duly.jobs import Task
from duly.stores.errors import Conflict, JobNotFound
from duly.stores.memory.due import DueHeap
from duly.stores.records import Held, Node, Run


class Tenant:
    """The tasks, runs, nodes and slots of one namespace."""

    def __init__(self, namespace: str) -> None:
        """Start empty."""
        self.namespace = namespace
        self.tasks: dict[str, Task] = {}
        self.runs: dict[str, Run] = {}
        self.nodes: dict[str, Node] = {}
        self.slots: dict[str, dict[str, tuple[int, datetime]]] = {}
        """By kind and node: how many slots it holds, and until when."""
        self.bells: set[Callable[[], None]] = set()
        """Rung when something may have become due sooner."""
        self.answered: OrderedDict[str, list[Held]] = OrderedDict()
        """By token: what the latest lock requests have locked."""
        self._due: dict[str, DueHeap] = {}

    def task(self, slug: str, version: int | None = None) -> Task:
        """Return the task, if it is there and, where `version` is given, of that version."""
        task = self.tasks.get(slug)
        if task is None:
            raise JobNotFound(slug, self.namespace)
        if version is not None and task.version != version:
            raise Conflict(slug, version)
        return task

    def heap(self, kind: str) -> DueHeap:
        """Return the due instants of a kind."""
        heap = self._due.get(kind)
        if heap is None:
            heap = self._due[kind] = DueHeap(self.tasks, kind)
        return heap

    def put(self, task: Task) -> None:
        """Keep a task as it is now."""
        self.tasks[task.slug] = task
        self.heap(task.kind).push(task)

    def ring(self) -> None:
        """Tell the listeners."""
        for bell in self.bells:
            bell()
