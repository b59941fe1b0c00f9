"""Which jobs a process knows."""

from datetime import timedelta

import pytest

from duly.jobs import (
    FunctionJob,
    InvalidJob,
    InvalidSlug,
    InvalidValue,
    Job,
    JobAlreadyRegistered,
    JobContext,
    JobError,
    JobNotRegistered,
    JobRegistry,
    PayloadTooLarge,
    RetryPolicy,
    Task,
    TaskOptions,
)
from duly.triggers import CronTrigger, DulyError, SimpleTrigger, TriggerError


class Report(Job):
    """A job."""

    kind = "report"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Carry on."""
        return task


def test_a_job_is_known_by_its_kind() -> None:
    """With its trigger and its options."""
    registry, job = JobRegistry(), Report()
    registry.register_job(job, trigger="0 9 * * *", retry=RetryPolicy(limit=1), time_limit=timedelta(seconds=5))

    known = registry.get("report")

    assert known.job is job
    assert known.trigger_for("report:emea") == CronTrigger("0 9 * * *")
    assert known.options == TaskOptions(retry=RetryPolicy(limit=1), time_limit=timedelta(seconds=5))
    assert "report" in registry
    assert list(registry) == ["report"]


def test_a_trigger_may_be_an_object_or_none() -> None:
    """An object is kept as it is."""
    registry, trigger = JobRegistry(), SimpleTrigger(timedelta(seconds=1))
    registry.register_job(Report(), trigger=trigger)
    registry.job("plain")(print_nothing)

    assert registry.get("report").trigger is trigger
    assert registry.get("plain").trigger is None


def test_any_object_that_fits_is_a_job() -> None:
    """It need not be a subclass."""

    class Fits:
        kind = "fits"

        def execute(self, _: JobContext, task: Task, /) -> Task:
            return task

    registry = JobRegistry()
    registry.register_job(Fits())

    assert registry.kinds == ("fits",)


def test_a_kind_is_registered_once() -> None:
    """The first registration stands."""
    registry, first = JobRegistry(), Report()
    registry.register_job(first)

    with pytest.raises(JobAlreadyRegistered, match="'report'") as caught:
        registry.register_job(Report())

    assert caught.value.kind == "report"
    assert registry.get("report").job is first


def test_an_unknown_kind_is_an_error_that_tells_the_known_ones() -> None:
    """Most often it is a typing error."""
    registry = JobRegistry()
    registry.register_job(Report())

    with pytest.raises(JobNotRegistered, match="'report'") as caught:
        registry.get("repotr")

    assert (caught.value.kind, caught.value.known) == ("repotr", ("report",))


@pytest.mark.parametrize("job", [Report, object(), None, "report", print])
def test_what_is_no_job_is_refused(job: object) -> None:
    """A class, above all: the object must be made."""
    registry = JobRegistry()

    with pytest.raises(InvalidJob, match="expected an object") as caught:
        registry.register_job(job)  # type: ignore[arg-type]

    assert caught.value.job is job
    assert registry.kinds == ()


@pytest.mark.parametrize("kind", ["", "x" * 256, "a\0", None, 7])
def test_a_job_without_a_proper_kind_is_refused(kind: str) -> None:
    """A default from the class name would orphan its tasks on a rename."""
    job = Report()
    job.kind = kind

    with pytest.raises(InvalidValue) as caught:
        JobRegistry().register_job(job)

    assert (caught.value.field, caught.value.value) == ("kind", kind)


def test_a_subclass_that_forgets_its_kind_is_refused() -> None:
    """The protocol's own is empty."""

    class Nameless(Job):
        def execute(self, ctx: JobContext, task: Task, /) -> Task:
            return task

    with pytest.raises(InvalidValue, match="kind"):
        JobRegistry().register_job(Nameless())


def test_a_wrong_trigger_registers_nothing() -> None:
    """It is found before the registry changes."""
    registry = JobRegistry()

    with pytest.raises(TriggerError):
        registry.register_job(Report(), trigger="61 * * * *")
    for trigger in (timedelta(hours=1), CronTrigger, 5):
        with pytest.raises(TriggerError, match=r"trigger .* is no trigger; expected a Trigger"):
            registry.register_job(Report(), trigger=trigger)  # type: ignore[arg-type]  # the point
    with pytest.raises(TriggerError):
        registry.scheduled("tick", trigger="@every never")(print_nothing)

    assert registry.kinds == ()
    assert registry.declared == ()


def test_a_wrong_option_registers_nothing() -> None:
    """The same for options."""
    registry = JobRegistry()

    with pytest.raises(InvalidValue, match="time_limit"):
        registry.register_job(Report(), time_limit=timedelta(0))

    assert registry.kinds == ()


@pytest.mark.parametrize("limit", ["max_concurrency", "global_limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", 2**31])
def test_a_wrong_limit_registers_nothing(limit: str, value: object) -> None:
    """The error names the field."""
    registry = JobRegistry()

    with pytest.raises(InvalidValue, match=limit):
        registry.register_job(Report(), **{limit: value})  # type: ignore[arg-type]  # the point

    assert registry.kinds == ()


def test_limits_are_kept_beside_the_options() -> None:
    """They are facts of the code: no option of a task, however the job is registered."""
    registry = JobRegistry()
    registry.register_job(Report(), max_concurrency=2, global_limit=3)
    registry.job("function", max_concurrency=4)(print_nothing)
    registry.scheduled("tick", trigger="@every 5s", global_limit=5)(print_nothing)

    limits = [(registry.get(kind).max_concurrency, registry.get(kind).global_limit) for kind in registry]
    assert limits == [(2, 3), (4, None), (None, 5)]
    assert registry.get("report").options == TaskOptions()


def test_a_decorated_function_is_registered_and_stays_callable() -> None:
    """It is the same function, for plain calls."""
    registry = JobRegistry()

    @registry.job("add", retry=RetryPolicy(limit=0))
    def add(ctx: object = None) -> str:
        return f"called with {ctx}"

    assert add() == "called with None"
    job = registry.get("add").job
    assert isinstance(job, FunctionJob)
    assert job.function is add
    assert registry.get("add").options.retry.limit == 0


def test_a_scheduled_function_declares_its_task() -> None:
    """Under its kind, unless a slug is given."""
    registry = JobRegistry()
    registry.scheduled("tick", trigger="@every 5s")(print_nothing)
    registry.scheduled("tock", trigger="@every 5s", slug="tock:1", payload=b"p")(print_nothing)

    tick, tock = registry.declared

    assert (tick.slug, tick.kind, tick.payload) == ("tick", "tick", b"")
    assert (tock.slug, tock.kind, tock.payload) == ("tock:1", "tock", b"p")
    assert registry.get("tick").trigger is not None


def test_two_declared_tasks_have_two_slugs() -> None:
    """The second is refused whole."""
    registry = JobRegistry()
    registry.scheduled("tick", trigger="@every 5s")(print_nothing)

    with pytest.raises(InvalidSlug) as caught:
        registry.scheduled("tock", trigger="@every 5s", slug="tick")(print_nothing)

    assert caught.value.value == "tick"
    assert registry.kinds == ("tick",)


def test_a_task_that_cannot_be_is_not_declared() -> None:
    """Neither by its slug nor by its payload; its job is not registered either."""
    registry = JobRegistry()

    with pytest.raises(InvalidSlug):
        registry.scheduled("tick", trigger="@every 5s", slug="")(print_nothing)
    with pytest.raises(PayloadTooLarge):
        registry.scheduled("tick", trigger="@every 5s", payload=bytes(1 << 20))(print_nothing)

    assert registry.kinds == ()


def test_a_kind_scheduled_twice_declares_one_task() -> None:
    """Its registration fails before its declaration."""
    registry = JobRegistry()
    registry.scheduled("tick", trigger="@every 5s")(print_nothing)

    with pytest.raises(JobAlreadyRegistered):
        registry.scheduled("tick", trigger="@every 5s", slug="other")(print_nothing)

    assert [task.slug for task in registry.declared] == ["tick"]


def test_the_errors_have_one_root() -> None:
    """Who catches it catches all; each is also what Python calls such an error."""
    for error, builtin in ((JobAlreadyRegistered, ValueError), (JobNotRegistered, LookupError), (InvalidJob, TypeError)):
        assert issubclass(error, JobError)
        assert issubclass(error, DulyError)
        assert issubclass(error, builtin)


def print_nothing() -> None:
    """A job that does nothing."""
