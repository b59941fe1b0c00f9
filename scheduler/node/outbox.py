"""Outcomes waiting to be written; each is kept until the store accepts or finally refuses it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from duly.jobs import Task
from duly.jobs.cipher import sealed_problem
from duly.scheduler.events.runs import LeaseLost, RunEnded, RunReturned
from duly.scheduler.rules.edits import take_trigger
from duly.scheduler.rules.endings import EndedRun, Ending, Raised, Returned, Spawned
from duly.scheduler.rules.firing import trigger_of
from duly.scheduler.rules.outcomes import outcome_of, without_next
from duly.scheduler.runs.live_run import LiveRun
from duly.scheduler.runs.live_runs import LiveRuns
from duly.scheduler.services import Services
from duly.scheduler.wording import handed_back_note, headline
from duly.stores import ClockSkew, LockLost, Outcome, Refused, StoreClosed
from duly.stores.rules import transitions
from duly.stores.rules.unreadable import unreadable_pause
from duly.triggers import DulyError


@frozen(eq=False)
class PendingWrite:
    """A run with its outcome to be written; after an edit of the row the outcome is decided again."""

    run: LiveRun
    decide: Callable[[Task], Outcome]
    outcome: Outcome
    ended: EndedRun | None = None
    """None: the task is handed back unrun."""

    @property
    def warning(self) -> str:
        """The warning of the `RunEnded` event; empty if there is none."""
        match self.ended:
            case EndedRun(task=Task(recurring=True), ending=Returned(task=None)) if not _is_meant(self.run):
                return "removed with its trigger, because the job returned None; `return task` goes on, `removes_itself = True` means it"
        return ""


def is_about_outcomes(error: Exception) -> bool:
    """Tell whether an outcome itself may be at fault, in the store or on the way to it.

    On any other error the outcomes stay in the outbox as they are.
    """
    return not getattr(error, "retryable", False) and not isinstance(error, ClockSkew | StoreClosed)


FOREIGN_TRIES = 5
"""How often an outcome is tried alone that the store does not refuse, but fails on with an error that is not the library's."""


def _is_meant(run: LiveRun) -> bool:
    return run.registered is not None and run.registered.removes_itself


class Outbox:
    """Decides the outcomes of held tasks, and keeps them until they are written.

    Used in the scheduler's event loop only.
    """

    def __init__(self, services: Services, runs: LiveRuns, on_more: Callable[[], None]) -> None:
        """Begin empty. A run leaves `runs` once its outcome is written, or is not this node's to write.

        `on_more` is called when an outcome is added.
        """
        self._services, self._clock = services, services.clock
        self._runs, self._on_more = runs, on_more
        self._pending: dict[str, PendingWrite] = {}
        self._tries = Counter[str]()
        """How often an outcome failed alone, by lease id, while the store answered otherwise."""

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def content(self) -> list[PendingWrite]:
        """The outcomes to be written, in the order in which the runs ended."""
        return list(self._pending.values())

    def forget(self) -> None:
        """Drop everything, as a kill would."""
        self._pending.clear()

    # -- in

    def finish(self, run: LiveRun, ending: Ending) -> None:
        """Put the outcome of a run that ends now."""
        self._finish(run, run.ended_with(ending))

    def _finish(self, run: LiveRun, ended: EndedRun) -> None:
        def decide(row: Task) -> Outcome:
            return self._outcome(run, ended, row)

        self._decide(run, decide, ended)

    def _outcome(self, run: LiveRun, ended: EndedRun, row: Task) -> Outcome:
        if ended.ending == Spawned() and (problem := sealed_problem(row.payload)) is not None:  # a node with other keys edited it
            return self._back(row, f"this node cannot copy its payload: {problem}", self._unreadable_pause(row))
        try:
            amended = take_trigger(run.amend(row, ended.ended_at), ended, run.registered)
            outcome = outcome_of(amended, ended, trigger_of(amended, run.registered))
            return outcome if amended is row else evolve(outcome, task=row)
        except Exception as error:  # noqa: BLE001 - another version may have written a trigger that this one cannot read
            return without_next(row, ended, f"this node cannot follow its trigger: {headline(error)}")

    def hand_back(self, run: LiveRun, reason: str, pause: timedelta | None = None) -> None:
        """Hand a task back unrun; it is due again after `pause` (None: at the same instant as before)."""
        self._services.publish(
            RunReturned(node=self._services.node, slug=run.task.slug, kind=run.task.kind, reason=reason, facts=run.facts)
        )

        def decide(row: Task) -> Outcome:
            return self._back(row, reason, pause)

        self._decide(run, decide)

    def put_off(self, run: LiveRun, reason: str) -> None:
        """Hand back unrun a task that this node cannot read, and leave it to other nodes for a while."""
        self.hand_back(run, reason, self._unreadable_pause(run.task))

    def _decide(self, run: LiveRun, decide: Callable[[Task], Outcome], ended: EndedRun | None = None) -> None:
        try:
            pending = PendingWrite(run, decide, decide(run.task), ended)
        except Exception as error:  # noqa: BLE001 - a run must not stay for ever because of somebody's trigger or value
            self._set_aside(run, error)
        else:
            self._put(pending)

    def _set_aside(self, run: LiveRun, error: Exception) -> None:
        run.end()
        self._lost(run, f"its outcome cannot be decided: {headline(error)}")

    def _put(self, pending: PendingWrite) -> None:
        pending.run.end()
        self._pending[pending.run.lease_id] = pending
        self._runs.changed.ring()
        self._on_more()

    def _back(self, row: Task, reason: str, pause: timedelta | None) -> Outcome:
        now = self._clock.now()
        noted = row if pause is None else evolve(row, last_error=handed_back_note(self._services.node, reason))
        return Outcome(task=row, next=transitions.hand_back(noted, now=now, until=None if pause is None else now + pause))

    def _unreadable_pause(self, task: Task) -> timedelta:
        """Return how long to leave a task to other nodes."""
        return unreadable_pause(self._clock.now() - task.run_at)

    # -- out

    def settle(self, handed_in: Iterable[PendingWrite], refused: Iterable[Refused]) -> bool:
        """Remove what was written or lost, and decide again what was edited; the rest stays.

        Return whether another transaction held some of the rows.
        """
        reasons, are_busy = {each.outcome.task.lease_id: each for each in refused}, False
        for each in handed_in:
            self._pending.pop(each.run.lease_id, None)
            refusal = reasons.get(each.run.lease_id)
            if refusal is None:
                self._written(each)
            elif refusal.reason == "lost":
                self._lost(each.run, "its outcome came too late: another node has the task, or somebody deleted it")
            elif refusal.reason == "edited" and refusal.task is not None:
                self._decide_again(each, refusal.task)
            else:
                self._pending[each.run.lease_id], are_busy = each, True
        return are_busy

    def _decide_again(self, pending: PendingWrite, row: Task) -> None:
        try:
            self._put(evolve(pending, outcome=pending.decide(row)))
        except Exception as error:  # noqa: BLE001 - the outcomes that were handed in with it are settled, too
            self._set_aside(pending.run, error)

    async def write_singly(self, handed_in: Sequence[PendingWrite], now: datetime) -> None:
        """Write each outcome by itself, because the store refuses them together; drop those it refuses alone.

        An outcome on which the store fails with an error that is not the library's is tried `FOREIGN_TRIES` times.

        Raises:
            Exception: an error that is not about an outcome; the outcomes not written yet stay.

        """
        for each in handed_in:
            try:
                refused = await self._services.store.reschedule(now, [each.outcome])
            except Exception as error:
                if not is_about_outcomes(error):
                    raise
                if not isinstance(error, DulyError) and await self._is_tried_again(each):
                    continue
                self._pending.pop(each.run.lease_id, None)
                self._refused_for_good(each, f"its outcome cannot be written: {headline(error)}")
            else:
                self.settle([each], refused)

    async def _is_tried_again(self, pending: PendingWrite) -> bool:
        """Count a failed try, if the store answers otherwise; return whether there is to be another.

        Raises:
            Exception: the store does not answer at all: the outcome is not at fault.

        """
        await self._services.store.now()
        self._tries[pending.run.lease_id] += 1
        return self._tries[pending.run.lease_id] < FOREIGN_TRIES

    def _refused_for_good(self, pending: PendingWrite, reason: str) -> None:
        """Deal with an outcome that the store refuses alone.

        A run that spawned tasks is written as failed, without them: they may be what makes the outcome too large. Any other
        run is left to the end of its lease.
        """
        match pending.ended:
            case EndedRun(ending=Returned(spawn=spawn)) as ended if spawn:
                self._finish(pending.run, evolve(ended, ending=Raised(f"{reason} (it spawned {len(spawn)} tasks)")))
            case _:
                self._lost(pending.run, reason)

    def _written(self, pending: PendingWrite) -> None:
        self._tries.pop(pending.run.lease_id, None)
        self._runs.remove(pending.run, is_written=True)
        for record in pending.outcome.runs:
            removed = pending.outcome.next is None
            self._services.publish(RunEnded(node=self._services.node, run=record, removed=removed, warning=pending.warning))

    def _lost(self, run: LiveRun, reason: str) -> None:
        self._tries.pop(run.lease_id, None)
        self._runs.remove(run, is_written=False)
        if run.lease.lose():
            error = LockLost(run.task.slug, run.lease_id)
            self._services.publish(LeaseLost(node=self._services.node, error=error, kind=run.task.kind, reason=reason, facts=run.facts))
