"""Real processes share the places of a kind that has a limit over all nodes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from attrs import field, frozen
from psycopg.sql import SQL, Identifier

from duly.scheduler import NewTask, StdScheduler
from duly.stores import open_store
from support.postgres import ask
from support.programs import Program, program
from support.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.postgres

LEASE = timedelta(seconds=1)
"""That of the programs."""


@frozen
class Log:
    """A namespace of the test's own, and where the runs of its programs are logged, by the server's clock."""

    url: str
    namespace: str = field(factory=lambda: uuid4().hex)

    @property
    def arguments(self) -> list[str]:
        """What the programs need to know."""
        return [store_url(self.url), self.namespace, self.url]

    def runs(self) -> list[tuple[str, datetime, datetime | None]]:
        """Return node, begin and end of every run, by its begin."""
        with psycopg.connect(self.url) as connection:
            table = Identifier(f"log_{self.namespace}")
            return connection.execute(SQL("SELECT node, began, ended FROM {} ORDER BY began").format(table)).fetchall()


@pytest.fixture
def log(postgres_url: str) -> Iterator[Log]:
    """An empty log."""
    log = Log(postgres_url)
    ask(log.url, f"CREATE TABLE log_{log.namespace} (run text PRIMARY KEY, node text, began timestamptz, ended timestamptz)")
    yield log
    ask(log.url, f"DROP TABLE log_{log.namespace}")


def store_url(url: str) -> str:
    """Return the address of the store on a server."""
    return f"{url}{'&' if '?' in url else '?'}schema=places_tests"


@pytest_asyncio.fixture
async def scheduler(log: Log) -> AsyncIterator[StdScheduler]:
    """A scheduler that knows no job: it only schedules."""
    async with StdScheduler(open_store(store_url(log.url), namespace=log.namespace)) as scheduler:
        yield scheduler


def most_at_once(runs: list[tuple[str, datetime, datetime | None]]) -> int:
    """Return how many runs overlapped at most; one that has no end goes on."""
    changes = [(began, 1) for _, began, _ in runs] + [(ended, -1) for _, _, ended in runs if ended is not None]
    at_once = most = 0
    for _, change in sorted(changes):
        at_once += change
        most = max(most, at_once)
    return most


async def test_all_processes_together_run_no_more_than_the_limit(scheduler: StdScheduler, log: Log) -> None:
    """The limit is reached, and every task is run once."""
    with ExitStack() as stack:
        for node in [stack.enter_context(program("sharing.py", *log.arguments, "2")) for _ in range(3)]:
            node.await_line("ready")
        await scheduler.schedule_jobs([NewTask(f"t{number:03}", "shared", remote=True) for number in range(120)])
        await wait_until_async(lambda: sum(ended is not None for _, _, ended in log.runs()) >= 120, timeout=timedelta(seconds=60))
    runs = log.runs()
    assert len(runs) == 120
    assert most_at_once(runs) == 2


async def test_every_process_has_its_part_though_two_could_have_all_slots_for_ever(scheduler: StdScheduler, log: Log) -> None:
    """There is more to do than this test waits for.

    So no node gets its part because the others have none left.
    """
    with ExitStack() as stack:
        for node in [stack.enter_context(program("sharing.py", *log.arguments, "2")) for _ in range(3)]:
            node.await_line("ready")
        await scheduler.schedule_jobs([NewTask(f"t{number:04}", "shared", remote=True) for number in range(4000)])
        await wait_until_async(lambda: len({node for node, _, _ in log.runs()}) == 3, timeout=timedelta(seconds=60))
    runs = log.runs()
    assert len(runs) < 4000
    assert most_at_once(runs) == 2


async def test_the_slots_of_a_killed_node_are_free_within_about_a_lease(scheduler: StdScheduler, log: Log) -> None:
    """Nobody else runs while it lives, although more is due."""
    with program("sharing.py", *log.arguments, "1") as first, program("sharing.py", *log.arguments, "1") as second:
        for node in (first, second):
            node.await_line("ready")
        await scheduler.schedule_jobs([NewTask(slug, "shared", payload=b"stuck", remote=True) for slug in ("a", "b")])
        holder, waiting = await holder_and_waiting(first, second)
        await outlive(log, 2 * LEASE)
        assert len(log.runs()) == 1
        killed_at = server_time(log)
        holder.kill()
        wait_until(lambda: len(waiting.lines) > 1)
        began = log.runs()[-1][1]
        assert began - killed_at <= 2 * LEASE


async def holder_and_waiting(*nodes: Program) -> tuple[Program, Program]:
    """Return the node that runs something, and the other."""
    await wait_until_async(lambda: any(len(node.lines) > 1 for node in nodes))
    first, second = nodes
    return (first, second) if len(first.lines) > 1 else (second, first)


def server_time(log: Log) -> datetime:
    """Return what the server's clock says."""
    now = ask(log.url, "SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


async def outlive(log: Log, span: timedelta) -> None:
    """Return when `span` has passed by the server's clock."""
    until = server_time(log) + span
    await wait_until_async(lambda: server_time(log) > until)
