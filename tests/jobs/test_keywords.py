"""`help()` shows every keyword that a method takes."""

import inspect
import pydoc
from typing import Any

import pytest

from duly.jobs import JobContext, JobRegistry
from duly.jobs.spawning import When
from duly.scheduler import BlockingScheduler, Cron, NopScheduler, StdScheduler
from duly.scheduler.config import Settings
from duly.scheduler.executors.fetched.fetch import BlockingFetchedTask, FetchedTask
from duly.scheduler.rules.new_task import NewTask

PUBLIC = [
    pytest.param(member, id=f"{of.__name__}.{name}")
    for of in (StdScheduler, BlockingScheduler, NopScheduler, Cron, JobRegistry, JobContext, FetchedTask, BlockingFetchedTask)
    for name, member in inspect.getmembers(of, inspect.isfunction)
    if not name.startswith("_") or name == "__init__"
]


@pytest.mark.parametrize("member", PUBLIC)
def test_no_public_method_hides_its_keywords(member: Any) -> None:  # noqa: ANN401 - any method
    """Behind the name of a dictionary, which says nothing."""
    shown = inspect.signature(member).parameters.values()
    assert not [each for each in shown if each.kind is each.VAR_KEYWORD]


@pytest.mark.parametrize("scheduler", [StdScheduler, BlockingScheduler])
def test_help_shows_what_may_be_said_of_a_new_task(scheduler: type) -> None:
    """With the defaults of `NewTask`."""
    shown = inspect.signature(scheduler.schedule_job).parameters  # type: ignore[attr-defined]
    assert set(shown) == {"self", "slug", "job", "if_exists", *When.__annotations__}
    for name in When.__annotations__:
        assert shown[name].default == getattr(NewTask("slug", "kind"), name)
    assert "once: bool = False" in pydoc.plain(pydoc.render_doc(scheduler))


def test_a_keyword_without_a_default_of_its_own_is_shown_as_left_out() -> None:
    """What an update does not name stays."""
    assert "trigger: duly.triggers.Trigger | str = ..." in str(inspect.signature(StdScheduler.update_job))
    assert set(Settings.__annotations__) < set(inspect.signature(StdScheduler).parameters)
