"""Two tenants in one database: the same kinds, slugs and node names, and nothing mixes.

On PostgreSQL, started for as long as this runs.

python -P examples/tenants.py
DULY_STORE=postgresql://postgres@localhost/postgres python -P examples/tenants.py
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from duly.jobs import Fail, JobContext, JobRegistry, PayloadKeys, Task
from duly.scheduler import Event, JobNotFound, RunEnded, StdScheduler
from duly.stores import RunQuery, RunStatus, TaskQuery, open_store

TENANTS = ("acme", "globex")
INVOICES = ("invoice/1", "invoice/2", "invoice/3")
"""Each slug is a kind and a key: scheduled twice, it is refused as long as its task is under way."""


def jobs_of(tenant: str) -> JobRegistry:
    """Return the jobs of a tenant; both have the same kinds."""
    jobs = JobRegistry()

    @jobs.job("invoice")
    async def invoice(ctx: JobContext, task: Task) -> None:
        print(f"{tenant} runs {ctx.slug}: {task.payload.decode()}")
        if task.payload.startswith(b"unpayable"):
            raise Fail("nobody pays this")

    @jobs.job("report")
    async def report(ctx: JobContext) -> None:
        print(f"{tenant} runs {ctx.slug}")

    return jobs


def a_scheduler(url: str, tenant: str) -> StdScheduler:
    """Return the scheduler of a tenant: the namespace is all that tells it from the other one's.

    Each has a key of its own.
    """
    keys = PayloadKeys({tenant: os.urandom(32)}, newest=tenant)
    return StdScheduler(open_store(url, namespace=tenant), jobs=jobs_of(tenant), node="billing", keys=keys)


async def two_tenants(url: str) -> None:
    """Schedule the same invoices for both, and look at what each sees."""
    acme, globex = [a_scheduler(url, tenant) for tenant in TENANTS]
    ended, loop = asyncio.Queue[Event](), asyncio.get_running_loop()

    def hear(event: Event) -> None:
        if isinstance(event, RunEnded):
            loop.call_soon_threadsafe(ended.put_nowait, event)

    for scheduler in (acme, globex):
        scheduler.subscribe(hear)
    async with acme, globex:
        for slug in INVOICES:
            await acme.schedule_job(slug, "invoice", payload=f"{slug} of Acme".encode())
            await globex.schedule_job(slug, "invoice", payload=f"unpayable, {slug} of Globex".encode())
        await acme.schedule_job("report/rome", "report", delay=timedelta(days=1), metadata={"city": "Rome"}, if_exists="keep")
        try:
            await globex.delete_job("report/rome")
        except JobNotFound as error:
            print(f"globex is told: {error}")
        for _ in TENANTS * len(INVOICES):
            await ended.get()
        in_rome = [await scheduler.count_jobs(TaskQuery(metadata={"city": "Rome"})) for scheduler in (acme, globex)]
        print(f"tasks in Rome: acme {in_rome[0]}, globex {in_rome[1]}")

        for slug in INVOICES:  # a task that failed gives way to a new one; one that waits or runs does not
            await globex.schedule_job(slug, "invoice", payload=f"{slug} of Globex, corrected".encode())
        for _ in INVOICES:
            await ended.get()
        for tenant, scheduler in zip(TENANTS, (acme, globex), strict=True):
            runs = [run async for run in scheduler.iterate_runs(RunQuery())]
            done = sum(run.status is RunStatus.DONE for run in runs)
            print(f"{tenant}: {done} done, {len(runs) - done} failed, on {[node.name for node in await scheduler.nodes()]}")
        print(f"globex clears {await globex.clear()} tasks, acme still has {await acme.get_job_slugs()}, and clears {await acme.clear()}")


def main() -> None:
    """Use the database that `DULY_STORE` names, or start one."""
    given = os.environ.get("DULY_STORE")
    if given:
        asyncio.run(two_tenants(given))
        return
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's server runs as `nobody`, and must be able to enter
        asyncio.run(two_tenants(f"postgresql+embedded://{folder}/server"))


if __name__ == "__main__":
    main()
