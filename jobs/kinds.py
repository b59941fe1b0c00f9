"""How a job is named when its task is scheduled, and what may be its payload.

A leaf: no other room of the jobs is imported here, so that all of them may import this one.
"""

from typing import Any, ClassVar, Protocol, TypeAlias

from attrs import AttrsInstance


class HasKind(Protocol):
    """A job of any sort, as far as naming it goes: a `Job`, a `TypedJob`, or an object that fits."""

    @property
    def kind(self) -> str:
        """Registered name of the job; an attribute of the class, so that the class names it too."""
        ...


class DataclassInstance(Protocol):
    """An object of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


KindOrJob: TypeAlias = str | HasKind | type[HasKind]
"""A kind, or a job (or its class) of that kind. The job that is registered under the kind runs."""

Payload: TypeAlias = bytes | AttrsInstance | DataclassInstance
"""Bytes, kept as they are, or an object of the class that the job was registered with."""
