"""What is kept comes back to the bit: payloads, instants, names, texts, pages and histories."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from detent.jobs import PAYLOAD_MAX, TaskState
from detent.jobs.storable import TEXT_LIMIT
from detent.stores import JobStore, Node, Outcome, RunQuery, RunStatus, TaskQuery, transitions
from detent.stores.conformance.values import LEASE, NOON, SECOND, TICK, a_run, a_schedule, a_task, advanced, finished, lock_one, request

SLUGS = (
    "a/b",
    "..",
    ".",
    "__name__",
    "%2F",
    "mañana",
    "日本語",
    "🙂",
    " space ",
    "tab\tand\nline",
    "quote'\"\\",
    "x" * 255,
    "é" * 255,
    "🙂" * 255,
)


class Keeping:
    """Values of every shape, `search`, `get_slugs`, `runs`, `prune`."""

    async def test_payloads_of_every_byte_come_back(self, store: JobStore) -> None:
        """Bytes are bytes: no encoding, no terminator."""
        await store.create(NOON, [a_task(payload=bytes(range(256)))])

        assert (await lock_one(store)).payload == bytes(range(256))

    async def test_the_greatest_record_fits(self, store: JobStore) -> None:
        """Payload, result, error and slug of full size at once, in the row and in the history."""
        await store.create(NOON, [a_schedule("x" * 255, payload=b"\xff" * PAYLOAD_MAX)])
        held = evolve(await lock_one(store), result="r" * TEXT_LIMIT, last_error="e" * TEXT_LIMIT)
        run = a_run(held, now=NOON, status=RunStatus.FAILED, result=held.result, error=held.last_error)
        following = transitions.advance(held, now=NOON, anchor=NOON, run_at=NOON + SECOND)

        assert await store.reschedule(NOON, [Outcome(task=held, next=following, runs=(run,))]) == []

        kept = await store.get("x" * 255)
        assert (len(kept.payload), kept.result, kept.last_error) == (PAYLOAD_MAX, "r" * TEXT_LIMIT, "e" * TEXT_LIMIT)
        assert (await store.runs(RunQuery())).items == [run]

    async def test_instants_keep_their_microseconds(self, store: JobStore) -> None:
        """Far past, far future and odd microseconds alike, in UTC."""
        instants = [NOON + TICK, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
        await store.create(NOON, [a_task(f"t{number}", run_at=instant) for number, instant in enumerate(instants)])

        for number, instant in enumerate(instants):
            task = await store.get(f"t{number}")
            assert (task.run_at, task.due_at, task.anchor) == (instant, instant, instant)
            assert task.run_at.utcoffset() == timedelta(0)

    @pytest.mark.parametrize("slug", SLUGS)
    async def test_odd_slugs_are_kept(self, store: JobStore, slug: str) -> None:
        """Whatever text a slug is, the task is found, run and recorded under it."""
        await store.create(NOON, [a_task(slug)])
        held = await lock_one(store)
        assert await store.reschedule(NOON, [finished(held)]) == []

        assert held.slug == slug
        assert [run.slug for run in (await store.runs(RunQuery(slug=slug))).items] == [slug]

    async def test_odd_texts_are_kept(self, store: JobStore) -> None:
        """Text with NUL and lone surrogates was made storable when it was built, and stays as built."""
        await store.create(NOON, [a_schedule("s", metadata={"ключ": "значение\n"})])
        held = evolve(await lock_one(store), result="nul \x00 lone \ud800 end", last_error="日本")
        following = transitions.advance(held, now=NOON, anchor=NOON, run_at=NOON + SECOND)
        assert await store.reschedule(NOON, [Outcome(task=held, next=following)]) == []

        kept = await store.get("s")
        assert (kept.result, kept.last_error, kept.metadata) == (r"nul \x00 lone \ud800 end", "日本", {"ключ": "значение\n"})

    async def test_slugs_are_paged_in_code_point_order(self, store: JobStore) -> None:
        """Upper before lower case, and beyond the first plane last, in every store alike."""
        slugs = ["B", "a", "a!", "aa", "b", "é", "z", "ﬀ", "🙂"]
        await store.create(NOON, [a_task(slug) for slug in reversed(slugs)])

        assert await store.get_slugs() == sorted(slugs)
        assert await store.get_slugs(limit=3) == ["B", "a", "a!"]
        assert await store.get_slugs(limit=2, after="a!") == ["aa", "b"]
        assert await store.get_slugs(prefix="a") == ["a", "a!", "aa"]
        assert await store.get_slugs(prefix="a", after="a") == ["a!", "aa"]

    async def test_a_prefix_is_no_pattern(self, store: JobStore) -> None:
        """Signs that a query language might read as wildcards stand for themselves."""
        await store.create(NOON, [a_task("50%off"), a_task("50 off"), a_task("a_b"), a_task("axb")])

        assert await store.get_slugs(prefix="50%") == ["50%off"]
        assert [task.slug for task in (await store.search(TaskQuery(prefix="a_"))).items] == ["a_b"]

    async def test_search_finds_by_each_condition(self, store: JobStore) -> None:
        """Kind, state, pause, metadata and due range; several at once must all hold."""
        await store.create(
            NOON,
            [
                a_task("a", kind="x", metadata={"city": "Rome", "n": "1"}),
                a_task("b", kind="y", metadata={"city": "Rome"}, run_at=NOON + 10 * SECOND),
                a_task("c", kind="z", run_at=NOON + 20 * SECOND),
                a_task("d", kind="x", paused=True),
            ],
        )
        await lock_one(store, kind="x")

        async def found(query: TaskQuery) -> list[str]:
            return [task.slug for task in (await store.search(query)).items]

        assert await found(TaskQuery()) == ["a", "b", "c", "d"]
        assert await found(TaskQuery(kinds=("x", "z"))) == ["a", "c", "d"]
        assert await found(TaskQuery(states=(TaskState.RUNNING,))) == ["a"]
        assert await found(TaskQuery(states=(TaskState.SCHEDULED,))) == ["b", "c", "d"]
        assert await found(TaskQuery(paused=True)) == ["d"]
        assert await found(TaskQuery(metadata={"city": "Rome"})) == ["a", "b"]
        assert await found(TaskQuery(metadata={"city": "Rome", "n": "1"})) == ["a"]
        assert await found(TaskQuery(due_from=NOON + 10 * SECOND, due_until=NOON + 20 * SECOND)) == ["b"]
        assert await found(TaskQuery(kinds=("x",), states=(TaskState.RUNNING,))) == ["a"]

    async def test_search_pages_without_gaps_or_repeats(self, store: JobStore) -> None:
        """Also when tasks come and go between the pages."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(7)])
        first = await store.search(TaskQuery(limit=3))
        await store.delete("t2")
        await store.create(NOON, [a_task("t0a")])
        second = await store.search(TaskQuery(limit=3, after=first.next))
        third = await store.search(TaskQuery(limit=3, after=second.next))

        pages = [[task.slug for task in page.items] for page in (first, second, third)]
        assert pages == [["t0", "t1", "t2"], ["t3", "t4", "t5"], ["t6"]]
        assert third.next is None

    async def test_an_exact_last_page_has_no_next(self, store: JobStore) -> None:
        """The end is known without asking again."""
        await store.create(NOON, [a_task("a"), a_task("b")])

        assert (await store.search(TaskQuery(limit=2))).next is None

    async def test_the_history_is_newest_first_and_paged(self, store: JobStore) -> None:
        """By the end of the run; runs that ended at one instant by their id."""
        await self._leave_runs(store, 5)

        first = await store.runs(RunQuery(limit=2))
        second = await store.runs(RunQuery(limit=2, after=first.next))
        third = await store.runs(RunQuery(limit=2, after=second.next))
        ends = [[run.finished_at for run in page.items] for page in (first, second, third)]
        assert ends == [[NOON + 4 * SECOND, NOON + 3 * SECOND], [NOON + 2 * SECOND, NOON + SECOND], [NOON]]
        assert third.next is None

    async def test_runs_of_one_instant_are_paged_without_gaps(self, store: JobStore) -> None:
        """The id decides the order, so that the cursor knows where it is."""
        await store.create(NOON, [a_task(f"t{number}") for number in range(5)])
        await store.reschedule(NOON, [finished(task) for task in await store.lock(NOON, request())])

        seen: list[str] = []
        after: str | None = None
        for _ in range(3):
            page = await store.runs(RunQuery(limit=2, after=after))
            seen += [run.id for run in page.items]
            after = page.next
        assert seen == sorted(seen, reverse=True)
        assert (len(set(seen)), after) == (5, None)

    async def test_the_history_is_searched_by_each_condition(self, store: JobStore) -> None:
        """Slug, kind, status and the time of its end."""
        await self._leave_runs(store, 3)
        await store.create(NOON, [a_task("other", kind="other")])
        await lock_one(store, kind="other")
        await lock_one(store, kind="other", now=NOON + LEASE)

        async def found(query: RunQuery) -> list[str]:
            return [run.slug for run in (await store.runs(query)).items]

        assert await found(RunQuery()) == ["other", "s", "s", "s"]
        assert await found(RunQuery(slug="s")) == ["s", "s", "s"]
        assert await found(RunQuery(kinds=("other", "more"))) == ["other"]
        assert await found(RunQuery(statuses=(RunStatus.LOST, RunStatus.FAILED))) == ["other"]
        assert await found(RunQuery(since=NOON + SECOND, until=NOON + 2 * SECOND)) == ["s"]

    async def test_the_history_outlives_its_task(self, store: JobStore) -> None:
        """A finished one-off leaves the tasks at once, and its run stays."""
        await store.create(NOON, [a_task()])
        held = await lock_one(store)
        await store.reschedule(NOON, [finished(held)])

        assert await store.get_slugs() == []
        assert [run.id for run in (await store.runs(RunQuery(slug="task"))).items] == [held.lease_id]

    async def test_old_runs_are_pruned_by_age(self, store: JobStore) -> None:
        """Finished before the instant; in small batches, oldest first."""
        await self._leave_runs(store, 5)

        assert await store.prune(NOON + 3 * SECOND, None, 2) == 2
        assert [run.finished_at for run in (await store.runs(RunQuery())).items][-1] == NOON + 2 * SECOND
        assert await store.prune(NOON + 3 * SECOND, None, 10) == 1
        assert await store.prune(NOON + 3 * SECOND, None, 10) == 0

    async def test_old_runs_are_pruned_by_count(self, store: JobStore) -> None:
        """Each task keeps its newest."""
        await self._leave_runs(store, 5)
        await self._leave_runs(store, 2, slug="few")

        assert await store.prune(None, 2, 100) == 3
        kept = (await store.runs(RunQuery(slug="s"))).items
        assert [run.finished_at for run in kept] == [NOON + 4 * SECOND, NOON + 3 * SECOND]
        assert len((await store.runs(RunQuery(slug="few"))).items) == 2

    async def test_pruning_by_nothing_deletes_nothing(self, store: JobStore) -> None:
        """Neither age nor count: everything is kept."""
        await self._leave_runs(store, 2)

        assert await store.prune(None, None, 100) == 0

    async def test_nodes_are_listed_until_they_take_their_leave(self, store: JobStore) -> None:
        """An announcement replaces the one before; one that ends at once is a farewell."""
        node = Node(name="n1", kinds=("a", "b"), started_at=NOON, seen_at=NOON, until=NOON + LEASE, info={"host": "h", "pid": "1"})
        other = Node(name="n0", started_at=NOON, seen_at=NOON, until=NOON + LEASE)
        await store.announce(node)
        await store.announce(other)
        later = evolve(node, seen_at=NOON + SECOND, until=NOON + SECOND + LEASE)
        await store.announce(later)
        assert await store.nodes() == [other, later]

        await store.announce(evolve(later, until=later.seen_at))
        assert await store.nodes() == [other]

    async def _leave_runs(self, store: JobStore, count: int, slug: str = "s") -> None:
        await store.create(NOON, [a_schedule(slug)])
        for number in range(count):
            instant = NOON + number * SECOND
            held = await lock_one(store, now=instant)
            await store.reschedule(instant, [advanced(held, now=instant, run_at=instant + SECOND)])
        await store.update(NOON, transitions.pause(await store.get(slug)))
