"""What `CronTrigger` refuses: every message names the field, the value and what is allowed there."""

from datetime import datetime, timedelta, timezone

import pytest

from duly.triggers import CronTrigger, NaiveDatetime, TriggerError

SECONDS = "0-59: *, a value, a-b, any of them with /n, or a list of these"
DAYS = "1-31: *, a value, a-b, any of them with /n, or a list of these; also ?, L, L-n, LW, L-nW, nW"
WEEKDAYS = "or SUN-SAT: *, a value, a-b, any of them with /n, or a list of these; also ?, nL, n#k"
FIELDS = "5 fields (minute hour day-of-month month day-of-week), 6 (a second before them) or 7 (and a year after them)"

OPTIONS = "CRON_TZ= before the fields; the other options by keyword, or parse_trigger(text)"

# expression, field, value, problem, expected
REFUSED = [
    ("60 * * * *", "minute", "60", "is out of range", SECONDS),
    ("0 24 * * *", "hour", "24", "is out of range", "0-23: *, a value, a-b, any of them with /n, or a list of these"),
    ("5-a * * * *", "minute", "5-A", "is not understood", SECONDS),
    ("1,,2 * * * *", "minute", "", "is not understood", SECONDS),
    ("*/0 * * * *", "minute", "*/0", "has a step that is not understood", "a whole number from 1 on after the /"),
    ("? * * * *", "minute", "?", "is for the day fields only", SECONDS),
    ("R * * * *", "minute", "R", "is not understood", SECONDS),
    ("H * * * *", "minute", "H", "needs a hash id", "hash_id=, the text that H is worked out from (the slug of the task)"),
    ("61 * * * * *", "second", "61", "is out of range", SECONDS),
    ("0 0 0 * *", "day of month", "0", "is out of range", DAYS),
    ("0 0 W15 * *", "day of month", "W15", "is not understood", DAYS),
    ("0 0 32W * *", "day of month", "32W", "is out of range", DAYS),
    ("0 0 L-32 * *", "day of month", "L-32", "is out of range", "L-0 to L-30"),
    ("0 0 1,? * *", "day of month", "?", "is not understood", DAYS),
    ("0 0 * 13 *", "month", "13", "is out of range", "1-12 or JAN-DEC: *, a value, a-b, any of them with /n, or a list of these"),
    ("0 0 * * 8", "day of week", "8", "is out of range", f"0-7 (0 and 7 are Sunday) {WEEKDAYS}"),
    ("0 0 * * L", "day of week", "L", "is not understood", f"0-7 (0 and 7 are Sunday) {WEEKDAYS}"),
    ("0 0 * * friday", "day of week", "FRIDAY", "is not understood", f"0-7 (0 and 7 are Sunday) {WEEKDAYS}"),
    ("0 0 * * MON#6", "day of week", "MON#6", "is out of range", "#1 to #5 after the weekday"),
    ("0 0 ? * ?", "day of week", "?", "cannot be ? in both day fields", "a ? in one of them only"),
    ("0 0 0 1 1 ? 2200", "year", "2200", "is out of range", "1970-2199: *, a value, a-b, any of them with /n, or a list of these"),
    ("0 0 0 1 1 ? 2009-2008", "year", "2009-2008", "runs backwards", "1970-2199: *, a value, a-b, any of them with /n, or a list of these"),
    ("0 0 0 1 1 ? H", "year", "H", "cannot be hashed", "1970-2199: *, a value, a-b, any of them with /n, or a list of these"),
    ("0 0 30 2 *", "day of month", "30", "never comes", "a day that some month and year of the expression has"),
    ("0 0 0 29 2 ? 2025", "day of month", "29", "never comes", "a day that some month and year of the expression has"),
    ("1 1 */100 * MON#4", "day of month", "*/100", "never comes", "a day that some month and year of the expression has"),
    ("0 0 L-30 2 *", "day of month", "L-30", "never comes", "a day that some month and year of the expression has"),
    ("* * * *", None, None, "has 4 fields", FIELDS),
    ("* * * * * * * *", None, None, "has 8 fields", FIELDS),
    ("", None, None, "has 0 fields", FIELDS),
    ("DST_GAP=skip 0 0 * * *", None, None, "has options or an '='", OPTIONS),
    ("0 0 * * MON=1", None, None, "has options or an '='", OPTIONS),
    ("0 0 * * *\u00a0", None, None, "has characters that cron does not know", "ASCII"),
]


@pytest.mark.parametrize(("expression", "field", "value", "problem", "expected"), REFUSED)
def test_a_refusal_names_field_value_and_what_is_allowed(
    expression: str, field: str | None, value: str | None, problem: str, expected: str
) -> None:
    """The message for people and the attributes for programs say the same."""
    with pytest.raises(TriggerError) as caught:
        CronTrigger(expression)

    error = caught.value
    assert (error.text, error.field, error.value, error.problem, error.expected) == (expression, field, value, problem, expected)
    place = "" if field is None else f"{field} {value!r} "
    assert str(error) == f"{expression!r}: {place}{problem}; expected {expected}"


def test_quartz_digits_begin_with_one() -> None:
    """A 0 is no weekday in Quartz."""
    with pytest.raises(TriggerError) as caught:
        CronTrigger("0 0 0 ? * 0", dialect="quartz")
    assert caught.value.expected == f"1-7 (1 is Sunday) {WEEKDAYS}"


@pytest.mark.parametrize("expression", ["0 0 31 2 0", "0 0 29 2 *", "0 0 31 * *", "0 0 0 29 2 ? 2096-2104", "0 0 5W 2 *", "0 0 29 2 */7"])
def test_what_does_come_is_accepted(expression: str) -> None:
    """31 February or a Sunday fires on Sundays; a leap day on one weekday is rare, but comes."""
    assert CronTrigger(expression).next_fire_time(datetime.fromisoformat("2024-03-01T00:00Z")) is not None


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../etc/passwd", "/etc/localtime", "Europe/Pa\0ris"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    """Whatever zoneinfo stumbles over, the error is ours."""
    with pytest.raises(TriggerError) as caught:
        CronTrigger("0 0 * * *", zone)
    assert (caught.value.field, caught.value.value, caught.value.problem) == ("timezone", zone, "is unknown")


def test_a_zone_without_a_name_is_refused() -> None:
    """It could not be written down."""
    with pytest.raises(TriggerError, match="has no name; expected an IANA name"):
        CronTrigger("0 0 * * *", timezone(timedelta(hours=1)))


@pytest.mark.parametrize("choice", ["dialect", "dst_gap", "dst_fold"])
def test_a_choice_must_be_one_of_its_values(choice: str) -> None:
    """The error says which there are."""
    with pytest.raises(TriggerError, match=f"{choice} 'often' is not a choice; expected .* or "):
        CronTrigger("0 0 * * *", **{choice: "often"})  # type: ignore[arg-type]


@pytest.mark.parametrize("expression", [None, 5, b"* * * * *"])
def test_an_expression_must_be_text(expression: object) -> None:
    """Anything else is the same kind of error."""
    with pytest.raises(TriggerError, match="is not text"):
        CronTrigger(expression)  # type: ignore[arg-type]


def test_an_endless_expression_is_refused_before_it_is_read() -> None:
    """Nobody makes a parser work for megabytes."""
    with pytest.raises(TriggerError, match="is 2000008 characters long; expected at most 2000"):
        CronTrigger("1," * 1_000_000 + " * * * *")


def test_a_naive_datetime_is_refused() -> None:
    """Its zone would be a guess."""
    with pytest.raises(NaiveDatetime, match="prev must be an aware datetime"):
        CronTrigger("0 0 * * *").next_fire_time(datetime(2024, 1, 1))  # noqa: DTZ001 - the point


def test_a_refusal_by_croniter_is_ours_with_its_own_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a later croniter refuse a normalised field, the user still meets one kind of error."""
    import croniter  # noqa: PLC0415 - next to what is patched

    def refuse(*_: object, **__: object) -> None:
        raise croniter.CroniterBadCronError("no")

    monkeypatch.setattr(croniter.croniter, "expand", refuse)
    with pytest.raises(TriggerError, match="was not understood") as caught:
        CronTrigger("17 3 9 8 2")
    assert isinstance(caught.value.__cause__, croniter.CroniterError)
