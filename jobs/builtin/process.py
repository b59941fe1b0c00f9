"""Runs a command in a process group of its own, and leaves nothing of it behind.

Keeps its output, within bounds, and its exit status.

asyncio's own subprocesses are not used here, for three reasons. A task cancelled while one is being started loses the
process group it should end. Whether waiting for one outlasts a grandchild that keeps the pipe open differs between versions of
Python. And they are reaped at once, after which the group's id may be another's, so that nothing may be sent to it any more.
"""

import asyncio
import os
import signal
import subprocess
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import IO, cast

from duly.jobs.context import JobContext
from duly.jobs.errors import TimeLimitExceeded

OUTPUT_LIMIT = 4 * 1024
"""Bytes kept of each stream, half of them its first and half its last: at JSON's worst, six bytes for one, both fit a result."""

GRACE = timedelta(seconds=2)
"""How long a command that was asked to end (SIGTERM) may take, before it is made to (SIGKILL)."""

_CHUNK = 64 * 1024
_PIPE_MAX = 1024 * 1024
"""What a pipe holds at most on Linux, unless root allowed more: so much may be unread when its command ends."""

_CONTINUATION = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character; at most three follow the one that does."""

_to_text = getincrementaldecoder("utf-8")


class BoundedOutput:
    """The first and the last bytes of a stream; those between are counted and dropped as they come."""

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        """Keep at most `limit` bytes, an even number."""
        self._half = limit // 2
        self._head = b""
        self._tail = b""
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._half - len(self._head)
        self._head += data[:room]
        tail = self._tail + data[room:]
        self._tail = tail[-self._half :]
        self._dropped += len(tail) - len(self._tail)

    def text(self) -> str:
        """Decode as UTF-8, with U+FFFD for NUL and for what is none.

        A line tells how many bytes were dropped in the middle.
        """
        if not self._dropped:
            return _decode(self._head + self._tail)
        # A character cut in two is dropped as well: its second part here, its first by the decoder, which waits for more.
        tail = self._tail[:3].lstrip(_CONTINUATION) + self._tail[3:]
        return f"{_decode(self._head)}\n...[{self._dropped} bytes cut]...\n{_decode(tail)}"


class Process:
    """A command that was started.

    Belongs to the event loop in which it was, and only its thread may use it.

    A thread of its own waits for its end and, where the system can, leaves it unreaped: as long as the zombie is there, the
    group's id cannot become another's, and signals reach whom they are meant for. `end` reaps.
    """

    def __init__(self, argv: Sequence[str], *, cwd: str | os.PathLike[str] | None, env: Mapping[str, str] | None) -> None:
        """Start it in a session, and so in a process group, of its own, with no input and no inherited files.

        Raises:
            OSError: it cannot be started.

        """
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._reaped_elsewhere: ChildProcessError | None = None
        self._closed = False
        self.status: int | None = None
        """Exit status, negative for a signal; None until `end` has returned."""
        self._popen = subprocess.Popen(  # noqa: S603 - running the user's command is what this is for
            argv,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        self._stdout = _Capture(cast("IO[bytes]", self._popen.stdout), self._loop)
        self._stderr = _Capture(cast("IO[bytes]", self._popen.stderr), self._loop)
        try:
            Thread(target=self._watch, name=f"duly-process-{self.pid}", daemon=True).start()
        except RuntimeError:  # no more threads
            self._signal(signal.SIGKILL)
            self._ended.set()
            self._close()
            raise

    @property
    def pid(self) -> int:
        """Its id, and its group's."""
        return self._popen.pid

    @property
    def output(self) -> tuple[str, str]:
        """What was kept of its stdout and its stderr."""
        return self._stdout.kept.text(), self._stderr.kept.text()

    async def wait(self) -> None:
        """Return when the command itself has ended, whatever its children do.

        May be cancelled and called again.

        Raises:
            ChildProcessError: other code of this program reaped it, so that its exit status is not known.

        """
        await self._ended.wait()
        if self._reaped_elsewhere is not None:
            raise self._reaped_elsewhere

    async def end(self, ctx: JobContext) -> None:
        """Leave nothing running, stop reading and reap.

        To be called once, whatever happened, before `status` and `output` are asked.

        A command that has ended by itself keeps the children that it left in the background, but what they write from now on is not
        kept. One that has not is ended with its whole group: SIGTERM, then SIGKILL when the command has ended, for the rest of
        its group, or `GRACE` later, or at a cancellation. A process that left the group (`setsid`) is out of reach.
        """
        try:
            if not self._ended.is_set():
                await self._terminate(ctx)
        finally:
            self._close()

    async def _terminate(self, ctx: JobContext) -> None:
        try:
            self._signal(signal.SIGTERM)
            with suppress(TimeLimitExceeded):
                await ctx.within(GRACE, self._ended.wait())
        finally:
            self._signal(signal.SIGKILL)
        await self._ended.wait()

    def _close(self) -> None:
        self._stdout.finish()
        self._stderr.finish()
        self._closed = True
        if self._ended.is_set():
            self.status = self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the group, which may have ended."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass  # nothing is left of it: what the signal was for has come about
        except PermissionError:  # macOS says so of a group of zombies
            if not self._ended.is_set():
                raise

    def _watch(self) -> None:
        """Wait for the end, in a thread, and tell the loop."""
        try:
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            else:  # macOS before Python 3.13
                self._popen.wait()
        except ChildProcessError as error:
            self._reaped_elsewhere = error
        try:
            self._loop.call_soon_threadsafe(self._on_end)
        except RuntimeError:  # the loop is closed, so that nobody else can reap it
            self._popen.wait()

    def _on_end(self) -> None:
        self._ended.set()
        if self._closed:  # `end` was cancelled, and did not see this
            self._popen.wait()


class _Capture:
    """Reads one pipe as it fills, so that the command never waits for us, and keeps a bounded part."""

    def __init__(self, pipe: IO[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.kept = BoundedOutput()
        self._pipe, self._loop = pipe, loop
        os.set_blocking(pipe.fileno(), False)
        loop.add_reader(pipe, self._read)

    def _read(self) -> bool:
        """Read once; tell whether there may be more at once."""
        data = cast("bytes | None", self._pipe.read(_CHUNK))  # None: nothing yet
        if data == b"":
            self._loop.remove_reader(self._pipe)
        self.kept.add(data or b"")
        return bool(data)

    def finish(self) -> None:
        """Take what is there, at most a full pipe, for a child that goes on writing must not keep us.

        Then close.
        """
        for _ in range(_PIPE_MAX // _CHUNK):
            if not self._read():
                break
        self._loop.remove_reader(self._pipe)
        self._pipe.close()


def _decode(raw: bytes) -> str:
    """Decode; an unfinished character at the end is dropped."""
    return _to_text("replace").decode(raw).replace("\x00", "\ufffd")
