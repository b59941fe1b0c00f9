"""The job that prints."""

import io

import pytest

from duly.jobs import JobRegistry
from duly.jobs.builtin.print import PrintJob
from support.contexts import context, task_with


def printed(payload: bytes, encoding: str = "utf-8") -> str:
    """What the job writes to a stream of that encoding."""
    raw = io.BytesIO()
    task = task_with(payload, slug="greet:me")
    stream = io.TextIOWrapper(raw, encoding=encoding)
    PrintJob(stream=stream).execute(context(task), task)
    return raw.getvalue().decode(encoding)


def test_a_fire_is_a_line() -> None:
    """Of the slug, the fire time and the payload, and flushed."""
    assert printed(b"hello") == "greet:me 2024-01-01T12:00:00+00:00 hello\n"


def test_an_empty_payload_leaves_no_blank() -> None:
    """The line ends with the fire time."""
    assert printed(b"") == "greet:me 2024-01-01T12:00:00+00:00\n"


def test_a_payload_that_is_no_text_is_printed_all_the_same() -> None:
    """Its bytes become replacement characters."""
    assert printed(b"\xff!").endswith("\ufffd!\n")


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    """An odd payload must not fail the job."""
    assert printed("é€".encode(), encoding="ascii").endswith("\\xe9\\u20ac\n")


def test_it_prints_to_the_standard_output_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    """A job made before the output was redirected follows it."""
    task = task_with(b"hello")

    returned = PrintJob().execute(context(task), task)

    assert capsys.readouterr().out == "task 2024-01-01T12:00:00+00:00 hello\n"
    assert returned is task


def test_its_kind_may_be_chosen() -> None:
    """So that two of them can be registered."""
    registry = JobRegistry()
    registry.register_job(PrintJob())
    registry.register_job(PrintJob(kind="shout"))

    assert registry.kinds == ("print", "shout")
