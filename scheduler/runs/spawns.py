"""The tasks that a run spawns; they are kept until its end."""

from collections.abc import Callable
from copy import deepcopy
from typing import Unpack, cast

from duly.jobs.kinds import KindOrJob
from duly.jobs.spawning import Spawning, When
from duly.scheduler.rules.new_task import NewTask, check_when, kind_of


class Spawns(Spawning):
    """The `spawn` calls of one run, in order; safe from any thread."""

    def __init__(self, take: Callable[[NewTask], NewTask] = deepcopy) -> None:
        """Begin with no calls.

        `take` checks a new task, raises what is wrong with it, and returns it as a copy that the job cannot change. The default
        only copies it.
        """
        self._take = take
        self._asked: list[NewTask] = []

    def __call__(self, slug: str, job: KindOrJob, **when: Unpack[When]) -> None:
        """Check a call and keep it."""
        check_when("spawn()", when)
        self._asked.append(self._take(NewTask(slug, kind_of(job), **when)))

    @property
    def asked(self) -> tuple[NewTask, ...]:
        """The calls so far, as tasks to be scheduled, each with a kind as its job."""
        return tuple(self._asked)


def when_of(new: NewTask) -> When:
    """Return the keywords of the `spawn` call for this task."""
    return cast("When", {name: getattr(new, name) for name in When.__annotations__})
