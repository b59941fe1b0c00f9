"""What is kept comes back to the bit: payloads, instants, names, texts and nodes."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from duly.jobs import PAYLOAD_MAX, TaskOptions
from duly.jobs.storable import TEXT_LIMIT
from duly.jobs.task import RECORD_VERSION, RunAtSource
from duly.stores import JobStore, Node, Outcome, RunQuery, RunStatus, TaskQuery
from duly.stores.codec import dump_options, load_options
from duly.stores.conformance.values import LEASE, NOON, SECOND, TICK, a_run, a_schedule, a_task, advanced, finished, lock_one, request
from duly.stores.rules import transitions

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
    """Values of every shape, `get_slugs`, `nodes`."""

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

    async def test_a_declaration_and_who_set_the_fire_time_come_back(self, store: JobStore) -> None:
        """They come back as they were given, after an edit, and as an outcome leaves them.

        The outcome waits for the trigger's next fire, which sets `run_at`.
        """
        await store.create(NOON, [a_schedule(declared="3f", needs=RECORD_VERSION, run_at_from=RunAtSource.CALLER)])
        held = await lock_one(store)
        assert (held.declared, held.needs, held.run_at_from) == ("3f", RECORD_VERSION, RunAtSource.CALLER)

        assert await store.reschedule(NOON, [advanced(held, run_at=NOON + SECOND)]) == []
        kept = await store.get("schedule")
        assert (kept.declared, kept.needs, kept.run_at_from) == ("3f", RECORD_VERSION, RunAtSource.TRIGGER)

        edited = await store.update(NOON, evolve(kept, declared=None, run_at_from=RunAtSource.CALLER))
        assert (edited.declared, edited.run_at_from) == (None, RunAtSource.CALLER)
        assert await store.get("schedule") == edited

    async def test_a_replacement_takes_its_declaration_along(self, store: JobStore) -> None:
        """One that was declared by nobody leaves the digest as it is."""
        await store.create(NOON, [a_schedule(declared="3f")])

        assert await store.create(NOON, [a_schedule(declared="3f")], if_exists="replace") == []
        assert await store.create(NOON, [a_schedule(declared="a0")], if_exists="replace") == ["schedule"]
        assert await store.create(NOON, [a_schedule(payload=b"new")], if_exists="replace") == ["schedule"]

        kept = await store.get("schedule")
        assert (kept.declared, kept.payload) == ("a0", b"new")

    async def test_the_instance_of_the_holder_is_kept_as_long_as_its_lease(self, store: JobStore) -> None:
        """It tells two nodes of one name apart; an edit leaves it, as all of the lease."""
        await store.create(NOON, [a_schedule()])
        (held,) = await store.lock(NOON, evolve(request(), instance="i-1"))
        edited = await store.update(NOON, evolve(held, instance="forged", payload=b"new"))
        assert (held.instance, edited.instance) == ("i-1", "i-1")

        (taken,) = await store.lock(NOON + LEASE, evolve(request(node="b"), instance="i-2"))
        assert (taken.node, taken.instance) == ("b", "i-2")

        assert await store.reschedule(NOON + LEASE, [advanced(taken, now=NOON + LEASE, run_at=NOON + 2 * LEASE)]) == []
        assert (await store.get("schedule")).instance is None

    async def test_since_when_a_task_is_idle_is_kept_until_its_fire_ends(self, store: JobStore) -> None:
        """It is the end of the lease that was lost, or of the run that was cut short.

        Another lock, an edit and a hand-back keep it.
        """
        await store.create(NOON, [a_schedule()])
        first = await lock_one(store)
        taken = await lock_one(store, node="b", now=NOON + LEASE + SECOND)
        assert (first.idle_since, taken.idle_since) == (None, NOON + LEASE)
        edited = await store.update(NOON + LEASE + SECOND, evolve(taken, payload=b"new"))
        assert edited.idle_since == NOON + LEASE

        cut_short = transitions.interrupt(edited, now=NOON + 2 * LEASE)
        assert await store.reschedule(NOON + 2 * LEASE, [Outcome(task=edited, next=cut_short)]) == []
        again = await lock_one(store, now=NOON + 3 * LEASE)
        handed_back = transitions.hand_back(again, now=NOON + 3 * LEASE)
        assert await store.reschedule(NOON + 3 * LEASE, [Outcome(task=again, next=handed_back)]) == []
        last = await lock_one(store, now=NOON + 3 * LEASE)
        assert (again.idle_since, last.idle_since) == (NOON + 2 * LEASE, NOON + 2 * LEASE)

        assert await store.reschedule(NOON + 3 * LEASE, [advanced(last, now=NOON + 3 * LEASE, run_at=NOON + 4 * LEASE)]) == []
        assert (await store.get("schedule")).idle_since is None

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
        """Signs that a query language might read as wildcards stand for themselves.

        And a backtick follows an underscore.
        """
        await store.create(NOON, [a_task("50%off"), a_task("50 off"), a_task("a_b"), a_task("axb"), a_task("a`")])

        assert await store.get_slugs(prefix="50%") == ["50%off"]
        assert [task.slug for task in (await store.search(TaskQuery(prefix="a_"))).items] == ["a_b"]
        assert await store.count(TaskQuery(prefix="a_")) == 1

    async def test_nodes_are_listed_until_they_take_their_leave(self, store: JobStore) -> None:
        """An announcement replaces the one before; one that ends at once is a farewell."""
        node = Node(
            name="n1", kinds=("a", "b"), started_at=NOON, seen_at=NOON, until=NOON + LEASE, info={"host": "h", "pid": "1"}, instance="i-1"
        )
        other = Node(name="n0", started_at=NOON, seen_at=NOON, until=NOON + LEASE)
        await store.announce(node)
        await store.announce(other)
        later = evolve(node, seen_at=NOON + SECOND, until=NOON + SECOND + LEASE)
        await store.announce(later)
        assert await store.nodes() == [other, later]

        await store.announce(evolve(later, until=later.seen_at))
        assert await store.nodes() == [other]

    async def test_options_of_a_later_version_survive_every_write_of_this_one(self, store: JobStore) -> None:
        """By a lock, an outcome, an edit and a new definition: a node that does not know them passes them on."""
        later = load_options({"colour": "green", "time_limit": 5, "retry": {"limit": 1, "shade": [1, None]}})
        await store.create(NOON, [a_schedule(options=later)])
        held = await lock_one(store)
        assert await store.reschedule(NOON, [advanced(held, run_at=NOON + SECOND)]) == []
        kept = await store.get("schedule")
        await store.update(NOON, evolve(kept, options=evolve(kept.options, time_limit=SECOND)))
        assert await store.create(NOON, [a_schedule(options=TaskOptions(max_fires=3))], if_exists="replace") == ["schedule"]

        stored = dump_options((await store.get("schedule")).options)
        assert stored == {"colour": "green", "max_fires": 3, "retry": {"shade": [1, None]}}
