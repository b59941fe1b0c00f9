"""Text for people: instants, lengths of time and errors, short, on one line, and bounded. Pure."""

from datetime import datetime, timedelta

from duly.triggers import Trigger, describe

HANDED_BACK = "handed back unrun by "

_UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1)), ("s", timedelta(seconds=1)))

_LINE = 200
"""Most characters of another program's text in one of our sentences."""


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
    """Return the last line of `text`, where a traceback names its error.

    It is printable, bounded, and has no full stop at its end.
    """
    last = text.rstrip().splitlines()[-1:]
    printable = "".join(character if character.isprintable() else " " for character in "".join(last))
    line = " ".join(printable.split())
    return f"{line[:_LINE]}…" if len(line) > _LINE else line.rstrip(".")


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
