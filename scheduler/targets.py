"""One-off tasks for a target, for programs that think of no slugs. Pure, but for the random part of an id."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast
from uuid import uuid4

from attrs import evolve

from detent.jobs import JobRegistry, TaskOptions
from detent.jobs.options import OptionValues
from detent.jobs.validators import NAME_LIMIT
from detent.scheduler.scheduling import NewTask, kind_of, moment
from detent.triggers import OnceTrigger

_ID_LENGTH = 33
"""Of the colon and the 32 digits that make a slug unique."""


class OneOff(OptionValues, total=False):
    """What may be said of a one-off beside its time, target and data: the fields of `TaskOptions`, and these of `NewTask`."""

    slug: str
    metadata: Mapping[str, str]
    remote: bool


def one_off(asked: NewTask, given: OneOff, registry: JobRegistry, now: datetime) -> NewTask:
    """Return a task that runs once, at the instant that was asked for, also where its job has a trigger.

    `asked` says when, of which job and with which payload. The slug is `target:` and 32 random digits, unless one is
    given; the options given count beside those of the job.

    Raises:
        InvalidJob: the target has no kind. InvalidDelay, NaiveDatetime, InvalidValue: what is given is out of its range.

    """
    kind = kind_of(asked.job)
    slug = given.get("slug") or f"{kind[: NAME_LIMIT - _ID_LENGTH]}:{uuid4().hex}"
    at = moment(slug, asked.at, asked.delay, now)
    registered = registry.find(kind)
    options = cast("OptionValues", {name: value for name, value in given.items() if name in OptionValues.__annotations__})
    defaults = TaskOptions() if registered is None else registered.options
    return NewTask(
        slug,
        kind,
        # A job's own trigger would go on after it.
        trigger=None if registered is None or registered.trigger is None else OnceTrigger(at),
        at=at,
        payload=asked.payload,
        options=evolve(defaults, **options) if options else None,
        metadata=given.get("metadata", {}),
        remote=given.get("remote", False),
    )
