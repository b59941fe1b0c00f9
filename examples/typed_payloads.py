"""Payloads with a class: an object is scheduled and handed to its job.

An older form of it is upgraded; a newer one waits for a newer node.

python -P examples/typed_payloads.py
"""

import asyncio
from typing import Any

from attrs import frozen

from duly.jobs import InvalidPayload, JobContext, Task, TypedJob
from duly.scheduler import Event, RunEnded, RunReturned, StdScheduler
from duly.stores import MemoryStore


@frozen
class Order:
    """What is to be shipped."""

    item: str
    quantity: int = 1


class Ship(TypedJob[Order]):
    """Ships orders.

    In the first version of their class the item was called `what`, and there was one of it.
    """

    kind = "ship"
    payload_version = 2

    async def execute(self, ctx: JobContext, task: Task, order: Order, /) -> Task | None:
        """Ship one."""
        print(f"{ctx.slug}: ships {order.quantity} of {order.item!r}")
        return task

    def upgrade(self, version: int, data: Any, /) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the first version in the form of the second."""
        print(f"upgrades {data} of version {version}")
        return {"item": data["what"]}


async def main() -> None:
    """Schedule what this program, an older and a newer one would, and look at what becomes of it."""
    ended, loop = asyncio.Queue[Event](), asyncio.get_running_loop()

    def hear(event: Event) -> None:
        if isinstance(event, RunEnded | RunReturned):
            loop.call_soon_threadsafe(ended.put_nowait, event)

    async with StdScheduler(MemoryStore(), node="today") as scheduler:
        scheduler.register_job(Ship())
        scheduler.subscribe(hear)
        await scheduler.schedule_job("ship:today", Ship, payload=Order("anvil", 3))
        await scheduler.schedule_job("ship:yesterday", Ship, payload=b'{"what":"hammer"}', payload_version=1)
        await scheduler.schedule_job("ship:tomorrow", Ship, payload=b'{"item":{"sku":17}}', payload_version=3)
        for _ in range(3):
            await ended.get()
        await scheduler.drain()
        print(await scheduler.why("ship:tomorrow"))
        try:
            await scheduler.update_job("ship:tomorrow", payload=Order("tongs", quantity="two"))  # type: ignore[arg-type]  # a checker sees it
        except InvalidPayload as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    asyncio.run(main())
