"""Tasks for the tests of the pure rules.

Short ways to make one in each state, and strategies for what it holds.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from duly.jobs import Consistency, RetryPolicy, Task, TaskOptions
from duly.scheduler.rules.endings import EndedRun, Ending
from duly.scheduler.rules.firing import plan_fire
from duly.stores.rules import transitions
from duly.stores.rules.misfires import fires_due, first_locked
from duly.stores.rules.overlaps import Following, follow
from duly.triggers import CronTrigger, SimpleTrigger, Trigger, next_fire_after, parse_trigger

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEASE = 30 * SECOND


def a_one_off(*, run_at: datetime = NOON, **definition: Any) -> Task:  # noqa: ANN401 - any field of Task
    """A task without a trigger, as a store keeps it: due at noon."""
    return transitions.create(Task(**{"slug": "t", "kind": "k", **definition}, run_at=run_at, anchor=run_at), namespace="default", now=NOON)


def a_schedule(trigger: str = "@every 1h", *, anchor: datetime = NOON - HOUR, **definition: Any) -> Task:  # noqa: ANN401 - any field of Task
    """A task with a trigger, as a store keeps it.

    Its first fire is the one after `anchor`, by default at noon.
    """
    run_at = next_fire_after(parse_trigger(trigger), anchor)
    assert run_at is not None, "the trigger never fires"
    task = Task(**{"slug": "t", "kind": "k", **definition}, trigger=trigger, run_at=run_at, anchor=anchor)
    return transitions.create(task, namespace="default", now=anchor)


def trigger_of(task: Task) -> Trigger | None:
    """The trigger of a task that has its text, or none."""
    return None if task.trigger is None else parse_trigger(task.trigger)


def held(task: Task, *, now: datetime | None = None, lease_id: str = "lease-1", node: str = "a", lease: timedelta = LEASE) -> Task:
    """The task, locked by `node` at `now`: by default as soon as it is due."""
    locked = transitions.lock(task, node=node, lease_id=lease_id, now=now or task.due_at or NOON, lease=lease)
    assert locked is not None, "the task is not due"
    return locked.task


def crashed(task: Task, times: int) -> Task:
    """The task, held after `times` of its runs were lost, each at the end of its lease."""
    row = held(task)
    for number in range(times):
        row = held(row, lease_id=f"lease-{number + 2}")
    return row


def finish(task: Task, ending: Ending, *, after: timedelta = SECOND) -> EndedRun:
    """The end of the run that `task`, just locked, was planned for: it began at the lock and took `after`."""
    assert task.locked_at is not None
    fire_time = plan_fire(task, trigger_of(task)).fire_time
    return EndedRun(task=task, fire_time=fire_time, started_at=task.locked_at, ended_at=task.locked_at + after, ending=ending)


def followed(trigger: Trigger | None, task: Task, *, fire_time: datetime, until: datetime) -> Following:
    """Where the schedule stands after that run, by what was due at its first lock."""
    return follow(trigger, task, fires_due(trigger, task, first_locked(task)), fire_time=fire_time, until=until)


class Broken(Trigger):
    """A trigger of the user's own that fails."""

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """Fail."""
        raise KeyError("holidays of 2025")


class Stuck(Trigger):
    """A trigger of the user's own that stands still."""

    def next_fire_time(self, prev: datetime) -> datetime | None:
        """The same again."""
        return prev


# -- strategies: values as anybody may give them ------------------------------------------------------------------------------------

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
spans = st.timedeltas(timedelta(microseconds=1), 400 * DAY)
texts = st.text(st.characters(codec=None), max_size=50)
"""Any text at all, NUL and lone surrogates included."""
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@st.composite
def retry_policies(draw: st.DrawFn) -> RetryPolicy:
    """Any policy that may be built."""
    min_backoff, max_backoff = sorted((draw(spans), draw(spans)))
    return RetryPolicy(
        limit=draw(st.none() | st.integers(0, 20)),
        min_backoff=min_backoff,
        max_backoff=max_backoff,
        multiplier=draw(st.floats(1, 100)),
        age_limit=draw(st.none() | spans),
    )


options = st.builds(TaskOptions, retry=retry_policies(), consistency=st.sampled_from(Consistency), time_limit=st.none() | spans)

simple_triggers = st.builds(
    SimpleTrigger,
    st.timedeltas(timedelta(milliseconds=100), 2 * DAY),
    start=st.none() | st.timedeltas(-2 * DAY, 2 * DAY).map(lambda offset: NOON + offset),
)
ending_triggers = st.builds(
    SimpleTrigger,
    st.timedeltas(SECOND, 6 * HOUR),
    start=st.timedeltas(-DAY, DAY).map(lambda offset: NOON + offset),
    times=st.integers(1, 20),
)
cron_triggers = st.builds(
    CronTrigger,
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 9 * * MON-FRI", "15/20 * * * * *", "0 0 1 * *", "0,59 */5 * * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
other_triggers = st.sampled_from(
    [
        "CRON_TZ=Europe/Berlin START=2024-05-31 AT=02:30 @every 1 day",
        "@every 1 day",
        "@any (0 */6 * * *) (START=2024-06-01T00:00:00Z @every 5h)",
        "@all (0 */2 * * *) (0 */3 * * *)",
        "@except (0 */4 * * *) SUN 2024-06-03/2024-06-05 (0 8 * * *)",
        "HASH=t @jitter 2h (0 */3 * * *)",
        "START=2024-06-01T18:00:00Z END=2024-06-20T00:00:00Z TIMES=40 @between (0 */3 * * *)",
    ]
).map(parse_trigger)
triggers = st.one_of(simple_triggers, ending_triggers, cron_triggers, other_triggers)
