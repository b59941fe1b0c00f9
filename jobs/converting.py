"""How objects become JSON and come back, and what is said of JSON that does not fit.

cattrs is imported when it is needed.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from duly.triggers import MissingExtra

if TYPE_CHECKING:
    from cattrs import Converter

PROBLEMS_MAX = 5
"""How many problems of one payload are told."""


@cache
def default_converter() -> "Converter":
    """Return how objects become JSON and come back.

    Strict, so that what does not fit is not made to: a field that the class does not have is refused, and `"5"` is no number.

    Raises:
        MissingExtra: the `typed` extra is not installed.

    """
    try:
        from cattrs.preconf.json import make_converter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("a job with a class of payloads", "typed") from error
    converter = make_converter(forbid_extra_keys=True)
    for kind, accepted in ((str, (str,)), (int, (int,)), (float, (int, float)), (bool, (bool,))):
        converter.register_structure_hook(kind, _strictly(*accepted))
    for text_kind in (Decimal, UUID):
        converter.register_unstructure_hook(text_kind, str)
        converter.register_structure_hook(text_kind, _of_text)
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, _of_seconds)
    return converter


def _strictly(*accepted: type) -> Callable[[Any, Any], Any]:
    def structure(value: object, kind: Any) -> Any:  # noqa: ANN401 - as the class says
        if type(value) not in accepted:
            raise TypeError
        # An enumeration of numbers or texts comes here, too; a NewType, which is no class, stays what it is.
        is_made = isinstance(kind, type) and issubclass(kind, (Enum, float))
        return kind(value) if is_made else value

    return structure


def _of_seconds(value: object, _: type) -> timedelta:
    if type(value) not in (int, float):
        raise TypeError
    return timedelta(seconds=cast("float", value))


def no_json(constant: str) -> None:
    """Refuse `NaN` and the like, which Python reads but JSON does not have."""
    raise ValueError(constant)


def _of_text(value: object, kind: type) -> Any:  # noqa: ANN401 - as the class says
    if not isinstance(value, str):
        raise TypeError
    return kind(value)


def problems(error: BaseException, where: str, kind: Any = None) -> Iterator[str]:  # noqa: ANN401 - as the class says
    """Yield what is wrong with each field, and where.

    Values and the keys of mappings are left out, because they may be secrets.
    """
    from cattrs import ClassValidationError, IterableValidationError  # noqa: PLC0415 - an extra, of which there is a converter already

    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        for each, field_note in noted:
            yield from problems(each, f"{where}.{field_note.name}", field_note.type)
    elif isinstance(error, IterableValidationError):
        items, others = error.group_exceptions()
        for each, note in items:
            yield from problems(each, f"{where}[{note.index if isinstance(note.index, int) else '...'}]", note.type)
    else:
        others = []
        yield f"{_problem(error, kind)} @ {where}"
    for each in others:
        yield from problems(each, where)


def _problem(error: BaseException, kind: Any) -> str:  # noqa: ANN401 - as the class says
    from cattrs import ForbiddenExtraKeysError  # noqa: PLC0415 - an extra, of which there is a converter already

    if isinstance(error, ForbiddenExtraKeysError):
        return f"fields that the class does not have ({', '.join(sorted(map(str, error.extra_fields)))})"
    if isinstance(error, KeyError):
        return "a field is missing"
    return "not what the class takes" if kind is None else f"expected {getattr(kind, '__name__', kind)}"
