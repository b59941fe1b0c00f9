"""How a job asks for further tasks: checked by whoever runs it, created with the end of its run."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypedDict, Unpack

from duly.jobs.kinds import KindOrJob, Payload
from duly.jobs.options import TaskOptions
from duly.triggers import Trigger


class When(TypedDict, total=False):
    """The optional fields of a new task, as keywords.

    `duly.scheduler.NewTask` says what each of them means.
    """

    trigger: Trigger | str | None
    at: datetime | None
    delay: timedelta | None
    start_at: datetime | None
    end_at: datetime | None
    jitter: timedelta | None
    payload: Payload
    payload_version: int
    options: TaskOptions | None
    metadata: Mapping[str, str]
    remote: bool
    once: bool


class Spawning(Protocol):
    """Takes what a run asks to be created with its end; called from any thread."""

    def __call__(self, slug: str, job: KindOrJob, **when: Unpack[When]) -> None:
        """Keep it until the run ends, or refuse it with the error that scheduling it would raise."""
