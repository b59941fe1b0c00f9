"""Argument checks that fail early, with a message about the argument. Pure."""

from typing import TypeVar, get_args

from duly.jobs import InvalidValue
from duly.stores import IfExists

Q = TypeVar("Q")

_ON_EXISTS: tuple[str, ...] = get_args(IfExists)


def check_if_exists(value: object) -> None:
    """Raise `InvalidValue` unless `value` is one of the choices of `if_exists`."""
    if value not in _ON_EXISTS:
        raise InvalidValue("if_exists", value, " or ".join(map(repr, _ON_EXISTS)))


def checked_query(query: Q, kind: type[Q]) -> Q:
    """Return `query` if it is a `kind`.

    Raises:
        InvalidValue: it is not.

    """
    if not isinstance(query, kind):
        raise InvalidValue("query", query, f"a {kind.__name__}(...)")
    return query
