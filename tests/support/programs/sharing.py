"""Run a node of a kind that has a limit over all nodes, until it is killed.

`sharing.py store-url namespace log-url limit`.

What the job does is in its payload: `stuck` never ends, anything else takes a moment. Each run is logged by its server's
clock, in the table `log_<namespace>`.
"""

import asyncio
import sys
from datetime import timedelta
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from duly.jobs import JobContext, JobRegistry, Task
from duly.scheduler import StdScheduler
from duly.stores import open_store
from support.programs import say, stuck

STORE, NAMESPACE, LOG, LIMIT = *sys.argv[1:4], int(sys.argv[4])
LEASE = timedelta(seconds=1)
jobs = JobRegistry()


def into(statement: LiteralString) -> Composed:
    """Return a statement on the log's table."""
    return SQL(statement).format(Identifier(f"log_{NAMESPACE}"))


class Shared:
    """Logs when it begins and ends."""

    kind = "shared"

    def execute(self, ctx: JobContext, task: Task) -> Task:
        """Work."""
        with psycopg.connect(LOG, autocommit=True) as log:
            log.execute(into("INSERT INTO {} (run, node, began) VALUES (%s, %s, clock_timestamp())"), [ctx.run_id, ctx.node])
            say(f"began {ctx.slug}")
            if task.payload == b"stuck":
                stuck()
            log.execute("SELECT pg_sleep(0.03)")
            log.execute(into("UPDATE {} SET ended = clock_timestamp() WHERE run = %s"), [ctx.run_id])
        return task


async def main() -> None:
    """Run."""
    jobs.register_job(Shared(), global_limit=LIMIT)
    async with StdScheduler(open_store(STORE, namespace=NAMESPACE), jobs=jobs, lease=LEASE):
        say("ready")
        await asyncio.Event().wait()


asyncio.run(main())
