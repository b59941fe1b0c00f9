"""What combinations of triggers fire, and what they have in common.

Their laws stand in test_trigger_laws.py.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest

from duly.triggers import (
    AfterTrigger,
    AllOf,
    AnyOf,
    Between,
    CountsFrom,
    CronTrigger,
    Except,
    Jittered,
    LooksBack,
    NaiveDatetime,
    OnceTrigger,
    SimpleTrigger,
    Trigger,
    TriggerError,
    missed,
    parse_trigger,
)
from support.triggers import DAY, HOUR, NEW_YEAR, EverySecond, Ticks, first_few

SECOND = timedelta(seconds=1)
DAILY = CronTrigger("0 9 * * *", "Europe/Paris")

# text | after | the next fires, in UTC; `never` for the end. In Havana the 1st of November 2026 begins twice and the 8th of March at
# 01:00; in Toronto the 31st of March 1919 began at 00:30, an hour after 23:30 of the day before.
TABLE = """
@any (0 9 * * MON) (0 9 * * *) (30 12 1 * *)              | 2026-02-28T12:00 | 2026-03-01T09:00 2026-03-01T12:30 2026-03-02T09:00
@any (@every 90m) (0 0 * * *)                             | 2026-01-01T22:00 | 2026-01-01T23:30 2026-01-02T00:00 2026-01-02T01:30
@any (@at 2026-01-01T10:00:00Z) (@at 2026-01-01T08:00:00Z) | 2026-01-01T00:00 | 2026-01-01T08:00 2026-01-01T10:00 never
@all (0 0 * * FRI) (0 0 13 * *)                           | 2026-01-01T00:00 | 2026-02-13T00:00 2026-03-13T00:00 2026-11-13T00:00
@all (CRON_TZ=Asia/Tokyo 0 9 * * *) (0 0 * * MON)         | 2026-01-01T00:00 | 2026-01-05T00:00 2026-01-12T00:00
@all (START=2026-01-01T00:00:00Z @every 6h) (START=2026-01-01T00:00:00Z @every 10h) | 2026-01-01T00:00 | 2026-01-02T06:00 2026-01-03T12:00
@all (* * * * * *) (0 0 29 2 *)                           | 2026-01-01T00:00 | 2028-02-29T00:00 2032-02-29T00:00
@all (@at 2026-01-01T08:00:00Z) (0 9 * * *)               | 2026-01-01T00:00 | never
@except (0 9 * * *) SAT SUN 2026-01-01                    | 2025-12-31T09:00 | 2026-01-02T09:00 2026-01-05T09:00
@except (0 9 * * MON-FRI) 2026-12-24/2027-01-03           | 2026-12-23T09:00 | 2027-01-04T09:00
@except (* * * * * *) 2026-01-01/2026-06-30               | 2026-01-01T00:00 | 2026-07-01T00:00 2026-07-01T00:00:01
CRON_TZ=Asia/Tokyo @except (0 20 * * *) SAT               | 2026-01-01T20:00 | 2026-01-03T20:00 2026-01-04T20:00
@except (CRON_TZ=Asia/Tokyo 0 5 * * *) SAT                | 2026-01-01T20:00 | 2026-01-03T20:00 2026-01-04T20:00
@except (0 * * * *) (0 0-21 * * *)                        | 2026-01-01T00:00 | 2026-01-01T22:00 2026-01-01T23:00 2026-01-02T22:00
@except (@every 1s) 2026-01-01/2026-01-31                  | 2026-01-01T00:00 | 2026-02-01T00:00 2026-02-01T00:00:01
@except (@every 168h) 2026-01-08 2026-01-15               | 2026-01-01T12:00 | 2026-01-22T12:00 2026-01-29T12:00
@except (@every 1 month) 2026-02-01/2026-02-28            | 2026-01-31T12:00 | 2026-03-28T12:00
@except (@at 2026-01-03T00:00:00Z) SAT                    | 2026-01-01T00:00 | never
@except (CRON_TZ=America/Havana */30 * * * *) SAT         | 2026-10-31T12:00 | 2026-11-01T04:00 2026-11-01T04:30 2026-11-01T05:00
@except (CRON_TZ=America/Havana */30 * * * *) SAT         | 2026-03-07T12:00 | 2026-03-08T05:00 2026-03-08T05:30
@except (CRON_TZ=America/Toronto */10 * * * *) SUN        | 1919-03-30T12:00 | 1919-03-31T04:30 1919-03-31T04:40
START=2026-01-05T09:00:00Z @between (0 9 * * *)           | 2025-01-01T00:00 | 2026-01-05T09:00 2026-01-06T09:00
END=2026-01-02T09:00:00Z @between (0 9 * * *)             | 2026-01-01T00:00 | 2026-01-01T09:00 2026-01-02T09:00 never
START=2026-01-01T00:00:00Z TIMES=2 @between (0 9 * * *)   | 2025-01-01T00:00 | 2026-01-01T09:00 2026-01-02T09:00 never
START=2026-01-01T00:00:00Z TIMES=9 END=2026-01-01T12:00:00Z @between (0 9 * * *) | 2026-01-01T00:00 | 2026-01-01T09:00 never
START=2026-01-01T00:00:00Z TIMES=5 @between (@at 2026-01-03T00:00:00Z) | 2026-01-01T00:00 | 2026-01-03T00:00 never
START=2026-01-01T00:00:00Z TIMES=5 END=2026-02-01T00:00:00Z @between (@at 2026-01-03T00:00:00Z) | 2026-01-01T00:00 | 2026-01-03T00:00 never
START=2026-01-01T00:00:00Z @between (@every 90m)          | 2025-01-01T00:00 | 2026-01-01T01:30 2026-01-01T03:00
"""


@pytest.mark.parametrize(("text", "after", "expected"), [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()])
def test_a_combination_fires_as_it_says(text: str, after: str, expected: str) -> None:
    """One line each."""
    words = expected.split()
    fires = [datetime.fromisoformat(word).replace(tzinfo=UTC) for word in words if word != "never"]

    found = first_few(parse_trigger(text), datetime.fromisoformat(after).replace(tzinfo=UTC), len(words))
    assert found == fires


def test_a_combination_counts_as_loosely_as_its_loosest_part() -> None:
    """So that others know whether they may jump, and the scheduler from where it counts."""
    relative, delayed = SimpleTrigger(HOUR), SimpleTrigger(HOUR, fixed_delay=True)

    assert AnyOf(DAILY, OnceTrigger(NEW_YEAR)).counts_from is CountsFrom.TIMETABLE
    assert AnyOf(DAILY, relative).counts_from is CountsFrom.FIRE
    assert AnyOf(DAILY, EverySecond()).counts_from is CountsFrom.FIRE
    assert AnyOf(relative, delayed, DAILY).counts_from is CountsFrom.END
    assert AllOf(DAILY, OnceTrigger(NEW_YEAR)).counts_from is CountsFrom.TIMETABLE
    assert Except(relative, "SAT", DAILY).counts_from is CountsFrom.FIRE
    assert Between(delayed, start=NEW_YEAR).counts_from is CountsFrom.END


def test_parts_that_never_meet_are_an_error_before_long() -> None:
    """It names the parts and how far the search went."""
    trigger = AllOf(CronTrigger("0 0 * * *"), CronTrigger("30 0 * * *"))

    began = perf_counter()
    with pytest.raises(TriggerError, match=r"'@all \(0 0 \* \* \*\) \(30 0 \* \* \*\)': has parts that never fire together") as caught:
        trigger.next_fire_time(NEW_YEAR)
    assert perf_counter() - began < 2
    assert caught.value.expected is not None
    assert caught.value.expected.startswith("a common fire time within 10000 tries, from 2026-01-01 00:00:00+00:00 to 20")


EVERY = "START=2026-01-01T00:00:00Z @every"


def nested(depth: int) -> str:
    """A jitter in a jitter in a jitter: each asks the one within some times."""
    return "0 9 * * *" if depth == 0 else f"HASH=a @jitter 30s ({nested(depth - 1)})"


@pytest.mark.parametrize(
    "text",
    [
        nested(14),
        f"@all (@all ({EVERY} 1.001s) ({EVERY} 1s)) (START=2026-01-01T00:00:01Z @every 1001s)",
        "@all " + "(*/2 * * * *) " * 3000 + "(1/2 * * * *)",
    ],
)
def test_no_text_can_stop_an_event_loop(text: str) -> None:
    """All that lies within a combination shares its budget of steps: a generous bound on a shared machine."""
    trigger = parse_trigger(text)

    began = perf_counter()
    with pytest.raises(TriggerError, match="takes too many steps to follow; expected at most 100000"):
        trigger.next_fire_time(NEW_YEAR)
    assert perf_counter() - began < 10


def test_a_combination_with_a_users_own_trigger_has_no_text() -> None:
    """It lives in code, as its part does."""
    for trigger in (AnyOf(DAILY, Ticks()), AllOf(Ticks()), Except(DAILY, Ticks()), Between(Ticks(), end=NEW_YEAR)):
        assert trigger.to_text() is None
    assert Jittered(Ticks(), SECOND, hash_id="a").to_text() is None
    assert missed(Between(Ticks(), start=NEW_YEAR), NEW_YEAR - DAY, NEW_YEAR + 10 * SECOND).count == 11


@pytest.mark.parametrize("part", ["0 9 * * *", None, CronTrigger, AfterTrigger("1h")])
def test_what_cannot_be_a_part_is_refused_by_name(part: Trigger) -> None:
    """Texts, classes, and what counts from the scheduling of a task."""
    for combine in (AnyOf, AllOf, lambda it: Except(it, "SAT"), lambda it: Between(it, end=NEW_YEAR)):
        with pytest.raises(TriggerError, match=r"part of (AnyOf|AllOf|Except|Between) .* (is no trigger|counts from when it is scheduled)"):
            combine(part)
    with pytest.raises(TriggerError, match="part of Jittered"):
        Jittered(part, SECOND, hash_id="a")


@pytest.mark.parametrize("part", [SimpleTrigger(HOUR), SimpleTrigger(HOUR, fixed_delay=True), EverySecond()])
def test_a_jitter_and_an_exclusion_need_a_timetable(part: Trigger) -> None:
    """A late fire would move all that come after it.

    One that counts from others has no instants of its own.
    """
    for combine in (lambda it: Jittered(it, SECOND, hash_id="a"), lambda it: Except(DAILY, it)):
        with pytest.raises(TriggerError, match="expected a timetable: give it a start"):
            combine(part)


COMBINATIONS = [
    AnyOf(DAILY),
    AllOf(DAILY),
    Except(DAILY, "SAT"),
    Between(DAILY, start=NEW_YEAR),
    Jittered(DAILY, SECOND, hash_id="a"),
    Jittered(AnyOf(DAILY), SECOND, hash_id="a"),
]


@pytest.mark.parametrize("trigger", COMBINATIONS)
def test_a_combination_refuses_naive_instants(trigger: Trigger) -> None:
    """At each door, by the argument's name."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point

    with pytest.raises(NaiveDatetime, match="prev must be"):
        trigger.next_fire_time(naive)
    if isinstance(trigger, LooksBack):
        for look in (trigger.count_fires, trigger.last_fire_time):
            with pytest.raises(NaiveDatetime, match=r"(after|prev) must be"):
                look(naive, NEW_YEAR)
            with pytest.raises(NaiveDatetime, match="until must be"):
                look(NEW_YEAR, naive)


@pytest.mark.parametrize("trigger", [Between(DAILY, start=NEW_YEAR), Jittered(DAILY, SECOND, hash_id="a")])
def test_an_empty_span_has_no_fires_of_a_combination(trigger: LooksBack) -> None:
    """Nor has a reversed one."""
    for until in (NEW_YEAR + DAY, NEW_YEAR - DAY):
        assert trigger.count_fires(NEW_YEAR + DAY, until) == 0
        assert trigger.last_fire_time(NEW_YEAR + DAY, until) is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: Between(DAILY, NEW_YEAR),  # type: ignore[call-arg]  # the point
        lambda: Jittered(DAILY, SECOND, "a"),  # type: ignore[call-arg]  # the point
        lambda: SimpleTrigger(HOUR, NEW_YEAR),  # type: ignore[call-arg]  # the point
    ],
)
def test_what_is_optional_is_said_by_name(build: Callable[[], Trigger]) -> None:
    """A second instant or a text alone would not say what it is."""
    with pytest.raises(TypeError, match="positional argument"):
        build()
