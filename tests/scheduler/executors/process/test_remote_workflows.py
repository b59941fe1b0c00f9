"""Steps and what they spawn, wherever the job runs."""

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import pytest

from duly.jobs import (
    Then,
)
from duly.scheduler.rules.endings import Returned
from support import remote_jobs
from support.remote import Remote, apart, error_of
from support.tasks import HOUR, MINUTE


@pytest.fixture
async def runner() -> AsyncIterator[Remote]:
    """A runner whose registry has the kind `kind`."""
    async with apart() as runner:
        yield runner


@pytest.fixture(params=["auto", "thread", "process", "pool of threads", "pool of processes"])
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Where a job runs."""
    if request.param.startswith("pool"):
        with ThreadPoolExecutor(1) if request.param.endswith("threads") else ProcessPoolExecutor(1, get_context("spawn")) as pool:
            yield pool
    else:
        yield request.param


@pytest.mark.parametrize("job", [remote_jobs.go_on, remote_jobs.go_on_async])
async def test_a_step_and_what_it_spawns_come_from_wherever_it_runs(runner: Remote, place: Any, job: Callable[..., object]) -> None:  # noqa: ANN401
    """The wait, the state, and the child, which is checked by the node."""
    ending = await runner.run(job, place)
    assert isinstance(ending, Returned), ending
    assert isinstance(ending.task, Then)
    assert (ending.task.after, ending.task.payload, ending.task.payload_version, ending.task.result) == (HOUR, b"next", 2, "first")
    (child,) = ending.spawn
    assert (child.slug, child.kind, child.payload, child.metadata) == ("child", "kind", b"c", {"of": "task"})
    assert timedelta(0) < child.run_at - runner.clock.now() <= MINUTE


async def test_what_cannot_be_scheduled_fails_the_run_wherever_it_runs(runner: Remote, place: Any) -> None:  # noqa: ANN401
    """At the call, or when the job has returned to the node, which alone knows its kinds."""
    assert 'job kind "nobody\'s" is not registered here' in error_of(await runner.run(remote_jobs.spawn_what_is_unknown, place))


async def test_a_run_that_fails_elsewhere_spawns_nothing(runner: Remote, place: Any) -> None:  # noqa: ANN401
    """There is no room for it in how it ended."""
    assert "after all" in error_of(await runner.run(remote_jobs.spawn_and_fail, place))
