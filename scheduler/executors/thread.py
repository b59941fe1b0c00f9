"""Plain `def` jobs, in threads.

The standard pool's threads are joined when the interpreter exits, so that one stuck job would keep the process for ever.
These are daemons: a process that was asked to end does end, within its grace.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable
from queue import SimpleQueue

from detent.jobs import Job, JobContext, Task
from detent.jobs.base import check_returned
from detent.scheduler.executors.base import Executor
from detent.scheduler.executors.raised import as_error, contained

_Work = Callable[[], None]


class ThreadExecutor(Executor):
    """Runs jobs in daemon threads, which are kept for the next; at most as many as there are runs at once.

    A thread cannot be killed. What is cancelled here goes on in its thread, *abandoned*: its answer is dropped, and until
    it comes it counts in `abandoned`, so that the scheduler starts no more than it has room for.
    """

    def __init__(self, name: str) -> None:
        """Start no thread yet; `name` begins the names of all."""
        self._name = name
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0
        self._at_work: dict[asyncio.Future[object], str] = {}
        """The kind of every job that a thread is in, by the answer that it owes."""

    @property
    def abandoned(self) -> int:
        """Jobs of all kinds that were given up but still work."""
        return sum(done.cancelled() for done in self._at_work)

    def abandoned_of(self, kind: str) -> int:
        """Return how many of them are of one kind; safe from any thread."""
        return sum(each == kind and done.cancelled() for done, each in self._at_work.copy().items())

    async def execute(self, job: Job, ctx: JobContext, task: Task) -> Task | None:
        """Run the job in a thread, in a copy of this context; what it returns, if it can be awaited, is awaited here."""
        with contained():
            returned = await self._call(job.kind, lambda: job.execute(ctx, task))
            return check_returned(job.kind, await returned if isawaitable(returned) else returned)

    async def _call(self, kind: str, function: Callable[[], object]) -> object:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                returned, error = context.run(function), None
            except BaseException as raised:  # noqa: BLE001 - whatever ends the job belongs to its run, not to this thread
                returned, error = None, raised
            self._idle.release()  # before the loop hears of it: what it submits then finds this thread
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
                loop.call_soon_threadsafe(self._settle, done, returned, error)

        self._at_work[done] = kind
        self._submit(work)
        return await done

    def _settle(self, done: "asyncio.Future[object]", returned: object, error: BaseException | None) -> None:
        del self._at_work[done]
        if done.cancelled():
            return
        if error is None:
            done.set_result(returned)
        else:
            done.set_exception(as_error(error))

    def _submit(self, work: _Work) -> None:
        if not self._idle.acquire(blocking=False):
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def close(self) -> None:
        """Let every thread end after the work it is in."""
        for _ in range(self._threads):
            self._work.put(None)
