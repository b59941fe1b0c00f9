"""`Interval` against PostgreSQL itself: the same texts, the same values, the same sums.

Version 16 became stricter in two places and 18 knows more words. What is promised is 18; on older servers only that is left out.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import psycopg
import pytest

from duly.triggers import Interval, TriggerError, format_interval, parse_interval
from support.interval_texts import UNITS, IntervalTexts

pytestmark = pytest.mark.postgres

Connection = psycopg.Connection[tuple[bytes | str | None]]

SEED = 20300101
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# interval_send() has all three parts; psycopg's own reader would count a month as 30 days.
READ = """
CREATE FUNCTION pg_temp.read(given text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  RETURN interval_send(given::interval);
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$
"""
ADD = """
CREATE FUNCTION pg_temp.add(start timestamptz, given text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN extract(epoch FROM start + given::interval);
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$
"""

ODD = [
    "", " ", "@", ".", "..", ".5.5", "5", "-5", "+5", "- 5", "-.5 s", "5.", "1 2", "5 1 hour", "5 1 minute", "1 hour 5", "1 day 1 day",
    "1.5 s 1 ms", "1.0 s 1 ms", "1 h 1:00", "day", "1 ago", "1:00 ago", "-1 day ago", "1-", "1-12", "1-11", "1--2", "6--0", "1-2-3",
    "1-2 hours", "1-2 1 year", "1-2 1 month", "1:30 days", "1:", "1::2", "1:60", "1:59:60.5", "1:59:61", "24:00", "-1:-0:-0", "1:2.5",
    "01:00 1.5 days", "1.5 days -01:00", "-01:00 1.5 days", "1.5-3:00", "1.day", "-1.day", "1min20s", "1ms500us", "1s500us", "1y-2mon",
    "1;2 h", "(1 day)", "1/2", "1e3 s", "1 microsecondfoo", "1 hourss", "1h\t20m\n", "1\x01h", "1 \u00b5s", "1\u00a0h", "1 wee\u212a",
    "2147483647 days 1 week", "2147483647 days -1 week", "-2147483648 days ago", "178956970 years 8 months",
    "-178956970 years -8 months", "2147483647 months -1 year", "-9223372036854775808 us", "9223372036854775807.6 us",
    "2562047788:00:54.775807", "-2562047788:00:54.775808", "P", "PT", "P1DT", "PTT1H", "P1", "p1y", " P1Y", "P1Y ", "P+1Y", "P1Y1Y", "PT1D",
    "P0x1DD", "P-infD", "P1Y2", "P1-", "PT1:2T3H", "P-00010203T-040506", "PT040506.5", "P1e15D", "P0e-400D", "P1e-320D",
]  # fmt: skip
FILLED = ["1 s" + " at" * more for more in (1, 23, 24)] + ["1 at5 day", "1 at day", "5 on 6 h", "ago 1 day", "1 h ago 1 day", "1 day hour"]


@pytest.fixture
def server(each_postgres_url: str) -> Iterator[Connection]:
    """A connection in the time zone UTC, with the two functions that turn a refusal into NULL."""
    with psycopg.connect(each_postgres_url, autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(READ)
        connection.execute(ADD)
        yield connection


def read_there(server: Connection, texts: Sequence[str]) -> list[Interval | None]:
    """Let PostgreSQL read them; None for each one that it refuses."""
    query = "SELECT pg_temp.read(given) FROM unnest(%s::text[]) WITH ORDINALITY AS texts(given, place) ORDER BY place"
    return [None if row[0] is None else decoded(row[0]) for row in server.execute(query, (list(texts),))]


def decoded(sent: object) -> Interval:
    """Read PostgreSQL's binary form."""
    assert isinstance(sent, bytes)
    microseconds, days, months = struct.unpack("!qii", sent)
    return Interval(months=months, days=days, time=timedelta(microseconds=microseconds))


def read_here(text: str) -> Interval | TriggerError:
    """Read one, or return the error."""
    try:
        return parse_interval(text)
    except TriggerError as error:
        return error


def differs_by_version(text: str, here: Interval | TriggerError) -> bool:
    """Tell whether PostgreSQL before 18 may answer otherwise.

    Words it did not know, or looseness that 16 ended.
    """
    words = re.findall("[a-z]+", text.lower())
    loose = isinstance(here, TriggerError) and here.problem.startswith(("has no number before", "has 'ago' before"))
    return loose or not {"at", "on", "mm"}.isdisjoint(words)


def compare(server: Connection, texts: Sequence[str]) -> tuple[int, list[tuple[object, ...]]]:
    """Read the texts here and there; how many were accepted by both, and those with different answers."""
    accepted, different = 0, list[tuple[object, ...]]()
    for text, there in zip(texts, read_there(server, texts), strict=True):
        here = read_here(text)
        if server.info.server_version < 180000 and differs_by_version(text, here):
            continue
        accepted += isinstance(here, Interval)
        if (here if isinstance(here, Interval) else None) != there:
            different.append((text, here, there))
    return accepted, different


def test_random_texts_mean_what_they_mean_to_postgresql(server: Connection) -> None:
    """Each form, unit, sign and mixture is accepted alike.

    It comes to the same months, days and microseconds.
    """
    texts = list(IntervalTexts(SEED).take(4000))

    accepted, different = compare(server, texts)

    assert different == []
    assert 1500 < accepted < 3000


def test_odd_texts_mean_what_they_mean_to_postgresql(server: Connection) -> None:
    """The corners that random texts seldom meet."""
    assert compare(server, ODD + FILLED)[1] == []


def test_every_word_of_up_to_three_letters_is_a_unit_where_postgresql_has_one(server: Connection) -> None:
    """And so is every known spelling, cut short and made longer, alone and run into a number."""
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    short = letters + [a + b for a in letters for b in letters] + [a + b + c for a in letters for b in letters for c in letters]
    longer = [unit[:end] for unit in UNITS for end in range(4, len(unit))] + [unit + more for unit in UNITS for more in ("s", "x", "xx")]
    words = sorted({*short, *longer, *UNITS})
    texts = [f"1 {word}" for word in words] + [f"1{word}2 h" for word in words]

    accepted, different = compare(server, texts)

    assert different == []
    assert accepted > len(UNITS)


def test_every_character_of_ascii_separates_or_spoils_as_in_postgresql(server: Connection) -> None:
    """Before, within and after a part, and in the ISO 8601 form."""
    characters = [chr(code) for code in range(1, 128)]
    slots = ("{}1h", "1{}h", "1 {} h", "1h{}", "1h{}1s", "1h {}2", "P1{}D", "PT1H{}", "P{}1D")

    assert compare(server, [place.replace("{}", character) for character in characters for place in slots])[1] == []


def random_intervals(random: Random, count: int) -> list[Interval]:
    """Draw intervals of very different sizes, each part with a sign of its own."""

    def draw(largest: int) -> int:
        limit = random.randint(0, largest) >> random.randrange(largest.bit_length())
        return random.randint(-limit, limit)

    return [Interval(months=draw(2**31 - 1), days=draw(2**31 - 1), time=draw(2**63 - 1) * MICROSECOND) for _ in range(count)]


def test_what_is_written_reads_as_the_same_interval_in_postgresql(server: Connection) -> None:
    """Intervals of every size, and the ends of the ranges."""
    edges = [
        Interval(months=-(2**31), days=-(2**31), time=(1 - 2**63) * MICROSECOND),
        Interval(months=2**31 - 1, days=2**31 - 1, time=(2**63 - 2) * MICROSECOND),
        Interval(time=-(2**63) * MICROSECOND),
        Interval(),
    ]
    intervals = edges + random_intervals(Random(SEED), 2000)  # noqa: S311 - tests, not secrets

    assert read_there(server, [format_interval(interval) for interval in intervals]) == intervals


LAST_YEAR, FIRST_YEAR = Interval(months=12 * (294_276 - 2024), days=-106_000_000), Interval(months=-12 * (2024 + 4713), days=2_000_000)
SUMS_AT_THE_ENDS = [
    (LAST_YEAR, datetime(2024, 12, 31, 23, 59, tzinfo=UTC)),
    (LAST_YEAR, datetime(2025, 1, 1, tzinfo=UTC)),
    (FIRST_YEAR, datetime(2024, 11, 24, tzinfo=UTC)),
    (FIRST_YEAR, datetime(2024, 11, 23, 23, 59, tzinfo=UTC)),
    (Interval(days=-1), datetime(1, 1, 2, tzinfo=UTC)),
    (Interval(days=-1), datetime(1, 1, 1, tzinfo=UTC)),
    (Interval(time=MICROSECOND), datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)),
    (Interval(time=MICROSECOND), datetime.max.replace(tzinfo=UTC)),
]


def random_instant(random: Random) -> datetime:
    """Draw one from all that Python has."""
    return datetime.min.replace(tzinfo=UTC) + timedelta(days=random.randrange(3652059), microseconds=random.randrange(86_400_000_000))


def test_after_is_postgresqls_addition(server: Connection) -> None:
    """Of random intervals to random instants, also where either calendar ends."""
    random = Random(SEED)  # noqa: S311 - tests, not secrets
    sums = [*((interval, random_instant(random)) for interval in random_intervals(random, 3000)), *SUMS_AT_THE_ENDS]
    intervals, instants = zip(*sums, strict=True)
    query = """
      SELECT pg_temp.add(start::timestamptz, given)
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS sums(start, given, place) ORDER BY place
    """
    rows = server.execute(query, ([instant.isoformat() for instant in instants], [format_interval(interval) for interval in intervals]))

    there = [None if row[0] is None else Decimal(str(row[0])) for row in rows]
    here = [epoch_after(interval, instant) for interval, instant in sums]

    assert here == [None if seconds is None or not within_python(seconds) else seconds for seconds in there]
    assert sum(seconds is not None for seconds in here) > 1000


def epoch_after(interval: Interval, instant: datetime) -> Decimal | None:
    """Add here, as exact seconds since 1970; None beyond the calendar."""
    try:
        return Decimal((interval.after(instant) - EPOCH) // MICROSECOND).scaleb(-6)
    except OverflowError:
        return None


def within_python(seconds: Decimal) -> bool:
    """Tell whether so many seconds since 1970 lie in the years 1 to 9999."""
    return -62135596800 <= seconds < 253402300800


def test_infinity_is_refused_though_postgresql_has_it(server: Connection) -> None:
    """Version 17 and later read it; no schedule could follow it."""
    texts = ["infinity", "-infinity", "+ Infinity"]
    query = "SELECT count(pg_temp.read(given))::text FROM unnest(%s::text[]) AS texts(given)"

    assert all(isinstance(read_here(text), TriggerError) for text in texts)
    if server.info.server_version >= 170000:
        assert server.execute(query, (texts,)).fetchone() == ("3",)
