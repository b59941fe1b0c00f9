"""What may happen to tasks in a store, as strategies.

What people schedule and change, and how runs end.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen
from hypothesis import strategies as st

from duly.jobs import Consistency, Misfire, Overlap, Request, RetryPolicy, Task, TaskOptions, TaskState, TriggerSource
from duly.scheduler.rules import edits
from duly.scheduler.rules.endings import Cancelled, EndedRun, Ending, Interrupted, Raised, Returned, Stopped
from duly.scheduler.rules.firing import plan_fire
from duly.scheduler.rules.outcomes import outcome_of
from duly.stores import Outcome
from duly.stores.rules import transitions
from duly.triggers import SimpleTrigger, Trigger, next_fire_after, parse_trigger
from support.tasks import DAY, HOUR, LEASE, MINUTE, SECOND

TICK = timedelta(microseconds=1)
KINDS = ("k", "l", "ü/%")
SLUGS = ("a", "a@b", "b/c", "Z", "ü", "__x__", "\U0001f552")
IN_CODE = SimpleTrigger(45 * SECOND)
"""The trigger of a task that has none of its own, and says that its job has."""

TEXTS = (
    *("@every 10s", "@every 1m", "@every 1h", "*/5 * * * *", "*/10 * * * * *", "FIXED_DELAY=yes @every 1m", "FIXED_DELAY=yes @every 20s"),
    *("TIMES=2 START=2024-06-01T12:00:30Z @every 20s", "@after 90s", "@at 2024-06-01T12:01:00Z", "HASH=a @jitter 10s (* * * * *)"),
)
steps = st.sampled_from([timedelta(0), timedelta(0), TICK, SECOND, SECOND, 10 * SECOND, LEASE, LEASE, MINUTE, 7 * MINUTE, HOUR, DAY])
slugs = st.sampled_from(SLUGS)
picks = st.integers(0, 30)
"""Which of several; taken modulo how many there are."""
payloads = st.sampled_from([b"", b"1", b"\x00\xff", b"x" * 3000])
metadata = st.dictionaries(st.sampled_from(["team", "Ort"]), st.sampled_from(["a", "ö", "'"]), max_size=2)
odd_texts = st.none() | st.sampled_from(["", "boom", "\x00\ud800 ü", "x" * 500])
moments = st.none() | st.sampled_from([timedelta(0), TICK, 5 * SECOND, MINUTE, HOUR, -MINUTE])

policies = st.builds(
    RetryPolicy,
    limit=st.none() | st.integers(0, 2),
    min_backoff=st.sampled_from([timedelta(0), SECOND]),
    max_backoff=st.sampled_from([SECOND, MINUTE]),
    jitter=st.sampled_from([0.0, 0.5, 1.0]),
    delays=st.sampled_from([(), (), (3 * SECOND, LEASE)]),
    age_limit=st.none() | st.just(MINUTE),
    never=st.sampled_from([(), ("builtins.ValueError",)]),
)
options = st.just(TaskOptions()) | st.builds(
    TaskOptions,
    retry=policies,
    consistency=st.sampled_from(Consistency),
    time_limit=st.none() | st.just(LEASE),
    misfire=st.sampled_from(Misfire),
    misfire_grace_time=st.none() | st.sampled_from([SECOND, MINUTE]),
    catch_up_limit=st.sampled_from([1, 3, 100]),
    overlap=st.sampled_from(Overlap),
    queue_limit=st.sampled_from([1, 3, 100]),
    max_fires=st.none() | st.integers(1, 3),
    pause_on_failure=st.booleans(),
)


@frozen(kw_only=True)
class Scheduled:
    """What somebody schedules."""

    slug: str
    kind: str
    trigger: str | None
    first: timedelta | None
    is_paused: bool
    options: TaskOptions
    payload: bytes
    metadata: dict[str, str]

    def at(self, now: datetime) -> Task:
        """Return the task as it is scheduled at `now`: with a first fire of its own, or its trigger's first."""
        source = TriggerSource.JOB if self.trigger == "in code" else TriggerSource.TASK
        text = None if self.trigger == "in code" else self.trigger
        trigger = IN_CODE if self.trigger == "in code" else text and parse_trigger(text)
        own = None if self.first is None else now + self.first
        first = own or (trigger and next_fire_after(trigger, now)) or now
        definition: dict[str, Any] = {"payload": self.payload, "options": self.options, "metadata": self.metadata, "paused": self.is_paused}
        return Task(slug=self.slug, kind=self.kind, trigger=text, trigger_from=source, anchor=own or now, run_at=first, **definition)


scheduled = st.builds(
    Scheduled,
    slug=slugs,
    kind=st.sampled_from(KINDS),
    trigger=st.none() | st.sampled_from(TEXTS) | st.just("in code"),
    first=moments,
    is_paused=st.sampled_from([False, False, False, True]),
    options=options,
    payload=payloads,
    metadata=metadata,
)


def trigger_of(task: Task) -> Trigger | None:
    """Return the trigger that rules the task; `@after` rules none, as for a node."""
    if not task.recurring:
        return None
    return IN_CODE if task.trigger is None else parse_trigger(task.trigger)


# -- how runs end ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class End:
    """How a run ends, and what it leaves."""

    way: str
    text: str | None
    by: timedelta
    follow_ups: list[Scheduled]

    def outcome(self, locked: Task, row: Task, now: datetime) -> Outcome:
        """Decide at `now` what becomes of `row`, which was locked as `locked`."""
        if self.way == "handed back":
            return Outcome(task=row, next=transitions.hand_back(row, now=now))
        if self.way == "put off":
            return Outcome(task=row, next=transitions.hand_back(evolve(row, last_error=self.text), now=now, until=now + abs(self.by)))
        assert locked.locked_at is not None
        fire = plan_fire(locked, trigger_of(locked))
        ended_at, ending = (now, ENDINGS[self.way](self, locked, now)) if fire.instead is None else (fire.at, fire.instead)
        finish = EndedRun(
            task=locked, fire_time=fire.fire_time, started_at=min(locked.locked_at, ended_at), ended_at=ended_at, ending=ending
        )
        outcome = outcome_of(row, finish, trigger_of(row))
        return evolve(outcome, spawn=(*outcome.spawn, *(each.at(now) for each in self.follow_ups)))


ENDINGS: Mapping[str, Callable[[End, Task, datetime], Ending]] = {
    "carried on": lambda _, task, __: Returned(task),
    "changed": lambda end, task, _: Returned(evolve(task, payload=task.payload + b"+", payload_version=2, result=end.text)),
    "moved": lambda end, task, now: Returned(evolve(task, run_at=now + end.by)),
    "next step": lambda end, task, _: Returned(task.then(payload=task.payload[:9] + b">", after=abs(end.by), result=end.text)),
    "removed": lambda *_: Returned(None),
    "failed": lambda end, *_: Raised(end.text or "failed"),
    "failed for good": lambda end, *_: Raised(end.text or "failed", is_final=True),
    "asked for a retry": lambda end, *_: Raised("again", after=abs(end.by)),
    "never to be retried": lambda *_: Raised("failed", names=("builtins.ValueError",)),
    "cancelled": lambda end, *_: Cancelled(end.text or "cancelled"),
    "interrupted": lambda *_: Interrupted("interrupted"),
    "stopped": lambda *_: Stopped("stopped"),
}
WAYS = (*ENDINGS, "carried on", "carried on", "failed", "handed back", "put off")

ends = st.builds(
    End,
    way=st.sampled_from(WAYS),
    text=odd_texts,
    by=st.sampled_from([timedelta(0), TICK, SECOND, MINUTE, HOUR, -MINUTE]),
    follow_ups=st.just([]) | st.just([]) | st.lists(scheduled, min_size=1, max_size=2),
)


# -- what people change ------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Edit:
    """A change that somebody makes of a task."""

    way: str
    by: timedelta
    new: Scheduled
    text: str | None
    request: Request

    def of(self, task: Task, now: datetime) -> Task:
        """Return the task as it is to be; as it was, if there is nothing to change."""
        match self.way:
            case "pause":
                return transitions.pause(task)
            case "resume":
                return transitions.resume(task)
            case "run now":
                return edits.run_now(task, trigger_of(task), now)
            case "stop":
                return edits.stop(task) or task
            case "restart":
                return transitions.restart(task)
            case "move":
                return edits.move(task, now + self.by)
            case "update":
                changes: edits.Changes = {"payload": self.new.payload, "metadata": self.new.metadata, "options": self.new.options}
                if self.new.trigger not in (None, "in code"):
                    changes["trigger"] = self.new.trigger
                return edits.update(task, changes, now=now, payload_limit=1 << 20) or task
            case _:  # whatever else a program may write; what it must not is the store's
                owed = tuple(sorted({*task.owed, now})) if self.new.is_paused else ()
                forged: dict[str, Any] = dict.fromkeys(("lease_id", "last_lease", "node"), "forged") | {"due_at": now, "created_at": now}
                texts: dict[str, Any] = {"result": self.text, "last_error": self.text}
                return evolve(task, request=self.request, state=TaskState.FAILED, owed=owed, **texts, **forged)


changes = st.builds(
    Edit,
    way=st.sampled_from(["pause", "resume", "resume", "run now", "run now", "stop", "restart", "move", "update", "forge"]),
    by=st.sampled_from([timedelta(0), TICK, SECOND, MINUTE, HOUR, -MINUTE]),
    new=scheduled,
    text=odd_texts,
    request=st.sampled_from(Request),
)
