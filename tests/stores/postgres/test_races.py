"""Real processes race for the same tasks."""

import json
import subprocess
import sys
from collections import Counter
from uuid import uuid4

import pytest

from duly.stores import RunQuery
from duly.stores.conformance.values import NOON, a_task
from duly.stores.postgres import PostgresStore

pytestmark = pytest.mark.postgres

SCHEMA = "race_tests"
PROCESSES = 4
TASKS = 400

# Opens the store, says so, waits for its input to end, then runs tasks until there are none; prints what it ran.
_RACER = """
import asyncio, json, sys
from uuid import uuid4
from duly.stores import LockRequest
from duly.stores.conformance.values import LEASE, NOON, finished
from duly.stores.postgres import PostgresStore

async def main(url, schema, namespace, node):
    async with PostgresStore(url, schema=schema, namespace=namespace) as store:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        ran, outcomes, empty = [], [], 0
        while empty < 3:  # what others are just locking is passed over: an empty answer is no end
            request = LockRequest(node=node, rooms={"work": 7}, lease=LEASE, token=uuid4().hex)
            exchange = await store.exchange(NOON, outcomes, request)
            # A locker that came a moment too late holds the row until its transaction ends: then the outcome is handed in again.
            assert {each.reason for each in exchange.refused} <= {"busy"}
            outcomes = [*(each.outcome for each in exchange.refused), *(finished(task) for task in exchange.tasks)]
            ran += [task.slug for task in exchange.tasks]
            empty = 0 if outcomes else empty + 1
    print(json.dumps(ran))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_four_processes_run_four_hundred_tasks_each_once(postgres_url: str) -> None:
    """None is lost, none is run twice, and all of them have their part."""
    namespace = uuid4().hex
    async with PostgresStore(postgres_url, schema=SCHEMA, namespace=namespace) as store:
        await store.create(NOON, [a_task(f"t{number:03}") for number in range(TASKS)])
        racers = [_racer(postgres_url, namespace, f"n{number}") for number in range(PROCESSES)]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()  # go
        ran = [json.loads(_last_line(racer)) for racer in racers]

        assert Counter(slug for slugs in ran for slug in slugs) == Counter(f"t{number:03}" for number in range(TASKS))
        assert all(ran)
        assert await store.get_slugs() == []
        history = (await store.runs(RunQuery(limit=2 * TASKS))).items
        assert Counter(run.node for run in history) == {f"n{number}": len(slugs) for number, slugs in enumerate(ran)}


def _racer(url: str, namespace: str, node: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _RACER, url, SCHEMA, namespace, node]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _last_line(racer: "subprocess.Popen[str]") -> str:
    assert racer.stdout is not None
    with racer.stdout as out:
        line = out.read()
    assert racer.wait() == 0
    return line
