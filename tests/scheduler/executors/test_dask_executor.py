"""Jobs on Dask, end to end.

A scheduler, a real cluster of one process, and the executor that its client gives out.
"""

import importlib.util
import json
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from duly.jobs import JobRegistry, RetryPolicy
from duly.scheduler import RunAbandoned, RunEnded
from duly.stores import Run, RunQuery
from support import remote_jobs
from support.schedulers import SECOND, a_scheduler, heard
from support.waiting import wait_until_async

if importlib.util.find_spec("distributed") is None:
    warnings.warn("dask.distributed is not installed: jobs on Dask are NOT tested", stacklevel=1)
    pytest.skip("dask.distributed is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning"),  # Dask's own
]


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """An executor on a cluster of one process with one thread."""
    # It takes two seconds, which only a process that runs these tests shall spend.
    import distributed  # noqa: PLC0415

    directory = str(tmp_path_factory.mktemp("dask"))
    with (
        distributed.LocalCluster(  # type: ignore[no-untyped-call]  # Dask's own
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1", local_directory=directory
        ) as cluster,
        distributed.Client(cluster) as client,  # type: ignore[no-untyped-call]  # the same
    ):
        yield client.get_executor()


async def runs_of(registry: JobRegistry, kind: str) -> list[Run]:
    """Return what a scheduler writes down of one task."""
    async with a_scheduler(jobs=registry, lease=30 * SECOND) as scheduler:
        events = heard(scheduler)
        await scheduler.schedule_job("task", kind)
        await wait_until_async(lambda: [event for event in events if isinstance(event, RunEnded)], 20 * SECOND)
        return list((await scheduler.runs(RunQuery())).items)


async def test_a_job_runs_on_dask_and_its_result_is_kept(dask: Executor) -> None:
    """In the worker's process, with what the context can be there."""
    registry = JobRegistry()
    registry.job("report", executor=dask)(remote_jobs.report)
    (run,) = await runs_of(registry, "report")
    slug, kind, *_, stop_reason, valid, pid, _ = json.loads(run.result or "")
    assert (run.status, slug, kind, stop_reason, valid) == ("done", "task", "report", None, True)
    assert pid != os.getpid()


async def test_a_coroutine_runs_on_dask(dask: Executor) -> None:
    """In a loop of its own."""
    registry = JobRegistry()
    registry.job("async", executor=dask)(remote_jobs.report_async)
    (run,) = await runs_of(registry, "async")
    assert run.status == "done"


async def test_an_error_on_dask_is_the_runs(dask: Executor) -> None:
    """With the traceback from there."""
    registry = JobRegistry()
    registry.register_job(remote_jobs.Raising(remote_jobs.no_luck), executor=dask, retry=RetryPolicy(limit=0))
    (run,) = await runs_of(registry, "kind")
    assert run.status == "failed"
    assert "ValueError: no luck" in (run.error or "")


async def test_a_job_on_dask_past_its_limit_is_given_up(dask: Executor, tmp_path: Path) -> None:
    """Dask calls it cancelled, but its worker goes on."""
    registry = JobRegistry()
    registry.job("obedient", executor=dask, time_limit=SECOND, retry=RetryPolicy(limit=0))(remote_jobs.briefly)
    async with a_scheduler(jobs=registry) as scheduler:
        events = heard(scheduler)
        await scheduler.schedule_job("task", "obedient", payload=bytes(tmp_path / "began"))
        await wait_until_async(lambda: [event for event in events if isinstance(event, RunAbandoned)])
        await wait_until_async(lambda: not scheduler.running_node.runs)
        (run,) = (await scheduler.runs(RunQuery())).items
    assert (run.error or "").endswith("it may still be at work: a possible double")
    await wait_until_async((tmp_path / "began").exists)
