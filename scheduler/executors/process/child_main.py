"""The child's side of `duly.scheduler.executors.process`: it calls jobs in its main thread.

It calls one job at a time. A second thread reads messages from the node. If the connection ends without a goodbye, the
node is gone. Then the current job is asked to stop, has a short grace, and is killed with every process that it
started. Only a job that holds Python's global lock in C code for ever can keep this thread from acting, and so keep the
child alive.
"""

import os
import pickle
import signal
import threading
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import cast

from duly.jobs import Job, JobContext, Task, Then
from duly.scheduler.clock import SystemClock
from duly.scheduler.executors.process.messages import Home, Message, News, Work
from duly.scheduler.executors.remote import Answer, Form, OwnWaiting, answer_of, call
from duly.scheduler.runs.spawns import Spawns
from duly.scheduler.runs.stop_signal import StopSignal

ORPHAN_GRACE = 1.0
"""Seconds that a job has to end after its node is gone."""

_LOOK = 5.0
"""Seconds between checks of the parent: a fork of the node may keep the connection open after it ends."""

_ANSWER_MAX = 64 * 1024 * 1024
"""In bytes; no task that a store accepts comes near."""

_CLOCK = SystemClock()


class _Run:
    """What the current job knows of its run."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.stop = StopSignal()
        self.spawns = Spawns()
        self._trusted_until = 0.0
        self.hear(work.news)

    def hear(self, news: News) -> None:
        """Update what the job knows of its run."""
        self._trusted_until = news.trusted_until
        if news.stop is not None:
            self.stop.set(news.stop)

    def lease_valid(self) -> bool:
        """Tell whether the lease is trusted, by this machine's clock, which the node uses, too."""
        return _CLOCK.monotonic() < self._trusted_until

    def call(self) -> Task | Then | None:
        """Call the job."""
        job, task, form = cast("tuple[Job, Task, Form]", pickle.loads(self.work.call))  # noqa: S301 - from this process' own node
        ctx = JobContext(**form, waiting=OwnWaiting(), stop=self.stop, lease_valid=self.lease_valid, spawning=self.spawns)
        return call(job, ctx, task, self.stop)


class _Child:
    """The connection to the node, and the two threads that use it."""

    def __init__(self, line: Connection) -> None:
        self._pipe = line
        self._home = cast("Home", line.recv())
        self._runs: SimpleQueue[_Run | None] = SimpleQueue()
        self._run: _Run | None = None
        self._is_orphan = False
        self._has_main = False

    def serve(self) -> None:
        """Call jobs as they come, until the node says goodbye or is gone."""
        threading.Thread(target=self._listen, name="duly-line", daemon=True).start()
        while (run := self._runs.get()) is not None:
            if not self._answer(run):
                break
        if self._is_orphan:
            _kill_all()

    def _answer(self, run: _Run) -> bool:
        answer = answer_of(lambda: self._call(run), run.spawns)
        try:
            self._pipe.send_bytes(pickled(answer))
        except OSError:  # the node is gone
            self._is_orphan = True
        return not self._is_orphan

    def _call(self, run: _Run) -> Task | Then | None:
        self._load_main(run.work)
        return run.call()

    def _load_main(self, work: Work) -> None:
        """Import the program's main module, as `multiprocessing` does, if the job is defined there.

        Only then, because importing it may have any effect.
        """
        if not self._has_main and b"__main__" in work.call:
            from multiprocessing import process, spawn  # noqa: PLC0415 - hardly any child needs it

            self._has_main = True
            current = process.current_process()
            current._inheriting = True  # type: ignore[attr-defined]  # noqa: SLF001 - this detects a module without a `__main__` guard
            try:
                spawn.prepare(dict(self._home.main))
            finally:
                del current._inheriting  # type: ignore[attr-defined]  # noqa: SLF001 - the same

    def _listen(self) -> None:
        try:
            while (message := self._next()) is not None:
                if isinstance(message, Work):
                    self._run = _Run(message)
                    self._runs.put(self._run)
                elif isinstance(message, News) and self._run is not None:
                    self._run.hear(message)
        except (EOFError, OSError):
            self._is_orphan = True
            if self._run is not None:
                self._run.hear(News(stop="its node is gone", trusted_until=float("-inf")))
        self._runs.put(None)
        if self._is_orphan:
            threading.Event().wait(ORPHAN_GRACE)
            _kill_all()

    def _next(self) -> Message:
        while not self._pipe.poll(_LOOK):
            if os.getppid() != self._home.parent:
                raise EOFError
        return cast("Message", self._pipe.recv())


def pickled(answer: Answer) -> bytes:
    """Return the answer pickled; if it cannot be sent, an answer that says why."""
    try:
        data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        pickle.loads(data)  # noqa: S301 - an answer that the node cannot load must not be sent
    except Exception as error:  # noqa: BLE001 - the job may have returned anything
        return pickle.dumps(answer_of(partial(_fail, f"what the job returned cannot be sent to its node: {error!r}")))
    if len(data) > _ANSWER_MAX:
        return pickle.dumps(answer_of(partial(_fail, f"what the job returned has {len(data)} bytes, of at most {_ANSWER_MAX}")))
    return data


def _fail(problem: str) -> Task | Then | None:
    raise ValueError(problem)


def _kill_all() -> None:
    """Kill this process and all that it started, which are one process group."""
    os.killpg(os.getpid(), signal.SIGKILL)


def serve(line: Connection) -> None:
    """Serve a node over `line`; this process must lead its own process group."""
    _Child(line).serve()
