"""Whether a job class forgets to return its task.

Returning None removes a task with its trigger, so that a forgotten `return task` would delete a schedule at its first fire.
"""

import inspect
from collections.abc import Awaitable, Coroutine, Iterator
from dis import Instruction, get_instructions
from types import CodeType, NoneType
from typing import Any, get_args, get_origin

from duly.triggers import AfterTrigger, OnceTrigger, Trigger

FORGOTTEN = (
    "its execute can return nothing but None, and None removes the task together with its trigger: "
    "end it with `return task` to go on, or say `removes_itself = True` in the class if that is meant"
)

_MOST_WRAPPERS = 100
"""How many decorators deep a function is looked for."""


def removes_itself(job: object) -> bool:
    """Tell whether the class of a job says that its tasks are meant to be removed when it returns None."""
    return getattr(job, "removes_itself", False) is True


def is_forgetful(job: object) -> bool:
    """Tell whether `job.execute` can return nothing but None, although its class does not mean that.

    The annotation decides if it says None, else the bytecode. Where neither is clear, the answer is False.
    """
    return not removes_itself(job) and _returns_only_none(getattr(job, "execute", None))


def recurs(trigger: Trigger) -> bool:
    """Tell whether a trigger may fire more than once."""
    return not isinstance(trigger, OnceTrigger | AfterTrigger)


def _returns_only_none(function: object) -> bool:
    for _ in range(_MOST_WRAPPERS):
        code, wrapped = getattr(function, "__code__", None), getattr(function, "__wrapped__", None)
        if wrapped is None:
            return isinstance(code, CodeType) and (_says_none(function) or _ends_with_none(code))
        if isinstance(code, CodeType) and _returns_argument(code):
            return False  # the wrapper returns the task itself
        function = wrapped
    return False


def _says_none(function: Any) -> bool:  # noqa: ANN401 - a function or a method
    try:
        said = inspect.get_annotations(getattr(function, "__func__", function)).get("return", ...)
    except Exception:  # noqa: BLE001 - from Python 3.14 on an annotation is evaluated here, and may name what is not there
        return False
    origin: object = get_origin(said)
    if origin in (Awaitable, Coroutine):
        said = get_args(said)[-1]
    return said in (None, NoneType, "None")


def _ends_with_none(code: CodeType) -> bool:
    returned = [_is_none(step, previous) for step, previous in _returns(code)]
    return bool(returned) and all(returned)  # a function that only raises returns nothing at all


def _returns(code: CodeType) -> Iterator[tuple[Instruction, Instruction | None]]:
    previous: Instruction | None = None
    for step in get_instructions(code):
        if step.opname.startswith("RETURN_") and step.opname != "RETURN_GENERATOR":
            yield step, previous
        previous = step


def _is_none(step: Instruction, previous: Instruction | None) -> bool:
    if step.opname == "RETURN_CONST":
        return step.argval is None
    if previous is None or step.is_jump_target:  # another value may come from elsewhere
        return False
    return previous.opname == "LOAD_CONST" and previous.argval is None


def _returns_argument(code: CodeType) -> bool:
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(
        previous is not None and previous.opname.startswith("LOAD_FAST") and previous.argval in arguments for _, previous in _returns(code)
    )
