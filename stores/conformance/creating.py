"""Tasks come into a store, and are found in it."""

import pytest

from duly.jobs import InvalidValue, RetryPolicy, TaskOptions, TaskState
from duly.stores import JobAlreadyScheduled, JobNotFound, JobStore
from duly.stores.conformance.values import NOON, SECOND, a_schedule, a_task, advanced, lock_one, request


class Creating:
    """`create` with its three answers to a slug that exists, `get`, `delete` and `clear`."""

    async def test_a_created_task_is_kept_as_it_was_given(self, store: JobStore) -> None:
        """Every field of the definition comes back; the store adds its namespace, version and times."""
        options = TaskOptions(retry=RetryPolicy(limit=2, min_backoff=3 * SECOND), time_limit=5 * SECOND)
        given = a_schedule("s", payload=b"\x00\xff", payload_version=3, metadata={"city": "Zürich"}, options=options)

        assert await store.create(NOON - SECOND, [given]) == ["s"]

        kept = await store.get("s")
        names = ("slug", "kind", "payload", "payload_version", "trigger", "trigger_from", "options", "metadata", "anchor", "run_at")
        assert {name: getattr(kept, name) for name in names} == {name: getattr(given, name) for name in names}
        assert (kept.namespace, kept.version, kept.state, kept.due_at) == (store.namespace, 1, TaskState.SCHEDULED, NOON)
        assert (kept.created_at, kept.updated_at) == (NOON - SECOND, NOON - SECOND)

    async def test_many_tasks_are_created_in_one_call_in_the_order_given(self, store: JobStore) -> None:
        """Bulk creation returns every slug that it wrote."""
        slugs = [f"task-{number:04}" for number in range(1100, 0, -1)]

        assert await store.create(NOON, [a_task(slug) for slug in slugs]) == slugs
        assert await store.get_slugs(limit=2000) == sorted(slugs)

    async def test_creating_nothing_is_no_error(self, store: JobStore) -> None:
        """An empty batch writes nothing."""
        assert await store.create(NOON, []) == []

    async def test_an_existing_slug_is_refused_and_nothing_is_written(self, store: JobStore) -> None:
        """`error` names every slug that was taken, and keeps the new ones of the batch out."""
        await store.create(NOON, [a_task("old", payload=b"1"), a_task("older")])

        with pytest.raises(JobAlreadyScheduled) as refused:
            await store.create(NOON, [a_task("new"), a_task("old", payload=b"2"), a_task("older")])

        assert sorted(refused.value.slugs) == ["old", "older"]
        assert await store.get_slugs() == ["old", "older"]
        assert (await store.get("old")).payload == b"1"

    async def test_keep_leaves_an_existing_task_alone(self, store: JobStore) -> None:
        """`keep` writes only what is new, and says what that was."""
        await store.create(NOON, [a_task("old", payload=b"1")])

        assert await store.create(NOON, [a_task("old", payload=b"2"), a_task("new")], if_exists="keep") == ["new"]
        assert ((await store.get("old")).payload, (await store.get("old")).version) == (b"1", 1)

    async def test_replace_changes_the_definition(self, store: JobStore) -> None:
        """`replace` writes kind, payload, options and metadata over, as a new version."""
        await store.create(NOON, [a_task("t", payload=b"1")])

        assert await store.create(NOON, [a_task("t", kind="other", payload=b"2", metadata={"a": "b"})], if_exists="replace") == ["t"]

        kept = await store.get("t")
        assert (kept.kind, kept.payload, kept.metadata, kept.version) == ("other", b"2", {"a": "b"}, 2)

    async def test_replacing_by_the_same_definition_is_no_write(self, store: JobStore) -> None:
        """A service that declares its schedules at every start moves nothing."""
        await store.create(NOON, [a_schedule("s")])

        assert await store.create(NOON + SECOND, [a_schedule("s", run_at=NOON + 9 * SECOND)], if_exists="replace") == []
        assert (await store.get("s")).version == 1
        assert (await store.get("s")).run_at == NOON

    async def test_replacing_the_trigger_moves_the_next_fire(self, store: JobStore) -> None:
        """A changed trigger text counts on from the anchor of the old one."""
        await store.create(NOON, [a_schedule("s", anchor=NOON, run_at=NOON + 60 * SECOND)])
        await store.create(NOON + 9 * SECOND, [a_schedule("s", trigger="@every 7s")], if_exists="replace")

        kept = await store.get("s")
        assert kept.anchor == NOON + 7 * SECOND
        assert kept.run_at == kept.due_at == NOON + 14 * SECOND

    async def test_replacing_the_trigger_before_the_first_fire_starts_anew(self, store: JobStore) -> None:
        """A first fire of its own that is still ahead belonged to the old definition."""
        await store.create(NOON, [a_schedule("s", run_at=NOON + 60 * SECOND)])
        anew = a_schedule("s", trigger="@every 7s", anchor=NOON + SECOND, run_at=NOON + 8 * SECOND)
        await store.create(NOON + SECOND, [anew], if_exists="replace")

        kept = await store.get("s")
        assert (kept.anchor, kept.due_at) == (NOON + SECOND, NOON + 8 * SECOND)

    async def test_replacing_the_trigger_keeps_a_fire_that_is_owed(self, store: JobStore) -> None:
        """A fire that passed while nobody ran is not lost to a new trigger."""
        await store.create(NOON, [a_schedule("s")])
        await store.create(NOON + SECOND, [a_schedule("s", trigger="@every 7s")], if_exists="replace")

        assert (await store.get("s")).due_at == NOON

    async def test_replacing_a_running_task_keeps_its_lease(self, store: JobStore) -> None:
        """The holder goes on; what changed takes effect when the run ends."""
        await store.create(NOON, [a_schedule("s")])
        held = await lock_one(store)
        await store.create(NOON, [a_schedule("s", payload=b"2")], if_exists="replace")

        kept = await store.get("s")
        assert (kept.lease_id, kept.node, kept.due_at, kept.state) == (held.lease_id, "a", held.due_at, TaskState.RUNNING)
        (refused,) = await store.reschedule(NOON, [advanced(held, run_at=NOON + SECOND)])
        assert refused.reason == "edited"

    async def test_a_slug_given_twice_in_a_batch_is_refused(self, store: JobStore) -> None:
        """One call cannot say two things of one task."""
        with pytest.raises(InvalidValue, match="'twice'"):
            await store.create(NOON, [a_task("twice"), a_task("twice")])
        assert await store.get_slugs() == []

    async def test_a_task_may_be_created_paused(self, store: JobStore) -> None:
        """It is kept, and not due."""
        await store.create(NOON, [a_task(paused=True)])

        assert (await store.get("task")).due_at is None

    async def test_getting_an_unknown_slug_names_it(self, store: JobStore) -> None:
        """The error carries the slug and the namespace that was looked in."""
        with pytest.raises(JobNotFound) as missing:
            await store.get("nobody")
        assert (missing.value.slug, missing.value.namespace) == ("nobody", store.namespace)

    async def test_a_deleted_task_is_gone_and_its_slug_is_free(self, store: JobStore) -> None:
        """Its slug may be scheduled anew."""
        await store.create(NOON, [a_task()])
        await store.delete("task")

        with pytest.raises(JobNotFound):
            await store.get("task")
        assert await store.create(NOON, [a_task()]) == ["task"]

    async def test_deleting_an_unknown_slug_is_an_error(self, store: JobStore) -> None:
        """Nothing is ignored in silence."""
        with pytest.raises(JobNotFound):
            await store.delete("nobody")

    async def test_clear_deletes_every_task_and_counts_them(self, store: JobStore) -> None:
        """Running ones too."""
        await store.create(NOON, [a_task(f"task-{number}") for number in range(7)])
        await store.lock(NOON, request({"work": 3}))

        assert await store.clear() == 7
        assert await store.get_slugs() == []
        assert await store.clear() == 0
