"""`CronTrigger`: fire times written as a cron expression in a time zone.

croniter reads the normalised fields, once, at construction; it is the only thing taken from it, because its own
search fires fixed jobs twice in the repeated hour, cannot combine Quartz' day words, and keeps state that threads
must not share. The day rules, the daylight-saving rules and the search for the next time are this package's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import get_args
from zoneinfo import ZoneInfo

from attrs import field, frozen

from duly.triggers.base import CountsFrom, LooksBack
from duly.triggers.cron.days import DayRules
from duly.triggers.cron.fields import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, YEAR, Dialect, FieldReader, ParsedField
from duly.triggers.cron.times import FIRST_YEAR, CronTimes
from duly.triggers.errors import TriggerError, require_choice
from duly.triggers.localtime import DstFold, DstGap, LocalRule, local_rule
from duly.triggers.options import read_options, write_options, zone_options
from duly.triggers.search import bisect_fires
from duly.triggers.zones import load_zone

__all__ = ["CRON_ALIASES", "CronTrigger", "Dialect"]

CRON_ALIASES = {
    "@yearly": "0 0 1 JAN *",
    "@annually": "0 0 1 JAN *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * SUN",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "* * * * *",
    "@always": "* * * * *",
    "@5minutes": "*/5 * * * *",
    "@10minutes": "*/10 * * * *",
    "@15minutes": "*/15 * * * *",
    "@30minutes": "*/30 * * * *",
    "@everysecond": "* * * * * *",
}

_SPECS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR)
_FIELDS = "5 fields (minute hour day-of-month month day-of-week), 6 (a second before them) or 7 (and a year after them)"
_MAX_LENGTH = 2000  # more than every value of every field written out
_DIALECTS, _GAPS, _FOLDS = get_args(Dialect), get_args(DstGap), get_args(DstFold)


@frozen(init=False, repr=False)
class CronTrigger(LooksBack):
    """Fires at the wall-clock times of a cron expression in a time zone.

    `expression` has 5, 6 (seconds first) or 7 fields (year last, 1970-2199), or is an alias such as `@daily`. Each
    field takes `*`, values, names, ranges (also round the end: `FRI-MON`, `22-2`), steps and lists; the day fields
    also `?`, `L`, `L-3`, `LW`, `L-3W`, `15W` and `5L`, `FRIL`, `MON#1`; any but the year `H`, `H(0-29)`, `H/15`: a
    value worked out from `hash_id`, to spread tasks. Where both day fields name days, either may match; a day field
    beginning with `*` or `?` is a filter on the other (cronie's rule).

    `timezone` is an IANA name or `ZoneInfo`; without it the zone is that of a prefix (`CRON_TZ=Europe/Paris 0 9 * * *`), else
    UTC. `dialect` says how weekday digits count ("unix": 0 and 7 are Sunday; "quartz": 1 is Sunday); names mean the same
    in both, and the value keeps names only.

    Where the clocks change, a job whose seconds, minutes or hours follow the clock (begin with `*`, or have an `n/s`)
    just goes on. For any other: times lost in the gap fire once right after it (`dst_gap="run_after"`) or not at all
    ("skip"); repeated times fire the first time only (`dst_fold="once"`) or both times ("both").

    A frozen value: equal, hashable, picklable, to be shared between threads. Raises `TriggerError` for what is not
    understood and for an expression that can never fire.
    """

    expression: str
    """The normalised expression, without a zone before it; weekdays are names."""
    timezone: ZoneInfo = field(eq=lambda zone: zone.key)
    """Zone of the wall-clock times."""
    dst_gap: DstGap
    """What becomes of times that the clocks leave out: `run_after` (once, right after the gap) or `skip`."""
    dst_fold: DstFold
    """What becomes of times that come twice: `once` (the first) or `both`."""
    hash_id: str | None
    """What the values of `H` are worked out from, such as a slug; None without an `H`."""
    _times: CronTimes = field(eq=False)
    _rule: LocalRule = field(eq=False)

    def __init__(
        self,
        expression: str,
        timezone: str | tzinfo | None = None,
        *,
        dialect: Dialect = "unix",
        dst_gap: DstGap = "run_after",
        dst_fold: DstFold = "once",
        hash_id: str | None = None,
    ) -> None:
        require_choice("dialect", dialect, _DIALECTS)
        require_choice("dst_gap", dst_gap, _GAPS)
        require_choice("dst_fold", dst_fold, _FOLDS)
        if hash_id is not None and not isinstance(hash_id, str):
            raise TriggerError("is not text", field="hash_id", value=repr(hash_id), expected="the slug of the task")
        text, timezone = _split_zone(_require_text(expression), timezone)
        # Without an H the id plays no part: tasks with the same expression then share what is compiled.
        compiled = _compile(text, dialect, hash_id if "H" in text.upper() else None)
        zone = load_zone(timezone)
        rule = local_rule(zone, catch_up=dst_gap == "run_after" and not compiled.wildcard, repeats=dst_fold == "both" or compiled.wildcard)
        kept_id = hash_id if compiled.hashed else None
        self.__attrs_init__(compiled.text, zone, dst_gap, dst_fold, kept_id, compiled.times, rule)

    @property
    def counts_from(self) -> CountsFrom:
        """Nothing: it is a timetable."""
        return CountsFrom.TIMETABLE

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Return the first fire time strictly later than `prev`, in UTC; None after the last listed year."""
        return self._rule.next_fire_time(self._times, prev)

    @property
    def fields(self) -> tuple[str, ...]:
        """The texts of its 5, 6 or 7 fields.

        An alias is written out, and each `H` is the values that were drawn.
        """
        return _compile(self.expression, "unix", self.hash_id).drawn

    def first_delay(self, now: datetime) -> timedelta:
        """Return the time from `now` to the first fire. Raises `TriggerError` when there is none any more."""
        first = self.next_fire_time(now)
        if first is None:
            raise TriggerError("does not fire any more", text=self.expression, field="now", value=str(now))
        return first - now

    def count_fires(self, after: datetime, until: datetime) -> int:
        """Return how many fire times f there are with after < f <= until.

        The count is exact, and costs a step a month.
        """
        return self._rule.count_fires(self._times, after, until)

    def last_fire_time(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest of these fire times in UTC, or None when there is none."""
        return bisect_fires(self, after, until)

    def to_text(self) -> str:
        """Return the expression, after the options that differ from their defaults.

        Example: `CRON_TZ=Europe/Paris 0 9 * * *`.
        """
        return write_options(self._options(), self.expression)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the arguments: what is compiled from them belongs to the process."""
        return _rebuild, (self.expression, self.timezone.key, self.dst_gap, self.dst_fold, self.hash_id)

    def __repr__(self) -> str:
        names = {"CRON_TZ": "timezone", "DST_GAP": "dst_gap", "DST_FOLD": "dst_fold", "HASH": "hash_id"}
        options = "".join(f", {names[key]}={value!r}" for key, value in self._options().items())
        return f"CronTrigger({self.expression!r}{options})"

    def _options(self) -> dict[str, str]:
        options = zone_options(self.timezone, self.dst_gap, self.dst_fold)
        if self.hash_id is not None:
            options["HASH"] = self.hash_id
        return options


def _rebuild(expression: str, timezone: str, dst_gap: DstGap, dst_fold: DstFold, hash_id: str | None) -> CronTrigger:
    return CronTrigger(expression, timezone, dst_gap=dst_gap, dst_fold=dst_fold, hash_id=hash_id)


@frozen(kw_only=True)
class _Compiled:
    text: str
    drawn: tuple[str, ...]
    times: CronTimes
    wildcard: bool
    hashed: bool


def _require_text(expression: object) -> str:
    if not isinstance(expression, str):
        raise TriggerError("is not text", field="cron expression", value=repr(expression), expected=_FIELDS)
    if len(expression) > _MAX_LENGTH:
        raise TriggerError(f"is {len(expression)} characters long", text=f"{expression[:40]}…", expected=f"at most {_MAX_LENGTH}")
    return expression


def _split_zone(expression: str, timezone: str | tzinfo | None) -> tuple[str, str | tzinfo]:
    """Split the zone off an expression that names one before its fields.

    The constructor takes the other options by keyword.
    """
    if "=" not in expression:
        return expression, "UTC" if timezone is None else timezone
    options, fields = read_options(expression)
    named = options.pop("CRON_TZ", None)
    if options or named is None:
        expected = "CRON_TZ= before the fields; the other options by keyword, or parse_trigger(text)"
        raise TriggerError("has options or an '='", text=expression, expected=expected)
    if timezone is not None:
        raise TriggerError("is said twice", text=expression, field="CRON_TZ", value=named, expected="no zone beside it")
    return fields, named


def _split(expression: str) -> tuple[list[str], str | None]:
    """Split an expression into the texts of its fields, in upper case; the alias it was, if it was one."""
    if not expression.isascii():
        raise TriggerError("has characters that cron does not know", text=expression, expected="ASCII")
    alias = expression.strip().lower()
    if alias in CRON_ALIASES:
        return CRON_ALIASES[alias].split(), alias
    if alias.startswith("@"):
        raise TriggerError("is not a cron alias", text=expression, expected=", ".join(CRON_ALIASES))
    texts = expression.split()
    if not 5 <= len(texts) <= 7:  # noqa: PLR2004 - the message says it in words
        raise TriggerError(f"has {len(texts)} fields", text=expression, expected=_FIELDS)
    return [text.upper() for text in texts], None


@lru_cache(maxsize=4096)
def _compile(expression: str, dialect: Dialect, hash_id: str | None) -> _Compiled:
    """Compile an expression; the zone plays no part, so tasks in many zones share the work."""
    texts, alias = _split(expression)
    whole = ["0", *texts] if len(texts) == 5 else texts  # noqa: PLR2004 - no seconds: at second 0
    fields = [
        FieldReader(expression=expression, spec=spec, dialect=dialect, hash_id=hash_id).read(text)
        for spec, text in zip(_SPECS, whole, strict=False)
    ]
    day, weekday = fields[3], fields[5]
    if day.text == weekday.text == "?":
        raise TriggerError(
            "cannot be ? in both day fields", text=expression, field="day of week", value="?", expected="a ? in one of them only"
        )
    times = _read_times(expression, fields)
    if not times.ever():
        raise TriggerError(
            "never comes",
            text=expression,
            field="day of month",
            value=day.text,
            expected="a day that some month and year of the expression has",
        )
    written = fields[len(whole) - len(texts) :]
    return _Compiled(
        text=alias or " ".join(part.text for part in written),
        drawn=tuple(part.drawn for part in written),
        times=times,
        wildcard=any(part.wildcard for part in fields[:3]),
        hashed=any(part.hashed for part in fields),
    )


def _read_times(expression: str, fields: list[ParsedField]) -> CronTimes:
    seconds, minutes, hours, days, months, weekdays = _read_masks(expression, fields[:6])
    day, weekday = fields[3], fields[5]
    return CronTimes(
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        days=DayRules(days, day.rules, weekdays, weekday.rules, intersect=day.star or weekday.star),
        months=months,
        years=_year_mask(fields[6]) if len(fields) > 6 else None,  # noqa: PLR2004 - the seventh
    )


def _read_masks(expression: str, fields: list[ParsedField]) -> list[int]:
    """Let croniter read the six normalised fields; bit n of a mask is value n."""
    from croniter import CroniterError, croniter  # noqa: PLC0415 - slow to import, and only needed for new expressions

    normal = " ".join(",".join(part.ranges) or "*" for part in fields)
    try:
        values, _ = croniter.expand(normal, second_at_beginning=True)
    except CroniterError as error:
        raise TriggerError(f"was not understood ({error})", text=expression, expected=_FIELDS) from error
    in_order = [values[5], *values[:5]]  # croniter answers with the seconds last
    return [_mask(part, read) for part, read in zip(fields, in_order, strict=True)]


def _mask(part: ParsedField, values: Sequence[int | str]) -> int:
    if not part.ranges:  # day words only
        return 0
    every = range(part.spec.low, part.spec.high + 1)
    return sum(1 << value for value in (every if values == ["*"] else {int(value) for value in values}))


def _year_mask(part: ParsedField) -> int | None:
    """Read the years: croniter ends in 2099."""
    if part.ranges == ("*",):
        return None
    mask = 0
    for text in part.ranges:
        bounds, _, step = text.partition("/")
        low, _, high = bounds.partition("-")
        for year in range(int(low), int(high or low) + 1, int(step or 1)):
            mask |= 1 << year - FIRST_YEAR
    return mask
