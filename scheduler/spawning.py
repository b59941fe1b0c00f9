"""What a run asks to be created with its end, kept until then."""

from collections.abc import Callable
from copy import deepcopy
from typing import Unpack

from detent.jobs.spawning import Spawning, When
from detent.jobs.typed import KindOrJob
from detent.scheduler.scheduling import NewTask, kind_of

Asked = tuple[str, str, When]
"""Slug, kind and keywords of one call: what of it can travel between processes."""


class Spawns(Spawning):
    """The calls of one run, in their order; safe from any thread."""

    def __init__(self, check: Callable[[NewTask], object] = lambda _: None) -> None:
        """Begin with none; `check` raises what is wrong with a new task. Without it a job's kind alone is looked at."""
        self._check = check
        self._asked: list[Asked] = []

    def __call__(self, slug: str, job: KindOrJob, **when: Unpack[When]) -> None:
        """Keep a call, unless it is refused."""
        kind = kind_of(job)
        self._check(NewTask(slug, kind, **when))
        # As it is at this moment: the task is made at the end of the run, until when the job may change what it gave.
        kept = When(**when)
        if "payload" in kept:
            kept["payload"] = deepcopy(kept["payload"])
        if "metadata" in kept:
            kept["metadata"] = deepcopy(kept["metadata"])
        self._asked.append((slug, kind, kept))

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The calls by now."""
        return tuple(self._asked)

    @property
    def new(self) -> tuple[NewTask, ...]:
        """The same, as tasks to be scheduled."""
        return tuple(NewTask(slug, kind, **when) for slug, kind, when in self._asked)
