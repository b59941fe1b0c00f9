"""Payloads with a class and a version.

They are encoded when a task is scheduled, and decoded before its job is called.

A job names the class of its payload, an attrs class or a dataclass, and is handed an object of it::

    @attrs.frozen
    class Order:
        item: str
        quantity: int = 1

    class Ship(TypedJob[Order]):
        kind = "ship"

        async def execute(self, ctx: JobContext, task: Task, order: Order) -> Task | None: ...

    @registry.job("refund", payload_type=Order)
    def refund(ctx: JobContext, order: Order) -> None: ...

    await scheduler.schedule_job("ship:17", Ship, payload=Order("anvil"))

A third argument, and not an attribute of the task or the context, because only so a type checker sees its class in the job's own code,
and a job without a class needs none. The stores keep JSON in UTF-8. cattrs, the `typed` extra, is imported when such a job is
registered and not before.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from attrs import evolve, field, frozen

from duly.jobs.base import Job, Returned, TypedCall
from duly.jobs.context import JobContext
from duly.jobs.converting import PROBLEMS_MAX, default_converter, no_json, problems
from duly.jobs.errors import InvalidPayload, InvalidValue, UnreadablePayload
from duly.jobs.kinds import Payload
from duly.jobs.task import Task
from duly.jobs.validators import at_least

if TYPE_CHECKING:
    from cattrs import Converter

P = TypeVar("P")

Upgrade = Callable[[int, Any], Any]
"""Takes the version and the decoded JSON of an older payload, and returns the JSON that the newest version has."""


class TypedJob(ABC, Generic[P]):
    """Code that does work on a payload of class `P`; otherwise as `Job`, and registered like one."""

    kind: str = ""
    """Registered name, stored in every task."""
    payload_type: type[P]
    """The class of the payload; taken from `TypedJob[Order]`, unless it is said here, as a base with several parameters needs it."""
    payload_version: int = 1
    """The version of the class: to be raised with every change that an older program, or an older payload, does not fit."""
    payload_converter: "Converter | None" = None
    """How objects become JSON, if the usual way will not do."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Take the class of the payload from `TypedJob[Order]`."""
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, TypedJob) and "payload_type" not in cls.__dict__:
                arguments = get_args(base)
                if len(arguments) == 1 and isinstance(arguments[0], type):  # of several, nobody could say which
                    cls.payload_type = arguments[0]

    @abstractmethod
    def execute(self, ctx: JobContext, task: Task, payload: P, /) -> Returned:
        """Do the work of `task`, whose payload is decoded in `payload`; otherwise as `Job.execute`."""

    def upgrade(self, version: int, data: Any, /) -> Any:  # noqa: ANN401 - JSON
        """Return an older payload's JSON in the newest form.

        `data` was written in `version`.

        It is called in the scheduler's event loop, once for each run: it should be quick, and return the same for the same.
        What it raises makes the payload unreadable: its task is put off, not lost.
        """
        raise NotImplementedError

    def with_payload(self, task: Task, payload: P) -> Task:
        """Return `task` with another payload.

        `return self.with_payload(task, order)` keeps `order` for the next run.

        Raises:
            InvalidPayload: it is of another class, or cannot be written as JSON.

        """
        return codec_of(self).put(task, payload)


@frozen(eq=False)
class TypedFunction(TypedJob[Any]):
    """A function as a job with a class of payloads: of `(ctx, payload)` or `(ctx, task, payload)`.

    What it returns is its result, and its task goes on, as for any function.
    """

    kind: str
    function: Callable[..., object]
    payload_type: Any
    payload_version: int = field(default=1, kw_only=True)
    upgrader: Upgrade | None = field(default=None, kw_only=True)

    def execute(self, ctx: JobContext, task: Task, payload: object, /) -> Returned:
        """Call the function."""
        return evolve(TypedCall.of_function(self.kind, self.function), value=payload).execute(ctx, task)


AnyJob = Job | TypedJob[Any]
"""What can be registered."""


def call_of(job: TypedJob[Any]) -> tuple[Job, "PayloadCodec"]:
    """Return what is called of `job`, and how its payloads are written and read.

    Raises:
        InvalidJob: its function takes other arguments. Others as `codec_of`.

    """
    if isinstance(job, TypedFunction):
        return TypedCall.of_function(job.kind, job.function), codec_of(job)
    return TypedCall(kind=job.kind, function=job.execute), codec_of(job)


def codec_of(job: TypedJob[Any]) -> "PayloadCodec":
    """Return how the payloads of `job` are written and read.

    Raises:
        InvalidValue: it names no attrs class or dataclass, or no version. MissingExtra: the `typed` extra is not installed.

    """
    own = job.upgrade if type(job).upgrade is not TypedJob.upgrade else None
    upgrade = job.upgrader if isinstance(job, TypedFunction) else own
    return PayloadCodec(
        kind=job.kind,
        payload_type=getattr(job, "payload_type", None),
        version=job.payload_version,
        upgrade=upgrade,
        converter=job.payload_converter or default_converter(),
    )


def _attrs_class(_: object, __: object, value: object) -> None:
    if not isinstance(value, type) or not _has_fields(value):
        raise InvalidValue("payload_type", value, "an attrs class or a dataclass")


@frozen(kw_only=True, eq=False)
class PayloadCodec:
    """How the payloads of one kind are written and read."""

    kind: str
    payload_type: Any = field(validator=_attrs_class)
    version: int = field(default=1, validator=at_least(1))
    upgrade: Upgrade | None = None
    converter: "Converter" = field(repr=False)

    @property
    def name(self) -> str:
        """The qualified name of the class."""
        return _name(self.payload_type)

    def encode(self, value: object) -> bytes:
        """Return the JSON of `value`, which this codec can read again.

        Raises:
            InvalidPayload: it is not of the very class, for a subclass would come back as another; or it has no JSON form.

        """
        if type(value) is not self.payload_type:
            raise InvalidPayload(self.kind, _name(type(value)), f"{self.name}, as it is registered with, or bytes")
        try:
            data = self.converter.unstructure(value)
            payload = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            self._structured(json.loads(payload))
        except UnreadablePayload as error:
            # Without what the class itself said of its values, which a job that failed by this would leave in the store.
            raise InvalidPayload(self.kind, self.name, f"one that can be read again: {error}") from None
        except Exception as error:  # whatever a converter raises
            raise InvalidPayload(self.kind, self.name, f"one that can be written as JSON: {_told(error)}") from error
        return payload

    def decode(self, payload: bytes, version: int) -> object:
        """Return the object that `payload` is the JSON of, as `version` of its class wrote it.

        Raises:
            UnreadablePayload: of a newer version, no JSON, or of another form; or its upgrade failed. It says so without the payload's
                values, but for what the upgrade says.

        """
        if version > self.version:
            raise UnreadablePayload(f"it is of version {version}, and this node reads up to version {self.version}")
        try:
            data = json.loads(payload, parse_constant=no_json)
        except Exception as error:  # a deep one raises RecursionError
            raise UnreadablePayload("it is no JSON") from error
        return self._structured(self._upgraded(data, version) if version < self.version else data)

    def put(self, task: Task, value: object) -> Task:
        """Return `task` with `value` as its payload. Raises as `encode` does."""
        return evolve(task, payload=self.encode(value), payload_version=self.version)

    def _upgraded(self, data: object, version: int) -> object:
        if self.upgrade is None:
            raise UnreadablePayload(f"it is of version {version}, and its job does not upgrade to version {self.version}")
        try:
            return self.upgrade(version, data)
        except Exception as error:  # it is anybody's code
            raise UnreadablePayload(f"its upgrade from version {version} failed: {_told(error)}") from error

    def _structured(self, data: object) -> object:
        if not isinstance(data, Mapping):
            raise UnreadablePayload(f"it does not fit {self.name}: it is no JSON object")
        try:
            return self.converter.structure(data, self.payload_type)
        except Exception as error:  # whatever a converter, or the class itself, raises
            told = "; ".join(islice(problems(error, "the payload"), PROBLEMS_MAX))
            raise UnreadablePayload(f"it does not fit {self.name}: {told}") from error


def encode_payload(payload: Payload, version: int, kind: str, codec: PayloadCodec | None) -> tuple[bytes, int]:
    """Return the bytes of a payload, and their version: bytes as they are, with `version`.

    An object as its class says.

    Raises:
        InvalidPayload: `kind` is registered with another class, or with none; or none is given at all where one must be.
        InvalidValue: it is neither bytes nor such an object.

    """
    if isinstance(payload, bytes):
        if codec is not None and not payload:
            raise InvalidPayload(kind, "none", f"{codec.name}, as it is registered with, or its JSON as bytes")
        return payload, version
    if codec is None and not _has_fields(payload):
        hint = ", as text.encode() makes of it" if isinstance(payload, str) else ""
        raise InvalidValue("payload", type(payload).__name__, f"bytes{hint}")  # not the value, which may be a secret
    if codec is None:
        raise InvalidPayload(kind, _name(type(payload)), "bytes, because it is registered here with no class of payloads, or not at all")
    return codec.encode(payload), codec.version


def _has_fields(value: object) -> bool:
    return hasattr(value, "__attrs_attrs__") or hasattr(value, "__dataclass_fields__")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
