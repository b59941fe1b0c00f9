"""What a payload says is to be run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.jobs.builtin.shell import Command, InvalidCommand, ShellJob, parse_command

TABLE: list[tuple[bytes, Command]] = [
    (b"echo hello", "echo hello"),
    (b"  echo hello\n", "  echo hello\n"),
    ("echo é".encode(), "echo é"),
    (b'["echo", "a b"]', ("echo", "a b")),
    (b' [ "echo" ]\n', ("echo",)),
    (b'["echo", ""]', ("echo", "")),
    (b'[ "$x" = y ] && echo', '[ "$x" = y ] && echo'),
    (b"[[ -f x ]]", "[[ -f x ]]"),
    (b'"quoted program" x', '"quoted program" x'),
    (b'{"a": 1}', '{"a": 1}'),
    (b"1", "1"),
    (b"[" * 100_000, "[" * 100_000),
]

REFUSED = {
    "empty": b"",
    "blank": b" \n",
    "NUL": b"echo \x00",
    "no UTF-8": b"echo \xff",
    "empty list": b"[]",
    "blank program": b'[" ", "x"]',
    "number": b'["echo", 1]',
    "list in a list": b'[["echo"]]',
    "NUL in a list": b'["echo", "\\u0000"]',
    "surrogate in a list": b'["echo", "\\ud800"]',
    "broken list": b'["echo", "$(id)"',
    "comma too many": b'["echo", "$(id)",]',
}


@pytest.mark.parametrize(("payload", "command"), TABLE, ids=[repr(payload[:20]) for payload, _ in TABLE])
def test_a_json_list_is_an_argv_and_any_other_text_a_line(payload: bytes, command: Command) -> None:
    """Lines are handed on as they are."""
    assert parse_command(payload) == command


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED)
def test_what_is_no_command_is_refused(payload: bytes) -> None:
    """Most of all a broken list, which must not reach a shell."""
    with pytest.raises(InvalidCommand) as caught:
        parse_command(payload)

    assert caught.value.field == "payload"


@given(st.binary())
def test_every_payload_is_a_command_or_refused(payload: bytes) -> None:
    """There is no third way, and no list of texts for a shell."""
    try:
        command = parse_command(payload)
    except InvalidCommand:
        return
    assert isinstance(command, tuple) or not command.lstrip().startswith('["')


@pytest.mark.parametrize("command", ["", " ", [], [""], ["a\0"], "a\0", ["\ud800"], [1], b"echo", 7])
def test_a_job_with_no_command_to_run_is_refused(command: object) -> None:
    """When it is made."""
    with pytest.raises(InvalidCommand) as caught:
        ShellJob(command)  # type: ignore[arg-type]

    assert caught.value.field == "command"


def test_file_names_that_are_no_text_may_be_arguments() -> None:
    """As Python reads them from a directory."""
    assert ShellJob(["cat", "\udcff"]).command == ("cat", "\udcff")
