"""What is registered of a kind: its job, what its tasks get by default, and its limits."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

from attrs import evolve, field, frozen

from duly.jobs.base import Job, TypedCall
from duly.jobs.cipher import sealed_problem
from duly.jobs.errors import JobNotRegistered, UnreadablePayload
from duly.jobs.executor_choice import ExecutorChoice
from duly.jobs.options import OptionValues, TaskOptions
from duly.jobs.returning import recurs
from duly.jobs.task import Task
from duly.jobs.typed import PayloadCodec, Upgrade
from duly.jobs.validators import at_least, or_none
from duly.jobs.validators import payload as valid_payload
from duly.jobs.validators import slug as valid_slug
from duly.triggers import Trigger, parse_trigger


class JobSettings(OptionValues, total=False):
    """What may be said of a kind when its job is registered: its tasks' options, and its limits."""

    executor: ExecutorChoice
    max_concurrency: int | None
    global_limit: int | None


class FunctionSettings(JobSettings, total=False):
    """The settings of a kind for which a function is registered.

    Beside those of any job, the class of its payloads.
    """

    payload_type: type[Any] | None
    payload_version: int
    upgrade: Upgrade | None


@frozen(kw_only=True)
class RegisteredJob:
    """A job with the defaults of its tasks and the limits of its kind.

    A task that is scheduled with values of its own keeps them.

    The limits are facts of the code: no store keeps them, and a task cannot have its own.
    """

    job: Job
    """What is called."""
    trigger: Trigger | str | None
    """When its tasks fire unless they have a trigger of their own; None: they are one-offs."""
    options: TaskOptions
    """How its tasks run unless they have options of their own."""
    max_concurrency: int | None = field(default=None, validator=or_none(at_least(1)))
    """Most runs of the kind at once on one node; None = as many as the node has room for."""
    global_limit: int | None = field(default=None, validator=or_none(at_least(1)))
    """Most runs of the kind at once on all nodes of the namespace together; None = any number."""
    executor: ExecutorChoice | Literal["fetched"] = "auto"
    """Where it runs; no store keeps it, because another process may run the same kind elsewhere."""

    removes_itself: bool = False
    """Whether its class says that a task is meant to be removed when it returns None."""
    is_forgetful: bool = False
    """Whether it can return nothing but None, although its class does not say so: no recurring trigger is for it."""

    codec: PayloadCodec | None = field(default=None, eq=False)
    """How its payloads are written and read; None = they are bytes."""

    def reading(self, task: Task) -> "RegisteredJob":
        """Return the job as it is to be called for `task`, with the payload decoded.

        Raises:
            UnreadablePayload: this node cannot decrypt or decode it.

        """
        if (problem := sealed_problem(task.payload)) is not None:
            raise UnreadablePayload(problem)
        if self.codec is None or not isinstance(self.job, TypedCall):
            return self
        return evolve(self, job=evolve(self.job, value=self.codec.decode(task.payload, task.payload_version)))

    def loses(self, trigger: Trigger | None, options: TaskOptions) -> bool:
        """Tell whether the job would remove a task with that trigger, because it forgets to return it."""
        return self.is_forgetful and trigger is not None and recurs(trigger) and options.max_fires != 1

    def trigger_for(self, slug: str) -> Trigger | None:
        """Return the trigger of the task with that slug.

        What the trigger's text leaves to a hash is worked out from the slug.
        """
        return parse_trigger(self.trigger, hash_id=slug) if isinstance(self.trigger, str) else self.trigger


@frozen(kw_only=True)
class DeclaredTask:
    """A task that is created, if it is not there, whenever a scheduler with this registry starts."""

    slug: str = field(validator=valid_slug)
    """Slug of the task."""
    kind: str
    """Kind of the task."""
    payload: bytes = field(validator=valid_payload, repr=False)
    """Payload of the task, as bytes."""
    payload_version: int = 1
    """Format version of the payload."""


class KnownJobs(ABC):
    """What a node knows of kinds: all of it safe from any thread."""

    @abstractmethod
    def find(self, kind: str) -> RegisteredJob | None:
        """Return what is registered under `kind` at this moment, None if nothing is."""

    def obstacle(self, kind: str) -> str | None:  # noqa: ARG002 - of the kinds that a registry knows, nothing is kept from running
        """Say, as a clause, why no task of `kind` is locked here, although the kind is known.

        None if nothing keeps it from that.
        """
        return None

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """The kinds known here, in the order of their registration."""

    def get(self, kind: str) -> RegisteredJob:
        """Return what is registered under `kind`.

        Raises:
            JobNotRegistered: nothing is.

        """
        if (registered := self.find(kind)) is None:
            raise JobNotRegistered(kind, self.kinds)
        return registered

    def __contains__(self, kind: object) -> bool:
        """Tell whether `kind` is registered."""
        return isinstance(kind, str) and self.find(kind) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the kinds."""
        return iter(self.kinds)
