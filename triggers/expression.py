"""Triggers as text, and back: the form in which a store keeps them and people write them. Pure.

    [options] minute hour day-of-month month day-of-week      a cron expression (5, 6 or 7 fields) or @daily, …
    [options] @every 1h20m                                    a fixed rate
    @at 2030-01-01T00:00:00+05:30                             once

Options stand before the rest, each `NAME=value` without blanks (anything else percent-encoded): for cron `CRON_TZ`
(or `TZ`), `DST_GAP`, `DST_FOLD`, `HASH` and `DIALECT`; for `@every` `START` and `TIMES`.
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from detent.triggers.base import Trigger
from detent.triggers.cron import CRON_ALIASES, CronTrigger
from detent.triggers.errors import TriggerError
from detent.triggers.instants import parse_instant
from detent.triggers.interval import parse_interval
from detent.triggers.options import read_options
from detent.triggers.simple import OnceTrigger, SimpleTrigger

__all__ = ["format_trigger", "parse_trigger"]

_NUMBER = re.compile(r"[0-9]{1,9}")
_CRON_OPTIONS = {"CRON_TZ": "timezone", "DST_GAP": "dst_gap", "DST_FOLD": "dst_fold", "DIALECT": "dialect", "HASH": "hash_id"}


def parse_trigger(text: str, *, hash_id: str | None = None) -> Trigger:
    """Read a trigger from its text. `hash_id` (a task's slug) is what an `H` is worked out from, unless `HASH=` is set.

    Raises `TriggerError` with the whole text and the part at fault.
    """
    if not isinstance(text, str):
        raise TriggerError("is not text", field="trigger", value=repr(text), expected="text such as 0 9 * * MON-FRI or @every 5m")
    options, rest = read_options(text)
    word, argument = [*rest.split(maxsplit=1), "", ""][:2]
    kind = word.lower()
    reader = _READERS.get(kind, _read_cron)
    if word.startswith("@") and reader is _read_cron and kind not in CRON_ALIASES:
        known = ", ".join([*_READERS, *CRON_ALIASES])
        raise TriggerError("is unknown", text=text, field="trigger", value=word, expected=f"{known}, or a cron expression")
    if not rest:
        raise TriggerError("says no time", text=text, expected="a cron expression, @every, @at or an alias such as @daily")
    try:
        return reader(rest if reader is _read_cron else argument, options, hash_id)
    except TriggerError as error:
        # The same error, but with the whole text that the user wrote in front.
        raise TriggerError(error.problem, text=text, field=error.field, value=error.value, expected=error.expected) from error.__cause__


def format_trigger(trigger: Trigger) -> str:
    """Write a trigger as the text that `parse_trigger` reads back as an equal value.

    Raises `TriggerError` for a trigger without a text form, as a class of the user's own may be.
    """
    text = trigger.to_text()
    if text is None:
        raise TriggerError("has no text form", text=repr(trigger), expected=f"a to_text() method in {type(trigger).__name__}")
    return text


def _read_cron(expression: str, options: dict[str, str], hash_id: str | None) -> Trigger:
    _refuse_others(options, _CRON_OPTIONS, "a cron expression")
    # The constructor checks the choices, so that text and code get the same message.
    arguments: dict[str, Any] = {"hash_id": hash_id} | {_CRON_OPTIONS[name]: value for name, value in options.items()}
    return CronTrigger(expression, **arguments)


def _read_every(length: str, options: dict[str, str], _: str | None) -> Trigger:
    _refuse_others(options, ("START", "TIMES"), "@every")
    start = parse_instant(options["START"]) if "START" in options else None
    times = options.get("TIMES")
    if times is not None and _NUMBER.fullmatch(times) is None:
        raise TriggerError("is not a number", field="TIMES", value=times, expected="a whole number from 1 on")
    return SimpleTrigger(parse_interval(length), start=start, times=None if times is None else int(times))


def _read_at(instant: str, options: dict[str, str], _: str | None) -> Trigger:
    _refuse_others(options, (), "@at")
    return OnceTrigger(parse_instant(instant))


def _refuse_others(options: dict[str, str], allowed: Collection[str], kind: str) -> None:

    for name in options:
        if name not in allowed:
            raise TriggerError(f"does not apply to {kind}", field="option", value=name, expected=", ".join(allowed) or "no options")


_Reader = Callable[[str, dict[str, str], str | None], Trigger]
_READERS: dict[str, _Reader] = {"@every": _read_every, "@at": _read_at}
