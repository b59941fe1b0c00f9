"""Log records that know their run."""

import asyncio
import contextvars
import gc
import logging
import pickle
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import evolve

from duly.jobs import RunFacts, RunLogFilter, current_run
from duly.jobs.logs import running
from support.contexts import context, task_with

FACTS = RunFacts(slug="report:emea", kind="report", attempt=2, fire_time=datetime(2030, 1, 1, 9, tzinfo=UTC), run_id="lease.1")
FORMAT = "%(slug)s %(kind)s %(attempt)d %(fire_time)s %(run_id)s %(message)s"


class Lines(logging.Handler):
    """Keeps what it formats."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []
        self.addFilter(RunLogFilter())
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def handler() -> Iterator[Lines]:
    """A handler with the filter, at the root."""
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_record_made_inside_a_run_carries_it(handler: Lines) -> None:
    """Whichever logger it was made with."""
    with running(FACTS):
        logging.getLogger("somebody.else").info("halfway at %d%%", 50)
    assert handler.lines == ["report:emea report 2 2030-01-01T09:00:00+00:00 lease.1 halfway at 50%"]


def test_a_record_made_outside_fails_no_format(handler: Lines) -> None:
    """Texts are a dash, the number is none, before a run and after it."""
    log = logging.getLogger("somebody.else")
    log.info("before")
    with running(FACTS):
        pass
    log.info("after")
    assert handler.lines == ["- - 0 - - before", "- - 0 - - after"]


def test_a_run_inside_a_run_ends_first() -> None:
    """As a job that is called by another one for a test."""
    inner = evolve(FACTS, slug="inner")
    assert current_run() is None
    with running(FACTS):
        with running(inner):
            assert current_run() is inner
        assert current_run() is FACTS
    assert current_run() is None


async def test_runs_side_by_side_do_not_mix(handler: Lines) -> None:
    """Each coroutine has its own, and what it starts has it too, in a thread as well."""
    both = asyncio.Barrier(2)

    async def run(slug: str) -> None:
        with running(evolve(FACTS, slug=slug)):
            await both.wait()
            await asyncio.create_task(asyncio.to_thread(logging.getLogger("x").info, slug))

    await asyncio.gather(run("a"), run("b"))
    assert sorted(line.split()[0] + line.split()[-1] for line in handler.lines) == ["aa", "bb"]


def test_a_thread_without_the_context_knows_no_run() -> None:
    """One that a job starts itself needs a copy of it."""
    seen: list[RunFacts | None] = []
    with running(FACTS):
        copied = contextvars.copy_context()
        for target in (lambda: seen.append(current_run()), lambda: copied.run(lambda: seen.append(current_run()))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, FACTS]


async def test_a_coroutine_that_is_thrown_away_in_the_middle_of_a_run_is_no_error() -> None:
    """It ends in another context than it began in."""

    async def run() -> None:
        with running(FACTS):
            await asyncio.Event().wait()

    coroutine = run()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()
    gc.collect()
    assert current_run() is None


def test_the_facts_of_a_run_travel_to_another_process() -> None:
    """They are plain values."""
    assert pickle.loads(pickle.dumps(FACTS)) == FACTS  # noqa: S301 - our own bytes


def test_a_fire_time_is_shown_in_utc() -> None:
    """Whatever zone it was given in."""
    there = datetime(2030, 1, 1, 10, tzinfo=timezone(timedelta(hours=1)))
    assert evolve(FACTS, fire_time=there).fields["fire_time"] == "2030-01-01T09:00:00+00:00"


# -- ctx.log


def test_the_log_of_a_context_names_the_run_in_message_and_attributes(handler: Lines) -> None:
    """Also where nobody set the context's variable, as in a thread of the job's own."""
    ctx = context(task_with(slug="report:emea", kind="report"))
    ctx.log.warning("%d rows", 3)
    assert handler.lines == [
        "report:emea report 1 2024-01-01T12:00:00+00:00 run-1 report:emea attempt 1 for 2024-01-01T12:00:00+00:00: 3 rows"
    ]
    (record,) = handler.records
    assert (record.name, record.levelname) == ("duly.job.report", "WARNING")


@pytest.mark.parametrize(("message", "arguments", "said"), [("100%", (), "100%"), ("%s of %%s", ("a",), "a of %s")])
def test_a_slug_is_never_taken_for_a_format(handler: Lines, message: str, arguments: tuple[str, ...], said: str) -> None:
    """With arguments and without."""
    context(task_with(slug="50%s%%")).log.info(message, *arguments)
    assert handler.records[0].getMessage() == f"50%s%% attempt 1 for 2024-01-01T12:00:00+00:00: {said}"


def test_a_record_names_the_line_that_logged(handler: Lines) -> None:
    """Not one of the library's."""
    log = context(task_with()).log
    log.info("one")
    log.log(logging.INFO, "another")
    log.info("the caller's", stacklevel=2)
    assert [(record.filename, record.funcName) for record in handler.records[:2]] == [
        ("test_logs.py", "test_a_record_names_the_line_that_logged")
    ] * 2
    assert handler.records[2].funcName != "test_a_record_names_the_line_that_logged"


def test_what_a_call_adds_itself_is_kept(handler: Lines) -> None:
    """Extra attributes, and the traceback of an exception."""
    log = context(task_with()).log
    try:
        raise ZeroDivisionError  # noqa: TRY301 - what a job does
    except ZeroDivisionError:
        log.exception("failed", extra={"rows": 3, "slug": "mine"})
    (record,) = handler.records
    assert (record.__dict__["rows"], record.__dict__["slug"], record.__dict__["run_id"]) == (3, "mine", "run-1")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_level_that_is_off_costs_no_formatting(handler: Lines) -> None:
    """The message is not even made."""

    class Loud:
        def __str__(self) -> str:
            raise AssertionError

    logging.getLogger().setLevel(logging.WARNING)
    context(task_with()).log.info(Loud())
    assert handler.records == []
