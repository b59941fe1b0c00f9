"""An error that is not the library's sets one item aside, and the loop goes on with the others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from duly.jobs import Task
from duly.scheduler import LeaseLost, LoopFailed, LoopRecovered, RunReturned, StdScheduler
from duly.scheduler.node.outbox import FOREIGN_TRIES
from duly.scheduler.node.runner import Runner
from duly.stores import Exchange, Held, MemoryStore, Outcome, Refused, RunStatus
from support.driven import Noting, driven
from support.schedulers import HOUR, LEASE, Call, ScriptedStore, a_scheduler, heard, obey
from support.waiting import wait_until_async


@pytest.fixture
def jobs() -> Noting:
    """Jobs that note the slugs they are run for."""
    return Noting()


async def broken(_: ScriptedStore, __: Call) -> Exchange:
    """Fail as no store of the library does."""
    raise KeyError("a fault of the driver")


# -- dispatch


async def test_a_task_that_cannot_be_started_does_not_strand_those_that_were_locked_with_it(
    jobs: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off, for a node that can; no lease is left to run out."""
    start, calls = Runner.executor_of, list[object]()

    def fail_once(runner: Runner, registered: object) -> object:
        calls.append(registered)
        if len(calls) == 1:
            raise RecursionError("somebody's executor")
        return start(runner, registered)  # type: ignore[arg-type]  # a job's registration

    monkeypatch.setattr(Runner, "executor_of", fail_once)
    async with driven(jobs) as node:
        for slug in "abc":
            await node.scheduler.schedule_job(slug, "note")
        await node.turn(2)
        assert jobs.noted == ["b", "c"]
        (returned,) = [event for event in node.of(RunReturned) if isinstance(event, RunReturned)]
        assert (returned.slug, returned.reason) == ("a", "this node cannot start it: RecursionError: somebody's executor")
        assert "this node cannot start it" in await node.scheduler.why("a")


# -- outbox


async def test_an_outcome_on_which_the_store_fails_does_not_hold_up_the_others(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written singly; it is tried a few times, and then left to the end of its lease, and told."""
    async with driven(jobs, obey, *[broken] * FOREIGN_TRIES) as node:
        await node.scheduler.schedule_job("good", "note")
        await node.scheduler.schedule_job("poison", "note")
        await node.turn()
        reschedule = node.store.reschedule

        async def fail_on_poison(now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
            if any(outcome.task.slug == "poison" for outcome in outcomes):
                raise KeyError("a fault of the driver")
            return await reschedule(now, outcomes)

        monkeypatch.setattr(node.store, "reschedule", fail_on_poison)
        for tried in range(1, FOREIGN_TRIES + 1):
            with pytest.raises(KeyError):
                await node.dispatcher.run_once()
            assert await node.statuses() == [RunStatus.DONE]
            assert node.dispatcher.unwritten == (tried < FOREIGN_TRIES)
        (lost,) = [event for event in node.of(LeaseLost) if isinstance(event, LeaseLost)]
        assert (lost.slug, lost.reason) == ("poison", "its outcome cannot be written: KeyError: 'a fault of the driver'")
        assert len(node.scheduler.running_node.runs) == 0


async def test_a_store_that_fails_on_everything_costs_no_outcome(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: all are written once it works again."""

    async def fail(*_: object) -> list[Refused]:
        raise KeyError("a fault of the driver")

    async with driven(jobs, obey, *[broken] * 20) as node:
        await node.scheduler.schedule_job("a", "note")
        await node.turn()
        with monkeypatch.context() as patch:
            patch.setattr(node.store, "reschedule", fail)
            patch.setattr(node.store, "now", fail)
            for _ in range(20):
                with pytest.raises(KeyError):
                    await node.dispatcher.run_once()
        await node.turn()
        assert await node.statuses() == [RunStatus.DONE]


async def test_an_outcome_that_cannot_be_decided_ends_its_run(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """At first or again after an edit; its neighbours are settled."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        for slug in ("a", "edited", "z"):
            await node.scheduler.schedule_job(slug, "gated")
        await node.dispatcher.run_once()
        outbox = node.dispatcher._outbox
        decide = outbox._outcome

        def fail(run: object, ended: object, row: Task) -> Outcome:
            if row.slug == "a" or row.paused:
                raise RecursionError("somebody's trigger")
            return decide(run, ended, row)  # type: ignore[arg-type]  # as it is called

        monkeypatch.setattr(outbox, "_outcome", fail)
        await node.scheduler.pause_job("edited")
        gate.set()
        await node.turn(3)
        lost = [(event.slug, event.reason) for event in node.of(LeaseLost) if isinstance(event, LeaseLost)]
        reason = "its outcome cannot be decided: RecursionError: somebody's trigger"
        assert lost == [("a", reason), ("edited", reason)]
        assert await node.statuses() == [RunStatus.DONE]
        assert len(node.scheduler.running_node.runs) == 0


# -- heartbeat


async def test_a_lease_that_the_store_cannot_extend_costs_no_other_its_lease(jobs: Noting) -> None:
    """The others are extended singly, and the error is told."""
    gate, store = jobs.gated(), ScriptedStore()

    async def fail_on_poison(held: Sequence[Held]) -> None:
        if any(each.slug == "poison" for each in held):
            raise KeyError("a fault of the driver")

    store.script.extend.append(fail_on_poison)
    async with a_scheduler(store, jobs, lease=LEASE) as scheduler:
        events = heard(scheduler)
        for slug in ("good", "poison", "other"):
            await scheduler.schedule_job(slug, "gated")
        await wait_until_async(lambda: any(isinstance(event, LeaseLost) for event in events))
        store.script.extend.clear()
        await wait_until_async(lambda: any(isinstance(event, LoopRecovered) and event.loop == "heartbeat" for event in events))
        assert {event.slug for event in events if isinstance(event, LeaseLost)} == {"poison"}
        assert {event.loop for event in events if isinstance(event, LoopFailed)} == {"heartbeat"}
        gate.set()


# -- listening and pruning


class Odd(MemoryStore):
    """A store whose listener and pruner fail at first as none of the library does."""

    faults = 3

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[None]]:
        """Break off, and then work."""
        self.faults -= 1
        if self.faults > 0:
            raise KeyError("a fault of the driver")
        async with super().listen() as rings:
            yield rings

    async def prune(self, before: datetime | None, keep: int | None, limit: int) -> int:
        """Fail, until the listener works."""
        if self.faults > 0:
            raise KeyError("a fault of the driver")
        return await super().prune(before, keep, limit)


async def test_listening_and_pruning_go_on_after_a_foreign_error() -> None:
    """Each is told, and told again when it works."""
    async with StdScheduler(Odd(), lease=LEASE, poll=HOUR) as scheduler:
        events = heard(scheduler)
        await wait_until_async(lambda: {event.loop for event in events if isinstance(event, LoopRecovered)} == {"listen", "prune"})
