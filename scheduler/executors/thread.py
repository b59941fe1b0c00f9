"""Plain `def` jobs, run in threads.

Python joins the threads of the standard pool when the interpreter exits, so one stuck job would keep the process for
ever. These threads are daemons: a process that was asked to stop does stop, within its grace.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable
from queue import SimpleQueue

from duly.jobs import Job, JobContext, Task, Then
from duly.jobs.base import check_returned, is_async
from duly.scheduler.executors.base import Abandoned, Executor, Remains, as_error, contained
from duly.scheduler.executors.remote import OwnLoop
from duly.scheduler.runs.live_run import LiveRun, Manner

_Work = Callable[[], None]

AT_WORK = Remains("its thread cannot be killed and may still be at work: a possible double", is_at_work=True)


class ThreadExecutor(Executor):
    """Runs jobs in daemon threads and keeps these for further jobs; at most one thread per run.

    A thread cannot be killed. The job of a cancelled run goes on in its thread, and its answer is dropped. Until then the
    run counts as *abandoned* and takes room.
    """

    manner: Manner = Manner(is_cancellable=False)

    def __init__(self, name: str, on_room: Callable[[], None] = lambda: None) -> None:
        """Start no thread yet. Thread names begin with `name`.

        `on_room` is called when the job of an abandoned run has ended.
        """
        self._name = name
        self._abandoned = Abandoned(AT_WORK, on_room)
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    async def execute(self, run: LiveRun, job: Job, ctx: JobContext, /) -> Task | Then | None:
        """Run the job in a thread, in a copy of this context; an awaitable that it returns is awaited here.

        An `async def` job that is registered to run in a thread gets an event loop of its own there.
        """
        called = OwnLoop(job.kind, job, run.stop) if is_async(job) else job
        return await run.work(self._executed(run, called, ctx))

    async def _executed(self, run: LiveRun, job: Job, ctx: JobContext) -> Task | Then | None:
        run.job_task = asyncio.current_task()
        with contained():
            returned = await self._call(lambda: job.execute(ctx, run.task), ctx)
            return check_returned(job.kind, await returned if isawaitable(returned) else returned)

    async def _call(self, function: Callable[[], object], ctx: JobContext) -> object:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()
        has_answered = False

        def settle(returned: object, error: BaseException | None) -> None:
            nonlocal has_answered
            has_answered = True
            self._settle(done, ctx.run_id, returned, error)

        def work() -> None:
            try:
                returned, error = context.run(function), None
            except BaseException as raised:  # noqa: BLE001 - whatever the job raises belongs to its run, not to this thread
                returned, error = None, raised
            self._idle.release()  # before the loop gets the answer: its next job then finds this thread idle
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer
                loop.call_soon_threadsafe(settle, returned, error)

        self._submit(work)
        try:
            return await done
        except asyncio.CancelledError:
            if done.cancelled() and not has_answered:  # else the job answered in this turn of the loop
                self._abandoned.add(ctx.run_id, ctx.kind)
            raise

    def _settle(self, done: "asyncio.Future[object]", run_id: str, returned: object, error: BaseException | None) -> None:
        if done.cancelled():
            self._abandoned.ended(run_id)
        elif error is None:
            done.set_result(returned)
        else:
            done.set_exception(as_error(error))

    def remains(self, run_id: str) -> Remains | None:
        """Return what is left of a run that was given up, once per run."""
        return self._abandoned.remains(run_id)

    def abandoned_of(self, kind: str | None = None) -> int:
        """Return how many runs were given up whose jobs still work; safe from any thread."""
        return self._abandoned.of(kind)

    def _submit(self, work: _Work) -> None:
        if not self._idle.acquire(blocking=False):
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def close(self) -> None:
        """End every thread after its current job."""
        for _ in range(self._threads):
            self._work.put(None)
