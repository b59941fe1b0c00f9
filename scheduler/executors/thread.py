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

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.base import check_returned
from duly.scheduler.executors.base import Executor, Remains, as_error, contained

_Work = Callable[[], None]

AT_WORK = Remains("its thread cannot be killed and may still be at work: a possible double", is_at_work=True)


class ThreadExecutor(Executor):
    """Runs jobs in daemon threads, which are kept for the next; at most as many as there are runs at once.

    A thread cannot be killed. What is cancelled here goes on in its thread, *abandoned*: its answer is dropped, and until
    it comes it counts in `abandoned`, so that the scheduler starts no more than it has room for.
    """

    def __init__(self, name: str, on_room: Callable[[], None] = lambda: None) -> None:
        """Start no thread yet; `name` begins the names of all; `on_room` is called when what was abandoned has ended."""
        self._name, self._on_room = name, on_room
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0
        self._abandoned = dict[asyncio.Future[object], str]()
        """The kind of each job that was given up but still works, by the answer that it owes."""
        self._given_up = set[str]()

    @property
    def abandoned(self) -> int:
        """How many runs were given up whose jobs still work."""
        return len(self._abandoned)

    def abandoned_of(self, kind: str) -> int:
        """Return how many of them are of one kind; safe from any thread."""
        return list(self._abandoned.values()).count(kind)

    async def execute(self, job: Job, ctx: JobContext, task: Task) -> Task | Then | None:
        """Run the job in a thread, in a copy of this context; what it returns, if it can be awaited, is awaited here."""
        with contained():
            returned = await self._call(lambda: job.execute(ctx, task), ctx)
            return check_returned(job.kind, await returned if isawaitable(returned) else returned)

    async def _call(self, function: Callable[[], object], ctx: JobContext) -> object:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()
        has_answered = False

        def settle(returned: object, error: BaseException | None) -> None:
            nonlocal has_answered
            has_answered = True
            self._settle(done, returned, error)

        def work() -> None:
            try:
                returned, error = context.run(function), None
            except BaseException as raised:  # noqa: BLE001 - whatever ends the job belongs to its run, not to this thread
                returned, error = None, raised
            self._idle.release()  # before the loop hears of it: what it submits then finds this thread
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
                loop.call_soon_threadsafe(settle, returned, error)

        self._submit(work)
        try:
            return await done
        except asyncio.CancelledError:
            if done.cancelled() and not has_answered:  # else its answer came in this very turn of the loop, before or after the cancelling
                self._abandoned[done] = ctx.kind
                self._given_up.add(ctx.run_id)
            raise

    def _settle(self, done: "asyncio.Future[object]", returned: object, error: BaseException | None) -> None:
        if done.cancelled():
            self._abandoned.pop(done, None)
            self._on_room()
        elif error is None:
            done.set_result(returned)
        else:
            done.set_exception(as_error(error))

    def remains(self, run_id: str) -> Remains | None:
        """Say what became of a run that was given up, once."""
        if run_id not in self._given_up:
            return None
        self._given_up.remove(run_id)
        return AT_WORK

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
