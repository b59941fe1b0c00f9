"""Jobs in processes of their own: what comes back, what is killed, and what is left."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from duly.jobs import Job, JobEnding, JobRegistry, RetryPolicy, Task, Then
from duly.scheduler import RunEnded
from duly.scheduler.executors import ProcessExecutor
from duly.scheduler.executors.remote import form_of
from duly.scheduler.rules.endings import Interrupted, RemoteError, Returned, Stopped
from duly.scheduler.testing import run_due
from duly.stores import RunQuery
from support import remote_jobs
from support.contexts import context, task_with
from support.driven import driven
from support.live_runs import a_run
from support.lives import takes_less_than
from support.programs import program
from support.remote import Remote, apart, began, children, ended, error_of, is_gone, result_of, task_of, word_in
from support.schedulers import SECOND, a_scheduler, heard
from support.waiting import wait_until, wait_until_async

LIMIT = SECOND / 2


@pytest.fixture
async def runner() -> AsyncIterator[Remote]:
    """A runner, of which no process is left afterwards."""
    before = set(children())
    async with apart() as runner:
        yield runner
    assert set(children()) <= before


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that a job touches when it begins."""
    return tmp_path / "began"


# -- what comes back


async def test_a_job_in_a_process_is_told_which_run_it_is_in(runner: Remote) -> None:
    """The context is that of any other job; the thread is the process' main one."""
    *told, pid, thread = json.loads(await runner.result(remote_jobs.report, "process"))
    noon = "2030-01-01T12:00:00+00:00"
    assert told == ["task", "kind", "n", noon, 3, "lease.0", f"task@{noon}", None, True]
    assert pid != os.getpid()
    assert thread == "MainThread"


async def test_a_coroutine_in_a_process_has_a_loop_of_its_own(runner: Remote) -> None:
    """It can sleep and bound its waits there."""
    pid, thread = (await runner.result(remote_jobs.report_async, "process")).split()
    assert int(pid) != os.getpid()
    assert thread == "MainThread"


async def test_a_child_serves_one_job_after_another(runner: Remote) -> None:
    """Starting one costs more than most jobs."""
    pids = [await runner.result(remote_jobs.pid, "process") for _ in range(5)]
    assert len(set(pids)) == 1


async def test_jobs_at_once_have_a_process_each(runner: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more are kept idle than there are processors; here, one."""
    executor = runner.runner._executors["process"]
    assert isinstance(executor, ProcessExecutor)
    monkeypatch.setattr(executor, "_most_idle", 1)
    pids = await asyncio.gather(*(runner.result(remote_jobs.pid, "process") for _ in range(3)))
    assert len(set(pids)) == 3
    await wait_until_async(lambda: len(executor._children) == 1)
    assert await runner.result(remote_jobs.pid, "process") in pids


async def test_a_payload_of_any_size_goes_both_ways(runner: Remote) -> None:
    """More than the line holds at once."""
    ending = await runner.run(remote_jobs.echo, "process", payload=b"x" * 200_000)
    assert task_of(ending).payload == b"x" * 400_000


async def test_what_is_no_task_is_refused_there(runner: Remote) -> None:
    """As from any job."""
    assert "returned str: expected its Task" in error_of(await runner.run(remote_jobs.Wrong(), "process"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (remote_jobs.no_luck, "ValueError: no luck"),
        (remote_jobs.leave, "SystemExit(3)"),
        (remote_jobs.Unsendable, "Unsendable: no pickle takes"),
    ],
)
async def test_an_error_comes_back_with_its_traceback(runner: Remote, make: Callable[[], BaseException], expected: str) -> None:
    """Also one that cannot be pickled, or that would end a process; the child goes on."""
    pid = await runner.result(remote_jobs.pid, "process")
    text = error_of(await runner.run(remote_jobs.Raising(make), "process"))
    assert expected in text
    assert "in execute" in text
    assert "RemoteError" not in text
    assert await runner.result(remote_jobs.pid, "process") == pid


async def execute(runner: Remote, job: Job) -> Task | Then | None:
    """Call the executor itself."""
    task = task_with(b"")
    return await runner.runner._executors["process"].execute(a_run(task, runner.clock), job, context(task))


async def test_an_error_tells_what_it_is_an_instance_of(runner: Remote) -> None:
    """By qualified names, for a retry policy to compare."""
    with pytest.raises(RemoteError, match="no luck") as caught:
        await execute(runner, remote_jobs.Raising(remote_jobs.no_luck))
    assert caught.value.names[:3] == ("builtins.ValueError", "builtins.Exception", "builtins.BaseException")


@pytest.mark.parametrize("make", [remote_jobs.retry, remote_jobs.fail, remote_jobs.cancel, remote_jobs.NotBefore])
async def test_how_a_job_wants_to_end_comes_back_as_itself(runner: Remote, make: Callable[[], JobEnding]) -> None:
    """With its arguments; of a class of the user's own, as the library's class."""
    expected = make()
    with pytest.raises(JobEnding) as caught:
        await execute(runner, remote_jobs.Raising(make))
    assert isinstance(expected, type(caught.value))
    assert caught.value.reason == expected.reason
    assert getattr(caught.value, "after", None) == getattr(expected, "after", None)
    assert "in execute" in str(caught.value.__cause__)


@pytest.mark.parametrize(("job", "expected"), [(remote_jobs.Locked(), "cannot pickle"), (remote_jobs.Unloadable(), "JSONDecodeError")])
async def test_a_job_that_cannot_be_sent_fails_its_run(runner: Remote, job: Job, expected: str) -> None:
    """On either side; the next is run."""
    assert expected in error_of(await runner.run(job, "process"))
    assert isinstance(await runner.run(remote_jobs.nothing, "process"), Returned)


def test_no_field_of_a_context_is_forgotten_on_the_way() -> None:
    """Only its lines to the node stay here."""
    assert set(form_of(context(task_with()))) == {"slug", "kind", "node", "fire_time", "attempt", "run_id"}


# -- its end


@pytest.mark.parametrize(("job", "expected"), [(remote_jobs.dies, "exit status 3"), (remote_jobs.crashes, "killed by SIGSEGV")])
async def test_a_process_that_dies_is_an_error_of_its_run(runner: Remote, job: Callable[..., object], expected: str) -> None:
    """The next run has another process."""
    before = await runner.result(remote_jobs.pid, "process")
    assert f"({before}) ended before the job did: {expected}" in error_of(await runner.run(job, "process"))
    assert await runner.result(remote_jobs.pid, "process") != before


async def test_a_process_that_dies_takes_what_it_started_along(runner: Remote, file: Path) -> None:
    """Even if that holds the line to the node open."""
    assert "exit status 4" in error_of(await runner.run(remote_jobs.forks_and_dies, "process", payload=file))
    _, fork = await began(file)
    await wait_until_async(lambda: is_gone(fork))


async def test_a_job_past_its_limit_is_killed_with_what_it_started(runner: Remote, file: Path) -> None:
    """After its grace, with a word in the record; nobody counts as abandoned."""
    await runner.result(remote_jobs.pid, "process")
    text = error_of(await ended(runner.start(remote_jobs.parent, "process", limit=3 * SECOND, payload=file)))
    assert text.endswith("stopped at its time limit of 0:00:03; its process was killed")
    assert runner.runner.abandoned_of() == 0
    assert runner.events == []
    for pid in await began(file):
        await wait_until_async(lambda pid=pid: is_gone(pid))


async def test_a_job_that_obeys_at_its_limit_keeps_its_process(runner: Remote, file: Path) -> None:
    """What it still answers counts, as from a coroutine that is cancelled."""
    pid = await runner.result(remote_jobs.pid, "process")
    live = runner.start(remote_jobs.obedient, "process", limit=LIMIT, payload=file)
    assert json.loads(result_of(await ended(live))) == [f"stopped at its time limit of {LIMIT}", True]
    assert await runner.result(remote_jobs.pid, "process") == pid


async def test_a_coroutine_past_its_limit_is_cancelled_there(runner: Remote, file: Path) -> None:
    """It cleans up, and the run has failed."""
    await runner.result(remote_jobs.pid, "process")
    text = error_of(await ended(runner.start(remote_jobs.obedient_async, "process", limit=LIMIT, payload=file)))
    assert text.endswith(f"stopped at its time limit of {LIMIT}")
    assert word_in(file) == f"cleaned up: stopped at its time limit of {LIMIT}"


async def test_a_coroutine_that_cancels_itself_there_has_failed(runner: Remote) -> None:
    """Nobody else wanted it to end."""
    assert "CancelledError" in error_of(await runner.run(remote_jobs.cancels_itself, "process"))


@pytest.mark.parametrize("ending", [Stopped("asked to"), Interrupted("the end")])
async def test_a_job_that_is_ended_early_is_told_and_then_killed(runner: Remote, file: Path, ending: Stopped | Interrupted) -> None:
    """Its run counts as what it was ended for."""
    live = runner.start(remote_jobs.stuck, "process", payload=file)
    (pid,) = await began(file)
    live.end_early(ending)
    assert await ended(live) == type(ending)(f"{ending.reason}; its process was killed")
    assert is_gone(pid)


async def test_a_run_that_is_abandoned_is_killed_at_once(runner: Remote, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever abandons it has no time for another grace."""
    monkeypatch.setattr("duly.scheduler.executors.process.executor.GRACE", 60 * SECOND)
    live = runner.start(remote_jobs.stuck, "process", payload=file)
    (pid,) = await began(file)
    async with takes_less_than(10 * SECOND):
        live.end_early(Interrupted("the end"))
        await asyncio.sleep(0)
        live.abandon()
        await ended(live)
    await wait_until_async(lambda: is_gone(pid))


async def test_a_coroutine_that_is_ended_early_is_cancelled_there(runner: Remote, file: Path) -> None:
    """With the reason in its context."""
    live = runner.start(remote_jobs.obedient_async, "process", payload=file)
    await began(file)
    live.end_early(Stopped("asked to"))
    assert await ended(live) == Stopped("asked to")
    assert word_in(file) == "cleaned up: asked to"


# -- the lease


async def test_a_job_hears_that_its_lease_is_lost(runner: Remote, file: Path) -> None:
    """As soon as the node knows."""
    live = runner.start(remote_jobs.lease_lasts, "process", payload=file)
    await began(file)
    live.lease.lose()
    assert json.loads(result_of(await ended(live))) == [None, False]


async def test_a_lease_ends_for_a_job_by_the_clock_alone(runner: Remote, file: Path) -> None:
    """As when the node hangs, and cannot say so."""
    live = runner.start(remote_jobs.lease_lasts, "process", payload=file)
    await began(file)
    live.lease.trusted_until = runner.clock.monotonic() + 0.3
    live.lease.extend(live.lease.held, 0.0)
    assert json.loads(result_of(await ended(live))) == [None, False]
    assert not live.is_trusted


async def test_a_lease_that_is_extended_goes_on_for_its_job(runner: Remote, file: Path) -> None:
    """Beyond the instant that was known at first."""
    await runner.result(remote_jobs.pid, "process")
    live = runner.start(remote_jobs.lease_lasts, "process", payload=file)
    first = live.lease.trusted_until = runner.clock.monotonic() + 1
    await began(file)
    live.lease.trusted_until = first + 60
    live.lease.extend(live.lease.held, 0.0)
    await wait_until_async(lambda: runner.clock.monotonic() > first)
    live.end_early(Stopped("asked to"))
    assert json.loads(result_of(await ended(live))) == ["asked to", True]


# -- a whole scheduler


def the_jobs() -> JobRegistry:
    """A stuck job with a limit, and two good neighbours."""
    registry = JobRegistry()
    registry.job("stuck", executor="process", time_limit=4 * SECOND, retry=RetryPolicy(limit=0))(remote_jobs.stuck)
    registry.job("obedient", executor="process")(remote_jobs.obedient)
    registry.job("patient")(remote_jobs.obedient_async)
    registry.job("deaf", executor="process")(remote_jobs.stuck)
    registry.job("nothing", executor="process")(remote_jobs.nothing)
    return registry


async def test_a_job_that_is_killed_does_not_touch_its_neighbours(tmp_path: Path) -> None:
    """One in a process and one in the event loop come to a good end."""
    before, registry = set(children()), the_jobs()
    gate = asyncio.Event()

    @registry.job("neighbour")
    async def neighbour() -> None:
        await gate.wait()

    async with a_scheduler(jobs=registry) as scheduler:
        await scheduler.schedule_job("process", "obedient", payload=bytes(tmp_path / "process"))
        await scheduler.schedule_job("coroutine", "neighbour")
        await scheduler.schedule_job("stuck", "stuck", payload=bytes(tmp_path / "stuck"))
        (beside,), (pid,) = await began(tmp_path / "process"), await began(tmp_path / "stuck")
        await wait_until_async(lambda: is_gone(pid))
        assert not is_gone(beside)
        gate.set()
        live = next(run for run in scheduler.running_node.runs if run.task.slug == "process")
        live.stop.set("the end of the test")
        await wait_until_async(lambda: not scheduler.running_node.runs)
        history = {run.slug: run for run in (await scheduler.runs(RunQuery())).items}
    assert {slug: run.status for slug, run in history.items()} == {"process": "done", "coroutine": "done", "stuck": "failed"}
    assert (history["stuck"].error or "").endswith("its process was killed")
    assert set(children()) <= before


async def test_a_scheduler_that_is_closed_leaves_no_process(tmp_path: Path) -> None:
    """Neither at work nor idle; what was at work is to be run again."""
    before = set(children())
    scheduler = a_scheduler(jobs=the_jobs())
    events = heard(scheduler)
    await scheduler.start()
    await scheduler.schedule_job("nothing", "nothing")
    await scheduler.schedule_job("deaf", "deaf", payload=bytes(tmp_path / "began"))
    await began(tmp_path / "began")
    await scheduler.close()
    assert set(children()) <= before
    (cut,) = [event.run for event in events if isinstance(event, RunEnded) and event.run.slug == "deaf"]
    assert (cut.status, cut.error) == ("cancelled", "the node was stopped before the run had ended; its process was killed")


async def test_a_scheduler_that_is_cut_off_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill, without any grace."""
    monkeypatch.setattr("duly.scheduler.executors.process.executor.GRACE", 60 * SECOND)
    before = set(children())
    async with a_scheduler(jobs=the_jobs()) as scheduler:
        await scheduler.schedule_job("deaf", "deaf", payload=bytes(tmp_path / "began"))
        await began(tmp_path / "began")
        async with takes_less_than(10 * SECOND):
            await scheduler.running_node.kill()
        assert set(children()) <= before


async def test_a_job_in_a_process_runs_on_a_clock_that_is_moved_by_hand() -> None:
    """The driver waits for it in real time."""
    registry = JobRegistry()
    registry.job("nothing", executor="process")(remote_jobs.nothing)
    async with driven(registry) as node:
        await node.scheduler.schedule_job("later", "nothing", delay=timedelta(hours=1))
        await run_due(node.scheduler, until=node.clock.now() + timedelta(hours=2))
        assert await node.statuses() == ["done"]


@pytest.mark.parametrize("job", ["idle", "stuck", "obedient"])
def test_no_process_outlives_a_node_that_is_killed(job: str, tmp_path: Path) -> None:
    """They see that the line has ended: whether idle, at work, or deaf."""
    file = tmp_path / "began"
    with program("with_processes.py", job, str(file)) as node:
        node.await_line("began")
        pids = [int(word) for word in file.read_text().split()]
        node.send(signal.SIGKILL)
        wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_a_job_of_the_programs_own_main_module_is_found(tmp_path: Path) -> None:
    """The module is imported anew in the child, under another name."""
    file = tmp_path / "began"
    with program("with_processes.py", "main", str(file)) as node:
        node.await_line("began")
        node.await_line("__mp_main__")
        assert node.end()[0] == 0


def test_a_main_module_without_a_guard_fails_the_run() -> None:
    """The child does not become another node, with children of its own."""
    with program("unguarded.py") as node:
        node.await_line("failed: MainNotGuarded")
        assert node.end()[0] == 0
