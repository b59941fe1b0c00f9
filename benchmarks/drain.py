"""How fast one node drains due one-offs on PostgreSQL.

As a ratio to the least that any Python program must do.

The floor is a bare psycopg loop over a table of its own: one statement deletes the last batch and locks the next, and a
no-op coroutine is called for each row; no history, retries, leases or contexts. Both run in turn against the same
embedded server (with fsync), so that the ratio holds where the figures do not.

    python -P benchmarks/drain.py --tasks 20000 --rounds 3
"""

import argparse
import asyncio
import logging
import statistics
import tempfile
import time
from datetime import UTC, datetime

import psycopg

from duly.jobs import JobRegistry
from duly.scheduler import NewTask, StdScheduler
from duly.stores.postgres import PostgresStore, open_embedded

BATCH = 100

FUSED = """
WITH done AS (DELETE FROM floor WHERE id = ANY (%(done)s)),
     next AS MATERIALIZED (
       SELECT id FROM floor WHERE due <= %(now)s AND NOT locked ORDER BY due, id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
UPDATE floor f SET locked = true FROM next WHERE f.id = next.id RETURNING f.id, f.payload
"""


async def nothing() -> None:
    """Do the work of a job."""


async def drain_floor(url: str, count: int) -> float:
    """Return rows per second of the bare loop."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) as connection:
        await connection.execute("DROP TABLE IF EXISTS floor")
        await connection.execute("CREATE TABLE floor (id bigint PRIMARY KEY, due timestamptz NOT NULL, locked boolean, payload bytea)")
        await connection.execute("CREATE INDEX ON floor (due, id) WHERE NOT locked")
        now = datetime.now(UTC)
        await connection.execute("INSERT INTO floor SELECT n, %s, false, 'x' FROM generate_series(1, %s) n", (now, count))
        began, done = time.perf_counter(), list[int]()
        while True:
            cursor = await connection.execute(FUSED, {"done": done, "now": now, "batch": BATCH})
            done = [row[0] for row in await cursor.fetchall()]
            if not done:
                return count / (time.perf_counter() - began)
            await asyncio.gather(*(nothing() for _ in done))


async def drain_duly(url: str, count: int) -> float:
    """Return runs per second of one node, its history written."""
    jobs, all_done, left = JobRegistry(), asyncio.Event(), count

    @jobs.job("nothing")
    async def count_down() -> None:
        nonlocal left
        left -= 1
        if not left:
            all_done.set()

    async with StdScheduler(PostgresStore(url, schema="bench"), jobs=JobRegistry()) as publisher:
        await publisher.clear()
        for start in range(0, count, 1000):
            await publisher.schedule_jobs([NewTask(f"task-{n}", "nothing", remote=True) for n in range(start, min(count, start + 1000))])
    scheduler = StdScheduler(PostgresStore(url, schema="bench"), jobs=jobs, concurrency=2 * BATCH)
    began = time.perf_counter()
    async with scheduler:
        await all_done.wait()
    return count / (time.perf_counter() - began)


async def main(url: str, count: int, rounds: int) -> None:
    """Run both in turn, and print the figures of each round and the median ratio."""
    ratios = []
    for number in range(rounds):
        floor, duly = await drain_floor(url, count), await drain_duly(url, count)
        ratios.append(duly / floor)
        print(f"round {number + 1}: floor {floor:8.0f} rows/s   duly {duly:8.0f} runs/s   ratio {duly / floor:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} ({count} tasks, {rounds} rounds)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("duly").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="duly-bench-") as directory, open_embedded(directory) as server:
        asyncio.run(main(server.url, arguments.tasks, arguments.rounds))
