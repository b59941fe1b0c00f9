"""What holds after any change of a task, in whatever order they come: a random walk over all of them."""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from duly.jobs import Request, Task, TaskState
from duly.stores import Outcome
from duly.stores.rules import definitions, transitions
from duly.stores.rules.refusals import judge
from duly.triggers import next_fire_after
from support.selection import fewer
from support.tasks import HOUR, LEASE, MINUTE, NOON, SECOND, a_one_off, a_schedule, trigger_of

delays = st.sampled_from([timedelta(0), SECOND / 1000, SECOND, LEASE, MINUTE, HOUR, 100 * HOUR])
fire_times = st.timedeltas(-HOUR, 2 * HOUR).map(lambda offset: NOON + offset)
slates = st.sampled_from([(None, None), ("@every 1h", NOON - HOUR), ("@every 7m", NOON - HOUR), ("0 * * * *", NOON - HOUR)])


class TaskWalk(RuleBasedStateMachine):
    """One row of a store, the holders that it had, and everybody who edits it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.row: Task | None = None
        self.holders: list[Task] = []
        """The task as each holder, past or present, knows it."""
        self.ends: dict[str, datetime] = {}

    @initialize(slate=slates, paused=st.booleans())
    def create(self, slate: tuple[str | None, datetime], paused: bool) -> None:  # noqa: FBT001 - drawn
        """A task of either kind."""
        trigger, anchor = slate
        self.row = a_one_off(paused=paused) if trigger is None else a_schedule(trigger, anchor=anchor, paused=paused)

    @rule(delay=delays)
    def wait(self, delay: timedelta) -> None:
        """Time passes."""
        self.now += delay

    # -- nodes

    @precondition(lambda self: self.row is not None)
    @rule()
    def lock(self) -> None:
        """A node asks."""
        assert self.row is not None
        lease_id = f"lease-{len(self.holders)}"
        locked = transitions.lock(self.row, node=f"node {len(self.holders)}", lease_id=lease_id, now=self.now, lease=LEASE)
        assert (locked is None) == (self.row.due_at is None or self.row.due_at > self.now)
        if locked is not None:
            assert (locked.lost is not None) == (self.row.lease_id is not None)
            assert locked.lost is None or locked.lost.id == self.row.lease_id
            self._write(locked.task)
            self.holders.append(locked.task)

    @precondition(lambda self: self.row is not None and self.row.lease_id is not None)
    @rule(lease=st.sampled_from([SECOND, LEASE]))
    def beat(self, lease: timedelta) -> None:
        """The holder's heartbeat, perhaps one that comes late and is short."""
        assert self.row is not None
        extended = transitions.extend(self.row, until=self.now + lease)
        assert extended == evolve(self.row, due_at=extended.due_at)
        assert extended.due_at is not None
        assert self.row.due_at is not None
        assert extended.due_at >= max(self.now + lease, self.row.due_at)
        self.row = extended

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), how=st.sampled_from(["advance", "retry", "fail", "hand back", "put off", "interrupt", "remove"]))
    def report(self, data: st.DataObject, how: str) -> None:
        """Any holder, past or present, hands in an outcome.

        Refused as edited, it decides again on the row as it is.
        """
        known = data.draw(st.sampled_from(self.holders[-3:]))
        outcome = self._outcome(known, how)
        recorded = self.ends.get(known.lease_id or "") is not None
        verdict = judge(self.row, outcome, recorded=recorded)
        assert verdict != "done" or recorded
        assert verdict != "lost" or not recorded
        assert (verdict in (None, "edited")) == (self.row is not None and self.row.lease_id == known.lease_id)
        if verdict == "edited":
            assert self.row is not None
            outcome = self._outcome(self.row, how)
            verdict = judge(self.row, outcome, recorded=recorded)
            assert verdict is None
        if verdict is None:
            self.ends[known.lease_id or ""] = self.now
            self._write(outcome.next)

    def _outcome(self, task: Task, how: str) -> Outcome:
        following = next_fire_after(trigger, task.run_at) if (trigger := trigger_of(task)) is not None else None
        run_at = following or self.now + HOUR
        ways: dict[str, Callable[[], Task | None]] = {
            "advance": lambda: transitions.advance(task, now=self.now, anchor=task.run_at, run_at=run_at),
            "retry": lambda: transitions.retry(task, now=self.now, at=self.now + MINUTE),
            "fail": lambda: transitions.fail(task, now=self.now),
            "hand back": lambda: transitions.hand_back(task, now=self.now),
            "put off": lambda: transitions.hand_back(task, now=self.now, until=self.now + MINUTE),
            "interrupt": lambda: transitions.interrupt(task, now=self.now),
            "remove": lambda: None,
        }
        return Outcome(task=task, next=ways[how]())

    # -- everybody

    @precondition(lambda self: self.row is not None)
    @rule(change=st.sampled_from([transitions.pause, transitions.resume, transitions.resume, transitions.restart]))
    def switch(self, change: Callable[[Task], Task]) -> None:
        """Pause, resume, restart, in any state."""
        assert self.row is not None
        self._edit(change(self.row))

    @precondition(lambda self: self.row is not None)
    @rule(run_at=fire_times, request=st.sampled_from(Request), payload=st.binary(max_size=2))
    def update(self, run_at: datetime, request: Request, payload: bytes) -> None:
        """What a person may change."""
        assert self.row is not None
        self._edit(evolve(self.row, run_at=run_at, request=request, payload=payload))

    @precondition(lambda self: self.row is not None)
    @rule(state=st.sampled_from(TaskState), name=st.none() | st.just("forged"), due_at=st.none() | fire_times, version=st.integers(0, 99))
    def forge(self, state: TaskState, name: str | None, due_at: datetime | None, version: int) -> None:
        """What nobody may change."""
        assert self.row is not None
        forged = evolve(self.row, state=state, lease_id=name, last_lease=name, node=name, locked_at=due_at, due_at=due_at, version=version)
        self._edit(forged)

    def _edit(self, edited: Task) -> None:
        assert self.row is not None
        row = self.row
        after = transitions.edit(row, edited, now=self.now)
        held = ("lease_id", "last_lease", "node", "locked_at", "slug", "namespace", "created_at", *(("due_at",) if row.lease_id else ()))
        assert {name: getattr(after, name) for name in held} == {name: getattr(row, name) for name in held}
        self._write(after)

    @precondition(lambda self: self.row is not None)
    @rule(slate=slates, payload=st.binary(max_size=1))
    def replace(self, slate: tuple[str | None, datetime], payload: bytes) -> None:
        """A service starts, and declares its task."""
        assert self.row is not None
        trigger, _ = slate
        new = a_one_off(payload=payload) if trigger is None else a_schedule(trigger, anchor=self.now, payload=payload)
        after = definitions.replace(self.row, new, now=self.now)
        assert (after is None) == ((self.row.trigger, self.row.payload) == (trigger, payload))
        if after is not None:
            kept = ("state", "paused", "attempt", "crashes", "fires", "lease_id", "request", "retry_at", "ended_at")
            assert [getattr(after, name) for name in kept] == [getattr(self.row, name) for name in kept]
            self._write(after)
            assert definitions.replace(after, new, now=self.now) is None

    def _write(self, after: Task | None) -> None:
        assert self.row is not None
        assert after is None or after.version == self.row.version + 1
        self.row = after

    # -- what holds

    @invariant()
    def a_task_that_can_never_run_is_paused_failed_or_removed(self) -> None:
        """Every other task is due at some time.

        What somebody holds is due when its lease ends; what is asked to run now is due all the same.
        """
        if (row := self.row) is not None:
            is_set_aside = row.paused or row.state is TaskState.FAILED
            assert (row.due_at is None) == (row.lease_id is None and is_set_aside and row.request is not Request.RUN_NOW)

    @invariant()
    def a_held_task_has_all_of_its_lease_and_a_free_one_nothing(self) -> None:
        """Lease id, node and the time of the lock come and go together, with the state that says so."""
        if (row := self.row) is not None:
            held = {row.lease_id is None, row.node is None, row.locked_at is None, row.state is not TaskState.RUNNING}
            assert len(held) == 1

    @invariant()
    def a_lease_id_never_comes_back(self) -> None:
        """Once its holder let go, no row has it again."""
        if (row := self.row) is not None and row.lease_id is not None:
            assert row.lease_id not in self.ends
            assert row.lease_id == self.holders[-1].lease_id

    @invariant()
    def counts_never_go_below_what_they_count(self) -> None:
        """A lost run was an attempt; a held task is in one that is not lost."""
        if (row := self.row) is not None:
            assert row.attempt - (row.lease_id is not None) >= row.crashes >= 0
            assert row.lease_id is None or row.first_run_at is not None

    @invariant()
    def a_task_that_waits_is_due_at_its_retry_or_fire_time(self) -> None:
        """Nothing else decides."""
        if (row := self.row) is not None and row.lease_id is None and row.due_at is not None:
            assert row.due_at == (row.retry_at or row.run_at)


TestTaskWalk = TaskWalk.TestCase
TestTaskWalk.settings = settings(max_examples=fewer(150), stateful_step_count=40, deadline=None)
