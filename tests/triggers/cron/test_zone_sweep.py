"""`CronTrigger` at the clock changes of every time zone, against a second implementation of the rule.

By default at the latest changes of a few zones that differ in kind; with `--every-zone` (`nox -s sweep`) at each
change from 2012 to 2025, in one zone of each history that there is in those years.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from attrs import Factory, define

from duly.triggers import CronTrigger, DstFold, DstGap
from support.clock_changes import Change, clock_changes, distinct_zones, offset_at
from support.cron_oracle import MINUTE, SECOND, Tick, Timetable, expected_fires, walk

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
OPTIONS: list[tuple[DstGap, DstFold]] = [("run_after", "once"), ("skip", "once"), ("run_after", "both"), ("skip", "both")]
EXTREMES = OPTIONS[::3]

SAMPLE = [
    "UTC",
    "Africa/Casablanca",  # the clocks go back for Ramadan
    "America/Havana",  # at midnight: the day begins at one
    "America/Nuuk",  # on the eve
    "Antarctica/Casey",  # by three hours, at one minute past
    "Antarctica/Troll",  # by two hours
    "Asia/Pyongyang",  # by half an hour, for good
    "Australia/Lord_Howe",  # by half an hour, every year
    "Europe/Dublin",  # winter is what differs from its standard time
    "Pacific/Chatham",  # three quarters of an hour beside the hours
]
FEWEST_ZONES, FEWEST_CHANGES = 80, 1000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the zones; refuse to sweep a database of time zones that has lost most of them."""
    if "swept_zone" not in metafunc.fixturenames:
        return
    zones = SAMPLE
    if metafunc.config.getoption("every_zone"):
        zones = distinct_zones()
        changes = sum(len(clock_changes(ZoneInfo(name))) for name in zones)
        if len(zones) < FEWEST_ZONES or changes < FEWEST_CHANGES:
            pytest.fail(f"only {len(zones)} zones that differ and {changes} clock changes: is the time zone database whole?")
    metafunc.parametrize("swept_zone", zones)


def test_every_answer_around_a_clock_change_is_the_oracles(
    swept_zone: str, pytestconfig: pytest.Config, record_property: Callable[[str, object], None]
) -> None:
    """Following, counting and looking back, from before, within and after the change."""
    zone, full = ZoneInfo(swept_zone), pytestconfig.getoption("every_zone")
    changes = clock_changes(zone) if full else a_gap_and_a_fold(clock_changes(zone))
    sweep = Sweep(zone, OPTIONS if full else EXTREMES)
    for change in changes or quiet_instants(zone):
        sweep.check(change)
    record_property("changes", len(changes))
    record_property("calls", sweep.calls)
    assert sweep.calls > 100
    assert not sweep.wrong, "\n".join(sweep.wrong[:10])


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("Africa/Monrovia", "1972-01-07T00:44:30Z"),  # from 44 minutes and 30 seconds behind, at half a minute
        ("America/Noronha", "2000-10-08T02:00:00Z"),  # no two changes since 1970 are closer than this one …
        ("America/Noronha", "2000-10-15T01:00:00Z"),  # … and this one
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),  # a whole day is lost
    ],
)
def test_older_changes_of_a_rare_kind_are_answered_as_the_oracle_does(zone: str, at: str) -> None:
    """Shifts by a day or with seconds in them, and the two changes that are closest to each other."""
    instant = datetime.fromisoformat(at)
    (change,) = clock_changes(ZoneInfo(zone), instant - DAY, instant + DAY)
    assert change.at == instant

    sweep = Sweep(ZoneInfo(zone), EXTREMES)
    sweep.check(change)
    assert sweep.calls > 100
    assert not sweep.wrong, "\n".join(sweep.wrong[:10])


# zone | expression | options | after and until, in UTC | the fires between them
BY_HAND = """
Europe/Berlin       | 0,30 2 * * *  |               | 2024-03-31T00:00 2024-04-01T00:15 | 2024-03-31T01:00 2024-04-01T00:00
Europe/Berlin       | 0,30 2 * * *  | dst_gap=skip  | 2024-03-31T00:00 2024-04-01T00:15 | 2024-04-01T00:00
Europe/Berlin       | 0/30 2 * * *  |               | 2024-03-31T00:00 2024-04-01T00:15 | 2024-04-01T00:00
Europe/Berlin       | 30 2 * * *    |               | 2024-10-26T22:00 2024-10-27T22:00 | 2024-10-27T00:30
Europe/Berlin       | 30 2 * * *    | dst_fold=both | 2024-10-26T22:00 2024-10-27T22:00 | 2024-10-27T00:30 2024-10-27T01:30
Europe/Berlin       | 30 */2 * * *  |               | 2024-10-26T22:30 2024-10-27T03:30 | 2024-10-27T00:30 2024-10-27T01:30 2024-10-27T03:30
Europe/Berlin       | 59 59 2 * * * |               | 2024-03-31T00:59 2024-03-31T02:30 | 2024-03-31T01:00
Europe/Berlin       | 0 9 15 * 1    |               | 2024-01-14T12:00 2024-01-22T08:00 | 2024-01-15T08:00 2024-01-22T08:00
Europe/Berlin       | 0 9 */2 * 1   |               | 2024-01-14T12:00 2024-01-22T08:00 | 2024-01-15T08:00
Australia/Lord_Howe | 15 2 * * *    |               | 2024-10-05T12:00 2024-10-06T15:15 | 2024-10-05T15:30 2024-10-06T15:15
America/Havana      | 0 0 10 3 *    |               | 2024-03-09T06:00 2024-03-11T06:00 | 2024-03-10T05:00
Pacific/Apia        | 0 12,18 * * * |               | 2011-12-30T05:00 2011-12-31T05:00 | 2011-12-30T10:00 2011-12-30T22:00 2011-12-31T04:00
"""


@pytest.mark.parametrize("line", BY_HAND.strip().splitlines())
def test_the_oracle_gives_the_answers_worked_out_by_hand(line: str) -> None:
    """What all else is compared with must itself be right."""
    zone, expression, options, span, fires = [cell.strip() for cell in line.split("|")]
    begin, end = (datetime.fromisoformat(f"{each}Z") for each in span.split())
    timetable = Timetable.read(expression)
    ticks = walk(ZoneInfo(zone), begin, end, timetable.step)

    found = expected_fires(timetable, ticks, **dict(option.split("=") for option in options.split()))
    assert found == [datetime.fromisoformat(f"{each}Z") for each in fires.split()]


def quiet_instants(zone: ZoneInfo) -> tuple[Change, ...]:
    """Give a zone without changes something to be asked about.

    Instants at which its clocks move by nothing.
    """
    instants = (datetime(2016, 2, 29, 12, tzinfo=UTC), datetime(2020, 12, 31, 23, 30, tzinfo=UTC))
    return tuple(Change(at, offset_at(zone, at), offset_at(zone, at)) for at in instants)


def a_gap_and_a_fold(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Choose the latest change either way."""
    return tuple({change.is_gap: change for change in changes}.values())


def expressions(change: Change) -> Iterator[str]:
    """Yield expressions of which each means a time that is lost or repeated, or one next to it."""
    low, high = change.low, change.high
    middle = low + (high - low) / 2
    before, weekday = low - MINUTE, middle.isoweekday() % 7
    yield f"{middle.minute} {middle.hour} * * *"
    yield f"{low.minute} {low.hour} * * *"
    yield f"{high.minute} {high.hour} * * *"
    yield f"{before.minute} {before.hour} * * *"
    yield f"{low.minute},{middle.minute},59 {low.hour},{middle.hour},{high.hour} * * *"
    yield "5,35-50/5 0-4,20-23 * * *"
    yield "0 0 * * *"
    yield f"{middle.minute} {middle.hour} {middle.day} {middle.month} *"
    yield f"{middle.minute} {middle.hour} * * {weekday}"
    yield f"{middle.minute} {middle.hour} {middle.day} * {(weekday + 1) % 7}"
    yield f"{middle.minute} {middle.hour} */2 * {weekday}"
    yield "*/15 * * * *"
    yield f"0/20 {middle.hour} * * *"
    yield "*/7 */2 * * *"
    yield f"{middle.minute} * {middle.day} * *"
    yield f"59 {middle.minute},59 {middle.hour} * * *"
    yield f"0,30 {low.minute}-59/7 {low.hour},{high.hour} * * *"
    yield f"*/20 {middle.minute} {middle.hour} * * *"
    yield f"7/25 {low.minute} */2 * * *"


def starts(change: Change) -> list[datetime]:
    """Return instants around the change: on it, next to it, within both passes and beyond."""
    near = [timedelta(0), TICK, SECOND, MINUTE, change.shift / 2, change.shift - SECOND, change.shift, change.shift + MINUTE]
    return sorted({change.at + distance for each in [*near, 5 * HOUR] for distance in (-each, each)})


@define
class Sweep:
    """Asks triggers in one zone about clock changes, and keeps count of the calls and every wrong answer."""

    zone: ZoneInfo
    options: list[tuple[DstGap, DstFold]]
    calls: int = 0
    wrong: list[str] = Factory(list)

    def check(self, change: Change) -> None:
        """Compare every expression with every option; the oracle walks once for all of them."""
        walks: dict[timedelta, list[Tick]] = {}
        for expression in expressions(change):
            timetable = Timetable.read(expression)
            step = timetable.step if change.on_the_minute else SECOND
            reach = (DAY if step == MINUTE else HOUR / 2) + (timedelta(0) if change.is_gap else change.shift)
            begin, end = change.at - reach, change.at + reach
            if step not in walks:
                walks[step] = list(walk(self.zone, begin, end, step))
            ticks = [tick for tick in walks[step] if timetable.concerns(tick)]
            # The options do nothing for a job that follows the clock: the two extremes will do.
            for dst_gap, dst_fold in EXTREMES if timetable.follows_the_clock else self.options:
                expected = expected_fires(timetable, ticks, dst_gap=dst_gap, dst_fold=dst_fold)
                trigger = CronTrigger(expression, self.zone, dst_gap=dst_gap, dst_fold=dst_fold)
                self._follow(trigger, begin, end, expected)
                self._start_anywhere(trigger, change, (begin, end), expected)
                self._look_back(trigger, change, (begin, end), expected)

    def _follow(self, trigger: CronTrigger, begin: datetime, end: datetime, expected: list[datetime]) -> None:
        """Go from fire to fire: as a trigger keeps no state, what follows each is then right from any start."""
        for prev, following in zip([begin, *expected], [*expected, None], strict=True):
            self._expect_next(trigger, prev, following, end)

    def _start_anywhere(self, trigger: CronTrigger, change: Change, span: tuple[datetime, datetime], expected: list[datetime]) -> None:
        begin, end = span
        for start in starts(change):
            if begin <= start <= end:
                past = bisect_right(expected, start)
                self._expect_next(trigger, start, expected[past] if past < len(expected) else None, end)
                self._expect(trigger, f"count_fires({begin}, {start})", trigger.count_fires(begin, start), past)
                self._expect(trigger, f"count_fires({start}, {end})", trigger.count_fires(start, end), len(expected) - past)

    def _look_back(self, trigger: CronTrigger, change: Change, span: tuple[datetime, datetime], expected: list[datetime]) -> None:
        begin, end = span
        for until in (change.at - TICK, min(change.at + change.shift / 2, end), end):
            past = bisect_right(expected, until)
            last = trigger.last_fire_time(begin, until)
            self._expect(trigger, f"last_fire_time({begin}, {until})", last, expected[past - 1] if past else None)

    def _expect_next(self, trigger: CronTrigger, prev: datetime, following: datetime | None, end: datetime) -> None:
        found = trigger.next_fire_time(prev)
        call = f"next_fire_time({prev})"
        if found is None or found <= prev or found.tzinfo is not UTC:
            self.wrong.append(f"{trigger!r}.{call}: {found!r} is not later, or not in UTC")
        elif following is None:
            self._expect(trigger, f"{call} > {end}", found > end, expected=True)
        else:
            self._expect(trigger, call, found, following)

    def _expect(self, trigger: CronTrigger, call: str, found: object, expected: object) -> None:
        self.calls += 1
        if found != expected:
            self.wrong.append(f"{trigger!r}.{call}: {found}, not {expected}")
