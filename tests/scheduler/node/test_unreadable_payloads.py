"""Payloads that a node cannot read.

Their tasks are handed back unrun, said to be so, and run by a node that can.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import frozen

from duly.jobs import JobContext, JobRegistry, PayloadKeys
from duly.scheduler import InvalidPayload, RunReturned, StdScheduler
from duly.scheduler.testing import ManualClock
from duly.stores import JobStore, MemoryStore, RunQuery, RunStatus
from duly.stores.rules.unreadable import UNREADABLE_PAUSE, UNREADABLE_PAUSE_MAX
from support.schedulers import heard
from support.typed_jobs import Order, Shipping, ship_later

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OLD_KEYS = PayloadKeys({"2026-10": bytes(32)}, newest="2026-10")
NEW_KEYS = PayloadKeys({"2026-10": bytes(32), "2026-11": bytes(16)}, newest="2026-11")


@frozen
class NewOrder:
    """The second version of `Order`."""

    product: str


class Node:
    """A scheduler whose loop is turned by the test, and what its job was handed."""

    def __init__(self, scheduler: StdScheduler, got: list[object]) -> None:
        self.scheduler, self.got = scheduler, got
        self.events = heard(scheduler)

    async def turn(self) -> None:
        """Lock what is due, run it, and write how it ended."""
        for _ in range(2):
            await self.scheduler.running_node.dispatcher.run_once()
            await self.scheduler.running_node.runs.rest()
        await self.scheduler.running_node.dispatcher.run_once()

    @property
    def reasons(self) -> list[str]:
        """Why it handed tasks back."""
        return [event.reason for event in self.events if isinstance(event, RunReturned)]

    async def statuses(self) -> list[RunStatus]:
        """How the runs in the history ended."""
        return [run.status for run in (await self.scheduler.runs(RunQuery())).items]


@asynccontextmanager
async def a_node(
    store: JobStore,
    clock: ManualClock,
    *,
    keys: PayloadKeys | None = None,
    **typed: Any,  # noqa: ANN401 - how the job is registered
) -> AsyncIterator[Node]:
    """Start a node with the kind `ship`, whose job notes what it is handed."""
    got: list[object] = []
    jobs = JobRegistry()

    async def of_class(ctx: JobContext, order: object) -> None:
        got.append(order)

    @jobs.job("plain")
    async def plain(ctx: JobContext, task: Any) -> None:  # noqa: ANN401 - a task
        got.append(bytes(task.payload))

    jobs.job("ship", **{"payload_type": Order, **typed})(of_class)
    async with StdScheduler(store, jobs=jobs, clock=clock, keys=keys) as scheduler:
        yield Node(scheduler, got)


@asynccontextmanager
async def two_nodes(first: dict[str, Any], second: dict[str, Any]) -> AsyncIterator[tuple[Node, Node, ManualClock]]:
    """Start two nodes on one store."""
    store, clock = MemoryStore(), ManualClock(NOON)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(a_node(store.sibling(), clock, **each)) for each in (first, second)]
        yield nodes[0], nodes[1], clock


def upgraded(version: int, data: dict[str, str]) -> dict[str, str]:
    """What the first version is in the second."""
    return {"product": data["item"]}


NEWER: dict[str, Any] = {"payload_type": NewOrder, "payload_version": 2, "upgrade": upgraded}


async def test_an_old_node_leaves_a_newer_payload_to_a_new_one() -> None:
    """It is locked by the old one first.

    Nothing is counted, nothing recorded, and the new one runs it once.
    """
    async with two_nodes({}, NEWER) as (old, new, clock):
        await new.scheduler.schedule_job("t", "ship", payload=NewOrder("anvil"))
        await old.turn()
        task = await old.scheduler.get_scheduled_job("t")
        assert (task.attempt, task.crashes, task.first_run_at, await old.statuses()) == (0, 0, None, [])
        await old.turn()
        await new.turn()
        assert (old.got, new.got) == ([], [])

        clock.advance(UNREADABLE_PAUSE)
        await new.turn()

        assert (old.got, new.got) == ([], [NewOrder("anvil")])
        assert old.reasons == ["this node cannot read its payload: it is of version 2, and this node reads up to version 1"]
        assert await new.statuses() == [RunStatus.DONE]


async def test_a_new_node_runs_what_an_old_one_scheduled() -> None:
    """By its upgrade."""
    async with two_nodes({}, NEWER) as (old, new, _):
        await old.scheduler.schedule_job("t", "ship", payload=Order("anvil"))
        await new.turn()

    assert new.got == [NewOrder("anvil")]


async def test_why_says_what_cannot_be_read_and_until_when_it_waits() -> None:
    """On any node."""
    async with a_node(MemoryStore(), ManualClock(NOON)) as node:
        await node.scheduler.schedule_job("t", "ship", payload=b"{")
        await node.turn()
        why = await node.scheduler.why("t")

    assert why.startswith("Task 't' waits until 2030-01-01T12:01:00+00:00")
    assert why.endswith(f"handed back unrun by {node.scheduler.node}: this node cannot read its payload: it is no JSON.")


@pytest.mark.parametrize("payload", [b"{", b"[]", b'{"item":1}', b'{"item":"a","colour":"red"}'])
async def test_bytes_that_do_not_fit_are_never_run(payload: bytes) -> None:
    """However often they are looked at."""
    clock = ManualClock(NOON)
    async with a_node(MemoryStore(), clock) as node:
        await node.scheduler.schedule_job("t", "ship", payload=payload)
        for _ in range(3):
            await node.turn()
            clock.advance(UNREADABLE_PAUSE_MAX)
        assert (await node.scheduler.get_scheduled_job("t")).payload == payload
        assert (node.got, len(node.reasons), await node.statuses()) == ([], 3, [])


async def test_an_upgrade_that_fails_does_not_take_its_neighbours_down() -> None:
    """What else the same call locked is run."""

    def upgrade(version: int, data: Any) -> Any:  # noqa: ANN401 - JSON
        raise KeyError("colour")

    async with a_node(MemoryStore(), ManualClock(NOON), payload_version=2, upgrade=upgrade) as node:
        await node.scheduler.schedule_job("old", "ship", payload=b"{}")
        await node.scheduler.schedule_job("new", "ship", payload=Order("anvil"))
        await node.turn()

    assert node.got == [Order("anvil")]
    assert node.reasons == ["this node cannot read its payload: its upgrade from version 1 failed: KeyError: 'colour'"]


async def test_the_pauses_double_up_to_a_bound() -> None:
    """Counted from the fire time, so that nothing has to be remembered."""
    clock, pauses = ManualClock(NOON), []
    async with a_node(MemoryStore(), clock) as node:
        await node.scheduler.schedule_job("t", "ship", payload=b"{")
        for _ in range(7):
            await node.turn()
            due = (await node.scheduler.get_scheduled_job("t")).due_at
            assert due is not None
            pauses.append((due - clock.now()) / UNREADABLE_PAUSE)
            clock.advance(due - clock.now())

    assert pauses == [1, 1, 2, 4, 8, 15, 15]


async def test_a_task_that_is_run_now_is_looked_at_at_once() -> None:
    """Somebody put the node right, and does not want to wait."""
    async with two_nodes({}, NEWER) as (old, new, _):
        await new.scheduler.schedule_job("t", "ship", payload=NewOrder("anvil"))
        await old.turn()
        await new.scheduler.trigger_job("t")
        await new.turn()

    assert new.got == [NewOrder("anvil")]


async def test_a_payload_is_mended_by_an_edit() -> None:
    """The object counts from the next look on."""
    clock = ManualClock(NOON)
    async with a_node(MemoryStore(), clock) as node:
        await node.scheduler.schedule_job("t", "ship", payload=b"{", payload_version=7)
        await node.turn()
        edited = await node.scheduler.update_job("t", payload=Order("anvil"))
        assert (edited.payload, edited.payload_version) == (b'{"item":"anvil","quantity":1}', 1)
        clock.advance(UNREADABLE_PAUSE)
        await node.turn()

    assert node.got == [Order("anvil")]


async def test_an_edit_with_an_object_of_another_class_is_refused() -> None:
    """As at scheduling; nothing is written."""
    async with a_node(MemoryStore(), ManualClock(NOON)) as node:
        await node.scheduler.schedule_job("t", "ship", payload=Order("anvil"))
        with pytest.raises(InvalidPayload, match=r"NewOrder'*: expected .*Order"):
            await node.scheduler.update_job("t", payload=NewOrder("anvil"))
        with pytest.raises(InvalidPayload):
            await node.scheduler.schedule_job("u", "ship", payload=NewOrder("anvil"))
        assert await node.scheduler.get_job_slugs() == ["t"]


@pytest.mark.parametrize("place", ["auto", "thread", "process"])
async def test_the_object_reaches_the_job_wherever_it_runs(place: Any) -> None:  # noqa: ANN401 - a place
    """Decoded once, by the node."""
    jobs = JobRegistry()
    jobs.register_job(Shipping(), executor=place)
    jobs.job("later", payload_type=Order, executor=place)(ship_later)
    async with StdScheduler(MemoryStore(), jobs=jobs) as scheduler:
        await scheduler.schedule_job("t", Shipping, payload=Order("anvil", 3))
        await scheduler.schedule_job("u", "later", payload=Order("anvil"))
        await scheduler.running_node.dispatcher.run_once()
        await scheduler.drain()
        runs = (await scheduler.runs(RunQuery())).items

    assert {(run.slug, run.status, run.result) for run in runs} == {("t", RunStatus.DONE, "3 of anvil"), ("u", RunStatus.DONE, None)}


# -- encrypted with a key that this node does not have


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (OLD_KEYS, "it is encrypted with key '2026-11', which this node does not have"),
        (None, "with key '2026-11', and this node has no keys"),
    ],
)
async def test_a_node_without_the_key_leaves_a_payload_to_one_that_has_it(keys: PayloadKeys | None, problem: str) -> None:
    """`why` names the key; no job is handed the ciphertext."""
    async with two_nodes({"keys": keys}, {"keys": NEW_KEYS}) as (old, new, clock):
        await new.scheduler.schedule_job("t", "plain", payload=b"anvil")
        await old.turn()
        assert problem in await old.scheduler.why("t")
        clock.advance(UNREADABLE_PAUSE)
        await new.turn()

        assert (old.got, new.got) == ([], [b"anvil"])


async def test_a_task_that_cannot_be_read_can_be_edited() -> None:
    """Paused, resumed and described anew, by a node without the key: its payload stays as it is stored."""
    async with two_nodes({"keys": OLD_KEYS}, {"keys": NEW_KEYS}) as (old, new, _):
        await new.scheduler.schedule_job("t", "plain", payload=b"anvil", delay=timedelta(hours=1))
        await old.scheduler.pause_job("t")
        await old.scheduler.resume_job("t")
        await old.scheduler.update_job("t", metadata={"a": "b"})

        assert (await new.scheduler.get_scheduled_job("t")).payload == b"anvil"


async def test_a_fire_that_is_to_live_on_as_a_task_waits_for_a_node_with_the_key() -> None:
    """A copy of the ciphertext would open nowhere."""
    async with two_nodes({"keys": OLD_KEYS}, {"keys": NEW_KEYS}) as (old, new, clock):
        jobs = new.scheduler.jobs
        jobs.job("each", trigger="@every 1m", overlap="allow")(lambda: None)
        old.scheduler.jobs.job("each", trigger="@every 1m", overlap="allow")(lambda: None)
        await new.scheduler.schedule_job("t", "each", payload=b"anvil")
        clock.advance(UNREADABLE_PAUSE)
        await old.turn()
        assert await old.scheduler.get_job_slugs() == ["t"]
        clock.advance(UNREADABLE_PAUSE)
        await new.scheduler.running_node.dispatcher.run_once()
        await new.scheduler.running_node.dispatcher.run_once()

        spawned = await new.scheduler.get_scheduled_job("t@2030-01-01T12:02:00+00:00")
        assert spawned.payload == b"anvil"


async def test_a_fire_whose_schedule_was_given_another_key_meanwhile_is_not_copied() -> None:
    """A node with a newer key edits the schedule between the lock and the write."""
    async with two_nodes({"keys": OLD_KEYS}, {"keys": NEW_KEYS}) as (old, new, clock):
        old.scheduler.jobs.job("each", trigger="@every 1m", overlap="allow")(lambda: None)
        await old.scheduler.schedule_job("t", "each", payload=b"anvil")
        clock.advance(UNREADABLE_PAUSE)
        await old.scheduler.running_node.dispatcher.run_once()
        await new.scheduler.update_job("t", payload=b"hammer")
        await old.turn()

        assert await old.scheduler.get_job_slugs() == ["t"]
        assert "this node cannot copy its payload: it is encrypted with key '2026-11'" in await old.scheduler.why("t")
        assert (await new.scheduler.get_scheduled_job("t")).payload == b"hammer"
