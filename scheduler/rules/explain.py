"""Why a task is not running, in one sentence. Pure: store and node state are arguments.

The most specific reason is given: which node holds the task; else why it is not due; else why nobody has locked it.
"""

from datetime import datetime, timedelta

from attrs import frozen

from duly.jobs import Request, Task, TaskState
from duly.jobs.task import RECORD_VERSION
from duly.scheduler.rules.endings import Moved
from duly.scheduler.rules.firing import plan_fire
from duly.scheduler.wording import HANDED_BACK, counted, described, moment, one_line, span
from duly.stores import Node
from duly.stores.rules.transitions import is_understood
from duly.triggers import Trigger


@frozen(kw_only=True)
class Here:
    """What this node knows of itself; it counts as live, whether it announced itself or not."""

    name: str
    kinds: tuple[str, ...]
    slots: int
    """Most runs at once on this node."""
    taken: int
    """How many of the slots are taken."""
    is_stopping: bool = False
    unread: frozenset[str] = frozenset()
    """The lease ids of fetched tasks that nobody has read yet."""
    poll: timedelta | None
    """The longest time between two requests to the store; None: on a clock that stands still."""
    failure: str | None = None
    """The error of the last turn of the dispatcher's loop; None if it succeeded."""
    ended: str | None = None
    """Which loop of this node ended though nobody stopped it, as a clause; None: none."""


@frozen(kw_only=True)
class Surroundings:
    """What the explanation uses beside the row."""

    now: datetime
    nodes: tuple[Node, ...] = ()
    """All nodes that announced themselves, also those that have gone silent."""
    here: Here | None = None
    """This node; None: it is not running."""
    trigger: Trigger | None = None
    """The trigger of the task; None: it has none, or this node does not know it."""
    limit: str | None = None
    """Why no more runs of its kind may begin, as a clause; None if they may.

    For example `its kind is at its limit of 3 on this node`.
    """

    def knowing(self, kind: str) -> list[str]:
        """Return the names of the live nodes that know `kind`."""
        return sorted(name for name, kinds in self.alive.items() if kind in kinds)

    @property
    def alive(self) -> dict[str, tuple[str, ...]]:
        """The kinds of each live node, by node name."""
        announced = {node.name: node.kinds for node in self.nodes if node.until > self.now}
        return announced if self.here is None else {**announced, self.here.name: self.here.kinds}


def explain(task: Task, around: Surroundings) -> str:
    """Say in one sentence why `task` is not running, or where it runs.

    The sentence ends with a full stop and has no line break. Instants are in UTC. Of an error only its class and first line are shown.
    """
    return f"Task {task.slug!r} {_predicate(task, around)}."


def explain_unreadable(slug: str, reason: str) -> str:
    """Say the same of a task whose row this version of duly cannot read."""
    return f"Task {slug!r} cannot be read by this version of duly, and is left to a node that can: {one_line(reason)}."


def _predicate(task: Task, around: Surroundings) -> str:
    now = around.now
    if task.lease_id is not None:
        return _held(task, around)
    if task.state is TaskState.FAILED:
        return _failed(task, now)
    if task.paused and task.request is not Request.RUN_NOW:
        return f"is paused: {_fire(task, now)} waits until it is resumed"
    if task.retry_at is not None and task.retry_at > now:
        return _put_off(task, task.retry_at, now)
    if task.run_at > now:
        return f"is not due until {moment(task.run_at, now)}, {_rule(task, around.trigger)}"
    if task.due_at is not None and task.due_at > now:  # later than its own fields say
        return f"waits until {moment(task.due_at, now)}, because a node of another version could not read it"
    return _due(task, task.retry_at or task.run_at, around)


# -- held by a node


def _held(task: Task, around: Surroundings) -> str:
    now, ends = around.now, task.due_at or task.run_at
    left_paused = ", and leaves it paused" if task.paused else ""
    if ends <= now:
        obstacle = _obstacle(task, around)
        what_then = f"the next node that locks takes it over{left_paused}" if obstacle is None else obstacle
        return f"is held by node {task.node}, whose lease ended at {moment(ends, now)}: {what_then}"
    unheard = next((node for node in around.nodes if node.name == task.node and node.name not in around.alive), None)
    if unheard is not None:
        silent = f"which was last heard of at {moment(unheard.seen_at, now)}"
        then = f"the next node that locks takes it over{left_paused}"
        return f"is held by node {task.node}, {silent}: its lease ends at {moment(ends, now)}, then {then}"
    since = moment(task.locked_at or now, now)
    fire = plan_fire(task, around.trigger)
    # If the next run was moved to a later time during this run, the row no longer knows the fire of this run.
    which = "" if fire.instead == Moved() else f" for its fire at {fire.fire_time.isoformat()}"
    asked = ", and is being asked to stop" if task.request is Request.STOP else ""
    paused = "; it is paused, and waits after this run until it is resumed" if task.paused else ""
    if around.here is not None and task.lease_id in around.here.unread:
        return f"waits on node {task.node} since {since} for somebody to read it, attempt {task.attempt}{asked}{paused}"
    return f"is running on node {task.node} since {since}{which}, attempt {task.attempt}{asked}{paused}"


# -- not due


def _failed(task: Task, now: datetime) -> str:
    since = task.ended_at or task.updated_at
    said = "is set aside as failed" + ("" if since is None else f" since {moment(since, now)}")
    if task.crashes:
        said += f" after {counted(task.crashes, 'run')} lost with {'its node' if task.crashes == 1 else 'their nodes'}"
    elif task.attempt:
        said += f" after {counted(task.attempt, 'attempt')}"
    paused = ", and is paused" if task.paused else ""
    return f"{said}, until somebody restarts or deletes it{paused}{_because(task)}"


def _put_off(task: Task, until: datetime, now: datetime) -> str:
    if (task.last_error or "").startswith(HANDED_BACK):
        return f"waits until {moment(until, now)}{_because(task)}"
    if task.attempt <= task.crashes:  # no attempt failed: a run that is cut short is refunded
        return f"waits for {_fire(task, now)}, at {moment(until, now)}, because its last run was cut short"
    return f"waits for {_fire(task, now)}, at {moment(until, now)}, because its last attempt failed{_because(task)}"


def _fire(task: Task, now: datetime) -> str:
    failures = task.attempt - task.crashes
    if task.retry_at is not None and failures > 0:
        return f"retry {failures} of its fire at {task.run_at.isoformat()}"
    return f"its fire at {moment(task.run_at, now)}"


def _because(task: Task) -> str:
    error = one_line(task.last_error or "")
    return error and f": {error}"


def _rule(task: Task, trigger: Trigger | None) -> str:
    """Say what set the fire time of the task."""
    if not task.recurring:
        return "as a one-off"
    if trigger is None:
        unknown = "the trigger in its job's code" if task.trigger is None else f"its trigger {one_line(task.trigger)!r}"
        return f"by {unknown}, which this node cannot follow"
    return f"by its trigger: {described(trigger)}"


# -- due


def _due(task: Task, due_at: datetime, around: Surroundings) -> str:
    failures = task.attempt - task.crashes
    retry = f" for retry {failures}" if task.retry_at is not None and failures > 0 else ""
    obstacle = _obstacle(task, around)
    return f"is due{retry} since {moment(due_at, around.now)}, {_prospect(task, around) if obstacle is None else f'but {obstacle}'}"


def _obstacle(task: Task, around: Surroundings) -> str | None:
    """Say, as a clause, what prevents a due task from being locked; None: nothing known."""
    if not around.alive:
        return "no node is running"
    if not is_understood(task):
        return f"it needs a newer version of duly: its record is of version {task.needs}, and this one knows up to {RECORD_VERSION}"
    if around.limit is not None:
        return one_line(around.limit)
    if not around.knowing(task.kind):
        return f"no live node knows its kind {task.kind!r}"
    here = around.here
    if here is None or task.kind not in here.kinds:
        return None
    reason = _unavailable(here)
    others = [name for name in around.knowing(task.kind) if name != here.name]
    return reason and reason + (f", and {_named(others)} {_have(others)} not locked it yet" if others else "")


def _unavailable(here: Here) -> str | None:
    if here.is_stopping:
        return "this node is stopping"
    if here.ended is not None:
        return one_line(here.ended)
    if here.taken >= here.slots:
        return f"this node is full: {here.taken} of {counted(here.slots, 'slot')} {'is' if here.taken == 1 else 'are'} taken"
    if here.failure is not None:
        return f"this node's last try to lock failed with {one_line(' '.join(here.failure.split()))}"
    return None


def _prospect(task: Task, around: Surroundings) -> str:
    here = around.here
    if here is None or task.kind not in here.kinds:
        knowing = around.knowing(task.kind)
        return f"and {_named(knowing)}, which {'knows' if len(knowing) == 1 else 'know'} its kind, {_have(knowing)} not locked it yet"
    if here.poll is None:
        return "and runs when this node, whose clock stands still, is driven on"
    return f"and should be locked within {span(here.poll)}, the poll of this node"


def _named(nodes: list[str]) -> str:
    return f"node {nodes[0]}" if len(nodes) == 1 else f"{len(nodes)} other nodes"


def _have(nodes: list[str]) -> str:
    return "has" if len(nodes) == 1 else "have"
