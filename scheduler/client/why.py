"""Collects what `explain` needs: the task's row, the nodes, and the state of this node."""

from collections.abc import Callable

from duly.jobs import Task
from duly.jobs.registered import KnownJobs
from duly.scheduler.rules.explain import Here, Surroundings, explain, explain_unreadable
from duly.scheduler.rules.firing import trigger_of
from duly.scheduler.services import Services
from duly.stores import UnreadableTask
from duly.triggers import DulyError, Trigger, parse_trigger

IsFull = Callable[[str], str | None]
"""Returns, as a clause, why no more runs of a kind may begin; None if they may."""


async def ask_why(slug: str, services: Services, here: Here | None, is_full: IsFull = lambda _: None) -> str:
    """Say in one sentence why the task is not running, or that it is.

    `here` is the state of this node; None: it is not running.

    Raises:
        JobNotFound: no task has this slug.
        StoreError: the store cannot answer.

    """
    try:
        task = await services.store.get(slug)
    except UnreadableTask as error:
        return explain_unreadable(error.slug, error.reason)
    nodes = await services.store.nodes()
    around = Surroundings(
        now=services.clock.now(), nodes=tuple(nodes), here=here, trigger=_trigger_of(task, services.registry), limit=is_full(task.kind)
    )
    return explain(task, around)


def _trigger_of(task: Task, registry: KnownJobs) -> Trigger | None:
    """Return the trigger of the task; None if it has none, or this node cannot read it."""
    try:
        if (registered := registry.find(task.kind)) is not None:
            return trigger_of(task, registered)
        return parse_trigger(task.trigger) if task.trigger is not None and task.recurring else None
    except DulyError:
        return None
