"""Keywords of a `TypedDict`: shown one by one by `help()`, and refused by name if nobody knows them."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attrs import NOTHING, fields_dict

F = TypeVar("F", bound=Callable[..., object])


class _NotGiven:
    """Shown as the default of a keyword that has none: without it, what was said elsewhere stays."""

    def __repr__(self) -> str:
        return "..."


_NOT_GIVEN = _NotGiven()


def explicit(keywords: type, *defaults: type) -> Callable[[F], F]:
    """Show the `**keywords` of the decorated function one by one in its signature, as for `help()`.

    `defaults` are attrs classes whose fields have the defaults; a keyword without one has the default `...`.
    """
    found = {name: value for each in reversed(defaults) for name, value in _defaults(each)}
    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=found.get(name, _NOT_GIVEN), annotation=annotation)
        for name, annotation in keywords.__annotations__.items()
    ]

    def show(function: F) -> F:
        signature = inspect.signature(function)
        named = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        own = [each for each in shown if each.name not in signature.parameters]
        function.__signature__ = signature.replace(parameters=[*named, *own])  # type: ignore[attr-defined]  # what `inspect` looks for
        return function

    return show


def _defaults(kind: Any) -> Iterable[tuple[str, object]]:  # noqa: ANN401 - any attrs class
    for name, field in fields_dict(kind).items():
        default: Any = field.default
        if getattr(default, "factory", None) is dict:
            yield name, {}
        elif default is not NOTHING and not hasattr(default, "factory"):  # what is made anew each time is no default to show
            yield name, default


def check_keywords(call: str, given: Iterable[str], known: Iterable[str], hint: str = "") -> None:
    """Refuse, for a `call` that is so named, what is not `known`, as Python does.

    `hint` says where else it may belong.

    Raises:
        TypeError: names the first that is unknown, and all that are known.

    """
    names = tuple(known)
    for name in given:
        if name not in names:
            raise TypeError(f"{call} got an unexpected keyword argument {name!r}: expected {', '.join(names)}{hint}")
