"""How one run ends: each way as a value, whatever the job does."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import FunctionJob, Job, JobContext, Task, TaskOptions
from duly.jobs.registered import RegisteredJob
from duly.jobs.storable import TEXT_LIMIT
from duly.scheduler.node.runner import Runner, result_of
from duly.scheduler.rules.endings import Ending, Interrupted, Raised, Returned, Stopped, describe
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.testing import ManualClock
from duly.stores import MemoryStore
from support.contexts import task_with
from support.live_runs import a_run
from support.schedulers import HOUR, SECOND, some_services
from support.waiting import wait_until_async

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TASK = evolve(task_with(b"payload"), lease_id="lease.0", attempt=3)


class Leave(BaseException):
    """Not an Exception."""


class Running:
    """A runner on a manual clock, and the run of `TASK` on it."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.runs = LiveRuns(self.clock)
        self.runner = Runner(some_services(self.clock, MemoryStore(), node="n", payload_limit=100), self.runs)
        self.live = a_run(TASK, self.clock, fire_time=NOON + HOUR)
        self.runs.add(self.live)

    def start(self, job: "Callable[..., object] | Wrong", *, limit: timedelta | None = None) -> "asyncio.Task[Ending]":
        """Start the job, with a time limit."""
        made = job if isinstance(job, Wrong) else FunctionJob.of("kind", job)
        registered = RegisteredJob(job=made, trigger=None, options=TaskOptions())
        task = evolve(TASK, options=TaskOptions(time_limit=limit))
        self.live.task, self.live.manner = task, self.runner.executor_of(registered).manner
        self.live.start(self.runner.run(self.live, registered), lambda *_: None)
        assert self.live.working is not None
        return self.live.working


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A runner that is closed after the test."""
    running = Running()
    yield running
    running.runner.close()


def error_of(ending: Ending) -> str:
    """Return the text of a failure."""
    assert isinstance(ending, Raised)
    return ending.error


async def test_a_job_is_told_which_run_it_is_in(running: Running) -> None:
    """Everything a context has."""
    seen: list[JobContext] = []

    async def work(ctx: JobContext, task: Task) -> Task:
        seen.append(ctx)
        return task

    assert await running.start(work) == Returned(running.live.task)
    (ctx,) = seen
    assert (ctx.slug, ctx.kind, ctx.node, ctx.fire_time, ctx.attempt, ctx.run_id) == ("task", "kind", "n", NOON + HOUR, 3, "lease.0")
    assert ctx.lease_valid()
    assert ctx.stop_reason is None
    assert running.live.started_at == NOON


class Wrong(Job):
    """Returns what it was made with."""

    kind = "wrong"

    def __init__(self, returned: Task) -> None:
        self.returned = returned

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Return it."""
        return self.returned


@pytest.mark.parametrize(
    ("returned", "expected"),
    [(task_with(slug="another"), "returned task 'another'"), (evolve(TASK, payload=b"x" * 101), "at most 100 bytes, this has 101")],
)
async def test_a_task_that_cannot_be_kept_fails_the_run(running: Running, returned: Task, expected: str) -> None:
    """Another task's, or one with too large a payload."""
    assert expected in error_of(await running.start(Wrong(returned)))


async def test_a_payload_that_stays_may_be_larger_than_this_node_schedules(running: Running) -> None:
    """Another program wrote it, or this one under another limit; the job has done its work."""

    async def work(ctx: JobContext, task: Task) -> Task:
        return evolve(task, result="done")

    running.start(work)
    running.live.task = evolve(running.live.task, payload=b"x" * 101)
    assert running.live.working is not None

    assert isinstance(await running.live.working, Returned)


@pytest.mark.parametrize("limit", [None, HOUR])
@pytest.mark.parametrize("error", [ValueError("no luck"), SystemExit(3), Leave("out"), StopIteration(7)])
@pytest.mark.parametrize("is_async", [True, False])
async def test_whatever_a_job_raises_is_its_runs_failure(
    running: Running, error: BaseException, *, is_async: bool, limit: timedelta | None
) -> None:
    """With the traceback, and with the value of the error; the event loop and the thread go on."""

    def work() -> None:
        raise error

    async def async_work() -> None:
        await asyncio.sleep(0)
        work()

    text = error_of(await running.start(async_work if is_async else work, limit=limit))
    assert type(error).__name__ in text
    assert "in work" in text


async def test_a_coroutine_past_its_limit_is_cancelled(running: Running) -> None:
    """When it is gone, the run has failed."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    working = running.start(work, limit=SECOND)
    await wait_until_async(lambda: running.live.started is not None)
    running.clock.advance(SECOND)
    assert "stopped at its time limit of 0:00:01" in error_of(await working)
    assert ended == ["ended"]


async def test_a_thread_past_its_limit_is_told_and_given_up(running: Running) -> None:
    """It counts as abandoned until it ends."""
    told, gate = list[str | None](), threading.Event()

    def work(ctx: JobContext) -> None:
        ctx.stop.wait(10 * SECOND)
        told.append(ctx.stop_reason)
        gate.wait(10)

    working = running.start(work, limit=SECOND)
    await wait_until_async(lambda: running.live.started is not None)
    running.clock.advance(SECOND)
    assert error_of(await working).endswith("its thread cannot be killed and may still be at work: a possible double")
    await wait_until_async(lambda: told)
    assert (told, running.runner.abandoned_of()) == (["stopped at its time limit of 0:00:01"], 1)
    gate.set()
    await wait_until_async(lambda: running.runner.abandoned_of() == 0)


@pytest.mark.parametrize("ending", [Stopped("asked to"), Interrupted("the end")])
async def test_a_coroutine_that_is_ended_early_is_cancelled(running: Running, ending: Stopped | Interrupted) -> None:
    """Its run counts as what it was ended for."""
    working = running.start(asyncio.Event().wait)
    await wait_until_async(lambda: running.live.started is not None)
    running.live.end_early(ending)
    running.live.end_early(Interrupted("too late: the first reason stands"))
    assert await working == ending


@pytest.mark.parametrize("ending", [Stopped("asked to"), Interrupted("the end")])
async def test_a_job_that_fails_on_being_ended_early_counts_as_ended_early(running: Running, ending: Stopped | Interrupted) -> None:
    """It spends no attempt by what it was told to do; the record has its error."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            raise ConnectionError("the line was cut") from cancelled

    working = running.start(work)
    await wait_until_async(lambda: running.live.started is not None)
    running.live.end_early(ending)
    ended = await working
    assert type(ended) is type(ending)
    assert ended.reason.startswith(ending.reason)
    assert ended.reason.endswith("ConnectionError: the line was cut")


async def test_a_coroutine_that_ends_well_on_being_cancelled_counts_as_done(running: Running) -> None:
    """It came to its end."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    working = running.start(work)
    await wait_until_async(lambda: running.live.started is not None)
    running.live.end_early(Stopped("asked to"))
    assert await working == Returned(running.live.task)


async def test_a_thread_that_is_ended_early_is_told_and_waited_for(running: Running) -> None:
    """The first reason stands; it may come to a good end."""
    told: list[str | None] = []

    def work(ctx: JobContext) -> None:
        assert ctx.stop.wait(10 * SECOND)
        told.append(ctx.stop_reason)

    working = running.start(work)
    await wait_until_async(lambda: running.live.started is not None)
    running.live.end_early(Stopped("asked to"))
    running.live.end_early(Interrupted("the end"))
    assert await working == Returned(running.live.task)
    assert told == ["asked to"]


async def test_a_thread_that_is_abandoned_after_that_counts_as_ended_early(running: Running) -> None:
    """And the record says that it may still work."""
    gate, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait(10)

    working = running.start(work)
    await wait_until_async(started.is_set)
    running.live.end_early(Interrupted("the end"))
    running.live.abandon()
    assert await working == Interrupted("the end; its thread cannot be killed and may still be at work: a possible double")
    gate.set()


async def test_a_job_that_cancels_itself_has_failed(running: Running) -> None:
    """Nobody else wanted it to end."""

    async def work() -> None:
        raise asyncio.CancelledError

    assert "CancelledError" in error_of(await running.start(work))


async def test_a_run_that_is_cancelled_with_its_event_loop_has_no_ending(running: Running) -> None:
    """Its lease will end, and the next locker record it as lost."""
    working = running.start(asyncio.Event().wait)
    await wait_until_async(lambda: running.live.started is not None)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


@pytest.mark.parametrize("limit", [None, HOUR])
@pytest.mark.parametrize("kind", ["coroutine", "thread", "awaitable"])
async def test_a_generator_exit_out_of_a_job_is_its_runs_failure(running: Running, kind: str, limit: timedelta | None) -> None:
    """It ends the run, and no coroutine of the library; with and without a time limit."""

    async def leave() -> None:
        await asyncio.sleep(0)
        raise GeneratorExit("out of here")

    def leave_thread() -> None:
        raise GeneratorExit("out of here")

    jobs: dict[str, Callable[..., object]] = {"coroutine": leave, "thread": leave_thread, "awaitable": lambda: leave()}  # noqa: PLW0108 - a `def`
    ending = await running.start(jobs[kind], limit=limit)
    assert isinstance(ending, Raised)
    assert "the job raised GeneratorExit('out of here')" in ending.error


async def test_a_run_ends_even_if_the_runner_itself_fails(running: Running) -> None:
    """Its outcome says what happened."""

    async def fail() -> Ending:
        raise GeneratorExit

    working = asyncio.create_task(fail())
    await asyncio.wait([working])
    ending = result_of(working)
    assert isinstance(ending, Raised)
    assert "GeneratorExit" in ending.error


async def test_a_run_whose_lease_cannot_be_trusted_does_not_start(running: Running) -> None:
    """The event loop was busy for so long; another node may have the task."""
    seen: list[str] = []
    running.clock.advance(HOUR)
    ending = await running.start(lambda: seen.append("ran"))
    assert isinstance(ending, Interrupted)
    assert (seen, running.live.started_at) == ([], None)


async def test_a_job_sees_when_its_lease_is_no_longer_valid(running: Running) -> None:
    """By the clock alone, to the instant; and at once when it is known to be lost."""
    seen: list[bool] = []

    async def work(ctx: JobContext) -> None:
        seen.append(ctx.lease_valid())
        running.clock.advance(HOUR - timedelta(microseconds=1))
        seen.append(ctx.lease_valid())
        running.live.lease.is_lost = True
        seen.append(ctx.lease_valid())
        running.live.lease.is_lost = False
        running.clock.advance(timedelta(microseconds=1))
        seen.append(ctx.lease_valid())

    await running.start(work)
    assert seen == [True, True, False, False]


def test_an_error_is_described_with_its_traceback_and_bounded() -> None:
    """Of a long one the start and, more of it, the end are kept."""
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("seven")
    assert describe(caught.value).startswith("Traceback")
    assert "[cut]" not in describe(caught.value)
    assert describe(caught.value).endswith("invalid literal for int() with base 10: 'seven'")
    text = describe(ValueError("x" * 1_000_000 + "the end"))
    assert text.startswith("ValueError: xxx")
    assert "...[cut]..." in text
    assert text.endswith("the end")
    assert len(describe(ValueError("\N{GRINNING FACE}" * 1_000_000)).encode()) <= TEXT_LIMIT
