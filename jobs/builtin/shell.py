"""A job that runs a command of the operating system.

POSIX only: it ends commands by their process groups.
"""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from reprlib import Repr
from typing import TypeAlias

from attrs import evolve, field, frozen

from duly.jobs.base import Job
from duly.jobs.builtin.process import GRACE, OUTPUT_LIMIT, Process
from duly.jobs.context import JobContext
from duly.jobs.errors import InvalidValue, JobError, TimeLimitExceeded
from duly.jobs.task import Task
from duly.jobs.validators import or_none, positive

__all__ = ["GRACE", "OUTPUT_LIMIT", "CommandNotStarted", "InvalidCommand", "ShellFailed", "ShellJob", "parse_command"]

Command: TypeAlias = str | tuple[str, ...]
"""A line for the shell, or an argv, which never sees one."""

_repr = Repr()
_repr.maxstring = 80

_EXPECTED = "a command line for the shell, or an argv (a list of texts, the program first), without NUL and not blank"


class InvalidCommand(InvalidValue):
    """A command is blank, is neither text nor an argv, or holds what no command line can."""


class CommandNotStarted(JobError):
    """A command could not be started; the operating system's error is the `__cause__`."""

    command: Command
    """The command: a line for the shell, or an argv."""

    def __init__(self, command: Command, reason: object) -> None:
        """Name the command and what the operating system says."""
        super().__init__(f"cannot start {_shown(command)}: {reason}")
        self.command = command


class ShellFailed(JobError):
    """A command ended with another exit status than 0."""

    command: Command
    """The command: a line for the shell, or an argv."""
    status: int
    """Exit status, never 0; negative: the number of the signal that ended it."""
    stdout: str
    """Its output, up to 4 KiB: the first and the last 2 KiB of more."""
    stderr: str
    """Its error output, bounded likewise."""

    def __init__(self, command: Command, status: int, stdout: str, stderr: str) -> None:
        """Name the exit status (negative: the signal that ended it) and the bounded output.

        The message shows stderr, or else stdout.
        """
        super().__init__(f"{_shown(command)} {_how_it_ended(status)}: {_said(stdout, stderr)}")
        self.command, self.status, self.stdout, self.stderr = command, status, stdout, stderr


def parse_command(payload: bytes) -> Command:
    """Read a command from a payload, UTF-8 text.

    A JSON list of texts is an argv, which never passes a shell. A text that begins with `["` and is no JSON list is refused:
    it was meant as one, and a shell must not get to see it. Any other text is a command line for the shell, as it is.

    Raises:
        InvalidCommand: it is not UTF-8, blank, or a list of anything but texts.

    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise InvalidCommand("payload", payload, "UTF-8 text") from error
    command: object = text
    # RecursionError: a list nested thousands deep.
    with suppress(ValueError, RecursionError):
        parsed = json.loads(text)
        command = parsed if isinstance(parsed, list) else text
    if command is text and text.lstrip().startswith('["'):
        raise InvalidCommand("payload", payload, "a JSON list of texts, since it begins like one")
    return _check_command("payload", command)


def _check_command(name: str, command: object) -> Command:
    argv = tuple(command) if isinstance(command, Sequence) and not isinstance(command, str | bytes | bytearray) else (command,)
    texts = [word for word in argv if isinstance(word, str) and _fits(word)]
    if not argv or len(texts) < len(argv) or not texts[0].strip():
        raise InvalidCommand(name, command, _EXPECTED)
    return command if isinstance(command, str) else tuple(texts)


def _fits(text: str) -> bool:
    """Tell whether the operating system can be handed `text`."""
    try:
        return b"\x00" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _command(command: str | Sequence[str] | None) -> Command | None:
    return None if command is None else _check_command("command", command)


def _environment(env: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Copy, and refuse what no environment can hold.

    A refusal names the variable, for its value may be a secret.
    """
    for name, text in () if env is None else env.items():
        if not isinstance(name, str) or not name or "=" in name or not _fits(name):
            raise InvalidValue("env", name, "names without = and NUL")
        if not isinstance(text, str) or not _fits(text):
            raise InvalidValue("env", name, "a variable whose value is text without NUL")
    return None if env is None else dict(env)


@frozen(eq=False)
class ShellJob(Job):
    """Run a command of the operating system.

    Exit status 0 is success. Any other raises `ShellFailed`, to which the task's `RetryPolicy` applies.

    The command is `command`: text is a line for `/bin/sh`, a list is an argv that never passes a shell. With None it is the task's
    payload, read by `parse_command`: then whoever may write a payload may run anything. With a command of its own, the
    job does not look at the payload.

    It runs in `cwd` (default: the node's) with the environment `env` (default: the node's; a mapping takes its place
    altogether), nothing on its input and no file inherited. The result is JSON, `{"status": 0, "stdout": "…", "stderr": "…"}`; of
    each stream its first and last `OUTPUT_LIMIT / 2` bytes are kept, whatever its length.

    A run ends when the command itself does: processes that it left in the background live on, unheard. At `time_limit`
    (default: none but the task's), and when the run is cancelled, its whole process group gets SIGTERM, and SIGKILL when the command
    has ended or `GRACE` is over.
    """

    command: Command | None = field(default=None, converter=_command)
    """A line for `/bin/sh`, or an argv such as `["rsync", "-a", "/data", "backup:"]`; None: the task's payload is the command."""
    kind: str = field(default="shell", kw_only=True)
    """Registered name of the job."""
    time_limit: timedelta | None = field(default=None, kw_only=True, validator=or_none(positive))
    """Longest run, after which the process group is ended; None: only the task's own limit counts."""
    cwd: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    """Directory to run in; None: the node's."""
    env: Mapping[str, str] | None = field(default=None, kw_only=True, converter=_environment, repr=False)
    """The whole environment of the command; None: the node's."""

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Run the command and return the task with its result.

        Raises:
            CommandNotStarted: there is no such program, no such directory, or no right to it.
            InvalidCommand: the payload holds no command.
            ShellFailed: the exit status is not 0.
            TimeLimitExceeded: it took longer than `time_limit`; a note holds the output so far.

        """
        command = parse_command(task.payload) if self.command is None else self.command
        process = self._start(command)
        try:
            try:
                await ctx.within(self.time_limit, process.wait())
            finally:
                await process.end(ctx)
        except TimeLimitExceeded as error:
            error.add_note(_said(*process.output))
            raise
        stdout, stderr = process.output
        if process.status:
            raise ShellFailed(command, process.status, stdout, stderr)
        return evolve(task, result=json.dumps({"status": 0, "stdout": stdout, "stderr": stderr}, ensure_ascii=False))

    def _start(self, command: Command) -> Process:
        if not hasattr(os, "killpg"):
            raise CommandNotStarted(command, "this operating system has no process groups")
        try:
            return Process(("/bin/sh", "-c", command) if isinstance(command, str) else command, cwd=self.cwd, env=self.env)
        except OSError as error:
            raise CommandNotStarted(command, error) from error


def _said(stdout: str, stderr: str) -> str:
    """Choose what tells most about a failure."""
    return stderr.strip() or stdout.strip() or "no output"


def _how_it_ended(status: int) -> str:
    if status > 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-status}"


def _shown(command: Command) -> str:
    return _repr.repr(command)
