"""Due tasks are locked: in order, within bounds, and never twice."""

import asyncio
from collections import Counter
from itertools import chain

from attrs import evolve

from duly.jobs import Task, TaskState
from duly.jobs.task import RECORD_VERSION
from duly.stores import JobStore, RunQuery, RunStatus, TaskQuery
from duly.stores.conformance.values import (
    LEASE,
    NOON,
    SECOND,
    TICK,
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


class Locking:
    """`lock`, `extend`, `next_run`, and leases that end."""

    async def test_a_locked_task_says_who_holds_it_and_until_when(self, store: JobStore) -> None:
        """State, node, lease and attempt are those of the lock, in the answer and in the store."""
        await store.create(NOON - SECOND, [a_task()])
        locked = await lock_one(store, node="a", now=NOON)

        assert (locked.state, locked.node, locked.locked_at, locked.due_at) == (TaskState.RUNNING, "a", NOON, NOON + LEASE)
        assert (locked.attempt, locked.first_run_at, locked.version, locked.updated_at) == (1, NOON, 2, NOON)
        assert locked.lease_id
        assert await store.get("task") == locked

    async def test_a_task_is_locked_at_its_very_microsecond_and_not_before(self, store: JobStore) -> None:
        """`due_at <= now`, exactly."""
        await store.create(NOON, [a_task(run_at=NOON + SECOND)])

        assert await store.lock(NOON + SECOND - TICK, request()) == []
        assert len(await store.lock(NOON + SECOND, request())) == 1

    async def test_the_longest_due_come_first(self, store: JobStore) -> None:
        """Due order within a kind, whatever the order of creation."""
        await store.create(NOON, [a_task(f"t{age}", run_at=NOON - age * SECOND) for age in (1, 4, 2, 5, 3)])

        first = await store.lock(NOON, request({"work": 2}))
        rest = await store.lock(NOON, request({"work": 10}))
        assert ([task.slug for task in first], [task.slug for task in rest]) == (["t5", "t4"], ["t3", "t2", "t1"])

    async def test_tasks_due_at_one_instant_come_in_slug_order(self, store: JobStore) -> None:
        """So that every store agrees."""
        await store.create(NOON, [a_task(slug) for slug in ("c", "a", "d", "b")])

        assert [task.slug for task in await store.lock(NOON, request({"work": 3}))] == ["a", "b", "c"]

    async def test_never_more_are_locked_than_there_is_room(self, store: JobStore) -> None:
        """The room of each kind is its limit, and the rest stays due."""
        await store.create(NOON, [a_task(f"{kind}{number}", kind=kind) for kind in "xy" for number in range(5)])

        locked = await store.lock(NOON, request({"x": 2, "y": 3}))
        assert Counter(task.kind for task in locked) == {"x": 2, "y": 3}
        assert len(await store.lock(NOON, request({"x": 9, "y": 9}))) == 5

    async def test_a_busy_kind_takes_nothing_from_the_others(self, store: JobStore) -> None:
        """A thousand due tasks of one kind, all due before it, do not hide the one task of another kind."""
        await store.create(NOON, [a_task(f"busy{number}", kind="busy", run_at=NOON - SECOND) for number in range(1000)])
        await store.create(NOON, [a_task("rare", kind="rare")])

        assert "rare" in [task.slug for task in await store.lock(NOON, request({"busy": 3, "rare": 1}))]

    async def test_kinds_come_in_the_order_in_which_they_were_asked_for(self, store: JobStore) -> None:
        """Whichever of their tasks has been due longest; the lease ids count on in that order."""
        await store.create(NOON, [a_task("a", kind="x"), a_task("b", kind="y", run_at=NOON - SECOND), a_task("c", kind="x")])
        asked = request({"x": 2, "y": 1})

        locked = await store.lock(NOON, asked)

        assert [(task.slug, task.lease_id) for task in locked] == [(slug, asked.lease_id(number)) for number, slug in enumerate("acb")]

    async def test_unknown_kinds_are_never_touched(self, store: JobStore) -> None:
        """A task of a kind without room stays as it is, for a node that knows it."""
        await store.create(NOON, [a_task("mine"), a_task("theirs", kind="other")])

        assert [task.slug for task in await store.lock(NOON, request({"work": 10}))] == ["mine"]
        assert (await store.get("theirs")).version == 1

    async def test_a_task_that_needs_a_newer_node_is_passed_over(self, store: JobStore) -> None:
        """However many there are and however long they are due.

        People see and edit it, and its kind's other tasks run.
        """
        newer = [a_task(f"newer{number}", run_at=NOON - SECOND, needs=RECORD_VERSION + 1) for number in range(20)]
        await store.create(NOON, [*newer, a_task("known")])

        assert [task.slug for task in await store.lock(NOON, request({"work": 1}))] == ["known"]
        assert await store.lock(NOON, request()) == []
        assert await store.next_run(["work"]) == NOON + LEASE
        paused = await store.update(NOON, transitions.pause(await store.get("newer0")))
        assert (paused.paused, paused.needs) == (True, RECORD_VERSION + 1)

    async def test_a_task_that_comes_to_need_a_newer_node_is_left_to_that(self, store: JobStore) -> None:
        """A newer node wrote it, and this one is no longer told that it is due."""
        await store.create(NOON, [a_task()])
        await store.update(NOON, evolve(await store.get("task"), needs=RECORD_VERSION + 1))

        exchange = await store.exchange(NOON, [], request())

        assert (exchange.tasks, exchange.next_run) == ([], None)

    async def test_many_kinds_are_visited_in_one_call(self, store: JobStore) -> None:
        """More kinds than any single query of a store may hold."""
        kinds = [f"kind{number:02}" for number in range(45)]
        await store.create(NOON, [a_task(kind, kind=kind) for kind in kinds])

        locked = await store.lock(NOON, request(dict.fromkeys(kinds, 1)))
        assert sorted(task.slug for task in locked) == kinds

    async def test_nothing_is_locked_twice_by_eight_at_once(self, store: JobStore) -> None:
        """Eight lockers race for forty tasks; each task has exactly one holder."""
        await store.create(NOON, [a_task(f"t{number:02}") for number in range(40)])

        async def take_all(node: str) -> list[Task]:
            mine: list[Task] = []
            while locked := await store.lock(NOON, request({"work": 5}, node=node)):
                mine += locked
            return mine

        taken = await asyncio.gather(*(take_all(f"n{number}") for number in range(8)))
        left = await store.lock(NOON, request({"work": 40}, node="last"))  # a locker that lost every race may have gone home early
        holders = {task.slug: task.node for task in chain(left, *taken)}
        assert sorted(task.slug for task in chain(left, *taken)) == [f"t{number:02}" for number in range(40)]
        assert {task.slug: task.node for task in (await store.search(TaskQuery())).items} == holders

    async def test_a_held_task_is_not_due_until_its_lease_ends(self, store: JobStore) -> None:
        """Nobody gets it a microsecond earlier."""
        await store.create(NOON, [a_task()])
        await lock_one(store, node="a")

        assert await store.lock(NOON + LEASE - TICK, request(node="b")) == []
        assert (await lock_one(store, node="b", now=NOON + LEASE)).node == "b"

    async def test_taking_over_an_ended_lease_records_the_lost_run(self, store: JobStore) -> None:
        """The taker writes the `lost` run and the crash count; the run ended with its lease."""
        await store.create(NOON, [a_schedule("s")])
        first = await lock_one(store, node="a")
        taken = await lock_one(store, node="b", now=NOON + 3 * LEASE)

        assert (taken.crashes, taken.attempt, taken.ended_at, taken.first_run_at) == (1, 2, NOON + LEASE, NOON)
        assert taken.lease_id != first.lease_id
        (lost,) = (await store.runs(RunQuery())).items
        assert (lost.id, lost.status, lost.node, lost.fire_time) == (first.lease_id, RunStatus.LOST, "a", NOON)
        assert (lost.started_at, lost.finished_at, lost.attempt, lost.kind) == (NOON, NOON + LEASE, 1, "work")

    async def test_a_run_that_the_asking_node_still_has_is_not_taken_over_by_it(self, store: JobStore) -> None:
        """Its lease has ended, as after a sleep. It takes no room, and a heartbeat brings it back to life."""
        await store.create(NOON, [a_task("mine"), a_task("next", run_at=NOON + LEASE)])
        mine = await lock_one(store, now=NOON)
        asking = evolve(request({"work": 1}), live=frozenset({mine.lease_id or ""}))

        assert [task.slug for task in await store.lock(NOON + LEASE, asking)] == ["next"]
        assert (await store.extend(NOON + LEASE, [held_of(mine)], LEASE)).lost == []
        assert await store.reschedule(NOON + LEASE, [finished(await store.get("mine"), now=NOON + LEASE)]) == []

    async def test_a_request_that_takes_nothing_over_leaves_ended_leases_alone(self, store: JobStore) -> None:
        """It locks what nobody holds."""
        await store.create(NOON, [a_task("held"), a_task("next", run_at=NOON + LEASE)])
        await lock_one(store, now=NOON)

        assert [task.slug for task in await store.lock(NOON + LEASE, evolve(request(), take_over=False))] == ["next"]
        assert [task.slug for task in await store.lock(NOON + LEASE, request())] == ["held"]

    async def test_a_heartbeat_extends_the_lease(self, store: JobStore) -> None:
        """The task stays with its holder past the first lease, and its version stays the same."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)

        extended = await store.extend(NOON + 20 * SECOND, [held_of(held)], LEASE)

        (kept,) = extended.kept
        assert (kept.slug, kept.lease_id, kept.version, kept.stop, extended.lost) == ("task", held.lease_id, held.version, False, [])
        assert await store.lock(NOON + LEASE, request(node="b")) == []
        assert (await store.get("task")).due_at == NOON + 20 * SECOND + LEASE

    async def test_a_heartbeat_that_comes_late_or_twice_never_shortens_a_lease(self, store: JobStore) -> None:
        """The end of a lease only moves forward."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.extend(NOON + 20 * SECOND, [held_of(held)], LEASE)
        extended = await store.extend(NOON + 10 * SECOND, [held_of(held)], LEASE)

        assert len(extended.kept) == 1
        assert (await store.get("task")).due_at == NOON + 20 * SECOND + LEASE

    async def test_an_outcome_still_counts_after_heartbeats(self, store: JobStore) -> None:
        """Extending a lease does not outdate the decision that was made on the task as locked."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        await store.extend(NOON + 5 * SECOND, [held_of(held)], LEASE)

        assert await store.reschedule(NOON + 6 * SECOND, [advanced(held, now=NOON + 6 * SECOND, run_at=NOON + 60 * SECOND)]) == []
        assert (await store.get("s")).due_at == NOON + 60 * SECOND

    async def test_the_next_run_is_the_earliest_due_instant_of_the_kinds_asked_for(self, store: JobStore) -> None:
        """Other kinds, paused tasks and an empty answer included."""
        assert await store.next_run(["work"]) is None
        await store.create(NOON, [a_task("late", run_at=NOON + 9 * SECOND), a_task("soon", run_at=NOON + 5 * SECOND)])
        await store.create(NOON, [a_task("other", kind="other"), a_task("paused", paused=True)])

        assert await store.next_run(["work"]) == NOON + 5 * SECOND
        assert await store.next_run(["other", "work"]) == NOON
        assert await store.next_run([]) is None

    async def test_the_next_run_of_a_held_task_is_the_end_of_its_lease(self, store: JobStore) -> None:
        """Which is when somebody must look after it."""
        await store.create(NOON, [a_task()])
        await lock_one(store)

        assert await store.next_run(["work"]) == NOON + LEASE

    async def test_an_exchange_writes_first_and_then_locks(self, store: JobStore) -> None:
        """One call ends a run and takes what is due, and says when to come again."""
        await store.create(NOON, [a_task("a"), a_task("b", run_at=NOON + SECOND), a_task("c", run_at=NOON + 7 * SECOND)])
        first = await lock_one(store)

        exchange = await store.exchange(NOON + SECOND, [finished(first, now=NOON + SECOND)], request())

        assert [task.slug for task in exchange.tasks] == ["b"]
        assert (exchange.refused, exchange.next_run) == ([], NOON + 7 * SECOND)
        assert await store.get_slugs() == ["b", "c"]

    async def test_an_exchange_can_lock_again_what_it_just_wrote(self, store: JobStore) -> None:
        """A schedule whose next fire has passed comes back at once, under a new lease."""
        await store.create(NOON, [a_schedule("s")])
        first = await lock_one(store)

        exchange = await store.exchange(NOON + SECOND, [advanced(first, now=NOON + SECOND, run_at=NOON + SECOND)], request())

        (again,) = exchange.tasks
        assert (again.slug, again.attempt, again.fires) == ("s", 1, 1)
        assert again.lease_id != first.lease_id

    async def test_an_exchange_without_a_request_only_writes(self, store: JobStore) -> None:
        """As a node does that is draining."""
        await store.create(NOON, [a_task("a"), a_task("b", run_at=NOON + SECOND)])
        first = await lock_one(store)

        exchange = await store.exchange(NOON + SECOND, [finished(first)], None)

        assert (exchange.tasks, exchange.refused) == ([], [])
        assert (await store.get("b")).state is TaskState.SCHEDULED

    async def test_more_that_is_due_makes_the_next_due_instant_now_or_earlier(self, store: JobStore) -> None:
        """So that a node which was given its fill asks again at once."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(5)])

        exchange = await store.exchange(NOON + SECOND, [], request({"work": 2}))
        assert exchange.next_run is not None
        assert exchange.next_run <= NOON + SECOND

    async def test_a_retry_is_due_at_its_time_and_counts_on(self, store: JobStore) -> None:
        """The fire time stays, the attempt grows, the first run's instant is remembered."""
        await store.create(NOON, [a_task()])
        first = await lock_one(store)
        await store.reschedule(NOON + SECOND, [retried(first, now=NOON + SECOND, at=NOON + 4 * SECOND)])

        assert await store.lock(NOON + 4 * SECOND - TICK, request()) == []
        again = await lock_one(store, now=NOON + 4 * SECOND)
        assert (again.attempt, again.run_at, again.first_run_at, again.crashes) == (2, NOON, NOON, 0)
