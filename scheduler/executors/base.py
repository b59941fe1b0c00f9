"""The executor protocol."""

from typing import Protocol

from attrs import frozen

from duly.jobs import Job, JobContext, Task


class Executor(Protocol):
    """Runs jobs somewhere; called in the scheduler's event loop, for many runs at once."""

    async def execute(self, job: Job, ctx: JobContext, task: Task) -> Task | None:
        """Run the job to its end and return what it returned, or raise what it raised; when cancelled, see that it ends."""
        ...

    def close(self) -> None:
        """Take no more work; what still runs is left to itself."""


@frozen
class Remains:
    """What is left of a run that was given up."""

    note: str
    """For the history."""
    is_at_work: bool
    """Whether its job may still be at work: what it goes on to do may be done twice."""
