"""Programs that tests run as processes of their own, and what reads along."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO

from support.waiting import wait_until

_FOLDER = Path(__file__).parent


class Program:
    """A running program of this folder; its lines come in while it runs, and what it logs apart from them."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-P", str(_FOLDER / name), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(_FOLDER.parent.parent)}  # these helpers, not the library
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
        self.lines: list[str] = []
        self.log: list[str] = []
        self._reading = [
            Thread(target=_read, args=streams, daemon=True)
            for streams in ((self._process.stdout, self.lines), (self._process.stderr, self.log))
        ]
        for thread in self._reading:
            thread.start()

    def await_line(self, line: str) -> None:
        """Wait until the program has printed `line`; give up at once when it has ended without."""
        wait_until(lambda: line in self.lines or not self._reading[0].is_alive())
        assert line in self.lines, (self.lines, self.log)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @property
    def status(self) -> int | None:
        """The exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def end(self, seconds: float = 10) -> tuple[int, list[str]]:
        """Return the exit status and all lines, when the program has ended by itself within so many seconds."""
        status = self._process.wait(seconds)
        for thread in self._reading:
            thread.join(1)
        return status, self.lines

    def kill(self) -> None:
        """See to it that the program is gone."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for thread in self._reading:
            thread.join(1)


def _read(stream: IO[str], lines: list[str]) -> None:
    with stream:
        lines.extend(line.rstrip() for line in stream)


@contextmanager
def program(name: str, *arguments: str) -> Iterator[Program]:
    """Start a program; it does not outlive the context."""
    started = Program(name, *arguments)
    try:
        yield started
    finally:
        started.kill()


def say(line: str) -> None:
    """Print a line, in a program of this folder, whole also when several threads do."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def end_with_the_test() -> None:
    """End this program, which runs until it is told to stop, when the test run is killed."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock the end of the interpreter wants
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def stuck() -> None:
    """Block this thread for longer than any test lasts."""
    time.sleep(600)
