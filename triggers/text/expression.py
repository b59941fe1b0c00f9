"""Triggers as text, and back: the form in which a store keeps them and people write them. Pure.

    [options] minute hour day-of-month month day-of-week      a cron expression (5, 6 or 7 fields) or @daily, …
    [options] @every 1h20m                                    a fixed rate; with months, weeks or days, as the calendar counts
    @at 2030-01-01T00:00:00+05:30                             once
    @after 1 week 6 days                                      once, so long after it is scheduled
    @any (0 9 * * MON) (0 12 * * FRI)                         whenever one of them fires
    @all (0 9 * * *) (0 * 13 * *)                             when all of them do
    [options] @except (0 9 * * *) SAT SUN 2026-12-24/2027-01-02 (0 9 1 * *)
    [options] @jitter 30s (0 9 * * *)                         up to so much later
    [options] @between (0 9 * * *)                            from a start, to an end, so many times

Options stand before the rest, each `NAME=value` without blanks (anything else percent-encoded): for cron `CRON_TZ`
(or `TZ`), `DST_GAP`, `DST_FOLD`, `HASH` and `DIALECT`; for `@every` `START`, and `TIMES` and `FIXED_DELAY`, or, on the
calendar, `AT`, `CRON_TZ`, `DST_GAP` and `DST_FOLD`; for `@except` `CRON_TZ`; for `@jitter` `HASH`; for `@between` `START`,
`END` and `TIMES`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from attrs import frozen

from duly.triggers.base import Trigger, require_trigger
from duly.triggers.calendar_interval import CalendarIntervalTrigger
from duly.triggers.combined.between import Between
from duly.triggers.combined.combine import AllOf, AnyOf
from duly.triggers.combined.excluding import Except
from duly.triggers.combined.jitter import Jittered
from duly.triggers.combined.nesting import split_items
from duly.triggers.cron.trigger import CRON_ALIASES, CronTrigger
from duly.triggers.errors import TriggerError, require_choice
from duly.triggers.instants import parse_instant
from duly.triggers.interval.interval import Interval, plain_interval, require_forward
from duly.triggers.options import read_options
from duly.triggers.simple import AfterTrigger, OnceTrigger, SimpleTrigger

__all__ = ["format_trigger", "parse_trigger", "validate_trigger"]

_NUMBER = re.compile(r"[0-9]{1,9}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
_ZONE_OPTIONS = {"CRON_TZ": "timezone", "DST_GAP": "dst_gap", "DST_FOLD": "dst_fold"}
_CRON_OPTIONS = _ZONE_OPTIONS | {"DIALECT": "dialect", "HASH": "hash_id"}


def parse_trigger(text: str, *, hash_id: str | None = None) -> Trigger:
    """Read a trigger from its text.

    `hash_id` (a task's slug) is what an `H` and a jitter are worked out from, unless `HASH=` is set.

    Raises `TriggerError` with the whole text and the part at fault.
    """
    if not isinstance(text, str):
        raise TriggerError("is not text", field="trigger", value=repr(text), expected="text such as 0 9 * * MON-FRI or @every 5m")
    return _parse(text, hash_id)


@lru_cache(maxsize=4096)
def _parse(text: str, hash_id: str | None) -> Trigger:
    # Values may be shared, and nodes read the texts of the same tasks again and again.
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
        return reader(_Sentence(kind, options, rest if reader is _read_cron else argument, hash_id))
    except TriggerError as error:
        # The same error, but with the whole text that the user wrote in front.
        raise TriggerError(error.problem, text=text, field=error.field, value=error.value, expected=error.expected) from error.__cause__


def format_trigger(trigger: Trigger) -> str:
    """Write a trigger as the text that `parse_trigger` reads back as an equal value.

    Raises `TriggerError` for a trigger without a text form, as a class of the user's own may be.
    """
    text = require_trigger(trigger, "trigger").to_text()
    if text is None:
        raise TriggerError("has no text form", text=repr(trigger), expected=f"a to_text() method in {type(trigger).__name__}")
    return text


def validate_trigger(text: str) -> TriggerError | None:
    """Say why `parse_trigger` would refuse a text.

    None when it would not, given a slug to work out an `H` from.
    """
    try:
        parse_trigger(text, hash_id="slug")
    except TriggerError as error:
        return error
    return None


@frozen
class _Sentence:
    """A text taken apart: the word that says what it is, the options before it, and what stands after it."""

    kind: str
    options: Mapping[str, str]
    argument: str
    hash_id: str | None

    def allow(self, *names: str, to: str = "") -> None:
        """Refuse other options than these."""
        for name in self.options:
            if name not in names:
                expected = ", ".join(names) or "no options"
                raise TriggerError(f"does not apply to {to or self.kind}", field="option", value=name, expected=expected)

    def read(self, name: str, reader: Callable[[str], Any]) -> Any:  # noqa: ANN401 - what the reader returns
        """Read an option's value, None if it is not there."""
        return reader(self.options[name]) if name in self.options else None

    def keywords(self, names: Mapping[str, str]) -> dict[str, Any]:
        """Return options as keywords.

        The constructor checks the choices, so that text and code get the same message.
        """
        return {names[name]: value for name, value in self.options.items() if name in names}

    def parts(self) -> list[Trigger]:
        """Read the argument as triggers in parentheses."""
        return [self.part(item) for item in split_items(self.argument)]

    def part(self, item: str) -> Trigger:
        """Read a trigger in parentheses."""
        if not _is_part(item):
            raise TriggerError(
                "is no trigger in parentheses", field=f"part of {self.kind}", value=item, expected=f"{self.kind} (0 9 * * *) …"
            )
        return parse_trigger(item[1:-1], hash_id=self.hash_id)

    def only_part(self, items: Collection[str]) -> Trigger:
        """Read the one trigger that there has to be."""
        if len(items) != 1:
            problem = f"has {len(items)} triggers"
            raise TriggerError(problem, field=f"part of {self.kind}", value=self.argument, expected="one, in parentheses")
        return self.part(next(iter(items)))


def _is_part(item: str) -> bool:
    return item.startswith("(") and item.endswith(")")


def _read_cron(sentence: _Sentence) -> Trigger:
    sentence.allow(*_CRON_OPTIONS, to="a cron expression")
    arguments = {"hash_id": sentence.hash_id} | sentence.keywords(_CRON_OPTIONS)
    return CronTrigger(sentence.argument, **arguments)


def _read_every(sentence: _Sentence) -> Trigger:
    interval = plain_interval(sentence.argument)
    require_forward(interval)
    return _read_rate(sentence, interval.time) if interval.is_exact else _read_calendar(sentence, interval)


def _read_rate(sentence: _Sentence, interval: timedelta) -> Trigger:
    sentence.allow("START", "TIMES", "FIXED_DELAY", to="@every with exact units")
    fixed_delay = sentence.options.get("FIXED_DELAY", "no")
    require_choice("FIXED_DELAY", fixed_delay, ("yes", "no"))
    start, times = sentence.read("START", parse_instant), sentence.read("TIMES", _parse_times)
    return SimpleTrigger(interval, start=start, times=times, fixed_delay=fixed_delay == "yes")


def _read_calendar(sentence: _Sentence, interval: Interval) -> Trigger:
    sentence.allow("START", "AT", *_ZONE_OPTIONS, to="@every with months, weeks or days")
    start, at = sentence.read("START", _parse_start), sentence.read("AT", _parse_time)
    return CalendarIntervalTrigger(interval, start=start, at=at, **sentence.keywords(_ZONE_OPTIONS))


def _read_at(sentence: _Sentence) -> Trigger:
    sentence.allow()
    return OnceTrigger(parse_instant(sentence.argument))


def _read_after(sentence: _Sentence) -> Trigger:
    sentence.allow()
    return AfterTrigger(plain_interval(sentence.argument))


def _read_any(sentence: _Sentence) -> Trigger:
    sentence.allow()
    return AnyOf(*sentence.parts())


def _read_all(sentence: _Sentence) -> Trigger:
    sentence.allow()
    return AllOf(*sentence.parts())


def _read_except(sentence: _Sentence) -> Trigger:
    sentence.allow("CRON_TZ")
    first, *others = [*split_items(sentence.argument), ""][:-1] or [""]
    excluded = [sentence.part(item) if _is_part(item) else item for item in others]
    return Except(sentence.part(first), *excluded, timezone=sentence.options.get("CRON_TZ"))


def _read_jitter(sentence: _Sentence) -> Trigger:
    sentence.allow("HASH")
    by = sentence.argument.partition("(")[0]
    length, hash_id = plain_interval(by.strip()), sentence.options.get("HASH", sentence.hash_id)
    if not length.is_exact:
        raise TriggerError("has no fixed length", field="interval", value=by.strip(), expected="hours, minutes, seconds or less")
    if hash_id is None:
        raise TriggerError("is missing", field="option", value="HASH", expected="the text that the jitter is worked out from")
    return Jittered(sentence.only_part(split_items(sentence.argument.removeprefix(by))), length.time, hash_id=hash_id)


def _read_between(sentence: _Sentence) -> Trigger:
    sentence.allow("START", "END", "TIMES")
    start, end, times = sentence.read("START", parse_instant), sentence.read("END", parse_instant), sentence.read("TIMES", _parse_times)
    return Between(sentence.only_part(split_items(sentence.argument)), start=start, end=end, times=times)


def _parse_times(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise TriggerError("is not a number", field="TIMES", value=text, expected="a whole number from 1 on")
    return int(text)


def _parse_start(text: str) -> date | datetime:
    if _DATE.fullmatch(text) is None:
        return parse_instant(text)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TriggerError(f"does not exist ({error})", field="START", value=text, expected="a date such as 2030-01-31") from error


def _parse_time(text: str) -> time:
    expected = "a time of day such as 09:00 or 09:00:30"
    if _TIME.fullmatch(text) is None:
        raise TriggerError("is not understood", field="AT", value=text, expected=expected)
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise TriggerError(f"does not exist ({error})", field="AT", value=text, expected=expected) from error


_READERS: dict[str, Callable[[_Sentence], Trigger]] = {
    "@every": _read_every,
    "@at": _read_at,
    "@after": _read_after,
    "@any": _read_any,
    "@all": _read_all,
    "@except": _read_except,
    "@jitter": _read_jitter,
    "@between": _read_between,
}
