"""What ended stays to be written until the store has it, or refuses it for good.

That holds whatever comes in between.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from duly.jobs import Job, JobContext, PayloadTooLarge, Task
from duly.scheduler import ClockSkew, DulyError, LeaseLost, RunEnded, StoreError, StoreUnavailable
from duly.stores import Exchange, Outcome, Refused, RunQuery, RunStatus, StoreClosed
from support.driven import NOON, Driven, Noting, driven
from support.schedulers import HOUR, SECOND, Call, ScriptedStore, obey


@pytest.fixture
def jobs() -> Noting:
    """Jobs that note the slugs they are run for."""
    return Noting()


async def refusing(_: ScriptedStore, call: Call) -> Exchange:
    """Refuse the statement as a whole."""
    raise StoreError(f"cannot write {len(call.outcomes)} outcomes")


async def too_large(_: ScriptedStore, call: Call) -> Exchange:
    """Refuse the outcomes before they reach the server, as a store that encrypts may."""
    raise PayloadTooLarge(bytes(len(call.outcomes)), 1)


def refuse(node: Driven, monkeypatch: pytest.MonkeyPatch, error: DulyError, *slugs: str) -> list[list[str]]:
    """Let every single write of these tasks fail, and return the slugs of each write by now."""
    reschedule, calls = node.store.reschedule, list[list[str]]()

    async def answer(now: datetime, outcomes: Sequence[Outcome]) -> list[Refused]:
        calls.append([outcome.task.slug for outcome in outcomes])
        if any(outcome.task.slug in slugs for outcome in outcomes):
            raise error
        return await reschedule(now, outcomes)

    monkeypatch.setattr(node.store, "reschedule", answer)
    return calls


async def run_of(node: Driven, *slugs: str) -> None:
    """Have these tasks run to their end, which is not written yet."""
    for slug in slugs:
        await node.scheduler.schedule_job(slug, "note")
    await node.turn()
    assert node.dispatcher.unwritten == len(slugs)


@pytest.mark.parametrize(
    "error", [ClockSkew(NOON, NOON - HOUR, SECOND), StoreClosed("it"), StoreUnavailable("gone")], ids=lambda error: type(error).__name__
)
async def test_an_error_that_is_not_about_an_outcome_leaves_it_to_be_written(
    jobs: Noting, monkeypatch: pytest.MonkeyPatch, error: DulyError
) -> None:
    """A clock that is ahead, a store that is closed or gone.

    Written singly as little as together, and no run is given up for that.
    """
    async with driven(jobs, obey, refusing) as node:
        await run_of(node, "a", "b")
        with monkeypatch.context() as while_it_lasts:
            refuse(node, while_it_lasts, error, "a", "b")
            with pytest.raises(type(error)):
                await node.dispatcher.run_once()
        assert (node.dispatcher.unwritten, node.of(LeaseLost)) == (2, [])
        await node.turn()
        assert (node.dispatcher.unwritten, await node.statuses()) == (0, [RunStatus.DONE, RunStatus.DONE])


async def test_what_was_written_singly_before_a_passing_error_is_not_written_again(jobs: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes after it is left."""
    async with driven(jobs, obey, refusing) as node:
        await run_of(node, "a", "b", "c")
        with monkeypatch.context() as while_it_lasts:
            calls = refuse(node, while_it_lasts, StoreUnavailable("gone"), "b")
            with pytest.raises(StoreUnavailable):
                await node.dispatcher.run_once()
        assert calls == [["a"], ["b"]]
        await node.turn()
        assert [[outcome.task.slug for outcome in call.outcomes] for call in node.store.script.exchanges[-1:]] == [["b", "c"]]
        assert len(node.of(RunEnded)) == 3


async def test_an_outcome_that_is_refused_on_its_way_to_the_store_does_not_hold_up_the_others(
    jobs: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that encrypts refuses by an error that is not the store's own.

    It is given up like any other that cannot be written.
    """
    async with driven(jobs, obey, too_large) as node:
        await run_of(node, "good", "poison")
        refuse(node, monkeypatch, PayloadTooLarge(bytes(2), 1), "poison")
        with pytest.raises(PayloadTooLarge):
            await node.dispatcher.run_once()
        assert (node.dispatcher.unwritten, await node.statuses()) == (0, [RunStatus.DONE])
        (lost,) = node.of(LeaseLost)
        assert lost.slug == "poison"


async def test_a_run_that_cannot_be_written_for_what_it_spawned_fails_once_and_is_written(
    jobs: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told with the number of tasks that it spawned; nothing of these is created."""

    @jobs.job("parent")
    def parent(ctx: JobContext) -> None:
        ctx.spawn("child-1", "note")
        ctx.spawn("child-2", "note")

    async with driven(jobs, obey, refusing) as node:
        await node.scheduler.schedule_job("p", "parent")
        await node.turn()
        with monkeypatch.context() as while_it_lasts:
            refuse(node, while_it_lasts, StoreError("too many"), "p")
            with pytest.raises(StoreError):
                await node.dispatcher.run_once()
        assert (node.dispatcher.unwritten, node.of(LeaseLost)) == (1, [])
        await node.turn()
        (run,) = (await node.scheduler.runs(RunQuery())).items
        assert (run.status, run.error) == (RunStatus.RETRIED, "its outcome cannot be written: StoreError: too many (it spawned 2 tasks)")
        assert await node.scheduler.get_job_slugs() == ["p"]


class Removing(Job):
    """Has its task removed."""

    kind = "removing"

    async def execute(self, ctx: JobContext, task: Task, /) -> Task | None:
        """Return no task to go on with, as nobody can see beforehand."""
        return {task.slug: None}[ctx.slug]


@pytest.mark.parametrize(("trigger", "is_warned"), [("@every 1h", True), (None, False)])
async def test_only_a_schedule_that_its_job_removes_is_worth_a_warning(jobs: Noting, trigger: str | None, *, is_warned: bool) -> None:
    """A one-off is removed in any case."""
    jobs.register_job(Removing())
    async with driven(jobs) as node:
        await node.scheduler.schedule_job("a", "removing", trigger=trigger, delay=timedelta(0))
        await node.turn(2)
        (ended,) = node.of(RunEnded)
        assert isinstance(ended, RunEnded)
        assert (ended.removed, bool(ended.warning)) == (True, is_warned)


async def test_what_is_forgotten_is_not_written(jobs: Noting) -> None:
    """As after a kill: the lease will end."""
    async with driven(jobs) as node:
        await run_of(node, "a")
        node.dispatcher.forget()
        assert node.dispatcher.unwritten == 0
        await node.turn()
        assert (node.store.script.exchanges[-1].outcomes, await node.statuses()) == ((), [])
