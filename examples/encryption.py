"""Payloads encrypted at rest.

What the store keeps, how keys rotate, and what a node without the key does.

python -P examples/encryption.py
"""

import asyncio
import secrets
from datetime import timedelta

from duly.jobs import JobContext, JobRegistry, PayloadKeys, Task
from duly.scheduler import Event, RunEnded, RunReturned, StdScheduler
from duly.stores import JobStore, MemoryStore, TaskQuery

CARD = b"4111 1111 1111 1111"
LATER = timedelta(days=365)
OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)  # yours come from where you keep secrets

registry = JobRegistry()


@registry.job("pay")
async def pay(ctx: JobContext, task: Task) -> None:
    """Pay, with what only the job sees."""
    print(f"{ctx.slug}: pays with a card that ends in {task.payload[-4:].decode()}")


async def look_into(store: JobStore) -> None:
    """Print what somebody sees who can read the store, and has no key."""
    tasks = (await store.search(TaskQuery())).items
    keys = [task.payload[8:15].decode() for task in tasks]  # the envelope names its key
    print(f"{len(tasks)} tasks in the store, with keys {keys}; plain payloads: {sum(CARD in task.payload for task in tasks)}")


async def run_now(store: JobStore, node: str, keys: PayloadKeys) -> None:
    """Have a node with these keys look at one of the tasks, and print why it is still there."""
    looked, loop = asyncio.Event(), asyncio.get_running_loop()

    def hear(event: Event) -> None:
        if isinstance(event, RunEnded | RunReturned):
            loop.call_soon_threadsafe(looked.set)

    async with StdScheduler(store, jobs=registry, node=node, keys=keys) as scheduler:
        scheduler.subscribe(hear)
        await scheduler.trigger_job("pay:ada")
        await looked.wait()
        await scheduler.drain()
        if "pay:ada" in await scheduler.get_job_slugs():
            print(await scheduler.why("pay:ada"))


async def main() -> None:
    """Begin with one key, go over to another, and take the first away."""
    async with MemoryStore() as store:
        old = PayloadKeys({"2026-10": OLD}, newest="2026-10")
        async with StdScheduler(store.sibling(), jobs=registry, keys=old) as scheduler:
            await scheduler.schedule_job("pay:ada", "pay", payload=CARD, delay=LATER)
            await scheduler.schedule_job("pay:bo", "pay", payload=CARD, delay=LATER)
        await look_into(store)

        both = PayloadKeys({"2026-10": OLD, "2026-11": NEW}, newest="2026-11")
        async with StdScheduler(store.sibling(), jobs=registry, keys=both) as scheduler:
            print(f"encrypted anew: {await scheduler.reencrypt_payloads()}, then {await scheduler.reencrypt_payloads()}")
        await look_into(store)

        await run_now(store.sibling(), "without the new key", old)
        await run_now(store.sibling(), "with it", PayloadKeys({"2026-11": NEW}, newest="2026-11", require=True))
        await look_into(store)


if __name__ == "__main__":
    asyncio.run(main())
