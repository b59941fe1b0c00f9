"""Where a job is to run: what a registration accepts, and what it refuses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from duly.jobs import ExecutorChoice, InvalidValue, Job, JobNotPicklable, JobRegistry, PrintJob, TaskOptions
from duly.jobs.executor_choice import check_executor
from duly.scheduler import BlockingScheduler, StdScheduler
from duly.stores import MemoryStore
from support import remote_jobs


def test_a_job_runs_by_default_where_its_function_belongs() -> None:
    """In the event loop or in a thread."""
    registry = JobRegistry()
    registry.register_job(PrintJob())
    assert registry.get("print").executor == "auto"


@pytest.mark.parametrize("make", [JobRegistry, lambda: StdScheduler(MemoryStore()), lambda: BlockingScheduler(MemoryStore())])
@pytest.mark.parametrize("place", ["auto", "thread", "process", ThreadPoolExecutor(1)])
def test_a_place_is_kept_beside_the_job(make: Callable[[], JobRegistry | StdScheduler | BlockingScheduler], place: ExecutorChoice) -> None:
    """Whichever way it is registered, and not among the options, which a store keeps."""
    made = make()
    made.register_job(PrintJob(), executor=place)
    made.job("job", executor=place)(remote_jobs.nothing)
    made.scheduled("scheduled", trigger="@every 1h", executor=place)(remote_jobs.nothing)
    registry = made if isinstance(made, JobRegistry) else made.jobs
    assert [registry.get(kind).executor for kind in registry] == [place] * 3
    assert {registry.get(kind).options for kind in registry} == {TaskOptions()}


@pytest.mark.parametrize("place", ["threads", "", None, ThreadPoolExecutor, 3, ["thread"]])
def test_what_is_no_place_is_refused_by_name(place: object) -> None:
    """Nothing is registered."""
    registry = JobRegistry()
    with pytest.raises(InvalidValue, match=r"executor .*: expected 'auto', 'thread', 'process' or a concurrent.futures.Executor"):
        registry.register_job(PrintJob(), executor=place)  # type: ignore[arg-type]  # the point
    assert list(registry) == []


@pytest.mark.parametrize("function", [lambda: None, lambda task: task])
def test_a_function_that_no_module_has_cannot_go_to_a_process(function: Callable[..., object]) -> None:
    """A child could not import it."""
    with pytest.raises(JobNotPicklable, match=r"'work' cannot: .*<lambda>.* is no function of a module"):
        JobRegistry().job("work", executor="process")(function)


def test_a_job_that_cannot_be_pickled_cannot_go_to_a_process() -> None:
    """The error says why."""
    with pytest.raises(JobNotPicklable, match=r"'kind' cannot: cannot pickle '_thread\.lock' object") as caught:
        JobRegistry().register_job(remote_jobs.Locked(), executor="process")
    assert (caught.value.field, caught.value.value, caught.value.kind) == ("executor", "process", "kind")
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("job", [PrintJob(), remote_jobs.Raising(remote_jobs.no_luck)])
def test_an_object_of_a_modules_class_can_go_to_a_process(job: Job) -> None:
    """It is pickled to see."""
    check_executor("process", job)


def test_a_process_needs_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process groups are what kills a job with what it started."""
    monkeypatch.setattr("os.name", "nt")
    with pytest.raises(InvalidValue, match="processes of jobs need POSIX"):
        check_executor("process", PrintJob())
