"""One child process of the node: start it, send it jobs, notice its end and reap it.

It is a new interpreter (`subprocess`), not a fork: a forked copy of a process with threads may hang on their locks. It
has a session of its own. So a Ctrl-C in the terminal reaches only the node, and one signal reaches every process that
the job started.
"""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from duly.scheduler.errors import MainNotGuarded
from duly.scheduler.executors.process.messages import Home, Message, Work
from duly.scheduler.executors.process.pipe import Pipe

_BEGIN = """
import os, sys
from multiprocessing.connection import Connection
os.set_inheritable({fd}, False)
line = Connection({fd})
sys.path[:], sys.argv[:] = line.recv()
from duly.scheduler.executors.process.child_main import serve
serve(line)
"""


class Child:
    """One child process, with at most one job at a time; belongs to the event loop in which it was made."""

    def __init__(self, on_gone: Callable[["Child"], None]) -> None:
        """Start the process; call `on_gone` when it and its whole process group have ended and it is reaped.

        Raises:
            OSError: the process cannot be started.

        """
        self._loop, self._on_gone = asyncio.get_running_loop(), on_gone
        self._answer: asyncio.Future[bytes | None] | None = None
        self.gone: asyncio.Future[int] = self._loop.create_future()
        """Done when it has ended, with its exit status; negative for a signal."""
        self._reaping, self._is_reaped = threading.Lock(), False
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._popen = _start(theirs.fileno())
        except BaseException:
            ours.close()
            raise
        self._pipe = Pipe(ours, self._hear, self._end_of_line)
        self._pipe.send(pickle.dumps((_path(), sys.argv)))
        self._say(Home(parent=os.getpid(), main=_main()))
        self._watcher = threading.Thread(target=self._watch, name=f"duly-child-{self._popen.pid}", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """The id of the process and of its process group."""
        return self._popen.pid

    def ask(self, work: Work) -> "asyncio.Future[bytes | None]":
        """Call a job in the child; the result is a pickled `Answer`, or None if the child ends without one."""
        self._answer = self._loop.create_future()
        self._say(work)
        if self.gone.done():
            self._settle(None)
        return self._answer

    def tell(self, message: Message) -> None:
        """Send a message about the current job; None: end as soon as it is idle."""
        self._say(message)

    def kill(self) -> None:
        """Kill the child and every process that it started, now."""
        with self._reaping:
            if not self._is_reaped:  # once it is reaped, its id may belong to another process
                with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
                    os.killpg(self.pid, signal.SIGKILL)

    def _say(self, message: Message) -> None:
        self._pipe.send(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _hear(self, message: bytes) -> None:
        self._settle(message)

    def _end_of_line(self) -> None:
        """Kill the child: it is dead, or closed the connection, and can answer nothing more."""
        self.kill()
        self._settle(None)

    def _settle(self, answer: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _watch(self) -> None:
        """Wait in a thread for the end of the child, kill the rest of its group, and reap it.

        As long as the child is not reaped, no other group gets its id.
        """
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):  # other code of this program reaped it
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.kill()
            with self._reaping:
                self._popen.wait()
                self._is_reaped = True
        else:  # macOS before Python 3.13
            self._popen.wait()
            self._is_reaped = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._on_end)

    def _on_end(self) -> None:
        self._pipe.finish()
        self.gone.set_result(self._popen.returncode)
        self._on_gone(self)


def check_main_is_guarded() -> None:
    """Refuse a call from a child process that imports its parent's main module.

    Raises:
        MainNotGuarded: this is such a child; otherwise each child would become a node with children of its own.

    """
    process = sys.modules.get("multiprocessing.process")  # if nobody imported it, this is no child
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise MainNotGuarded


def _start(fd: int) -> "subprocess.Popen[bytes]":
    """Start a child that inherits only the file `fd`, standard output and standard error.

    `-P`: the current folder must not hide a module.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    return subprocess.Popen(  # noqa: S603 - this same interpreter
        [sys.executable, *flags, "-P", "-c", _BEGIN.format(fd=fd)],
        stdin=subprocess.DEVNULL,
        pass_fds=(fd,),
        start_new_session=True,
    )


def _path() -> list[str]:
    """Return `sys.path`, with the current folder as its full name."""
    return [entry or str(Path.cwd()) for entry in sys.path]


def _main() -> dict[str, str]:
    """Return how to import the program's main module again; empty for an interactive program."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return {"init_main_from_name": spec.name}
    path = getattr(main, "__file__", None)
    return {} if path is None else {"init_main_from_path": os.path.abspath(path)}  # noqa: PTH100 - no resolving of links
