"""Gathers what `explain` needs to say why a task is not running: its row, the nodes, and this node's own state."""

from collections.abc import Callable

from duly.jobs import Task
from duly.jobs.registered import KnownJobs
from duly.scheduler.rules.explain import Here, Surroundings, explain
from duly.scheduler.rules.firing import trigger_of
from duly.scheduler.services import Services
from duly.triggers import DulyError, Trigger, parse_trigger

IsFull = Callable[[str], str | None]
"""Says, as a clause, why no more runs of a kind may begin; None if they may."""


async def ask_why(slug: str, services: Services, here: Here | None, is_full: IsFull = lambda _: None) -> str:
    """Say in one sentence why the task is not running, or that it is; `here` is this node's own state, None if it is not running.

    Raises:
        JobNotFound: there is no such task.
        StoreError: of the store.

    """
    task = await services.store.get(slug)
    nodes = await services.store.nodes()
    around = Surroundings(
        now=services.clock.now(), nodes=tuple(nodes), here=here, trigger=_trigger_of(task, services.registry), limit=is_full(task.kind)
    )
    return explain(task, around)


def _trigger_of(task: Task, registry: KnownJobs) -> Trigger | None:
    """Return what rules the task, as far as this node can tell."""
    try:
        if (registered := registry.find(task.kind)) is not None:
            return trigger_of(task, registered)
        return parse_trigger(task.trigger) if task.trigger is not None and task.recurring else None
    except DulyError:
        return None
