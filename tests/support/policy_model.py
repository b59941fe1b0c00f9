"""What the policies promise, played through by hand: one task on one node, every second of it.

It is written from the policies' description alone, to be read beside it. It shares nothing with the library, so that a mistake would
have to be made twice.

A schedule's fires are a `range`: the list of its fire times, of which Python computes only what is looked at. So a year of fires every
second is counted and not walked; `test_policy_model.py` compares it with a list.

Where the description is silent the model does what a user would expect:

- A run that would end at the very instant at which `cancel_running` cuts it short is cut short, as a fire at that instant overlaps.
- An attempt after a lost or interrupted one that comes after the next fire is cut short under `cancel_running` before it starts.
- Of what passed while a lost fire had its lease and while it ran again the latest may wait; what is to be run of the fires that passed
  while it had no node takes no room from them.
- What still waits when `max_fires` is reached is dropped, for a reason of its own: `limit`.
- When a run that was lost or interrupted runs again and is retried, what passed until it ran again is settled with that retry.
- Under `fire_all` no more than `catch_up_limit` wait: of what is missed while others wait already, as many as there is room for.
- Under `allow` each one-off counts as a fire of the schedule, and no more are made than `max_fires` leaves.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

from attrs import define, field

from support.policy_scenarios import End, History, Policy, Ran, Scenario, Skipped

LEASE = 30
"""Seconds that a task stays with a node that was killed, from its last heartbeat: the default."""

SKIP_GRACE = 60
"""Seconds that a fire may be late under `skip` without a grace time of its own."""


@define
class _Work:
    """A fire on its way through its attempts, from its first lock to its end."""

    fire: int
    due: int
    """When its next attempt may start."""
    since: int
    """The fires after this instant, and up to its end, are to be settled at its end."""
    locked: int
    """When it was first locked."""
    is_one_off: bool = False
    kept: Sequence[int] = ()
    dropped: Sequence[int] = ()
    """Of the fires up to `since`: what is to be run after this one, and what is not to be run at all."""
    attempt: int = 0
    failures: int = 0
    started: int | None = None
    """When the attempt started that is under way."""
    alone_since: int | None = None
    """Since when it has no node, because that was killed (then: since the end of the lease) or stopped."""
    is_resumed: bool = False
    """Whether the attempt under way is the first after such a time."""
    alone: list[tuple[int, int]] = field(factory=list)
    """The times in which it had none."""


def kept(policy: Policy, passed: Sequence[int], now: int, *, is_one_off: bool = False) -> Sequence[int]:
    """Return those of the fires that passed while nobody ran the task which are to be run.

    They are always the latest ones.
    """
    grace = policy.grace
    if grace is None and policy.misfire == "skip" and not is_one_off:
        grace = SKIP_GRACE
    in_time = passed if grace is None else passed[bisect_left(passed, now - grace) :]
    return in_time[-policy.catch_up_limit :] if policy.misfire == "fire_all" else in_time[-1:]


def without(passed: Sequence[int], latest: Sequence[int]) -> Sequence[int]:
    """Return what is left of `passed` without its latest ones."""
    return passed[: len(passed) - len(latest)]


class _Play:
    """The task at some second, and its history so far."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.policy = scenario, scenario.policy
        self.settled = scenario.first or 0
        """What becomes of the fires up to here has been decided."""
        self.own_first = scenario.first
        self.owed: list[int] = []
        self.work: _Work | None = None
        self.one_offs: list[_Work] = []
        self.is_over: Literal["gone", "failed"] | None = None
        self.fires = 0
        self.started: list[tuple[int, int, int]] = []
        self.ran: list[Ran] = []
        self.skipped: list[Skipped] = []

    # -- what happens at a second, one thing at a time

    def step(self, now: int) -> bool:
        """Let the next thing happen that is to happen at `now`; tell whether there was any."""
        for work in self._running_node:
            if work.started is not None and work.alone_since is None and self._end_of(work) <= now:
                self._end_attempt(work, now)
                return True
        for work in self._running_node:
            if (work.started is None or work.alone_since is not None) and work.due <= now:
                self._start_attempt(work, now)
                return True
        due = self._next_run(now)
        if due is None or due > now:
            return False
        self._lock(now)
        return True

    def lose_node(self, now: int) -> None:
        """Take the node away."""
        for work in self._running_node:
            if work.started is None:
                continue
            if self.scenario.is_killed:
                work.alone_since = work.due = now + LEASE
            else:
                self._record(work, work.started, now, "cancelled")
                work.attempt -= 1
                work.alone_since = work.due = now
                work.started = None

    def history(self) -> History:
        """Return what can be seen of it now."""
        return History(sorted(self.started), sorted(self.ran), sorted(self.skipped), self._end())

    @property
    def _running_node(self) -> list[_Work]:
        return [*self.one_offs, *([] if self.work is None else [self.work])]

    # -- attempts

    def _start_attempt(self, work: _Work, now: int) -> None:
        if work.alone_since is not None:
            if work.started is not None:
                self._record(work, work.started, work.alone_since, "lost")
            work.alone.append((work.alone_since, now))
            work.is_resumed = now > work.alone_since
            work.alone_since = None
        work.attempt += 1
        work.started = now
        cut = self._cut_at(work)
        if cut is None or now < cut:
            self.started.append((work.fire, work.attempt, now))

    def _cut_at(self, work: _Work) -> int | None:
        is_cut = self.policy.overlap == "cancel_running" and not work.is_one_off
        return self.scenario.next_fire(work.locked) if is_cut else None

    def _end_of(self, work: _Work) -> int:
        assert work.started is not None
        end, cut = work.started + self.scenario.length, self._cut_at(work)
        return end if cut is None else min(end, cut)

    def _end_attempt(self, work: _Work, now: int) -> None:
        assert work.started is not None
        started, status = work.started, self._status(work, now)
        self._record(work, started, now, status)
        work.started = None
        if status == "retried":
            work.due = now + self.scenario.delays[work.failures - 1]
            if work.is_resumed and not work.is_one_off:
                self._settle_until(work, work.alone[-1][1])
                work.is_resumed, work.kept, work.dropped, work.since, work.alone = False, (), (), work.alone[-1][1], []
        elif work.is_one_off:
            self.one_offs.remove(work)
        else:
            self.work = None
            self._settle(work, now, status)

    def _status(self, work: _Work, now: int) -> str:
        cut = self._cut_at(work)
        if cut is not None and now >= cut:
            return "cancelled"
        if work.attempt > self.scenario.failing:
            return "done"
        work.failures += 1
        if work.failures > len(self.scenario.delays):
            return "failed"
        is_too_late = cut is not None and now + self.scenario.delays[work.failures - 1] >= cut
        return "failed" if is_too_late else "retried"

    def _record(self, work: _Work, started: int, finished: int, status: str) -> None:
        self.ran.append(Ran(work.fire, work.attempt, started, finished, status, work.is_one_off))

    # -- the schedule

    def _next_run(self, now: int) -> int | None:
        if self.work is not None or self.is_over is not None:
            return None
        if self.owed:
            return now
        return self.own_first if self.own_first is not None else self.scenario.next_fire(self.settled)

    def _lock(self, now: int) -> None:
        if self.owed:
            self.work = _Work(self.owed.pop(0), due=now, locked=now, since=self.settled, alone=[(self.settled, now)])
            return
        grid = self.scenario.fires(self.settled, now)
        passed = grid if self.own_first is None else [self.own_first, *grid]
        to_run = kept(self.policy, passed, now, is_one_off=self.scenario.period is None)
        dropped = without(passed, to_run)
        self.settled, self.own_first = now, None
        if to_run and self.policy.overlap == "allow" and self.scenario.period is not None:
            self._skip([dropped], "misfire")
            self._spawn(to_run, now)
        elif to_run:
            self.work = _Work(to_run[0], due=now, locked=now, since=now, kept=to_run[1:], dropped=dropped)
        else:
            self._skip([dropped], "misfire")
            self._go_on("skipped")

    def _spawn(self, fires: Sequence[int], now: int) -> None:
        left = len(fires) if self.policy.max_fires is None else self.policy.max_fires - self.fires
        for fire in fires[:left]:
            self.one_offs.append(_Work(fire, due=now, locked=now, since=now, is_one_off=True))
            self.fires += 1
        self.owed = [*fires[left:]]
        self._go_on("spawned")

    def _settle(self, work: _Work, now: int, status: str) -> None:
        """Decide what becomes of the fires that passed until the end of a fire."""
        self.fires += 1
        self._settle_until(work, now)
        self._go_on(status)

    def _settle_until(self, work: _Work, now: int) -> None:
        self.owed += work.kept
        misfired, overlapped, since = [work.dropped], list[int](), work.since
        to_run: list[int] = []
        for begin, end in work.alone:
            overlapped += self.scenario.fires(since, begin)
            passed = self.scenario.fires(begin, end)
            late = kept(self.policy, passed, end)
            if self.policy.misfire == "fire_all":
                late = late[max(0, len(late) - max(0, self.policy.catch_up_limit - len(self.owed) - len(to_run))) :]
            to_run += late
            misfired.append(without(passed, late))
            since = end
        overlapped += self.scenario.fires(since, now)
        self.settled = now
        self._skip(misfired, "misfire")
        self._skip([without(overlapped, waiting := self._to_wait(overlapped))], "overlap")
        self.owed = sorted([*self.owed, *to_run, *waiting])

    def _to_wait(self, passed: Sequence[int]) -> Sequence[int]:
        """Return the latest of the fires that overlapped, as many as there is room for."""
        room = {"queue_one": 1 - len(self.owed), "queue_all": self.policy.queue_limit - len(self.owed), "cancel_running": 1}
        count = max(0, room.get(self.policy.overlap, 0))
        return passed[-count:] if count else ()

    def _is_used_up(self) -> bool:
        return self.policy.max_fires is not None and self.fires >= self.policy.max_fires

    def _go_on(self, status: str) -> None:
        if self._is_used_up() or self.scenario.period is None:
            self._skip([self.owed], "limit")
            self.is_over = "failed" if status == "failed" else "gone"

    def _skip(self, spans: Sequence[Sequence[int]], reason: str) -> None:
        dropped = [span for span in spans if span]
        if dropped:
            self.skipped.append(Skipped(dropped[0][0], sum(len(span) for span in dropped), reason))

    def _end(self) -> End:
        if self.is_over is not None:
            return End(self.is_over, None, None)
        if self.work is not None and self.work.started is not None:
            return End("running", None, self.fires)
        due = self._next_run(self.scenario.until) if self.work is None else self.work.due
        return End("scheduled", due, self.fires)


def play(scenario: Scenario) -> History:
    """Play a scenario through, and return its history."""
    playing = _Play(scenario)
    for now in scenario.instants:
        while playing.step(now):
            pass
        if scenario.down is not None and now == scenario.down[0]:
            playing.lose_node(now)
    return playing.history()
