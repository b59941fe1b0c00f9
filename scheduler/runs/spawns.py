"""What a run asks to be created with its end, kept until then."""

from collections.abc import Callable
from copy import deepcopy
from typing import Unpack, cast

from duly.jobs.kinds import KindOrJob
from duly.jobs.spawning import Spawning, When
from duly.scheduler.rules.new_task import NewTask, check_when, kind_of


class Spawns(Spawning):
    """The calls of one run, in their order; safe from any thread."""

    def __init__(self, take: Callable[[NewTask], NewTask] = deepcopy) -> None:
        """Begin with none; `take` raises what is wrong with a new task, and returns it as it is to be kept, out of the job's reach.

        Without it a job's kind alone is looked at.
        """
        self._take = take
        self._asked: list[NewTask] = []

    def __call__(self, slug: str, job: KindOrJob, **when: Unpack[When]) -> None:
        """Keep a call, unless it is refused."""
        check_when("spawn()", when)
        self._asked.append(self._take(NewTask(slug, kind_of(job), **when)))

    @property
    def asked(self) -> tuple[NewTask, ...]:
        """The calls by now, as tasks to be scheduled, each with a kind as its job."""
        return tuple(self._asked)


def when_of(new: NewTask) -> When:
    """Return the keywords by which a task was asked for."""
    return cast("When", {name: getattr(new, name) for name in When.__annotations__})
