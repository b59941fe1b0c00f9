"""A slug is a dedupe key: taken while its task is under way, and free as soon as that has ended.

A task that was set aside gives way.
"""

import pytest
from attrs import evolve

from duly.jobs import Request, Task, TaskState
from duly.stores import Conflict, IfExists, JobAlreadyScheduled, JobStore, Outcome, RunQuery, RunStatus
from duly.stores.conformance.values import LEASE, NOON, SECOND, a_run, a_schedule, a_task, finished, lock_one, request, retried
from duly.stores.rules import transitions

LATER = NOON + LEASE


class GivingWay:
    """`create` and `Outcome.spawn` over a slug whose task has ended, in whatever way."""

    @pytest.mark.parametrize("if_exists", ["error", "keep"])
    async def test_a_task_that_was_set_aside_gives_way_to_a_new_one(self, store: JobStore, if_exists: IfExists) -> None:
        """Nothing of it is left in the new one but the count of its versions.

        What it did stays in the history.
        """
        failed = await _set_aside(store, a_schedule("work/42", payload=b"old", metadata={"k": "v"}))
        new = a_task("work/42", payload=b"new", run_at=LATER + SECOND)

        assert await store.create(LATER, [new], if_exists=if_exists) == ["work/42"]

        anew = transitions.create(new, namespace=store.namespace, now=LATER)
        assert await store.get("work/42") == evolve(anew, version=failed.version + 1)
        assert [run.status for run in (await store.runs(RunQuery(slug="work/42"))).items] == [RunStatus.FAILED]

    async def test_the_task_that_took_its_place_is_locked_and_done(self, store: JobStore) -> None:
        """As any other; and with it the slug is free again."""
        await _set_aside(store, a_task("work/42", payload=b"old"))
        await store.create(LATER, [a_task("work/42", payload=b"new", run_at=LATER)])

        assert await store.next_run(["work"]) == LATER
        held = await lock_one(store, now=LATER)
        assert (held.payload, held.attempt, held.last_error) == (b"new", 1, None)
        assert await store.reschedule(LATER, [finished(held, now=LATER)]) == []
        assert await store.get_slugs() == []

    async def test_a_task_that_replaces_one_set_aside_leaves_it_aside(self, store: JobStore) -> None:
        """A service that declares its tasks at every start restarts none.

        `replace` changes the definition and nothing else.
        """
        await _set_aside(store, a_task("work/42", payload=b"old"))

        assert await store.create(LATER, [a_task("work/42", payload=b"new")], if_exists="replace") == ["work/42"]

        kept = await store.get("work/42")
        assert (kept.payload, kept.state, kept.due_at) == (b"new", TaskState.FAILED, None)

    @pytest.mark.parametrize("if_exists", ["error", "keep"])
    async def test_a_paused_one_that_was_set_aside_gives_way_too(self, store: JobStore, if_exists: IfExists) -> None:
        """And the new one is as it is given: not paused."""
        await store.update(NOON, transitions.pause(await _set_aside(store, a_task("work/42"))))

        assert await store.create(LATER, [a_task("work/42")], if_exists=if_exists) == ["work/42"]
        assert not (await store.get("work/42")).paused

    async def test_a_task_set_aside_that_was_asked_to_run_now_does_not_give_way(self, store: JobStore) -> None:
        """It is about to be run."""
        asked = await store.update(NOON, evolve(await _set_aside(store, a_task("work/42")), request=Request.RUN_NOW))

        with pytest.raises(JobAlreadyScheduled):
            await store.create(LATER, [a_task("work/42")])
        assert await store.create(LATER, [a_task("work/42")], if_exists="keep") == []
        assert await store.get("work/42") == asked

    async def test_a_task_that_was_restarted_does_not_give_way(self, store: JobStore) -> None:
        """It is under way again."""
        restarted = await store.update(NOON, transitions.restart(await _set_aside(store, a_task("work/42"))))

        with pytest.raises(JobAlreadyScheduled):
            await store.create(LATER, [a_task("work/42")])
        assert await store.get("work/42") == restarted

    async def test_a_paused_task_that_was_not_set_aside_does_not_give_way(self, store: JobStore) -> None:
        """It waits for somebody to resume it; a slug is no less taken for that."""
        await store.create(NOON, [evolve(a_task("work/42"), paused=True)])
        paused = await store.get("work/42")

        with pytest.raises(JobAlreadyScheduled):
            await store.create(LATER, [a_task("work/42")])
        assert await store.create(LATER, [a_task("work/42")], if_exists="keep") == []
        assert await store.get("work/42") == paused

    async def test_a_task_that_waits_for_its_retry_does_not_give_way(self, store: JobStore) -> None:
        """A failed attempt is no end."""
        await store.create(NOON, [a_task("work/42")])
        assert await store.reschedule(NOON, [retried(await lock_one(store), at=LATER)]) == []

        with pytest.raises(JobAlreadyScheduled):
            await store.create(NOON, [a_task("work/42")])
        assert await store.create(NOON, [a_task("work/42")], if_exists="keep") == []

    async def test_a_slug_in_the_way_keeps_those_that_were_set_aside_as_they_are(self, store: JobStore) -> None:
        """All or none: the error names what is in the way, and nothing else has changed."""
        failed = await _set_aside(store, a_task("work/1"))
        await store.create(NOON, [a_task("work/2", run_at=LATER)])

        with pytest.raises(JobAlreadyScheduled) as refused:
            await store.create(LATER, [a_task("work/1"), a_task("work/2"), a_task("work/3")])

        assert refused.value.slugs == ("work/2",)
        assert await store.get("work/1") == failed
        assert await store.get_slugs() == ["work/1", "work/2"]

    async def test_many_tasks_that_were_set_aside_give_way_in_one_call(self, store: JobStore) -> None:
        """Beside new ones, and beside those that are kept."""
        slugs = [f"work/{number:02}" for number in range(40)]
        await store.create(NOON, [a_task(slug) for slug in slugs])
        held = await store.lock(NOON, request({"work": len(slugs)}))
        assert await store.reschedule(NOON, [_failure(task) for task in held if task.slug != "work/07"]) == []

        written = await store.create(LATER, [a_task(slug, payload=b"new") for slug in (*slugs, "work/new")], if_exists="keep")

        assert written == [slug for slug in (*slugs, "work/new") if slug != "work/07"]
        assert [(await store.get(slug)).version for slug in ("work/06", "work/07", "work/new")] == [4, 2, 1]

    async def test_an_edit_of_the_task_that_gave_way_is_refused(self, store: JobStore) -> None:
        """Whoever read it meant another task."""
        failed = await _set_aside(store, a_task("work/42", payload=b"old"))
        await store.create(LATER, [a_task("work/42", payload=b"new")])

        with pytest.raises(Conflict):
            await store.update(LATER, transitions.restart(failed))
        with pytest.raises(Conflict):
            await store.delete("work/42", failed.version)
        assert (await store.get("work/42")).payload == b"new"

    async def test_the_failure_of_the_task_that_gave_way_may_be_handed_in_again(self, store: JobStore) -> None:
        """Its answer was lost: it was written, and is no outcome of the new one."""
        await store.create(NOON, [a_task("work/42")])
        outcome = _failure(await lock_one(store))
        assert await store.reschedule(NOON, [outcome]) == []
        await store.create(LATER, [a_task("work/42", payload=b"new")])

        assert await store.reschedule(LATER, [outcome]) == []

        assert ((await store.get("work/42")).payload, (await store.get("work/42")).state) == (b"new", TaskState.SCHEDULED)

    async def test_a_task_that_was_set_aside_gives_way_to_a_spawned_one(self, store: JobStore) -> None:
        """In the write of the outcome; what is under way is kept as ever."""
        failed = await _set_aside(store, a_task("child/1", payload=b"old"))
        await store.create(NOON, [a_task("parent"), a_task("child/2", payload=b"old", run_at=LATER)])
        spawn = tuple(a_task(slug, payload=b"new", run_at=LATER) for slug in ("child/1", "child/2"))

        assert await store.reschedule(NOON, [finished(await lock_one(store), spawn=spawn)]) == []

        children = [await store.get(slug) for slug in ("child/1", "child/2")]
        assert [(child.payload, child.version, child.state) for child in children] == [
            (b"new", failed.version + 1, TaskState.SCHEDULED),
            (b"old", 1, TaskState.SCHEDULED),
        ]

    async def test_nothing_gives_way_to_what_a_refused_outcome_spawns(self, store: JobStore) -> None:
        """Whole or absent."""
        failed = await _set_aside(store, a_task("child"))
        await store.create(NOON, [a_task("parent")])
        held = await lock_one(store)
        await lock_one(store, node="b", now=LATER)

        (refused,) = await store.reschedule(LATER, [finished(held, spawn=(a_task("child", payload=b"new"),))])

        assert (refused.reason, await store.get("child")) == ("lost", failed)

    async def test_a_task_that_fails_and_spawns_its_own_slug_is_kept(self, store: JobStore) -> None:
        """It is set aside by this very write: nobody has seen it there."""
        await store.create(NOON, [a_task("work/42", payload=b"old")])
        outcome = evolve(_failure(await lock_one(store)), spawn=(a_task("work/42", payload=b"new"),))

        assert await store.reschedule(NOON, [outcome]) == []

        assert ((await store.get("work/42")).payload, (await store.get("work/42")).state) == (b"old", TaskState.FAILED)

    async def test_a_slug_is_free_as_soon_as_its_one_off_is_done(self, store: JobStore) -> None:
        """No key outlives its task, nor does its history keep it."""
        await store.create(NOON, [a_task("work/42")])
        assert await store.reschedule(NOON, [finished(await lock_one(store))]) == []

        assert await store.create(NOON, [a_task("work/42")]) == ["work/42"]

    async def test_the_same_key_of_two_kinds_is_two_slugs(self, store: JobStore) -> None:
        """A kind before the key keeps them apart: the slug is all that counts, and it is taken for every kind."""
        await store.create(NOON, [a_task("mail/42", kind="mail"), a_task("bill/42", kind="bill")])

        assert await store.get_slugs(prefix="mail/") == ["mail/42"]
        with pytest.raises(JobAlreadyScheduled):
            await store.create(NOON, [a_task("mail/42", kind="bill")])

    async def test_a_restarted_task_keeps_its_fire_time(self, store: JobStore) -> None:
        """It is due at once, for the same fire: with that time, and by that anchor."""
        failed = await _set_aside(store, a_schedule("work/42"))

        restarted = await store.update(LATER, transitions.restart(failed))

        assert (restarted.run_at, restarted.anchor, restarted.due_at) == (failed.run_at, failed.anchor, NOON)
        assert (restarted.state, restarted.attempt) == (TaskState.SCHEDULED, 0)
        assert (await lock_one(store, now=LATER)).run_at == NOON


def _failure(held: Task) -> Outcome:
    """Return the outcome of a run after which its task is set aside."""
    failed = transitions.fail(evolve(held, last_error="in vain"), now=NOON)
    return Outcome(task=held, next=failed, runs=(a_run(held, now=NOON, status=RunStatus.FAILED),))


async def _set_aside(store: JobStore, task: Task) -> Task:
    """Create a task, let its first run fail for good, and return it as it is then."""
    await store.create(NOON, [task])
    assert await store.reschedule(NOON, [_failure(await lock_one(store))]) == []
    return await store.get(task.slug)
