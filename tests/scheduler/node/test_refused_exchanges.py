"""What the dispatcher makes of refused exchanges, and of edits that came in between.

The store refuses these exchanges for good.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from attrs import evolve

from duly.scheduler import ClockSkew, LeaseLost, StoreError
from duly.stores import Exchange, Outcome, Refused, RunStatus
from duly.stores.rules import transitions
from support.driven import NOON, Noting, driven
from support.schedulers import HOUR, SECOND, Call, ScriptedStore, always_due, obey


@pytest.fixture
def jobs() -> Noting:
    """Jobs that note the slugs they are run for."""
    return Noting()


async def skewed(_: ScriptedStore, call: Call) -> Exchange:
    """Find the caller's time an hour ahead."""
    raise ClockSkew(call.now, NOON - HOUR, timedelta(seconds=5))


async def refusing(_: ScriptedStore, call: Call) -> Exchange:
    """Refuse the statement as a whole."""
    raise StoreError(f"cannot write {len(call.outcomes)} outcomes")


async def test_a_node_whose_time_is_refused_takes_over_the_stores(jobs: Noting) -> None:
    """The clock starts over from what the refusal says; else the node would never lock again."""
    async with driven(jobs, skewed) as node:
        await node.scheduler.schedule_job("t", "note")
        with pytest.raises(ClockSkew):
            await node.dispatcher.run_once()
        await node.dispatcher.run_once()
        refused, accepted = node.store.script.exchanges
        assert (refused.now, accepted.now) == (NOON, NOON - HOUR)


async def test_an_outcome_that_the_store_cannot_keep_does_not_hold_up_the_others(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and told; its lease will end. The others are written, and the node goes on."""
    async with driven(jobs, obey, refusing) as node:
        await node.scheduler.schedule_job("good", "note")
        await node.scheduler.schedule_job("poison", "note")
        await node.turn()
        reschedule = node.store.reschedule

        async def refuse_poison(now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
            if any(outcome.task.slug == "poison" for outcome in outcomes):
                raise StoreError("no store can keep this")
            return await reschedule(now, outcomes)

        monkeypatch.setattr(node.store, "reschedule", refuse_poison)
        with pytest.raises(StoreError, match="2 outcomes"):
            await node.dispatcher.run_once()
        assert await node.statuses() == [RunStatus.DONE]
        assert await node.scheduler.get_job_slugs() == ["poison"]
        assert [event.error.slug for event in node.of(LeaseLost) if isinstance(event, LeaseLost)] == ["poison"]
        assert (node.dispatcher.unwritten, len(node.scheduler.running_node.runs)) == (0, 0)


async def test_a_task_that_was_paused_while_its_node_died_does_not_run(jobs: Noting) -> None:
    """The lease ends, another node takes it over, and lets it be: due again when it is resumed."""
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "note")
        request = (await node.dispatcher._new_call([])).request
        assert request is not None
        (held,) = await node.store.lock(NOON, evolve(request, node="dead"))
        await node.store.update(NOON, transitions.pause(held))
        node.clock.advance(HOUR)
        await node.turn(2)

        task = await node.scheduler.get_scheduled_job("t")
        assert (jobs.noted, task.due_at, task.crashes) == ([], None, 1)
        await node.store.update(node.clock.now(), transitions.resume(task))
        await node.turn(2)
        assert jobs.noted == ["t"]


async def test_a_fire_time_edited_during_a_run_counts_when_it_ends(jobs: Noting) -> None:
    """Somebody moved the next run of a one-off: it is not removed."""
    gate = jobs.gated()
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("t", "gated")
        await node.dispatcher.run_once()
        await node.store.update(NOON, evolve(await node.store.get("t"), run_at=NOON + HOUR))
        gate.set()
        await node.turn(3)
        assert (await node.scheduler.get_scheduled_job("t")).due_at == NOON + HOUR

        node.clock.advance(HOUR + SECOND)
        await node.turn(3)
        assert (jobs.noted, await node.scheduler.get_job_slugs()) == (["t", "t"], [])


async def test_kinds_that_take_turns_do_not_spin_on_what_is_due_and_not_to_be_had(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one of two kinds the other is asked for at once.

    After a round in vain the node pauses.
    """
    jobs.gated()
    async with driven(jobs, *[always_due] * 6, concurrency=1) as node:

        async def due_now(_: Sequence[str]) -> datetime:
            return NOON

        monkeypatch.setattr(node.store, "next_run", due_now)
        pauses = [await node.dispatcher._turn() for _ in range(6)]
        assert pauses[0] == timedelta(0)
        assert all(pause > timedelta(0) for pause in pauses[1:])
