"""Text for people: instants, lengths of time and errors, short, on one line, and bounded. Pure."""

import traceback
from contextlib import suppress
from datetime import datetime, timedelta

from duly.triggers import Trigger, describe

HANDED_BACK = "handed back unrun by "

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1)), ("s", timedelta(seconds=1)))

_LINE = 200
"""Most characters of another program's text in one of our sentences."""

_HEADLINE = 1000
"""Most characters of the line that names an error."""


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units, rounded down.

    For example `3 h 5 min`, `12 s`, `less than 1 s`.
    """
    rest, counted = abs(length), list[str]()
    for name, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or counted:
            counted.append(f"{number} {name}" if number else "")
    return " ".join(part for part in counted[:2] if part) or "less than 1 s"


def moment(instant: datetime, now: datetime) -> str:
    """Return the exact instant, and its distance from `now`.

    For example `2030-01-01T09:00:00+00:00 (in 3 h 5 min)`.
    """
    distance = span(instant - now)
    return f"{instant.isoformat()} ({f'in {distance}' if instant > now else f'{distance} ago'})"


def one_line(text: str) -> str:
    """Return the line of `text` that says most: of a traceback the error's own, else the first.

    An error's own line is its class with the first line of its message; notes, links and details stand below it. The result
    is printable, bounded, and has no full stop at its end.
    """
    printable = "".join(character if character.isprintable() else " " for character in _telling_line(text))
    line = " ".join(printable.split())
    return f"{line[:_LINE]}…" if len(line) > _LINE else line.rstrip(".")


def headline(error: BaseException) -> str:
    """Return the class of an error and the first line of its message, bounded; it never raises.

    An exception group also names the first of its errors.
    """
    return _headline(error).removeprefix(f"{type(error).__module__}." if type(error).__module__.startswith("duly.") else "")


def traceback_of(error: BaseException, room: int) -> str:
    """Return an error with its traceback, in about `room` characters; `one_line` finds its headline in it.

    If it is too long, its beginning is kept, and a longer part of its end. Its headline comes first where `one_line` would
    find another line: when it was cut, for an exception group, after a cause that was never raised, and when its message holds
    a traceback itself.
    """
    text = ""
    with suppress(Exception):  # such as a chain that is too deep to be formatted
        text = "".join(traceback.format_exception(error)).rstrip()
    if len(text) > room:
        text = f"{text[: room // 4]}\n...[cut]...\n{text[-room // 2 :]}"
    title = _headline(error)
    return text if _telling_line(text).startswith(title) else f"{title}\n\n{text}".rstrip()


def _headline(error: BaseException) -> str:
    module, name = type(error).__module__, type(error).__qualname__
    try:
        message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    except Exception:  # noqa: BLE001 - an error of somebody's own class may fail to say what it is
        message = "<its text cannot be shown>"
    told = name if module in ("builtins", "__main__") else f"{module}.{name}"
    told = f"{told}: {message}" if message else told
    if isinstance(error, BaseExceptionGroup):
        told = f"{told}: {_headline(error.exceptions[0])}"
    return told[:_HEADLINE]


_TRACEBACK = "Traceback (most recent call last):"
_LINKS = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


def _telling_line(text: str) -> str:
    lines = text.strip().splitlines()
    if lines and lines[0] == _TRACEBACK:
        last = max((number for number, line in enumerate(lines) if line in _LINKS), default=-1)
        after = [line for line in lines[last + 1 :] if line.strip() and line != _TRACEBACK and not line.startswith(" ")]
        lines = after or lines[-1:]
    return lines[0] if lines else ""


def described(trigger: Trigger) -> str:
    """Return when a trigger fires, in English; of one that cannot be described, its class."""
    try:
        return one_line(describe(trigger))
    except Exception:  # noqa: BLE001 - a trigger may be a user's code, and its description is not essential
        return f"a {type(trigger).__name__}"


def counted(number: int, thing: str) -> str:
    """Return `1 attempt`, `2 attempts`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def handed_back_note(node: str, reason: str) -> str:
    """Return the `last_error` of a task that `node` handed back unrun, to be tried later.

    `explain` recognises it by its beginning.
    """
    return f"{HANDED_BACK}{node}: {reason}"
