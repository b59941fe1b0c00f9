"""One valid holder: every write of a holder carries its lease, and is refused once it is another's."""

from attrs import evolve

from duly.jobs import TaskState
from duly.stores import JobStore, Outcome, RunQuery, RunStatus
from duly.stores.conformance.values import (
    LEASE,
    NOON,
    SECOND,
    a_run,
    a_schedule,
    a_task,
    advanced,
    finished,
    held_of,
    lock_one,
    request,
    retried,
)
from duly.stores.rules import transitions


class Fencing:
    """`reschedule` and `extend` under leases that were lost, and calls that are repeated."""

    async def test_a_stale_lease_cannot_reschedule(self, store: JobStore) -> None:
        """A lease that ended and was taken over can no longer write, and the newer holder's state stands."""
        await store.create(NOON, [a_schedule("s")])
        first = await lock_one(store, node="a")
        second = await lock_one(store, node="b", now=NOON + LEASE)
        stale = advanced(first, now=NOON + LEASE, run_at=NOON + 60 * SECOND)

        (refused,) = await store.reschedule(NOON + LEASE, [stale])

        assert (refused.outcome, refused.reason) == (stale, "lost")
        assert await store.get("s") == second
        assert [run.status for run in (await store.runs(RunQuery())).items] == [RunStatus.LOST]

    async def test_a_stale_lease_cannot_remove(self, store: JobStore) -> None:
        """Finishing a one-off is fenced like any write."""
        await store.create(NOON, [a_task()])
        first = await lock_one(store, node="a")
        second = await lock_one(store, node="b", now=NOON + LEASE)

        assert [refused.reason for refused in await store.reschedule(NOON + LEASE, [finished(first)])] == ["lost"]
        assert await store.get("task") == second

    async def test_a_stale_lease_cannot_extend(self, store: JobStore) -> None:
        """The former holder's heartbeat moves nothing, and is told."""
        await store.create(NOON, [a_task()])
        first = await lock_one(store, node="a")
        second = await lock_one(store, node="b", now=NOON + LEASE)

        extended = await store.extend(NOON + LEASE + SECOND, [held_of(first)], 9 * LEASE)

        assert (extended.kept, [held.lease_id for held in extended.lost]) == ([], [first.lease_id])
        assert (await store.get("task")).due_at == second.due_at

    async def test_a_lease_that_ended_unseen_still_counts(self, store: JobStore) -> None:
        """As long as nobody took the task over, its holder's late outcome is the only one, and is written."""
        await store.create(NOON, [a_task()])
        first = await lock_one(store)

        assert await store.reschedule(NOON + 2 * LEASE, [finished(first, now=NOON + 2 * LEASE)]) == []
        assert await store.get_slugs() == []

    async def test_a_deleted_task_cannot_be_rescheduled(self, store: JobStore) -> None:
        """Deletion takes the lease with the row: the holder's outcome does not bring the task back."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        await store.delete("s")

        assert [refused.reason for refused in await store.reschedule(NOON, [advanced(held, run_at=NOON + SECOND)])] == ["lost"]
        assert await store.get_slugs() == []

    async def test_a_slug_scheduled_anew_is_not_the_old_holders(self, store: JobStore) -> None:
        """After delete and create, the former holder's lease fits nothing."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.delete("task")
        await store.create(NOON, [a_task(payload=b"new")])

        extended = await store.extend(NOON, [held_of(held)], LEASE)
        assert [lost.slug for lost in extended.lost] == ["task"]
        assert [refused.reason for refused in await store.reschedule(NOON, [finished(held)])] == ["lost"]
        assert (await store.get("task")).payload == b"new"

    async def test_a_slug_scheduled_anew_and_locked_again_is_its_new_holders(self, store: JobStore) -> None:
        """Slug and version are as they were; only the lease tells the two holders apart."""
        await store.create(NOON, [a_task()])
        old = await lock_one(store, node="a")
        await store.delete("task")
        await store.create(NOON, [a_task()])
        new = await lock_one(store, node="b")
        assert new.version == old.version

        assert [refused.reason for refused in await store.reschedule(NOON, [finished(old)])] == ["lost"]
        assert (await store.extend(NOON + SECOND, [held_of(old)], 9 * LEASE)).kept == []
        assert await store.get("task") == new

    async def test_an_edit_between_lock_and_reschedule_is_not_overwritten(self, store: JobStore) -> None:
        """The outcome is refused as `edited`, with the task as it is now; decided anew on that, it is written."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        await store.update(NOON + SECOND, transitions.pause(await store.get("s")))

        (refused,) = await store.reschedule(NOON + 2 * SECOND, [advanced(held, run_at=NOON + 60 * SECOND)])

        assert refused.reason == "edited"
        assert refused.task is not None
        assert (refused.task.paused, refused.task.lease_id) == (True, held.lease_id)
        assert await store.reschedule(NOON + 2 * SECOND, [advanced(refused.task, run_at=NOON + 60 * SECOND)]) == []
        kept = await store.get("s")
        assert (kept.paused, kept.due_at, kept.run_at, kept.state) == (True, None, NOON + 60 * SECOND, TaskState.SCHEDULED)

    async def test_an_edited_task_that_the_same_exchange_locks_anew_is_lost_to_its_old_lease(self, store: JobStore) -> None:
        """The lease had ended: whoever decides again on the old one would be refused once more."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        await store.update(NOON + SECOND, transitions.pause(await store.get("s")))

        exchange = await store.exchange(NOON + LEASE, [advanced(held, run_at=NOON + 60 * SECOND)], request())

        assert [(refused.reason, refused.task) for refused in exchange.refused] == [("lost", None)]
        assert [task.slug for task in exchange.tasks] == ["s"]

    async def test_one_bad_outcome_never_fails_its_neighbours(self, store: JobStore) -> None:
        """In a batch of three the lost one is refused and the other two are written."""
        await store.create(NOON, [a_task("a"), a_task("b"), a_task("c")])
        a, b, c = await store.lock(NOON, request())
        await store.delete("b")

        refused = await store.reschedule(NOON, [finished(a), finished(b), finished(c)])

        assert [(each.outcome.task.slug, each.reason) for each in refused] == [("b", "lost")]
        assert await store.get_slugs() == []
        assert sorted(run.slug for run in (await store.runs(RunQuery())).items) == ["a", "c"]

    async def test_a_repeated_outcome_counts_as_done(self, store: JobStore) -> None:
        """Handed in again after an ambiguous error, it is neither refused nor written twice."""
        await store.create(NOON, [a_task("one-off"), a_schedule("s"), a_task("retry")])
        held = {task.slug: task for task in await store.lock(NOON, request())}
        outcomes = [
            finished(held["one-off"]),
            advanced(held["s"], run_at=NOON + 60 * SECOND),
            retried(held["retry"], at=NOON + 9 * SECOND),
        ]
        assert await store.reschedule(NOON, outcomes) == []
        before = [await store.get("s"), await store.get("retry")]

        assert await store.reschedule(NOON + SECOND, outcomes) == []
        assert [await store.get("s"), await store.get("retry")] == before
        assert len((await store.runs(RunQuery())).items) == 3

    async def test_a_repeated_outcome_counts_as_done_when_the_task_runs_again(self, store: JobStore) -> None:
        """The history knows the run, even though somebody else holds the task by now."""
        await store.create(NOON, [a_schedule("s")])
        outcome = advanced(await lock_one(store, node="a"), run_at=NOON + SECOND)
        await store.reschedule(NOON, [outcome])
        second = await lock_one(store, node="b", now=NOON + SECOND)

        assert await store.reschedule(NOON + SECOND, [outcome]) == []
        assert await store.get("s") == second

    async def test_a_repeated_hand_back_counts_as_done(self, store: JobStore) -> None:
        """It leaves no run in the history; the row's last lease tells."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        outcome = Outcome(task=held, next=transitions.hand_back(held, now=NOON, until=NOON + SECOND))

        assert await store.reschedule(NOON, [outcome]) == []
        assert await store.reschedule(NOON, [outcome]) == []
        kept = await store.get("task")
        assert (kept.attempt, kept.first_run_at, kept.due_at, kept.version) == (0, None, NOON + SECOND, 3)

    async def test_a_repeated_request_returns_what_it_locked(self, store: JobStore) -> None:
        """The answer to the first call may have been lost.

        Nothing more is locked, and nothing is locked twice.
        """
        await store.create(NOON, [a_task(f"t{number}") for number in range(5)])
        asked = request({"work": 3})
        first = await store.lock(NOON, asked)

        again = await store.lock(NOON, asked)

        assert sorted(again, key=lambda task: task.slug) == first
        assert [task.slug for task in await store.lock(NOON, request())] == ["t3", "t4"]

    async def test_a_repeated_exchange_does_everything_once(self, store: JobStore) -> None:
        """Outcomes and locks together, as a node repeats them after an ambiguous error."""
        await store.create(NOON, [a_schedule("s"), a_task("t", run_at=NOON + SECOND)])
        outcome, asked = advanced(await lock_one(store), run_at=NOON + 60 * SECOND), request()
        first = await store.exchange(NOON + SECOND, [outcome], asked)

        again = await store.exchange(NOON + SECOND, [outcome], asked)

        assert (again.tasks, again.refused) == (first.tasks, [])
        assert [task.slug for task in again.tasks] == ["t"]
        assert len((await store.runs(RunQuery())).items) == 1
        assert (await store.get("t")).attempt == 1

    async def test_a_failed_task_is_kept_and_never_due(self, store: JobStore) -> None:
        """Set aside with its payload and error; a restart makes it due at once, its fire time unchanged."""
        await store.create(NOON, [a_task(payload=b"precious")])
        held = evolve(await lock_one(store), last_error="boom")
        failed = Outcome(
            task=held, next=transitions.fail(held, now=NOON), runs=(a_run(held, now=NOON, status=RunStatus.FAILED, error="boom"),)
        )
        assert await store.reschedule(NOON, [failed]) == []

        kept = await store.get("task")
        assert (kept.state, kept.due_at, kept.payload, kept.last_error) == (TaskState.FAILED, None, b"precious", "boom")
        assert await store.lock(NOON + 9 * LEASE, request()) == []
        await store.update(NOON + SECOND, transitions.restart(kept))
        assert (await lock_one(store, now=NOON + SECOND)).run_at == NOON

    async def test_an_interrupted_run_is_refunded(self, store: JobStore) -> None:
        """Handed back at the end of the grace: recorded as cancelled, no attempt counted, due at once."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        back = transitions.interrupt(held, now=NOON + SECOND)
        cancelled = a_run(held, now=NOON + SECOND, status=RunStatus.CANCELLED)
        assert await store.reschedule(NOON + SECOND, [Outcome(task=held, next=back, runs=(cancelled,))]) == []

        again = await lock_one(store, now=NOON + SECOND)
        assert (again.attempt, again.crashes, again.first_run_at, again.run_at) == (1, 0, NOON, NOON)
