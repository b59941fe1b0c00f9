"""One-offs for a target: what may be said of them, made into a new task. Pure."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from attrs import evolve

from duly.jobs import JobRegistry, TaskOptions
from duly.jobs.keywords import check_keywords
from duly.jobs.options import OptionValues
from duly.jobs.validators import NAME_LIMIT
from duly.scheduler.rules.new_task import NewTask, kind_of, moment

_ID_LENGTH = 33
"""Of the colon and the 32 digits that make a slug unique."""

_OF_TASK = frozenset({"slug", "metadata", "remote"})


class OneOff(OptionValues, total=False):
    """What may be said of a one-off beside its time, target and data.

    These are the fields of `TaskOptions`, and the ones of `NewTask` below.
    """

    slug: str
    metadata: Mapping[str, str]
    remote: bool


def one_off(asked: NewTask, given: OneOff, registry: JobRegistry, now: datetime) -> NewTask:
    """Return a task that runs once, at the instant that was asked for, also where its job has a trigger.

    `asked` says when, of which job and with which payload. The slug is `target:` and 32 random digits, unless one is
    given; the options given count beside those of the job.

    Raises:
        InvalidJob: the target has no kind. InvalidDelay, NaiveDatetime, InvalidValue: what is given is out of its range.
        TypeError: an option has a name that nobody knows.

    """
    kind = kind_of(asked.job)
    slug = given.get("slug")
    if slug is None:
        slug = f"{kind[: NAME_LIMIT - _ID_LENGTH]}:{uuid4().hex}"
    registered = registry.find(kind)
    defaults = TaskOptions() if registered is None else registered.options
    check_keywords("a one-off", given, OneOff.__annotations__)
    options = {name: value for name, value in given.items() if name not in _OF_TASK}
    return NewTask(
        slug,
        kind,
        at=moment(slug, asked.at, asked.delay, now),
        once=True,
        payload=asked.payload,
        options=evolve(defaults, **options) if options else None,  # type: ignore[arg-type]  # `evolve` refuses what it does not know
        metadata=given.get("metadata", {}),
        remote=given.get("remote", False),
    )
