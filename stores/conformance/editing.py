"""People change tasks, at any time."""

from collections.abc import Callable

import pytest
from attrs import evolve

from duly.jobs import Request, Task, TaskState
from duly.stores import Conflict, JobNotFound, JobStore, Outcome
from duly.stores.conformance.values import LEASE, NOON, SECOND, TICK, a_schedule, a_task, advanced, held_of, lock_one, request
from duly.stores.rules import transitions


class Editing:
    """`update` and `delete` on the version that was read, with and without a holder."""

    async def test_an_edit_is_written_as_a_new_version(self, store: JobStore) -> None:
        """The answer is the task as it is kept."""
        await store.create(NOON, [a_task()])
        edited = await store.update(NOON + SECOND, evolve(await store.get("task"), payload=b"2", metadata={"k": "v"}))

        assert (edited.payload, edited.metadata, edited.version, edited.updated_at) == (b"2", {"k": "v"}, 2, NOON + SECOND)
        assert await store.get("task") == edited

    async def test_an_edit_of_an_older_version_is_refused(self, store: JobStore) -> None:
        """The second of two people who read the same version is told, and changes nothing."""
        await store.create(NOON, [a_task()])
        mine = theirs = await store.get("task")
        await store.update(NOON, evolve(theirs, payload=b"theirs"))

        with pytest.raises(Conflict) as refused:
            await store.update(NOON, evolve(mine, payload=b"mine"))
        assert (refused.value.slug, refused.value.version) == ("task", 1)
        assert (await store.get("task")).payload == b"theirs"

    async def test_an_edit_of_an_unknown_task_is_an_error(self, store: JobStore) -> None:
        """It does not create the task."""
        with pytest.raises(JobNotFound):
            await store.update(NOON, a_task("nobody"))
        assert await store.get_slugs() == []

    async def test_an_edit_after_a_lock_needs_the_newer_version(self, store: JobStore) -> None:
        """A lock is a write; a heartbeat is not."""
        await store.create(NOON, [a_task()])
        before = await store.get("task")
        held = await lock_one(store)
        with pytest.raises(Conflict):
            await store.update(NOON, transitions.pause(before))

        await store.extend(NOON + SECOND, [held_of(held)], LEASE)
        assert (await store.update(NOON + SECOND, transitions.pause(held))).paused

    async def test_a_paused_task_is_not_due_and_a_resumed_one_is(self, store: JobStore) -> None:
        """The fire time that passed in between is kept."""
        await store.create(NOON, [a_task()])
        paused = await store.update(NOON, transitions.pause(await store.get("task")))
        assert paused.due_at is None
        assert await store.lock(NOON + LEASE, request()) == []

        await store.update(NOON + LEASE, transitions.resume(paused))
        assert (await lock_one(store, now=NOON + LEASE)).run_at == NOON

    async def test_an_edit_keeps_the_lease_of_a_running_task(self, store: JobStore) -> None:
        """State, node, lease and the end of the lease are the store's; an edit cannot forge them."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.extend(NOON + SECOND, [held_of(held)], LEASE)
        forged = evolve(held, state=TaskState.SCHEDULED, lease_id=None, node="forger", due_at=NOON, paused=True)

        edited = await store.update(NOON + SECOND, forged)

        assert (edited.state, edited.lease_id, edited.node) == (TaskState.RUNNING, held.lease_id, "a")
        assert edited.due_at == NOON + SECOND + LEASE
        assert await store.get("task") == edited

    async def test_the_holder_sees_a_request_to_stop_at_its_heartbeat(self, store: JobStore) -> None:
        """And the version that the request made, so that it knows of other edits too."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        edited = await store.update(NOON, evolve(held, request=Request.STOP))

        (kept,) = (await store.extend(NOON, [held_of(held)], LEASE)).kept
        assert (kept.stop, kept.version) == (True, edited.version)

    async def test_a_request_ends_with_the_run(self, store: JobStore) -> None:
        """The next run is not stopped by the request of the last."""
        await store.create(NOON, [a_schedule("s")])
        held = await store.update(NOON, evolve(await lock_one(store), request=Request.STOP))
        assert await store.reschedule(NOON, [advanced(held, run_at=NOON + SECOND)]) == []

        assert (await store.get("s")).request is Request.NONE

    async def test_deleting_an_older_version_is_refused(self, store: JobStore) -> None:
        """Somebody changed the task since it was read."""
        await store.create(NOON, [a_task()])
        await store.update(NOON, transitions.pause(await store.get("task")))

        with pytest.raises(Conflict):
            await store.delete("task", version=1)
        await store.delete("task", version=2)
        assert await store.get_slugs() == []

    @pytest.mark.parametrize("is_paused", [True, False])
    async def test_a_request_to_run_now_makes_due_what_is_not(self, store: JobStore, is_paused: bool) -> None:  # noqa: FBT001 - a parameter
        """A paused task is due for this once, and so is one that was set aside."""
        await store.create(NOON, [a_schedule("s", paused=is_paused)])
        if not is_paused:
            held = await lock_one(store)
            await store.reschedule(NOON, [Outcome(task=held, next=transitions.fail(held, now=NOON))])
        assert (await store.get("s")).due_at is None

        asked = await store.update(NOON, evolve(await store.get("s"), request=Request.RUN_NOW))

        assert asked.due_at == NOON
        assert (await lock_one(store)).request is Request.RUN_NOW

    async def test_a_request_to_run_now_stays_until_the_fire_is_over(self, store: JobStore) -> None:
        """Handed back, retried or cut short, a paused task is due again; once it has run it is not."""
        await store.create(NOON, [a_schedule("s", paused=True)])
        await store.update(NOON, evolve(await store.get("s"), request=Request.RUN_NOW))
        releases: list[Callable[[Task], Task]] = [
            lambda task: transitions.hand_back(task, now=NOON),
            lambda task: transitions.hand_back(task, now=NOON, until=NOON),
            lambda task: transitions.retry(task, now=NOON, at=NOON),
            lambda task: transitions.interrupt(task, now=NOON),
        ]
        for release in releases:
            held = await lock_one(store)
            assert await store.reschedule(NOON, [Outcome(task=held, next=release(held))]) == []
            kept = await store.get("s")
            assert (kept.request, kept.due_at, kept.paused) == (Request.RUN_NOW, NOON, True)

        assert await store.reschedule(NOON, [advanced(await lock_one(store), run_at=NOON + SECOND)]) == []
        over = await store.get("s")
        assert (over.request, over.due_at, over.paused) == (Request.NONE, None, True)

    async def test_owed_fires_outlive_every_write_that_does_not_settle_them(self, store: JobStore) -> None:
        """Lock, heartbeat, edit, a lost lease, hand back, retry, interruption, failure and restart.

        The next advance says anew.
        """
        owed = (NOON, NOON + TICK)
        await store.create(NOON, [a_schedule("s")])
        held = await store.update(NOON, evolve(await lock_one(store), owed=owed))
        await store.extend(NOON, [held_of(held)], LEASE)
        assert (await lock_one(store, now=NOON + LEASE)).owed == owed
        releases: list[Callable[[Task], Task]] = [
            lambda task: transitions.hand_back(task, now=NOON),
            lambda task: transitions.retry(task, now=NOON, at=NOON),
            lambda task: transitions.interrupt(task, now=NOON),
            lambda task: transitions.fail(task, now=NOON),
        ]
        for release in releases:
            held = await store.get("s")
            assert await store.reschedule(NOON, [Outcome(task=held, next=release(held))]) == []
            assert (await store.get("s")).owed == owed
            restarted = await store.update(NOON, transitions.restart(await store.get("s")))
            assert restarted.owed == owed
            assert (await lock_one(store)).owed == owed

        held = await store.get("s")
        following = transitions.advance(held, now=NOON, anchor=NOON, run_at=owed[1], owed=owed[1:])
        assert await store.reschedule(NOON, [Outcome(task=held, next=following)]) == []
        assert (await store.get("s")).owed == owed[1:]
